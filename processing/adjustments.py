"""Proposed adjustments: what lines asked for after their action had locked.

Nothing changes a locked action; what a late line would have done is kept for a person to settle in the next cycle. The
table holds what each line would have done to the action as it locked. What a line adds to the late lines before it is
worked out when it is listed: so no replay and no undo leaves a proposal that counts from what is not proposed any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, Row, Select, exists, func, select

from processing import bulk
from processing.decide import Entries
from processing.instants import instant
from processing.intent import Asked
from processing.match import Actions
from processing.model import Change, State
from processing.money import to_text
from processing.tables import account, action, adjustment, delivery, item, partner

_SIDES: Final = ("amount_before", "amount_after", "payout_before", "payout_after")
_BRINGING_BACK: Final = (Change.APPROVE, Change.RESTORE)
_REVIVING: Final = (*_BRINGING_BACK, Change.RESET)


class _Money(NamedTuple):
    """An action's amount and payout, in minor units."""

    amount: int
    payout: int


@dataclass(frozen=True, slots=True)
class _Standing:
    """What an action comes to with its proposals so far.

    ``alive``: it did not lock reversed, or was brought back since; ``prior``: what the last proposal took, if it
    reverses.
    """

    money: _Money
    alive: bool
    prior: _Money | None = None


def record(db: Connection, delivery_id: int, late: Entries, asked: Asked, actions: Actions) -> None:
    """Keep what late lines of a delivery say of their actions as these locked, or would have done to them."""
    at = late.position
    rows = {
        "delivery_id": np.full(len(at), delivery_id, dtype=np.int64),
        "line": asked.line[at],
        "action_id": actions.id[late.row],
        "change": asked.change[at],
        "reason": asked.reason[at],
        **{name: getattr(late, name) for name in _SIDES},
    }
    bulk.insert(db, adjustment, bulk.frame(rows))


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
    standing: dict[int, _Standing] = {}
    for one in db.execute(_recorded(sid), execution_options={"yield_per": 10_000}):
        before = standing.get(one.action_row) or _Standing(
            _Money(one.amount_before, one.payout_before), alive=one.state != State.REVERSED
        )
        after, alive = _asked(one, before), before.alive or one.change in _REVIVING
        if after == before.money:
            standing[one.action_row] = replace(before, alive=alive)
            continue
        standing[one.action_row] = _Standing(after, alive, before.money if one.change == Change.REVERSE else None)
        yield _told(one, before.money, after)


def _recorded(sid: str | None) -> Select[Any]:
    """The late lines, in order of arrival; a delivery that was undone is as if it had never been."""
    items = select(func.count()).select_from(item).where(item.c.action_id == action.c.id).correlate(action)
    query = (
        select(
            *(adjustment.c[name] for name in ("line", "change", "reason", *_SIDES)),
            account.c.sid,
            action.c.id.label("action_row"),
            action.c.action_id.label("name"),
            *(action.c[name] for name in ("order_id", "currency", "locks_at", "partner_id")),
            *(action.c[name] for name in ("state", "prior_amount", "prior_payout")),
            partner.c.name.label("partner_name"),
            *(delivery.c[name] for name in ("delivery", "received_at")),
            items.scalar_subquery().label("items"),
        )
        .join(action, action.c.id == adjustment.c.action_id)
        .join(account, account.c.id == action.c.account_id)
        .join(partner, (partner.c.account_id == account.c.id) & (partner.c.partner_id == action.c.partner_id))
        .join(delivery, delivery.c.id == adjustment.c.delivery_id)
        .where(delivery.c.undone_by.is_(None))
        .order_by(delivery.c.received_at, delivery.c.id, adjustment.c.line)
    )
    return query if sid is None else query.where(account.c.sid == sid)


def _asked(one: Row[Any], before: _Standing) -> _Money:
    """What a late line leaves of its action, given what the proposals before it left."""
    own, after = _Money(one.amount_before, one.payout_before), _Money(one.amount_after, one.payout_after)
    if one.change in _BRINGING_BACK:
        return before.prior or (after if before.money == own else before.money)
    if one.change != Change.MODIFY:
        return after
    if not before.alive:
        return before.money
    # Brought back, it has what it had before it was reversed in time.
    locked = own if one.state != State.REVERSED else _Money(one.prior_amount, one.prior_payout)
    if one.items > 1:
        # It names some of the items; what lines before it said of the others holds. Which items those named is not
        # kept, so one that is returned twice counts twice, until nothing is left of the action.
        sides = zip(before.money, after, locked, strict=True)
        return _Money(*(max(0, stands + new - old) for stands, new, old in sides))
    # What does not move the amount asks for no money, whatever its own day would pay for the same amount.
    if after.amount == before.money.amount:
        return before.money
    # A line that takes back what lines before it said leaves the action as it locked.
    return locked if after.amount == locked.amount else after


def _told(one: Row[Any], before: _Money, after: _Money) -> dict[str, Any]:
    sides = (before.amount, after.amount, before.payout, after.payout)
    return {
        "account": one.sid,
        "delivery": one.delivery,
        "line": one.line,
        "action_id": one.name,
        "order_id": one.order_id,
        "partner": one.partner_id,
        "partner_name": one.partner_name,
        "change": one.change,
        "reason": one.reason,
        "currency": one.currency,
        **{name: to_text(value, one.currency) for name, value in zip(_SIDES, sides, strict=True)},
        "payout_difference": to_text(after.payout - before.payout, one.currency),
        "locks_at": instant(one.locks_at).isoformat(),
        "received_at": instant(one.received_at).isoformat(),
    }
