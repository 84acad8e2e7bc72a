"""Reads what a brand can still change: the actions of an account that are open, the one that locks first first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from processing.catalog import Terms
from processing.instants import micros
from processing.model import Basis, Level, State
from processing.money import to_text
from processing.tables import action, item

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Editable:
    """An open action as a template shows it; ``amount`` in the action's own currency, as text."""

    action_id: str
    order_id: str | None
    event_type: int
    amount: str


@dataclass(frozen=True, slots=True)
class EditableItem:
    """An item of an open action as a template shows it; ``amount`` in the action's own currency, as text."""

    action_id: str
    order_id: str | None
    event_type: int
    sku: str
    category: str | None
    quantity: int
    amount: str


def editable(db: Connection, terms: Terms, *, at: datetime, event_type: int | None = None) -> Iterator[Editable]:
    """The order-level actions that a delivery arriving at ``at`` can change, or those of one event type.

    They are read some at a time. Clicks, which cannot be changed, are left out. An action whose lock has come is, too,
    locked or not yet.
    """
    query = _open(terms, at, event_type, Level.ORDER).add_columns(action.c.amount)
    for one in db.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}):
        yield Editable(one.action_id, one.order_id, one.event_type_id, to_text(one.amount, one.currency))


def editable_items(
    db: Connection, terms: Terms, *, at: datetime, event_type: int | None = None
) -> Iterator[EditableItem]:
    """The items of the item-level actions that ``editable`` would give, action by action.

    Those of reversed actions are left out: they can only be reset, and by their action.
    """
    columns = (item.c[name] for name in ("sku", "category", "quantity", "amount"))
    query = (
        _open(terms, at, event_type, Level.ITEM)
        .add_columns(*columns)
        .join(item, item.c.action_id == action.c.id)
        .where(action.c.state != State.REVERSED.value)
        .order_by(item.c.position)
    )
    for one in db.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}):
        amount = to_text(one.amount, one.currency)
        yield EditableItem(one.action_id, one.order_id, one.event_type_id, one.sku, one.category, one.quantity, amount)


def _open(terms: Terms, at: datetime, event_type: int | None, level: Level) -> Select[Any]:
    kinds = {
        number for number, kind in terms.event_types.items() if kind.level is level and kind.basis is not Basis.CLICK
    }
    chosen = kinds if event_type is None else kinds & {event_type}
    return (
        select(action.c.action_id, action.c.order_id, action.c.event_type_id, action.c.currency)
        .where(action.c.account_id == terms.account_id, action.c.locked_at.is_(None), action.c.locks_at > micros(at))
        .where(action.c.event_type_id.in_(sorted(chosen)))
        .order_by(action.c.locks_at, action.c.id)
    )
