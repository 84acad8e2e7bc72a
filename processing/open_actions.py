"""Open actions as a brand's own system is asked about them: by event type, order and lock."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, func, select

from processing.instants import instant, micros
from processing.parts import parts
from processing.record_tables import observation
from processing.tables import account, action

_OPEN: Final = action.c.locked_at.is_(None)


def oldest_open(db: Connection, sid: str, event_type: int) -> datetime | None:
    """When the oldest action that is not locked happened; None if there is none."""
    found = db.execute(select(func.min(action.c.event_at)).where(*_of(sid, event_type), _OPEN)).scalar()
    return None if found is None else instant(found)


def locking_until(db: Connection, sid: str, event_type: int, until: datetime) -> list[Row[tuple[int, str, int, str]]]:
    """Row id, order, lock (microseconds) and state of the open actions that have an order and lock by an instant."""
    query = select(action.c.id, action.c.order_id, action.c.locks_at, action.c.state).where(
        *_of(sid, event_type), _OPEN, action.c.locks_at <= micros(until), action.c.order_id.is_not(None)
    )
    return list(db.execute(query.order_by(action.c.locks_at, action.c.order_id)))


def locks_passed(db: Connection, sid: str, event_type: int, orders: Iterable[str], at: datetime) -> dict[str, datetime]:
    """Of these orders those whose action should have locked by an instant and did not, with that lock."""
    late: dict[str, datetime] = {}
    for some in parts(orders):
        query = select(action.c.order_id, func.min(action.c.locks_at)).where(
            *_of(sid, event_type), _OPEN, action.c.locks_at <= micros(at), action.c.order_id.in_(some)
        )
        late |= {order: instant(locks_at) for order, locks_at in db.execute(query.group_by(action.c.order_id))}
    return late


def waits_for_held(db: Connection, sid: str, action_id: str, sources: Collection[str], at: datetime) -> datetime | None:
    """The passed lock of an action that did not lock, if it waits for what a held record of ``sources`` said before it.

    None for any other action.
    """
    query = select(action.c.locks_at).where(
        action.c.account_id == _account(sid),
        action.c.action_id == action_id,
        _OPEN,
        action.c.locks_at <= micros(at),
        observation.c.source.in_(sources),
        observation.c.event_type_id == action.c.event_type_id,
        observation.c.order_id == action.c.order_id,
        observation.c.held.is_not(None),
        observation.c.ended_at.is_(None),
        observation.c.stamp < action.c.locks_at,
    )
    found = db.execute(query.limit(1)).scalar()
    return None if found is None else instant(found)


def due_of_type(
    db: Connection, account_id: int, event_type: int, by: datetime, *, after: int = 0, newest: int = 0
) -> set[int]:
    """The open actions (row ids) of an event type that have an order, and a lock after ``after`` (microseconds).

    Those as well that were loaded after the ``newest`` one (row id).
    """
    query = select(action.c.id).where(
        action.c.account_id == account_id,
        action.c.event_type_id == event_type,
        _OPEN,
        action.c.order_id.is_not(None),
        (action.c.locks_at > after) | (action.c.id > newest),
        action.c.locks_at <= micros(by),
    )
    return set(db.execute(query).scalars())


def due_with_orders(db: Connection, account_id: int, event_type: int, orders: Iterable[str], by: datetime) -> set[int]:
    """The open actions (row ids) of these orders that are due."""
    found: set[int] = set()
    for some in parts(orders):
        query = select(action.c.id).where(
            action.c.account_id == account_id,
            action.c.event_type_id == event_type,
            _OPEN,
            action.c.locks_at <= micros(by),
            action.c.order_id.in_(some),
        )
        found |= set(db.execute(query).scalars())
    return found


def _of(sid: str, event_type: int) -> tuple[ColumnElement[bool], ...]:
    return action.c.account_id == _account(sid), action.c.event_type_id == event_type


def _account(sid: str) -> ScalarSelect[int]:
    return select(account.c.id).where(account.c.sid == sid).scalar_subquery()
