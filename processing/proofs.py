"""Finds the deliveries that a proof is about: those of a name, of a digest, or that wait for somebody to prove them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from processing.codes import Code
from processing.deliveries import DeliveryState, by_id, in_state
from processing.instants import micros
from processing.tables import delivery


def judged_since(db: Connection, number: str) -> int | None:
    """The instant (in microseconds) before which nothing was said of a delivery, None if nothing was said at all.

    The spool may have moved its arrival behind the instant at which it was judged, to keep the order.
    """
    query = select(delivery.c.received_at, delivery.c.finished_at).where(delivery.c.delivery == number)
    found = db.execute(query).one_or_none()
    return None if found is None or found.finished_at is None else min(found.received_at, found.finished_at)


def came_first(db: Connection, account_id: int, number: str, sha256: str, *, again: bool) -> Row[Any] | None:
    """What was said of a delivery before, ``None`` if nothing was.

    If it was sent ``again`` on purpose, it is what was said of the first delivery of its bytes, be it rejected.
    """
    same = delivery.c.delivery == number
    if again:
        same |= (delivery.c.account_id == account_id) & (delivery.c.sha256 == sha256)
    query = select(delivery).where(same, delivery.c.finished_at.is_not(None))
    return db.execute(query.order_by(delivery.c.received_at, delivery.c.id).limit(1)).one_or_none()


def maybe_incomplete(db: Connection, account_id: int, received_by: datetime | None = None) -> list[Row[Any]]:
    """The deliveries, or those received by an instant, that are held as they may have been cut off, oldest first."""
    held = (one for one in in_state(db, account_id, DeliveryState.HELD) if one.code == Code.MAYBE_INCOMPLETE)
    return [one for one in held if received_by is None or one.received_at <= micros(received_by)]


def held_with_digest(db: Connection, account_id: int, sha256: str) -> int | None:
    """The row id of the first delivery of these bytes that is held as it may have been cut off, if there is one."""
    return next((one.id for one in maybe_incomplete(db, account_id) if one.sha256 == sha256), None)


def with_digest(db: Connection, account_id: int, sha256: str) -> str | None:
    """The first delivery of these bytes that is held or came to a good end, ``None`` if there is none."""
    unpacked = (delivery.c.state == DeliveryState.UNPACKED.value) & (delivery.c.sha256 == sha256)
    query = select(delivery.c.delivery).where(
        delivery.c.account_id == account_id, (delivery.c.identity == sha256) | unpacked
    )
    return db.execute(query.order_by(delivery.c.id).limit(1)).scalar()


def newest_named(db: Connection, account_id: int, channel: str, name: str | None, received_by: int) -> Row[Any] | None:
    """The newest delivery of a name that a channel received by an instant (in microseconds), ``None`` if there is none.

    Instead of a duplicate it is the first delivery of its bytes, if that has the name, too.
    """
    query = select(delivery).where(
        delivery.c.account_id == account_id,
        delivery.c.channel == channel,
        delivery.c.name == name,
        delivery.c.received_at <= received_by,
    )
    found = db.execute(query.order_by(delivery.c.received_at.desc(), delivery.c.id.desc()).limit(1)).one_or_none()
    if found is None or found.duplicate_of is None:
        return found
    first = by_id(db, found.duplicate_of)
    return first if (first.channel, first.name) == (channel, name) else found


def telling_of(db: Connection, account_id: int, state: DeliveryState, *words: str, since: int = 0) -> list[Row[Any]]:
    """The deliveries in one state whose summary has one of these words, changed ``since`` (in microseconds)."""
    told = or_(*(delivery.c.summary.contains(word, autoescape=True) for word in words))
    query = select(delivery).where(
        delivery.c.account_id == account_id, delivery.c.state == state.value, delivery.c.changed_at >= since, told
    )
    return list(db.execute(query.order_by(delivery.c.received_at, delivery.c.id)))
