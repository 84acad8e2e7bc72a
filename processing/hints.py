"""The durable inbox of what triggers tell: records to be read again, each notification once."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, null, select, update

from processing import upsert
from processing.instants import micros
from processing.record_tables import record_hint

# A record that cannot be read now is tried again; polling sees it anyway.
WAITS: Final = tuple(timedelta(seconds=one) for one in (30, 120, 600, 3600))
# Notifications are told again for a day, and sometimes much later.
KEPT: Final = timedelta(days=35)
READ: Final = "read"
QUARANTINED: Final = "quarantined"
GIVEN_UP: Final = "given up"
_SOME: Final = 500


@dataclass(frozen=True, slots=True)
class Hint:
    """A notification that a record has changed; without a ``record`` it cannot be used and is only kept."""

    notification: str
    object: str
    record: str | None


def take(db: Connection, source: str, hints: Collection[Hint], at: datetime) -> int:
    """Write down what was told; gives how many notifications are new."""
    new = 0
    for one in hints:
        values = {
            "source": source,
            "notification": one.notification,
            "object": one.object,
            "record": one.record,
            "arrived_at": micros(at),
            "due_at": null() if one.record is None else micros(at),
            "outcome": QUARANTINED if one.record is None else None,
        }
        new += upsert.add_missing(db, record_hint, values)
    return new


def due(db: Connection, source: str, at: datetime) -> dict[str, dict[str, list[int]]]:
    """The records to be read now by their objects, each with its notifications (row ids)."""
    query = select(record_hint).where(record_hint.c.source == source, record_hint.c.due_at <= micros(at))
    found: dict[str, dict[str, list[int]]] = {}
    for one in db.execute(query.order_by(record_hint.c.due_at, record_hint.c.id).limit(_SOME)):
        found.setdefault(one.object, {}).setdefault(one.record, []).append(one.id)
    return found


def waiting(db: Connection, sources: Collection[str], at: datetime) -> list[str]:
    """Those of these sources that have something to be read now."""
    query = select(record_hint.c.source).where(record_hint.c.source.in_(sources), record_hint.c.due_at <= micros(at))
    return sorted(set(db.execute(query.distinct()).scalars()))


def done(db: Connection, ids: Collection[int], outcome: str = READ) -> None:
    """These need not be read again."""
    db.execute(update(record_hint).where(record_hint.c.id.in_(ids)).values(due_at=None, outcome=outcome))


def put_off(db: Connection, ids: Collection[int], at: datetime) -> None:
    """These could not be read: later, or no more when that was tried often enough."""
    for one in db.execute(select(record_hint).where(record_hint.c.id.in_(ids))):
        over = one.attempts >= len(WAITS)
        due_at = None if over else micros(at + WAITS[one.attempts])
        told = {"due_at": due_at, "attempts": one.attempts + 1, "outcome": GIVEN_UP if over else None}
        db.execute(update(record_hint).where(record_hint.c.id == one.id).values(told))


def forget(db: Connection, source: str, at: datetime) -> None:
    """Remove notifications that nobody will send again."""
    old = (record_hint.c.source == source) & (record_hint.c.arrived_at < micros(at - KEPT))
    db.execute(delete(record_hint).where(old, record_hint.c.due_at.is_(None)))
