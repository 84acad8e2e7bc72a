"""The items of one action as programs read them: what is left of each, what it pays, and what changed it last."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, select

from processing.catalog import Terms
from processing.columns import Ints, Objects
from processing.instants import instant
from processing.judgings import judged_at
from processing.model import State
from processing.rate import Rates
from processing.tables import delivery, entry, item, item_entry


@dataclass(frozen=True, slots=True)
class ActionItem:
    """An item of an action; ``amount`` and ``payout`` in minor units of the action's currency.

    ``changed_at`` (microseconds) and ``reason`` are those of its last change, None if there was none.
    """

    sku: str
    category: str | None
    quantity: int
    amount: int
    payout: int
    changed_at: int | None
    reason: str | None


def of_action(db: Connection, terms: Terms, action: Row[Any]) -> list[ActionItem]:
    """The items of an action (a row of ``action_pages.one``), as they were tracked; none below an order-level action.

    A reversal returns all of them. Their payouts add up to the action's.
    """
    rows = list(db.execute(item.select().where(item.c.action_id == action.id).order_by(item.c.position)))
    if not rows:
        return []
    gone = action.state == State.REVERSED
    amounts = np.array([0 if gone else one.amount for one in rows], dtype=np.int64)
    history = list(db.execute(_entries(action.id)))
    categories = np.array([one.category for one in rows], dtype=np.object_)
    payouts = _payouts(terms, action, categories, amounts, [one.received_at for one in history])
    last = _last_changes(db, action.id)
    if gone and history:
        # Its items stay as they were; what returned them is the reversal.
        last = {one.sku: history[0] for one in rows}
    return [
        ActionItem(
            sku=one.sku,
            category=one.category,
            quantity=0 if gone else one.quantity,
            amount=amount,
            payout=payout,
            changed_at=last[one.sku].changed_at if one.sku in last else None,
            reason=last[one.sku].reason if one.sku in last else None,
        )
        for one, amount, payout in zip(rows, amounts.tolist(), payouts.tolist(), strict=True)
    ]


def _entries(action_id: int) -> Any:  # noqa: ANN401 - SQLAlchemy's type of a select with computed columns says nothing
    """The entries of an action, newest first."""
    return (
        select(entry.c.version, entry.c.reason, delivery.c.received_at, judged_at().label("changed_at"))
        .join(delivery, delivery.c.id == entry.c.delivery_id)
        .where(entry.c.action_id == action_id)
        .order_by(entry.c.version.desc())
    )


def _last_changes(db: Connection, action_id: int) -> dict[str, Row[Any]]:
    """The last entry that changed each item, by SKU."""
    same = (entry.c.delivery_id == item_entry.c.delivery_id) & (entry.c.line == item_entry.c.line)
    query = (
        select(item_entry.c.sku, entry.c.reason, judged_at().label("changed_at"))
        .join(entry, same)
        .where(item_entry.c.action_id == action_id)
        .order_by(entry.c.version)
    )
    return {one.sku: one for one in db.execute(query)}


def _payouts(terms: Terms, action: Row[Any], categories: Objects, amounts: Ints, received: list[int]) -> Ints:
    """What each item pays by the contract that made the action's payout; a fixed sum is shared out by amount."""
    for rates in _ratings(terms, received):
        contracts = np.full(len(amounts), action.contract_id, dtype=np.int64)
        payouts = rates.of_items(contracts, np.arange(len(amounts)), categories, amounts)
        if int(payouts.sum()) == action.payout:
            return payouts
    return _shared(action.payout, amounts)


def _ratings(terms: Terms, received: list[int]) -> Iterator[Rates]:
    """Every rating that the action may have: those of the days on which its changes arrived, newest first."""
    days = dict.fromkeys(_day(terms, one) for one in received)
    yield from (Rates.on(day, terms) for day in days)
    yield Rates.tracked(terms)


def _day(terms: Terms, received_at: int) -> date:
    return instant(received_at).astimezone(terms.zone).date()


def _shared(payout: int, amounts: Ints) -> Ints:
    """A sum in parts like ``amounts``, of which the largest takes what rounding leaves."""
    total = int(amounts.sum())
    parts = np.array([payout * one // total if total else 0 for one in amounts.tolist()], dtype=np.int64)
    parts[int(np.argmax(amounts))] += payout - int(parts.sum())
    return parts
