"""Reads the items of actions from the store, and writes what was done to them."""

from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, func, insert, literal, select, update

from processing import bulk
from processing.catalog import Terms
from processing.columns import Ints, blank, missing
from processing.intent import Asked
from processing.items import AskedItems, Basket, ItemEntries, Items
from processing.match import NOBODY, Actions, Matched
from processing.model import Change, Level
from processing.staging import staged_item, staged_undo
from processing.tables import item, item_entry

_VALUES: Final[dict[str, bulk.Kind]] = {
    "position": int,
    "sku": str,
    "category": str,
    "quantity": int,
    "amount": int,
    "tracked_quantity": int,
    "tracked_amount": int,
}


def gather(db: Connection, asked: Asked, matched: Matched, terms: Terms) -> Basket | None:
    """The items that a chunk is about: those its lines name, and all of an action that is modified or reset.

    None, without a query, where there is no such line.
    """
    kinds = [number for number, kind in terms.event_types.items() if kind.level is Level.ITEM]
    if not kinds and asked.items is None:
        return None
    known = asked.row != NOBODY
    wanted = known & np.isin(asked.change, (Change.MODIFY, Change.RESET))
    wanted[known] &= np.isin(matched.actions.event_type_id[asked.row[known]], kinds)
    if asked.items is not None:
        wanted |= known & asked.items.named
    elif not wanted.any():
        return None
    asks = AskedItems.none(len(asked)) if asked.items is None else asked.items
    items = _items(db, matched.actions, np.unique(asked.row[wanted]))
    return Basket.of(items, asks, asked.row, asked.change, asked.customer_status)


def of_actions(db: Connection, ids: Ints) -> dict[str, Any]:
    """The items of some actions (row ids), in their order: columns of the table, and ``at``, each one's action."""
    columns: dict[str, bulk.Kind] = {"at": int, **_VALUES}
    if len(ids) == 0:
        return {name: blank(0) if kind is str else np.zeros(0, dtype=np.int64) for name, kind in columns.items()}
    wanted = bulk.listed(db, ids.tolist())
    query = select(wanted.c.position.label("at"), *(item.c[name] for name in _VALUES)).outerjoin(
        item, item.c.action_id == wanted.c.value
    )
    found = bulk.fetch(db, query, columns)
    order = np.lexsort((found["position"], found["at"]))
    order = order[~missing(found["sku"])[order]]
    return {name: column[order] for name, column in found.items()}


def record(db: Connection, delivery_id: int, asked: Asked, items: Items, actions: Actions, done: ItemEntries) -> None:
    """Add what was done to items, and bring each to its last values; their actions' versions guard them."""
    if len(done) == 0:
        return
    action_id, sku = actions.id[items.row], items.sku
    rows = {
        "delivery_id": np.full(len(done), delivery_id, dtype=np.int64),
        "line": asked.line[done.position],
        "action_id": action_id[done.item],
        "sku": sku[done.item],
        "quantity_before": done.quantity_before,
        "quantity_after": done.quantity_after,
        "amount_before": done.amount_before,
        "amount_after": done.amount_after,
    }
    bulk.insert(db, item_entry, bulk.frame(rows))
    touched = np.unique(done.item)
    last = {"quantity": items.quantity[touched], "amount": items.amount[touched]}
    bulk.stage(db, staged_item, bulk.frame({"action_id": action_id[touched], "sku": sku[touched], **last}))
    mine = (item.c.action_id == staged_item.c.action_id) & (item.c.sku == staged_item.c.sku)
    db.execute(update(item).values({name: staged_item.c[name] for name in last}).where(mine))


def give_back(db: Connection, delivery_id: int, undone_id: int) -> None:
    """Return the items of the actions that an undo returns (``staged_undo``) to what they were before, by entries."""
    earliest = (
        select(item_entry.c.action_id, item_entry.c.sku, func.min(item_entry.c.line).label("line"))
        .where(item_entry.c.delivery_id == undone_id)
        .group_by(item_entry.c.action_id, item_entry.c.sku)
        .subquery("earliest")
    )
    same = (earliest.c.action_id == item_entry.c.action_id) & (earliest.c.sku == item_entry.c.sku)
    values: dict[str, Any] = {
        "delivery_id": literal(delivery_id),
        "line": staged_undo.c.line,
        "action_id": item.c.action_id,
        "sku": item.c.sku,
        "quantity_before": item.c.quantity,
        "quantity_after": item_entry.c.quantity_before,
        "amount_before": item.c.amount,
        "amount_after": item_entry.c.amount_before,
    }
    found = (
        select(*values.values())
        .select_from(item_entry)
        .join(earliest, same & (earliest.c.line == item_entry.c.line))
        .join(staged_undo, (staged_undo.c.action_id == item_entry.c.action_id) & staged_undo.c.code.is_(None))
        .join(item, (item.c.action_id == item_entry.c.action_id) & (item.c.sku == item_entry.c.sku))
        .where(
            item_entry.c.delivery_id == undone_id,
            (item.c.quantity != item_entry.c.quantity_before) | (item.c.amount != item_entry.c.amount_before),
        )
    )
    db.execute(insert(item_entry).from_select(list(values), found))
    mine = (item.c.action_id == item_entry.c.action_id) & (item.c.sku == item_entry.c.sku)
    last = {name: item_entry.c[f"{name}_after"] for name in ("quantity", "amount")}
    db.execute(update(item).values(last).where(mine, item_entry.c.delivery_id == delivery_id))


def add(db: Connection, rows: dict[str, Any]) -> None:
    """Add items as they were tracked: columns action_id (row id), position, sku, category, quantity, amount."""
    tracked = {f"tracked_{name}": rows[name] for name in ("quantity", "amount")}
    bulk.insert(db, item, bulk.frame({**rows, **tracked}))


def _items(db: Connection, actions: Actions, rows: Ints) -> Items:
    found = of_actions(db, actions.id[rows])
    row = rows[found.pop("at")] if len(rows) else found.pop("at")
    del found["position"]
    return Items(row=row, **found, first=np.searchsorted(row, np.arange(len(actions) + 1)))
