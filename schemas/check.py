"""Judges the text of a chunk by the contract; the only caller of Pandera."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from operator import attrgetter
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from processing.codes import Code
from processing.item_intent import ITEMS
from processing.money import is_currency, parse_scaled
from schemas.check_items import broken_items, first_faults, good_items
from schemas.chunk import TEXT, BadLine, Chunk, quoted, shown
from schemas.columns import DISPLAY, Columns
from schemas.contract import AMOUNT, CONTROL_BUT_SPACING, assert_judging, line_contract, unspoiled
from schemas.faults import faults
from schemas.item_columns import item_texts

_BLANK: Final = pa.scalar("", pa.string())


@dataclass(frozen=True, slots=True)
class Checked:
    """A chunk, judged: each of its lines is in ``good`` or in ``bad``.

    ``good``: index int64 (the line's number, ascending); columns action_id, order_id, currency, customer_status (Arrow
    strings, NA where blank or absent), event_type and amount_scaled (Int64, NA where blank or absent; amounts in
    1/10,000), amount_text and reason (Arrow strings). ``bad`` is ascending and includes the lines that could not be
    read. A file with columns for items has them in a column more, lists of ``processing.item_intent.ITEM``.
    """

    good: pd.DataFrame
    bad: list[BadLine]


def check(chunk: Chunk, columns: Columns, *, reversals: bool = False, event_type: int | None = None) -> Checked:
    """Judge each line of a chunk.

    ``event_type`` is given with the delivery and holds for lines that name none. In ``reversals`` (a document of that
    kind) the only amount is zero, and currency and status of a good line are NA: there is nothing they could change.
    A line with several faults gets one code, the first in the order of ``Code``.
    Raises ``Unusable`` if Pandera is switched off by its environment variables.
    """
    assert_judging()
    texts = _texts(chunk, columns, event_type)
    broken = _broken(chunk, texts, reversals=reversals) | _spoiled(chunk, columns)
    items = item_texts(chunk, columns)
    if items is not None:
        broken = first_faults(broken, broken_items(items, chunk, columns, reversals=reversals))
    bad = sorted([*chunk.bad, *broken.values()], key=attrgetter("line"))
    texts.index = pd.Index(chunk.lines, name="line")
    if broken:
        texts = texts.drop(texts.index[list(broken)])
    good = _good(texts, event_type, reversals=reversals)
    if items is not None:
        sound = np.delete(np.arange(len(chunk.lines)), list(broken))
        good[ITEMS] = good_items(items, sound, len(chunk.lines))
    assert len(good) + len(bad) == len(chunk.lines) + len(chunk.bad)  # noqa: S101 - a line has one fate
    return Checked(good, bad)


def _texts(chunk: Chunk, columns: Columns, event_type: int | None) -> pd.DataFrame:
    """The known columns of a chunk by our names, and whether each line names an action."""
    cells = {column: chunk.cells.iloc[:, at] for column, at in columns.positions.items() if column in DISPLAY}
    blank = pd.Series("", chunk.cells.index, TEXT)
    by_type = cells.get("event_type", blank) != "" if event_type is None else True
    identified = (cells.get("action_id", blank) != "") | ((cells.get("order_id", blank) != "") & by_type)
    cells.setdefault("reason", blank)
    return pd.DataFrame({"identified": identified.to_numpy(bool), **cells}, chunk.cells.index)


def _spoiled(chunk: Chunk, columns: Columns) -> dict[int, BadLine]:
    """Lines with a control character in a column that is ignored, by row; spacing is none of our business there."""
    found: dict[int, BadLine] = {}
    for at in sorted(columns.ignored):
        cells = chunk.cells.iloc[:, at]
        clean = unspoiled(cells, CONTROL_BUT_SPACING).to_numpy(bool)
        if not clean.all():
            rows = np.flatnonzero(~clean)
            lines, name = chunk.lines[rows].tolist(), columns.header[at]
            for row, line, value in zip(rows.tolist(), lines, cells.iloc[rows].tolist(), strict=True):
                message = Code.CONTROL_CHARACTER.message(field=quoted(name), value=quoted(value))
                found.setdefault(row, BadLine(line, Code.CONTROL_CHARACTER, message, name, shown(value)))
    return found


def _broken(chunk: Chunk, texts: pd.DataFrame, *, reversals: bool) -> dict[int, BadLine]:
    """Lines that break the contract, by row."""
    found: dict[int, BadLine] = {}
    for code, column, rows in faults(_contract(reversals=reversals), texts):
        bad = _bad_lines(code, column, chunk.lines[rows].tolist(), texts.iloc[rows], reversals=reversals)
        found.update(zip(rows.tolist(), bad, strict=True))
    return found


@cache
def _contract(*, reversals: bool) -> pandera.DataFrameSchema:
    return line_contract(reversals=reversals)


def _bad_lines(code: Code, column: str, lines: list[int], texts: pd.DataFrame, *, reversals: bool) -> Iterator[BadLine]:
    """Lines with the same fault in the same column; ``texts`` are their rows."""
    if code is Code.MISSING_IDENTIFIER:
        message = code.message()
        return (BadLine(line, code, message, None, None) for line in lines)
    name = DISPLAY[column]
    values: list[str] = np.array(texts[column], np.object_).tolist()
    if code is Code.AMOUNT_MALFORMED:
        currencies = texts["currency"].tolist() if "currency" in texts else [""] * len(lines)
        messages = [_amount_message(*each, reversals=reversals) for each in zip(values, currencies, strict=True)]
    else:
        messages = [code.message(field=name, value=quoted(value)) for value in values]
    return (BadLine(line, code, *each) for line, *each in zip(lines, messages, repeat(name), map(shown, values)))


def _amount_message(value: str, currency: str, *, reversals: bool) -> str:
    if reversals and re.fullmatch(AMOUNT, value):
        return f"Amount {quoted(value)} stands in a ReversalRequest. Leave it out, or send a ModificationRequest."
    return Code.AMOUNT_MALFORMED.message(value=quoted(value), currency=currency if is_currency(currency) else "money")


def _good(texts: pd.DataFrame, event_type: int | None, *, reversals: bool) -> pd.DataFrame:
    """The lines that keep the contract, with their numbers read; index as that of ``texts``."""
    blank = pa.repeat(_BLANK, len(texts))
    sent = {column: pa.array(texts[column], pa.string()) if column in texts else blank for column in DISPLAY}
    change = dict.fromkeys(DISPLAY, blank) if reversals else sent
    return pd.DataFrame(
        {
            "action_id": _given(sent["action_id"]),
            "order_id": _given(sent["order_id"]),
            "event_type": _numbers(sent["event_type"], _whole, event_type),
            "amount_scaled": _numbers(sent["amount"], parse_scaled),
            "amount_text": pd.arrays.ArrowExtensionArray(sent["amount"]),
            "currency": _given(change["currency"]),
            "customer_status": _given(change["customer_status"]),
            "reason": pd.arrays.ArrowExtensionArray(sent["reason"]),
        },
        texts.index,
    )


def _given(texts: pa.StringArray) -> pd.arrays.ArrowExtensionArray:
    """Texts, NA where they are blank."""
    nothing = pa.scalar(None, pa.string())
    return pd.arrays.ArrowExtensionArray(pc.if_else(pc.equal(texts, _BLANK), nothing, texts))


def _numbers(
    texts: pa.StringArray, read: Callable[[pd.Series], npt.NDArray[np.int64]], default: int | None = None
) -> pd.arrays.IntegerArray:
    """Texts read as numbers, ``default`` where they are blank."""
    given = pc.not_equal(texts, _BLANK)
    mask = given.to_numpy(zero_copy_only=False)
    values = np.full(len(mask), default or 0, np.int64)
    values[mask] = read(pd.Series(pd.arrays.ArrowExtensionArray(texts.filter(given))))
    return pd.arrays.IntegerArray(values, ~mask & (default is None))


def _whole(texts: pd.Series) -> npt.NDArray[np.int64]:
    return np.asarray(texts.astype("int64[pyarrow]"), np.int64)
