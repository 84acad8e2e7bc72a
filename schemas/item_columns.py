"""The columns of items: ``Sku``, ``Category``, ``Quantity`` and ``Amount``, numbered, as often as a file has them.

The number of the first item may be left out. A file has items as soon as one of its columns is a ``Sku``; then every
amount in it is an item's, so that nobody has to guess which one a bare ``Amount`` is.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from processing.columns import Ints
from schemas.chunk import Chunk
from schemas.columns import ORDER_LEVEL, Columns, Vocabulary, plain

FIELDS: Final[Mapping[str, str]] = {"sku": "Sku", "category": "Category", "quantity": "Quantity", "amount": "Amount"}

ITEM: Final = Vocabulary({column: (name,) for column, name in FIELDS.items()})
"""What an item of an XML record has."""

WITH_ITEMS: Final = Vocabulary({column: names for column, names in ORDER_LEVEL.names.items() if column != "amount"})
"""The columns of a record that has items, but for those of the items."""

Text: TypeAlias = "pa.Array[pa.StringScalar]"

_SKU: Final = re.compile(r"sku([1-9][0-9]{0,3})?")


def widened(vocabulary: Vocabulary, header: Sequence[str], ignore: Collection[str] = ()) -> Vocabulary:
    """The vocabulary with the columns of as many items as the header has a ``Sku`` for; itself if there is none.

    A brand whose ``Sku`` is to be ignored has no items. An amount of the whole order stays known where the vocabulary
    allows it (``total``) and the first item's columns are numbered.
    """
    ignored = {plain(name) for name in ignore}
    found = [_SKU.fullmatch(name) for name in map(plain, header) if name not in ignored]
    numbers = sorted({int(match[1] or 1) for match in found if match})
    if not numbers:
        return vocabulary
    bare = any(match and not match[1] for match in found)
    names = {column: each for column, each in vocabulary.names.items() if column != "amount"}
    if vocabulary.total and not bare:
        names["amount"] = vocabulary.names["amount"]
    for number in numbers:
        names |= {f"{column}{number}": _names(name, number, bare=bare) for column, name in FIELDS.items()}
    return Vocabulary(names)


def _names(name: str, number: int, *, bare: bool) -> tuple[str, ...]:
    numbered = f"{name}{number}"
    if number > 1:
        return (numbered,)
    if bare:
        return name, numbered
    return (numbered, name) if name in {"Category", "Quantity"} else (numbered,)


def item_numbers(columns: Columns) -> list[int]:
    """The numbers of the items that a line of this file can name."""
    return sorted(int(column.removeprefix("sku")) for column in columns.positions if column.startswith("sku"))


def has_values(columns: Columns) -> bool:
    """Whether the file can give an item's quantity or amount."""
    numbers = item_numbers(columns)
    return any(f"{field}{number}" in columns for field in ("quantity", "amount") for number in numbers)


def amount_positions(columns: Columns) -> list[int]:
    """Where the amounts stand: that of an order, or those of its items."""
    return [at for column, at in columns.positions.items() if column.startswith("amount")]


def name_of(columns: Columns, field: str, number: int) -> str:
    """What our messages call a field of an item."""
    return columns.vocabulary.display.get(f"{field}{number}", FIELDS[field])


def item_texts(chunk: Chunk, columns: Columns) -> pd.DataFrame | None:
    """The items that the lines of a chunk name, in order; None for a file without columns for items.

    Columns: row (the line's position in the chunk) and number (the item's among the line's) int64; sku, category,
    quantity, amount: Arrow strings, "" where blank. An item of which all four are blank is none.
    """
    if chunk.items is not None:
        return chunk.items
    numbers = item_numbers(columns)
    if not numbers:
        return None
    parts = [_of_number(chunk, columns, number) for number in numbers]
    rows, of_number = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
    order = np.lexsort((of_number, rows))
    return item_frame(
        rows[order],
        of_number[order],
        {field: pa.concat_arrays([part[2][field] for part in parts]).take(order) for field in FIELDS},
    )


def item_frame(row: Ints, number: Ints, texts: Mapping[str, Text]) -> pd.DataFrame:
    """Items as ``item_texts`` gives them."""
    cells = {field: pd.arrays.ArrowExtensionArray(texts[field]) for field in FIELDS}
    return pd.DataFrame({"row": row, "number": number, **cells})


def _of_number(chunk: Chunk, columns: Columns, number: int) -> tuple[Ints, Ints, dict[str, Text]]:
    cells = {
        field: chunk.cells.iloc[:, columns.positions[f"{field}{number}"]]
        for field in FIELDS
        if f"{field}{number}" in columns
    }
    given = np.logical_or.reduce([(column != "").to_numpy(bool) for column in cells.values()])
    rows: Ints = np.flatnonzero(given)
    blank = pa.repeat(pa.scalar("", pa.string()), len(rows))
    texts: dict[str, Text] = {
        field: pa.array(cells[field].iloc[rows], pa.string()) if field in cells else blank for field in FIELDS
    }
    return rows, np.full(len(rows), number, dtype=np.int64), texts
