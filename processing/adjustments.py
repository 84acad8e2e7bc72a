"""Proposed adjustments: what lines asked for after their action had locked.

Nothing changes a locked action; what a late line asked for is kept for a person to settle in the next cycle. What it
adds to what the action locked with, and to the late lines before it, is worked out when it is listed: so no replay, no
undo and no release of what arrived in time leaves a proposal that counts from what is no more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import groupby
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Row, Select, exists, select

from processing import bulk
from processing.adjustment_tables import adjustment, adjustment_item
from processing.catalog import Terms, read_terms
from processing.columns import NONE
from processing.decide import Entries
from processing.instants import instant
from processing.intent import Asked
from processing.items import AskedItems, ranges
from processing.match import Actions
from processing.model import Change, State
from processing.money import to_text
from processing.rate import Rates
from processing.standing import Late, Standing, Worth
from processing.tables import account, action, delivery, item, partner

_SIDES: Final = ("amount_before", "amount_after", "payout_before", "payout_after")
_OF_ITEMS: Final = (Change.MODIFY, Change.REVERSE)


def record(db: Connection, delivery_id: int, late: Entries, asked: Asked, actions: Actions) -> None:
    """Keep what late lines of a delivery ask for, and would have left of their actions as these stand."""
    at = late.position
    rows = {
        "delivery_id": np.full(len(at), delivery_id, dtype=np.int64),
        "line": asked.line[at],
        "action_id": actions.id[late.row],
        "change": asked.change[at],
        "reason": asked.reason[at],
        "amount_after": late.amount_after,
        "payout_after": late.payout_after,
    }
    bulk.insert(db, adjustment, bulk.frame(rows))
    if asked.items is not None:
        _record_items(db, delivery_id, late, asked, asked.items)


def _record_items(db: Connection, delivery_id: int, late: Entries, asked: Asked, items: AskedItems) -> None:
    at, owner = ranges(items.first, late.position)
    given = items.amount[at] != NONE
    at, owner = at[given], owner[given]
    quantity = items.quantity[at]
    rows = {
        "delivery_id": np.full(len(at), delivery_id, dtype=np.int64),
        "line": asked.line[late.position][owner],
        "sku": items.sku[at],
        "quantity": pa.array(quantity, mask=quantity == NONE),
        "amount": items.amount[at],
    }
    bulk.insert(db, adjustment_item, bulk.frame(rows))


def speaks_of(db: Connection, found: Row[Any]) -> bool:
    """Whether an undo of a delivery moves proposals: it has late lines, or undoes, or brings back, one that has."""
    if found.undone_by is not None:
        return False
    number, undoes = found.id, found.undoes
    while undoes is not None:
        number, undoes = db.execute(select(delivery.c.id, delivery.c.undoes).where(delivery.c.id == undoes)).one()
    query = select(exists().where(adjustment.c.delivery_id == number))
    return bool(db.execute(query).scalar_one())


def listing(db: Connection, sid: str | None = None) -> Iterator[dict[str, Any]]:
    """Every proposed adjustment, or those of one account, in the order in which their deliveries arrived.

    Each is what its line adds to those of the same action before it; a line that adds nothing proposes nothing.
    """
    standing: dict[int, Standing] = {}
    ratings = _Ratings(db)
    found = db.execute(_recorded(sid), execution_options={"yield_per": 10_000})
    for _, parts in groupby(found, lambda one: (one.delivery_row, one.line)):
        items = list(parts)
        one = items[0]
        before = standing.get(one.action_row) or _locked(items)
        late = _late(items)
        after = standing[one.action_row] = before.then(late, partial(ratings.payout, items))
        if (after.worth.amount, after.worth.payout) != (before.worth.amount, before.worth.payout):
            change = late.change
            if late.items and change in _OF_ITEMS:
                change = Change.REVERSE if after.worth.is_empty else Change.MODIFY
            yield _told(one, change, before.worth, after.worth)


def _recorded(sid: str | None) -> Select[Any]:
    """The late lines, in order of arrival; a delivery that was undone is as if it had never been.

    A line has a row for each item of its action, with what it asks of that.
    """
    named = (adjustment_item.c.delivery_id == adjustment.c.delivery_id) & (adjustment_item.c.line == adjustment.c.line)
    query = (
        select(
            *(adjustment.c[name] for name in ("line", "change", "reason", "amount_after", "payout_after")),
            account.c.sid,
            action.c.id.label("action_row"),
            action.c.action_id.label("name"),
            *(action.c[name] for name in ("order_id", "currency", "locks_at", "partner_id", "contract_id", "state")),
            *(action.c[name] for name in ("amount", "payout", "prior_amount", "prior_payout")),
            partner.c.name.label("partner_name"),
            delivery.c.id.label("delivery_row"),
            *(delivery.c[name] for name in ("delivery", "received_at")),
            *(item.c[name] for name in ("sku", "category", "quantity", "tracked_quantity", "tracked_amount")),
            item.c.amount.label("item_amount"),
            adjustment_item.c.quantity.label("asked_quantity"),
            adjustment_item.c.amount.label("asked_amount"),
        )
        .join(action, action.c.id == adjustment.c.action_id)
        .join(account, account.c.id == action.c.account_id)
        .join(partner, (partner.c.account_id == account.c.id) & (partner.c.partner_id == action.c.partner_id))
        .join(delivery, delivery.c.id == adjustment.c.delivery_id)
        .outerjoin(item, item.c.action_id == action.c.id)
        .outerjoin(adjustment_item, named & (adjustment_item.c.sku == item.c.sku))
        .where(delivery.c.undone_by.is_(None))
        .order_by(delivery.c.received_at, delivery.c.id, adjustment.c.line, item.c.position)
    )
    return query if sid is None else query.where(account.c.sid == sid)


def _locked(items: Sequence[Row[Any]]) -> Standing:
    """The action as it locked, or as it stands if that is still to come."""
    one = items[0]
    is_reversed = one.state == State.REVERSED
    amount, payout = (one.prior_amount, one.prior_payout) if is_reversed else (one.amount, one.payout)
    several = {row.sku: (row.quantity, row.item_amount) for row in items} if len(items) > 1 else {}
    return Standing.of(Worth(amount, payout, several), is_reversed=is_reversed)


def _late(items: Sequence[Row[Any]]) -> Late:
    one = items[0]
    asked: dict[str, tuple[int | None, int]] = {}
    if len(items) > 1 and one.change == Change.RESET:
        asked = {row.sku: (row.tracked_quantity, row.tracked_amount) for row in items}
    elif len(items) > 1:
        asked = {row.sku: (row.asked_quantity, row.asked_amount) for row in items if row.asked_amount is not None}
    return Late(Change(one.change), one.amount_after, one.payout_after, asked)


@dataclass(frozen=True, slots=True)
class _Ratings:
    """What actions with several items pay, by the contracts in force on the days of late lines."""

    db: Connection
    terms: dict[str, Terms] = field(default_factory=dict)
    rates: dict[tuple[str, date], Rates] = field(default_factory=dict)

    def payout(self, items: Sequence[Row[Any]], amounts: Mapping[str, int]) -> int:
        """The payout for these amounts of all items of an action, on the day of a line about it."""
        one = items[0]
        terms = self.terms.get(one.sid) or self.terms.setdefault(one.sid, read_terms(self.db, one.sid))
        day = instant(one.received_at).astimezone(terms.zone).date()
        rates = self.rates.get((one.sid, day)) or self.rates.setdefault((one.sid, day), Rates.on(day, terms))
        category = np.array([row.category for row in items], dtype=np.object_)
        amount = np.array([amounts[row.sku] for row in items], dtype=np.int64)
        of_one = np.zeros(len(items), dtype=np.int64)
        return int(rates.of_items(np.array([one.contract_id], dtype=np.int64), of_one, category, amount)[0])


def _told(one: Row[Any], change: Change, before: Worth, after: Worth) -> dict[str, Any]:
    sides = (before.amount, after.amount, before.payout, after.payout)
    return {
        "account": one.sid,
        "delivery": one.delivery,
        "line": one.line,
        "action_id": one.name,
        "order_id": one.order_id,
        "partner": one.partner_id,
        "partner_name": one.partner_name,
        "change": change.value,
        "reason": one.reason,
        "currency": one.currency,
        **{name: to_text(value, one.currency) for name, value in zip(_SIDES, sides, strict=True)},
        "payout_difference": to_text(after.payout - before.payout, one.currency),
        "locks_at": instant(one.locks_at).isoformat(),
        "received_at": instant(one.received_at).isoformat(),
    }
