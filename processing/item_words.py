"""Who had the last word on items: a line about some of them is not overtaken by later ones about others.

An entry tells by itself which items it changed. What a line named and found right as it was is kept beside.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np
from sqlalchemy import Connection, exists, null, select

from processing import bulk, last_word
from processing.columns import Bools, Ints, missing
from processing.decide import Decided
from processing.deliveries import DeliveryState
from processing.intent import Asked
from processing.items import AskedItems, Basket, ItemEntries, ranges
from processing.match import NOBODY, Actions
from processing.model import Change
from processing.tables import delivery, entry, item_entry, item_word, line

_OF_ITEMS: Final = (Change.MODIFY, Change.REVERSE)
Key = tuple[int, str | None]
"""An action (row id) and the SKU of one of its items, None for the action as a whole."""

_KINDS: Final[dict[str, bulk.Kind]] = {"action": int, "delivery": int, "received_at": int, "line": int, "sku": str}


def speaks_of_items(asked: Asked, items: AskedItems) -> Bools:
    """The lines that are about some items, and about nothing else of their action."""
    return items.named & np.isin(asked.change, _OF_ITEMS) & missing(asked.customer_status)


def record(db: Connection, delivery_id: int, asked: Asked, actions: Actions, basket: Basket, decided: Decided) -> None:
    """Keep which items the lines that had their say on some named, and did not change."""
    done = ItemEntries.joined([]) if decided.items is None else decided.items
    named_some = basket.asked.named & np.isin(asked.change, _OF_ITEMS)
    lines = np.flatnonzero(decided.applied & named_some | decided.unchanged & speaks_of_items(asked, basket.asked))
    named, owner = ranges(basket.asked.first, lines)
    position, item = lines[owner], basket.item[named]
    count = len(basket.items)
    kept = np.isin(position * count + item, done.position * count + done.item, invert=True)
    position, item = position[kept], item[kept]
    rows = {
        "delivery_id": np.full(len(position), delivery_id, dtype=np.int64),
        "line": asked.line[position],
        "action_id": actions.id[asked.row[position]],
        "sku": basket.items.sku[item],
    }
    bulk.insert(db, item_word, bulk.frame(rows))


def heed(  # noqa: PLR0913, PLR0917 - the delivery at hand, and its lines
    db: Connection, account_id: int, delivery_id: int, received_at: int, asked: Asked, actions: Actions, basket: Basket
) -> None:
    """Spare the lines of ``basket`` that no later one overtakes, as those were about other items."""
    row = asked.row
    lines = np.flatnonzero((row != NOBODY) & speaks_of_items(asked, basket.asked))
    lines = lines[(actions.changed_at[row[lines]] > received_at) | (asked.line[lines] < actions.last_line[row[lines]])]
    if len(lines) == 0:
        return
    of_later, last_lines = set[Key](), defaultdict[Key, int](int)
    locks_at = dict(zip(actions.id.tolist(), actions.locks_at.tolist(), strict=True))
    ids = np.unique(actions.id[row[lines]])
    for action_id, by, arrived, number, sku in _words(db, account_id, delivery_id, received_at, ids):
        if by == delivery_id:
            last_lines[action_id, sku] = max(last_lines[action_id, sku], number)
        elif arrived < locks_at[action_id]:
            of_later.add((action_id, sku))
    for one in lines.tolist():
        named = basket.asked.sku[basket.asked.first[one] : basket.asked.first[one + 1]].tolist()
        keys = [(int(actions.id[row[one]]), sku) for sku in (None, *named)]
        basket.spared[one] = not any(key in of_later or last_lines[key] > asked.line[one] for key in keys)


def _words(
    db: Connection, account_id: int, delivery_id: int, received_at: int, ids: Ints
) -> Iterator[tuple[int, int, int, int, str | None]]:
    """What later deliveries, and this one before, had to say of actions, with the item that it is about.

    Action, delivery and its arrival, line, and SKU; None for what is about the action as a whole.
    """
    later = (delivery.c.received_at > received_at) & (delivery.c.state == DeliveryState.DONE.value)
    mine = (delivery.c.account_id == account_id) & (later | (delivery.c.id == delivery_id))
    stands = delivery.c.undone_by.is_(None)
    wanted = bulk.listed(db, ids.tolist())
    same_line = (item_entry.c.delivery_id == entry.c.delivery_id) & (item_entry.c.line == entry.c.line)
    same_status = entry.c.status_before.is_not_distinct_from(entry.c.status_after)
    of_items = same_line & (entry.c.change == Change.MODIFY.value) & same_status
    changed = (
        select(entry.c.action_id, delivery.c.id, delivery.c.received_at, entry.c.line, item_entry.c.sku)
        .join(wanted, wanted.c.value == entry.c.action_id)
        .join(delivery, delivery.c.id == entry.c.delivery_id)
        .outerjoin(item_entry, of_items)
        .where(mine, last_word.is_in_force(entry))
    )
    applied = exists().where(entry.c.delivery_id == item_word.c.delivery_id, entry.c.line == item_word.c.line)
    kept = (
        select(item_word.c.action_id, delivery.c.id, delivery.c.received_at, item_word.c.line, item_word.c.sku)
        .join(wanted, wanted.c.value == item_word.c.action_id)
        .join(delivery, delivery.c.id == item_word.c.delivery_id)
        .where(mine, stands | (applied & last_word.is_in_force(item_word)))
    )
    of_some = exists().where(item_word.c.delivery_id == line.c.delivery_id, item_word.c.line == line.c.line)
    unchanged = (
        select(line.c.action_id, delivery.c.id, delivery.c.received_at, line.c.line, null())
        .join(delivery, delivery.c.id == line.c.delivery_id)
        .where(mine, stands, last_word.is_unchanged(), ~of_some)
    )
    for query in (changed, kept, unchanged):
        found = bulk.fetch(db, query, _KINDS)
        known = np.isin(found["action"], ids)
        yield from zip(*(column[known].tolist() for column in found.values()), strict=True)
