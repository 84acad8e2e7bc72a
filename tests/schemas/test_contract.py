import pandas as pd
import pytest
from pandera.config import config_context
from pandera.errors import SchemaErrors

from processing.codes import Code
from processing.errors import Unusable
from schemas.chunk import TEXT
from schemas.contract import CONTROL_BUT_SPACING, assert_judging, line_contract, trimmed, unspoiled

# column, text, and the code it breaks; None where it is fine. Both sides of each boundary.
CELLS = [
    ("action_id", "", None),
    ("action_id", "1000.4636.158133", None),
    ("action_id", "M-1_a.Z", None),
    ("action_id", "NA", None),
    ("action_id", "x" * 64, None),
    ("action_id", "x" * 65, Code.ACTION_ID_MALFORMED),
    ("action_id", "1000 4636", Code.ACTION_ID_MALFORMED),
    ("action_id", "1000.4636.1 ", Code.ACTION_ID_MALFORMED),
    ("action_id", " 1000.4636.1", Code.ACTION_ID_MALFORMED),
    ("action_id", "1000,4636", Code.ACTION_ID_MALFORMED),
    ("action_id", "1.0E+12", Code.ACTION_ID_MALFORMED),
    ("action_id", "\uff11\uff10\uff10\uff10", Code.ACTION_ID_MALFORMED),
    ("action_id", "1000\n", Code.ACTION_ID_MALFORMED),
    ("action_id", "=A1", Code.ACTION_ID_MALFORMED),
    ("order_id", "x" * 64, None),
    ("order_id", "é" * 64, None),
    ("order_id", "注文 12/7", None),
    ("order_id", "null", None),
    ("order_id", "x" * 65, Code.ORDER_ID_TOO_LONG),
    ("order_id", "O1 ", Code.SURROUNDING_BLANK),
    ("order_id", "\u00a0O1", Code.SURROUNDING_BLANK),
    ("order_id", "O1\u200b", Code.SURROUNDING_BLANK),
    ("order_id", "\ufeffO1", Code.SURROUNDING_BLANK),
    ("order_id", "O\u200d1", None),
    ("order_id", "O\x001", Code.CONTROL_CHARACTER),
    ("order_id", "O\t1", Code.CONTROL_CHARACTER),
    ("order_id", "O\x851", Code.CONTROL_CHARACTER),
    ("event_type", "16027", None),
    ("event_type", "1234567890", None),
    ("event_type", "12345678901", Code.EVENT_TYPE_MALFORMED),
    ("event_type", "16027.0", Code.EVENT_TYPE_MALFORMED),
    ("event_type", "+16027", Code.EVENT_TYPE_MALFORMED),
    ("event_type", "\uff11\uff16\uff10\uff12\uff17", Code.EVENT_TYPE_MALFORMED),
    ("event_type", "16 027", Code.EVENT_TYPE_MALFORMED),
    ("amount", "0", None),
    ("amount", "0.00", None),
    ("amount", "12", None),
    ("amount", "12.3456", None),
    ("amount", "99999999.9999", None),
    ("amount", "0000000000000000000001.00", None),
    ("amount", "100000000", Code.AMOUNT_TOO_LARGE),
    ("amount", "9" * 400, Code.AMOUNT_TOO_LARGE),
    ("amount", "12.34567", Code.AMOUNT_MALFORMED),
    ("amount", "12.", Code.AMOUNT_MALFORMED),
    ("amount", ".5", Code.AMOUNT_MALFORMED),
    ("amount", "1e5", Code.AMOUNT_MALFORMED),
    ("amount", "1.234,56", Code.AMOUNT_MALFORMED),
    ("amount", "1,234.56", Code.AMOUNT_MALFORMED),
    ("amount", "12,50", Code.AMOUNT_MALFORMED),
    ("amount", "+5", Code.AMOUNT_MALFORMED),
    ("amount", "--5", Code.AMOUNT_MALFORMED),
    ("amount", "-", Code.AMOUNT_MALFORMED),
    ("amount", " 5", Code.AMOUNT_MALFORMED),
    ("amount", "5 ", Code.AMOUNT_MALFORMED),
    ("amount", "$5", Code.AMOUNT_MALFORMED),
    ("amount", "\uff15", Code.AMOUNT_MALFORMED),
    ("amount", "\u0665", Code.AMOUNT_MALFORMED),
    ("amount", "NaN", Code.AMOUNT_MALFORMED),
    ("amount", "NA", Code.AMOUNT_MALFORMED),
    ("amount", "inf", Code.AMOUNT_MALFORMED),
    ("amount", "0x10", Code.AMOUNT_MALFORMED),
    ("amount", "1_000", Code.AMOUNT_MALFORMED),
    ("amount", "=1+1", Code.AMOUNT_MALFORMED),
    ("amount", "(5.00)", Code.AMOUNT_MALFORMED),
    ("amount", "\u22125", Code.AMOUNT_MALFORMED),
    ("amount", "-5", Code.AMOUNT_NEGATIVE),
    ("amount", "-0", Code.AMOUNT_NEGATIVE),
    ("amount", "-0.00", Code.AMOUNT_NEGATIVE),
    ("currency", "", None),
    ("currency", "USD", None),
    ("currency", "KWD", None),
    ("currency", "usd", Code.CURRENCY_UNKNOWN),
    ("currency", "USD ", Code.CURRENCY_UNKNOWN),
    ("currency", "US", Code.CURRENCY_UNKNOWN),
    ("currency", "XAU", Code.CURRENCY_UNKNOWN),
    ("currency", "$", Code.CURRENCY_UNKNOWN),
    ("customer_status", "", None),
    ("customer_status", "NEW", None),
    ("customer_status", "x" * 40, None),
    ("customer_status", "x" * 41, Code.CUSTOMER_STATUS_TOO_LONG),
    ("customer_status", "NEW ", Code.SURROUNDING_BLANK),
    ("reason", "RETURNED", None),
    ("reason", "own code", None),
    ("reason", "", Code.REASON_MISSING),
    ("reason", "  ", Code.REASON_MISSING),
    ("reason", "RETURNED ", Code.REASON_UNKNOWN),
    ("reason", "RETURNED\u3000", Code.REASON_UNKNOWN),
    ("reason", "RETURNED\x7f", Code.CONTROL_CHARACTER),
]


def broken(column: str, text: str, *, reversals: bool = False) -> set[Code]:
    """The codes that one cell breaks."""
    cells = {"reason": ["RETURNED"]} | {column: [text]}
    frame = pd.DataFrame({"identified": [True]} | {name: pd.Series(cell, dtype=TEXT) for name, cell in cells.items()})
    try:
        line_contract(reversals=reversals).validate(frame, lazy=True)
    except SchemaErrors as errors:
        return {Code(error.check.name) for error in errors.schema_errors}
    return set()


@pytest.mark.parametrize(("column", "text", "code"), CELLS)
def test_each_cell_is_judged_as_text(column: str, text: str, code: Code | None) -> None:
    """Text is never coerced: what does not look exactly right is wrong."""
    found = broken(column, text)
    assert code in found if code else not found


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("", None),
        ("0", None),
        ("0.00", None),
        ("5", Code.AMOUNT_MALFORMED),
        ("0.01", Code.AMOUNT_MALFORMED),
        ("-0", Code.AMOUNT_NEGATIVE),
    ],
)
def test_a_reversal_has_no_amount_but_zero(amount: str, code: Code | None) -> None:
    """A request to reverse that gives a new total contradicts itself."""
    found = broken("amount", amount, reversals=True)
    assert code in found if code else not found


@pytest.mark.parametrize(
    ("case", "frame"),
    [
        ("a column that is not ours", {"identified": [True], "reason": ["R"], "sku": ["1"]}),
        ("no reason column", {"identified": [True]}),
        ("numbers in place of text", {"identified": [True], "reason": ["R"], "amount": [1.5]}),
    ],
)
def test_a_frame_of_another_shape_is_no_line(case: str, frame: dict[str, list[object]]) -> None:
    """The contract is strict about its own columns."""
    with pytest.raises(SchemaErrors):
        line_contract().validate(pd.DataFrame(frame), lazy=True)
    assert case


@pytest.mark.parametrize(
    ("text", "ours", "ignored"),
    [
        ("plain", True, True),
        ("Grüße £5 Ñ", True, True),
        ("a\nb\tc\rd", False, True),
        ("\x00", False, False),
        ("\x1b[0m", False, False),
        ("\x7f", False, False),
        ("\x80", False, False),
        ("\x9f", False, False),
        ("\xa0", True, True),
    ],
)
def test_control_characters(text: str, *, ours: bool, ignored: bool) -> None:
    """Spacing is fine where nobody reads it; nothing else that is invisible is."""
    cells = pd.Series(["fine", text], dtype=TEXT)
    assert unspoiled(cells).tolist() == [True, ours]
    assert unspoiled(cells, CONTROL_BUT_SPACING).tolist() == [True, ignored]


def test_trimmed() -> None:
    """Blanks of any kind count, at the ends only."""
    cells = pd.Series(["a b", "", " a", "a\t", "a\u3000", "\u00a0"], dtype=TEXT)
    assert trimmed(cells).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize("mark", "\u00ad\u061c\u180e\u200b\u200d\u200e\u202e\u2060\u2069\ufeff\ufffb")
def test_what_nobody_sees_at_the_ends(mark: str) -> None:
    """It comes along when an id is copied from a page or a chat, and makes it another one; inside it may be meant."""
    cells = pd.Series([f"a{mark}b", "é", f"a{mark}", f"{mark}a", mark], dtype=TEXT)
    assert trimmed(cells).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        ({"validation_enabled": False}, "PANDERA_VALIDATION_ENABLED"),
        ({"validation_depth": "SCHEMA_ONLY"}, "PANDERA_VALIDATION_DEPTH"),
        ({"validation_depth": "DATA_ONLY"}, "PANDERA_VALIDATION_DEPTH"),
    ],
)
def test_pandera_must_be_on(switch: dict[str, object], words: str) -> None:
    """A variable of the environment must not be able to let every line pass."""
    assert_judging()
    with config_context(**switch), pytest.raises(Unusable, match=words):  # type: ignore[arg-type]
        assert_judging()
