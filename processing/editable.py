"""Reads what a brand can still change: the actions of an account that are open, the one that locks first first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from processing.catalog import Terms
from processing.instants import micros
from processing.model import Basis
from processing.money import to_text
from processing.tables import action

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Editable:
    """An open action as a template shows it; ``amount`` in the action's own currency, as text."""

    action_id: str
    order_id: str | None
    event_type: int
    amount: str


def editable(db: Connection, terms: Terms, *, at: datetime, event_type: int | None = None) -> Iterator[Editable]:
    """The actions that a delivery arriving at ``at`` can change, or those of one event type; read some at a time.

    Clicks, which cannot be changed, are left out. An action whose lock has come is, too, locked or not yet.
    """
    clicks = [number for number, kind in terms.event_types.items() if kind.basis is Basis.CLICK]
    query = (
        select(action.c.action_id, action.c.order_id, action.c.event_type_id, action.c.amount, action.c.currency)
        .where(action.c.account_id == terms.account_id, action.c.locked_at.is_(None), action.c.locks_at > micros(at))
        .where(action.c.event_type_id.not_in(clicks))
        .order_by(action.c.locks_at, action.c.id)
    )
    if event_type is not None:
        query = query.where(action.c.event_type_id == event_type)
    for one in db.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}):
        yield Editable(one.action_id, one.order_id, one.event_type_id, to_text(one.amount, one.currency))
