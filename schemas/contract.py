"""The contracts of a line and of its items: what their text must be, judged as text and never coerced.

Each check is named after the ``Code`` that a line breaking it gets. ``identified`` is whether the line names an action
at all, worked out beforehand, because Pandera blames every column for a rule about several.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc
from pandera.config import ValidationDepth, get_config_context

from processing.codes import Code
from processing.errors import Unusable
from processing.money import is_currency
from schemas.chunk import TEXT

ACTION_ID: Final = r"[A-Za-z0-9._-]{1,64}"
EVENT_TYPE: Final = r"[0-9]{1,10}"
QUANTITY: Final = r"[0-9]{1,6}"
AMOUNT: Final = r"-?[0-9]+(\.[0-9]{1,4})?"
UP_TO_EIGHT_DIGITS: Final = r"-?0*[0-9]{1,8}(\..*)?"
ZERO: Final = r"-?0+(\.0{1,4})?"
CONTROL: Final = r"[\x00-\x1f\x7f-\x9f]"
CONTROL_BUT_SPACING: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
# What has no width: soft hyphen, zero-width blanks and joiners, marks of direction, byte order marks in the middle.
INVISIBLE: Final = (
    r"[\x{AD}\x{61C}\x{180E}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{206F}\x{FEFF}\x{FFF9}-\x{FFFB}]"
)
LONGEST_ORDER_ID: Final = 64
LONGEST_STATUS: Final = 40
_ASCII: Final = 0x7F


def unspoiled(texts: pd.Series, pattern: str = CONTROL) -> pd.Series:
    """Which cells hold no control character; ``texts`` are Arrow strings, the answer is Boolean."""
    array = pa.array(texts, pa.string())
    suspect = _bytes(array)
    # A control character is a byte below 32, 127, or begins with 0xC2 in UTF-8: most chunks have none of these, and a
    # regular expression is slow.
    if not ((suspect < 32) | (suspect == 127) | (suspect == 0xC2)).any():
        return pd.Series(True, texts.index)
    return _answer(pc.invert(pc.match_substring_regex(array, pattern)), texts)


def trimmed(texts: pd.Series) -> pd.Series:
    """Which cells have at neither end a blank of any kind or what nobody sees; Arrow strings in, Boolean out.

    Inside a text such a character may mean something, as joiners do in Persian or in an emoji.
    """
    array = pa.array(texts, pa.string())
    plain = pc.equal(array, pc.utf8_trim_whitespace(array))
    if _bytes(array).max(initial=0) > _ASCII:
        plain = pc.and_not(plain, pc.match_substring_regex(array, f"^{INVISIBLE}|{INVISIBLE}$"))
    return _answer(plain, texts)


def _bytes(array: pa.StringArray) -> npt.NDArray[np.uint8]:
    """The characters of an array of texts in UTF-8, and maybe more."""
    data = array.buffers()[2]
    return np.frombuffer(b"" if data is None else memoryview(data), np.uint8)


def line_contract(*, reversals: bool = False) -> pandera.DataFrameSchema:
    """The contract over the known columns that a file has, all texts, "" for a blank cell, and ``identified``.

    Columns: identified bool, reason, and any of action_id, order_id, event_type, amount, currency, customer_status as
    Arrow strings. In ``reversals`` the only amount is zero.
    """
    return pandera.DataFrameSchema(
        {
            "identified": pandera.Column(bool, _check(Code.MISSING_IDENTIFIER, _itself)),
            "action_id": _texts(_check(Code.ACTION_ID_MALFORMED, _blank_or(ACTION_ID))),
            "order_id": _texts(_check(Code.ORDER_ID_TOO_LONG, _at_most(LONGEST_ORDER_ID)), _ends()),
            "event_type": _texts(_check(Code.EVENT_TYPE_MALFORMED, _blank_or(EVENT_TYPE))),
            "reason": _texts(
                _check(Code.REASON_MISSING, _not_blank),
                # No code begins or ends with a blank, so that this one is unknown can be said before the codes are.
                _check(Code.REASON_UNKNOWN, trimmed),
                required=True,
            ),
            "amount": _texts(*_amounts(reversals=reversals)),
            "currency": _texts(_check(Code.CURRENCY_UNKNOWN, _blank_or_currencies)),
            "customer_status": _texts(_check(Code.CUSTOMER_STATUS_TOO_LONG, _at_most(LONGEST_STATUS)), _ends()),
        },
        strict=True,
        coerce=False,
        unique_column_names=True,
    )


def item_contract(*, reversals: bool = False) -> pandera.DataFrameSchema:
    """The contract of one item of a line: sku, category, quantity and amount as Arrow strings, "" for a blank cell.

    ``once``: whether it is the line's first with its SKU. In ``reversals`` quantity and amount are 0 or not given.
    """
    none = [_check(Code.QUANTITY_MALFORMED, _blank_or("0+"))] if reversals else []
    return pandera.DataFrameSchema(
        {
            "once": pandera.Column(bool, _check(Code.SKU_TWICE, _itself)),
            "sku": _texts(_ends(), _check(Code.SKU_MISSING, _not_blank), required=True),
            "category": _texts(_ends()),
            "quantity": _texts(_check(Code.QUANTITY_MALFORMED, _blank_or(QUANTITY)), *none),
            "amount": _texts(*_amounts(reversals=reversals)),
        },
        strict=True,
        coerce=False,
    )


def assert_judging() -> None:
    """Make sure that Pandera judges at all: its own environment variables can tell it to let everything pass.

    Raises ``Unusable`` naming the variable.
    """
    config = get_config_context()
    if not config.validation_enabled:
        raise Unusable("PANDERA_VALIDATION_ENABLED is off, so that no line would be judged; unset it.")
    if config.validation_depth not in (None, ValidationDepth.SCHEMA_AND_DATA):
        raise Unusable("PANDERA_VALIDATION_DEPTH is set, so that not every line would be judged; unset it.")


def _amounts(*, reversals: bool) -> list[pandera.Check]:
    zero = [_check(Code.AMOUNT_MALFORMED, _blank_or(ZERO))] if reversals else []
    return [
        _check(Code.AMOUNT_MALFORMED, _blank_or(AMOUNT)),
        _check(Code.AMOUNT_NEGATIVE, _not_negative),
        _check(Code.AMOUNT_TOO_LARGE, _blank_or(UP_TO_EIGHT_DIGITS)),
        *zero,
    ]


def _texts(*checks: pandera.Check, required: bool = False) -> pandera.Column:
    return pandera.Column(TEXT, [_check(Code.CONTROL_CHARACTER, unspoiled), *checks], required=required)


def _check(code: Code, good: Callable[[pd.Series], pd.Series]) -> pandera.Check:
    # check.py takes the answers for all rows; a report that spells out each of them costs ten times the check.
    return pandera.Check(good, name=code.value, n_failure_cases=1)


def _ends() -> pandera.Check:
    return _check(Code.SURROUNDING_BLANK, trimmed)


def matches(pattern: str) -> Callable[[pd.Series], pd.Series]:
    """A check for cells that match a regular expression as a whole; Arrow strings in, Boolean out."""
    whole = f"^(?:{pattern})$"
    return lambda texts: _answer(pc.match_substring_regex(pa.array(texts, pa.string()), whole), texts)


def currencies(texts: pd.Series) -> pd.Series:
    """Which cells are a currency of ISO 4217."""
    return texts.isin([code for code in texts.unique() if is_currency(code)])


def _blank_or(pattern: str) -> Callable[[pd.Series], pd.Series]:
    return matches(f"(?:{pattern})?")


def _at_most(characters: int) -> Callable[[pd.Series], pd.Series]:
    return lambda texts: texts.str.len() <= characters


def _itself(answers: pd.Series) -> pd.Series:
    return answers


def _not_blank(texts: pd.Series) -> pd.Series:
    return texts.str.strip() != ""


def _not_negative(texts: pd.Series) -> pd.Series:
    return ~texts.str.startswith("-")


def _blank_or_currencies(texts: pd.Series) -> pd.Series:
    return currencies(texts) | (texts == "")


def _answer(mask: pa.BooleanArray, texts: pd.Series) -> pd.Series:
    return pd.Series(mask.to_numpy(zero_copy_only=False), texts.index)
