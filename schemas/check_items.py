"""Judges the texts of items, and reads those of the good lines."""

import re
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from processing.codes import Code
from processing.item_intent import ITEM
from processing.money import parse_scaled
from schemas.chunk import BadLine, Chunk, quoted, shown
from schemas.columns import Columns
from schemas.contract import AMOUNT, QUANTITY, item_contract
from schemas.faults import RANK, faults
from schemas.item_columns import Text, name_of

_BLANK: Final = pa.scalar("", pa.string())


def broken_items(items: pd.DataFrame, chunk: Chunk, columns: Columns, *, reversals: bool) -> dict[int, BadLine]:
    """The lines with an item that breaks the contract, by row, each with its first fault; ``items``: ``item_texts``.

    In ``reversals`` an item has no quantity and no amount but 0.
    """
    twice = items.duplicated(["row", "sku"]) & (items["sku"] != "")
    texts = items.drop(columns=["row", "number"]).assign(once=~twice.to_numpy(bool))
    rows, numbers = items["row"].to_numpy(), items["number"].to_numpy()
    found: dict[int, BadLine] = {}
    for code, field, guilty in faults(_contract(reversals=reversals), texts):
        field_ = "sku" if field == "once" else field
        for at in guilty.tolist():
            row, name = int(rows[at]), name_of(columns, field_, int(numbers[at]))
            value, sku = texts[field_].iloc[at], texts["sku"].iloc[at]
            message = _message(code, name, value, sku, reversals=reversals)
            bad = BadLine(int(chunk.lines[row]), code, message, name, shown(value) if value else None)
            found.setdefault(row, bad)
    return found


def first_faults(one: dict[int, BadLine], other: dict[int, BadLine]) -> dict[int, BadLine]:
    """The faults of both; a line with two gets the one that is answered first."""
    both = {row: min(one[row], other[row], key=lambda bad: RANK[bad.code]) for row in one.keys() & other.keys()}
    return one | other | both


def good_items(items: pd.DataFrame, good: npt.NDArray[np.int64], lines: int) -> pd.arrays.ArrowExtensionArray:
    """The items of the good ones among ``lines`` lines, as a column of lists of ``processing.item_intent.ITEM``.

    ``good``: the rows of the good lines, ascending.
    """
    place = np.full(lines, -1, np.int64)
    place[good] = np.arange(len(good))
    line = place[items["row"].to_numpy()]
    kept = items[line >= 0]
    texts = {field: pa.array(kept[field], pa.string()) for field in ("sku", "category", "quantity", "amount")}
    fields: list[pa.Array[Any]] = [
        texts["sku"],
        _given(texts["category"]),
        pc.cast(_given(texts["quantity"]), pa.int64()),
        _scaled(texts["amount"]),
        texts["amount"],
    ]
    structs = pa.StructArray.from_arrays(fields, fields=list(ITEM))
    offsets = pa.array(np.searchsorted(line[line >= 0], np.arange(len(good) + 1)), pa.int32())
    return pd.arrays.ArrowExtensionArray(pa.ListArray.from_arrays(offsets, structs))


def _message(code: Code, name: str, value: str, sku: str, *, reversals: bool) -> str:
    if code is Code.SKU_MISSING:
        return f"{name} is empty, but the item has a Quantity, an Amount or a Category. Give the item's Sku."
    if reversals and (
        (code is Code.QUANTITY_MALFORMED and re.fullmatch(QUANTITY, value))
        or (code is Code.AMOUNT_MALFORMED and re.fullmatch(AMOUNT, value))
    ):
        message = f"{name} {quoted(value)} stands in a reversal. Leave it out, or send an ItemModificationRequest."
    elif code is Code.AMOUNT_NEGATIVE:
        message = f"Amount {quoted(value)} is negative. It is the item's new total; send 0 to return it."
    else:
        message = code.message(field=name, value=quoted(value), currency="money")
    return f"Item {quoted(sku)}: {message}" if sku and code is not Code.SKU_TWICE else message


def _given(texts: Text) -> Text:
    given: Text = pc.if_else(pc.equal(texts, _BLANK), pa.scalar(None, pa.string()), texts)
    return given


def _scaled(texts: Text) -> "pa.Array[pa.Int64Scalar]":
    given = pc.not_equal(texts, _BLANK).to_numpy(zero_copy_only=False)
    values = np.zeros(len(texts), np.int64)
    values[given] = parse_scaled(pd.Series(pd.arrays.ArrowExtensionArray(texts.filter(pa.array(given)))))
    return pa.array(values, pa.int64(), mask=~given)


@cache
def _contract(*, reversals: bool) -> pandera.DataFrameSchema:
    return item_contract(reversals=reversals)
