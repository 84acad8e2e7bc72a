"""The store's record of what was fetched from brands' own servers: unbounded, and by content.

A row is one file as its server told of it (name, size, modification time), the digest of its bytes, and the delivery
that they became.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from processing.fetched_tables import fetched, source_round
from processing.instants import instant, micros
from processing.parts import parts
from processing.tables import account, delivery


@dataclass(frozen=True, slots=True, order=True)
class Seen:
    """A file as its server told of it; ``modified_at`` in whole seconds by the server's clock."""

    name: str
    size_bytes: int
    modified_at: int


def known(db: Connection, source: str, names: Iterable[str]) -> set[Seen]:
    """The fetched files of a source that have one of these names."""
    found = set[Seen]()
    for some in parts(names):
        query = select(fetched.c.name, fetched.c.size_bytes, fetched.c.modified_at)
        for one in db.execute(query.where(fetched.c.source == source, fetched.c.name.in_(some))):
            found.add(Seen(*one))
    return found


def delivery_of(db: Connection, source: str, seen: Seen, sha256: str) -> str | None:
    """The delivery that these very bytes of this file became; None if they were not fetched."""
    query = select(fetched.c.delivery).where(
        fetched.c.source == source,
        fetched.c.name == seen.name,
        fetched.c.size_bytes == seen.size_bytes,
        fetched.c.modified_at == seen.modified_at,
        fetched.c.sha256 == sha256,
    )
    return db.execute(query).scalar()


def unrecorded(db: Connection, sid: str, channel: str, name: str, sha256: str) -> str | None:
    """A delivery of these bytes by this channel that no file is recorded for: its puller died before it could."""
    query = (
        select(delivery.c.delivery)
        .join(account, account.c.id == delivery.c.account_id)
        .outerjoin(fetched, fetched.c.delivery == delivery.c.delivery)
        .where(
            account.c.sid == sid,
            delivery.c.channel == channel,
            delivery.c.name == name,
            delivery.c.sha256 == sha256,
            fetched.c.id.is_(None),
        )
        .order_by(delivery.c.id)
        .limit(1)
    )
    return db.execute(query).scalar()


def is_recorded(db: Connection, number: str) -> bool:
    """Whether a file is recorded for a delivery."""
    return db.execute(select(fetched.c.id).where(fetched.c.delivery == number)).first() is not None


def record(db: Connection, source: str, seen: Seen, sha256: str, number: str, at: datetime) -> None:
    """Remember that a file was fetched and became the delivery ``number``."""
    db.execute(
        insert(fetched).values(
            source=source,
            name=seen.name,
            size_bytes=seen.size_bytes,
            modified_at=seen.modified_at,
            sha256=sha256,
            delivery=number,
            fetched_at=micros(at),
        )
    )


def unreturned(db: Connection, source: str) -> list[Row[Any]]:
    """Answered deliveries of a source whose newest answers it does not have, oldest first.

    ``is_first`` tells whether the delivery is the first of its name: the plain names of answers are its own.
    """
    earlier = fetched.alias("earlier")
    first = ~(
        select(earlier.c.id)
        .where(earlier.c.source == fetched.c.source, earlier.c.name == fetched.c.name, earlier.c.id < fetched.c.id)
        .exists()
    )
    query = (
        select(fetched.c.name, fetched.c.delivery, delivery.c.answered_at, first.label("is_first"))
        .join(delivery, delivery.c.delivery == fetched.c.delivery)
        .where(
            fetched.c.source == source,
            delivery.c.answered_at.is_not(None),
            fetched.c.returned_at.is_(None) | (fetched.c.returned_at < delivery.c.answered_at),
        )
        .order_by(fetched.c.id)
    )
    return list(db.execute(query))


def returned(db: Connection, number: str, answered_at: int) -> None:
    """Remember that the source has the answers of a delivery that were written at ``answered_at`` (microseconds)."""
    db.execute(update(fetched).values(returned_at=answered_at).where(fetched.c.delivery == number))


def end_round(db: Connection, source: str, told: dict[str, Any], at: datetime) -> None:
    """Remember what the newest round of a source did."""
    db.execute(delete(source_round).where(source_round.c.source == source))
    db.execute(insert(source_round).values(source=source, ended_at=micros(at), told=json.dumps(told)))


def rounds(db: Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    """The newest round of each source, with the instant at which it ended."""
    for one in db.execute(select(source_round)):
        yield one.source, {"ended_at": instant(one.ended_at).isoformat(), **json.loads(one.told)}
