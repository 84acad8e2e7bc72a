"""What the lines of a file of items ask of each item: the part of the intent that order-level files do not have."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from processing.codes import Code
from processing.columns import NONE, Bools, Ints, Objects, missing
from processing.items import AskedItems
from processing.model import Change
from processing.money import to_minor_columns

ITEMS: Final = "items"
"""The column of checked lines that holds their items; a file without columns for items does not have it."""

ITEM: Final = pa.struct(
    [
        ("sku", pa.string()),
        ("category", pa.string()),
        ("quantity", pa.int64()),
        ("amount_scaled", pa.int64()),
        ("amount_text", pa.string()),
    ]
)
"""An item as a line names it; category, quantity and amount (in 1/10,000) are null where the line gives none."""


def spread(column: pd.Series) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
    """The items of a column of lists of ``ITEM``: the position of each one's line, and its fields as Arrow arrays."""
    lists: Any = pa.array(column, pa.list_(ITEM), from_pandas=True)
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.combine_chunks()
    counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    fields = dict(zip(ITEM.names, lists.flatten().flatten(), strict=True))
    return np.repeat(np.arange(len(counts)), counts), fields


def ask_items(column: pd.Series, decimals: npt.NDArray[np.int8], most: int, code: Objects) -> AskedItems:
    """The items of a chunk's lines; ``decimals`` are those of each line's currency, ``most`` the largest amount.

    A line without a code whose item has an amount that is none gets one.
    """
    at, fields = spread(column)
    scaled = fields["amount_scaled"].fill_null(NONE).to_numpy(zero_copy_only=False)
    given = scaled != NONE
    minor, exact = to_minor_columns(np.maximum(scaled, 0), decimals[at])
    asked = AskedItems(
        position=at,
        sku=fields["sku"].to_numpy(zero_copy_only=False),
        category=fields["category"].to_numpy(zero_copy_only=False),
        quantity=fields["quantity"].fill_null(NONE).to_numpy(zero_copy_only=False).copy(),
        amount=np.where(given, minor, NONE),
        first=np.searchsorted(at, np.arange(len(column) + 1)),
    )
    _fault(asked, code, given & ~exact, Code.AMOUNT_MALFORMED)
    _fault(asked, code, given & (minor > most), Code.AMOUNT_TOO_LARGE)
    return asked


def settle(
    items: AskedItems, change: Objects, outcome: Objects, code: Objects, *, returning: bool, empty: Code
) -> tuple[Objects, Ints]:
    """Settle the change of each line that names items, and what it asks of them.

    A reason that approves or resets is about the whole action, and the items are only compared. One that reverses, or
    one that says nothing in a file that has nothing but ids, items and reasons (``returning``), returns the items. Any
    other line modifies, and has to give each item's new amount, or a quantity of 0, else its code is ``empty``.

    Gives what each line means for the use of reasons: to return is to reverse. The other column is ``NONE`` where a
    line says so by its columns alone, and not by a 0 of each item.
    """
    silent = np.zeros(len(change), dtype=np.bool_)
    silent[items.position[(items.quantity != 0) & (items.amount != 0)]] = True
    of_action = (outcome == Change.APPROVE) | (outcome == Change.RESET)
    of_items = items.named & ~of_action
    change[of_items] = Change.MODIFY
    returns = of_items & ((outcome == Change.REVERSE) | (missing(outcome) & returning))
    items.quantity[returns[items.position]] = 0
    items.amount[items.quantity == 0] = 0
    kept = (items.quantity != 0) & (items.amount != 0)
    _fault(items, code, of_items[items.position] & kept & (items.amount == NONE), empty)
    keeps = np.zeros(len(change), dtype=np.bool_)
    keeps[items.position[kept]] = True
    meant = change.copy()
    meant[of_items & ~keeps] = Change.REVERSE
    return meant, np.where(of_items & ~(returns & silent), 0, NONE)


def _fault(items: AskedItems, code: Objects, which: Bools, meaning: Code) -> None:
    free = missing(code)
    code[free & items.blame(which & free[items.position])] = meaning
