"""The store's record of what was observed in brands' orgs: what every record said last, and every change of it.

An observation is a change of a record. It is written down together with what the record says now, in the transaction
of the page that told it; so it is observed once, however often the record is read. Observations become deliveries in
batches, which are written down before the first of them lands.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    true,
    union,
    update,
)

from processing import upsert
from processing.instants import instant, micros
from processing.parts import MOST_VALUES, parts
from processing.record_tables import observation, observed_batch, record_cursor, record_seen

# Lines of one delivery, so that its answers stay files that people open.
_MOST: Final = 50_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What a record said when it was read last (``state``), and what was asked of the ledger for it (``asked``)."""

    record: str
    stamp: datetime
    order_id: str | None
    state: dict[str, Any]
    asked: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Observation:
    """A change of a record: the lines that it becomes, or why it is ``held`` for a person.

    ``read_at`` is when the record was found to say so, if that is longer ago.
    """

    record: str
    order_id: str | None
    event_type: int
    stamp: datetime
    status_before: str | None
    status_after: str | None
    lines: tuple[dict[str, Any], ...]
    held: str | None = None
    read_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the records of a mapping were read; see ``record_cursor``.

    By the org's clock; ``complete_at`` and ``swept_at`` by the org's or ours, whichever was earlier: locks go by ours.
    ``swept_to`` is the newest action (row id) that was looked up.
    """

    floor: datetime
    covered: datetime | None = None
    covered_at: datetime | None = None
    complete_at: datetime | None = None
    swept_at: datetime | None = None
    swept_to: int | None = None
    stalled: bool = False


class Place(NamedTuple):
    """Where the lines of a change begin: which of its batch's files, and the number of the line there."""

    file: str
    line: int


def cursor(db: Connection, source: str, mapping: str) -> Cursor | None:
    """The cursor of a mapping, None before its first reading."""
    found = db.execute(select(record_cursor).where(*_of(record_cursor, source, mapping))).one_or_none()
    if found is None:
        return None
    return Cursor(
        floor=instant(found.floor),
        covered=_instant(found.covered),
        covered_at=_instant(found.covered_at),
        complete_at=_instant(found.complete_at),
        swept_at=_instant(found.swept_at),
        swept_to=found.swept_to,
        stalled=found.stalled,
    )


def keep_cursor(db: Connection, source: str, mapping: str, its: Cursor) -> None:
    """Write a cursor down."""
    told = {name: micros(one) if isinstance(one, datetime) else one for name, one in asdict(its).items()}
    upsert.put(db, record_cursor, [{"source": source, "mapping": mapping, **told}], key=("source", "mapping"))


def seen(db: Connection, source: str, mapping: str, records: Iterable[str]) -> dict[str, Seen]:
    """What these records said when they were read last."""
    return {one.record: one for one in _seen(db, source, mapping, record_seen.c.record, records)}


def every(db: Connection, source: str, mapping: str) -> Iterator[dict[str, Seen]]:
    """What all records said when they were read last, some at a time; they may be written down in between."""
    last = ""
    while True:
        mine = (*_of(record_seen, source, mapping), record_seen.c.record > last)
        rows = db.execute(select(record_seen).where(*mine).order_by(record_seen.c.record).limit(MOST_VALUES)).all()
        if not rows:
            return
        last = rows[-1].record
        yield {one.record: _told(one) for one in rows}


def with_orders(db: Connection, source: str, mapping: str, orders: Iterable[str]) -> list[Seen]:
    """What all records of these orders said when they were read last."""
    return list(_seen(db, source, mapping, record_seen.c.order_id, orders))


def keep_seen(db: Connection, source: str, mapping: str, records: Collection[Seen]) -> None:
    """Write down what records say now."""
    rows = [
        {
            "source": source,
            "mapping": mapping,
            "record": one.record,
            "stamp": micros(one.stamp),
            "order_id": one.order_id,
            "state": json.dumps(one.state),
            "asked": None if one.asked is None else json.dumps(one.asked),
        }
        for one in records
    ]
    upsert.put(db, record_seen, rows, key=("source", "mapping", "record"))


def observe(db: Connection, source: str, mapping: str, changes: Collection[Observation], at: datetime) -> None:
    """Write changes down in their order."""
    if not changes:
        return
    rows = [
        {
            "source": source,
            "mapping": mapping,
            "record": one.record,
            "order_id": one.order_id,
            "event_type_id": one.event_type,
            "stamp": micros(one.stamp),
            "observed_at": micros(one.read_at or at),
            "status_before": one.status_before,
            "status_after": one.status_after,
            "lines": json.dumps(one.lines),
            "held": one.held,
        }
        for one in changes
    ]
    db.execute(insert(observation), rows)


def hold_back(db: Connection, source: str, mapping: str, order: str, records: Collection[str], why: str) -> set[str]:
    """Hold the changes of records for an order that are in no batch yet; gives the records of which there were any."""
    mine = (*_of(observation, source, mapping), observation.c.order_id == order, observation.c.record.in_(records))
    found = set(db.execute(select(observation.c.record).where(*mine, *_UNDELIVERED)).scalars())
    if found:
        db.execute(update(observation).where(*mine, *_UNDELIVERED).values(held=why))
    return found


def were_delivered(db: Connection, source: str, mapping: str, order: str, records: Collection[str]) -> set[str]:
    """Of these records those of which a change for an order was ever put into a batch."""
    mine = (*_of(observation, source, mapping), observation.c.order_id == order, observation.c.record.in_(records))
    return set(db.execute(select(observation.c.record).where(*mine, observation.c.batch.is_not(None))).scalars())


def end_holds(
    db: Connection,
    source: str,
    mapping: str,
    orders: Mapping[str, str | None],
    at: datetime,
    everywhere: Collection[str] = (),
) -> None:
    """End the holds of records, given with their orders, that say something else now, and what a person let go of them.

    A hold for an order that a record was moved away from stays, as nothing that the record says is about that order;
    but of those that had asked nothing for it all holds end, ``everywhere``.
    """
    for some in parts(orders):
        mine = (*_of(observation, source, mapping), observation.c.record.in_(some))
        found = db.execute(select(observation).where(*mine, *_HELD))
        over = [one.id for one in found if one.record in everywhere or one.order_id in {orders[one.record], None}]
        if over:
            db.execute(update(observation).where(observation.c.id.in_(over)).values(ended_at=micros(at)))
        db.execute(update(observation).where(*mine, _LEFT).values(left_at=None))


def let_go(db: Connection, source: str, record: str, at: datetime) -> int:
    """End the holds of a record, of which nothing is applied; gives how many there were."""
    mine = (observation.c.source == source, observation.c.record == record, *_HELD)
    return db.execute(update(observation).where(*mine).values(ended_at=micros(at), left_at=micros(at))).rowcount


def left(db: Connection, source: str, mapping: str, records: Iterable[str]) -> set[str]:
    """Of these records those that a person let go and that have said nothing else since."""
    found: set[str] = set()
    for some in parts(records):
        mine = (*_of(observation, source, mapping), observation.c.record.in_(some), _LEFT)
        found |= set(db.execute(select(observation.c.record).where(*mine)).scalars())
    return found


def were_of(db: Connection, source: str, mapping: str, orders: Mapping[str, str]) -> set[str]:
    """Of records, given with their orders, those of which a change for that order was observed before."""
    found: set[str] = set()
    for some in parts(orders):
        mine = (*_of(observation, source, mapping), observation.c.record.in_(some))
        rows = db.execute(select(observation.c.record, observation.c.order_id).where(*mine).distinct())
        found |= {one.record for one in rows if one.order_id == orders[one.record]}
    return found


def held(
    db: Connection, source: str, mapping: str | None = None, records: Iterable[str] | None = None
) -> list[Row[Any]]:
    """The changes that wait for a person, in the order in which they were observed; of all records, or of some."""
    of_mapping = true() if mapping is None else observation.c.mapping == mapping
    query = select(observation).where(observation.c.source == source, of_mapping, *_HELD)
    if records is None:
        return list(db.execute(query.order_by(observation.c.id)))
    found = [one for some in parts(records) for one in db.execute(query.where(observation.c.record.in_(some)))]
    return sorted(found, key=lambda one: one.id)


def batch_to_land(db: Connection, source: str) -> Row[Any] | None:
    """The oldest batch that was written down and did not land whole; None if all did."""
    query = select(observed_batch).where(observed_batch.c.source == source, observed_batch.c.landed_at.is_(None))
    return db.execute(query.order_by(observed_batch.c.id).limit(1)).one_or_none()


def due(db: Connection, source: str, mappings: Collection[str] | None = None) -> list[Row[Any]]:
    """The oldest changes that are in no batch, up to the second of one order: their files are judged in any order.

    Those of some mappings, or of all.
    """
    query = select(observation).where(observation.c.source == source, *_UNDELIVERED)
    if mappings is not None:
        query = query.where(observation.c.mapping.in_(mappings))
    found: list[Row[Any]] = []
    orders = set[tuple[int, str]]()
    for one in db.execute(query.order_by(observation.c.id).limit(_MOST)):
        if (one.event_type_id, one.order_id) in orders:
            break
        orders.add((one.event_type_id, one.order_id))
        found.append(one)
    return found


def unsettled(db: Connection, source: str) -> dict[int, set[str]]:
    """The orders, by event type, of all changes that are held or have not landed; whatever became of their mapping."""
    told = select(observation.c.event_type_id, observation.c.order_id).where(
        observation.c.source == source, observation.c.order_id.is_not(None)
    )
    landing = told.join(observed_batch, observed_batch.c.id == observation.c.batch)
    landing = landing.where(observed_batch.c.source == source, observed_batch.c.landed_at.is_(None))
    found: dict[int, set[str]] = {}
    for one in db.execute(union(told.where(*_HELD), told.where(*_UNDELIVERED), landing)):
        found.setdefault(one.event_type_id, set()).add(one.order_id)
    return found


def was_delivered(db: Connection, source: str, mapping: str) -> bool:
    """Whether any change that a mapping observed was ever put into a batch."""
    mine = (*_of(observation, source, mapping), observation.c.batch.is_not(None))
    return db.execute(select(observation.c.id).where(*mine).limit(1)).one_or_none() is not None


def forget(db: Connection, source: str, mapping: str) -> None:
    """Forget all that a mapping has read and observed, nothing of which was delivered; it begins anew."""
    for table in (observation, record_seen, record_cursor):
        db.execute(delete(table).where(*_of(table, source, mapping)))


def forget_read(db: Connection, source: str, mapping: str) -> None:
    """Forget what the records of a mapping said, and read them again from the beginning; what was observed stays."""
    for table in (record_seen, record_cursor):
        db.execute(delete(table).where(*_of(table, source, mapping)))


def drop_undelivered(db: Connection, source: str, mapping: str) -> set[str]:
    """Forget the changes that are in no batch and not held; gives the records of which they were."""
    mine = (*_of(observation, source, mapping), *_UNDELIVERED)
    found = set(db.execute(select(observation.c.record).where(*mine)).scalars())
    db.execute(delete(observation).where(*mine))
    return found


def hold_undelivered(db: Connection, source: str, mapping: str, why: str) -> None:
    """Hold the changes that are in no batch for a person."""
    db.execute(update(observation).where(*_of(observation, source, mapping), *_UNDELIVERED).values(held=why))


def forget_cursor(db: Connection, source: str, mapping: str) -> None:
    """Read the records of a mapping again from the beginning."""
    db.execute(delete(record_cursor).where(*_of(record_cursor, source, mapping)))


def last_arrival(db: Connection, source: str, since: datetime, before: datetime) -> datetime | None:
    """When the last batch counts as received of those that do in this stretch of time, its beginning included."""
    arrival = observed_batch.c.received_at
    mine = (observed_batch.c.source == source, arrival >= micros(since), arrival < micros(before))
    return _instant(db.execute(select(func.max(arrival)).where(*mine)).scalar_one())


def make_batch(db: Connection, source: str, places: Mapping[int, Place], received_at: datetime, at: datetime) -> int:
    """Put changes (row ids), which have their places there, into a batch that counts as received then; its number."""
    told = {"source": source, "made_at": micros(at), "received_at": micros(received_at)}
    made = db.execute(insert(observed_batch).values(told))
    number = int(made.inserted_primary_key[0])  # type: ignore[index] # an insert of one row has a key
    rows = [{"row": row, "file": one.file, "line": one.line} for row, one in places.items()]
    db.execute(update(observation).where(observation.c.id == bindparam("row")).values(batch=number), rows)
    return number


def of_batch(db: Connection, number: int) -> list[Row[Any]]:
    """The changes of a batch, in the order in which they were observed."""
    return list(db.execute(select(observation).where(observation.c.batch == number).order_by(observation.c.id)))


def landed(db: Connection, number: int, deliveries: Mapping[str, str], at: datetime) -> None:
    """Remember which deliveries the files of a batch have become."""
    told = {"landed_at": micros(at), "deliveries": json.dumps(dict(deliveries))}
    db.execute(update(observed_batch).where(observed_batch.c.id == number).values(told))


def counts(db: Connection, source: str) -> dict[str, int]:
    """How many changes were observed, are held, and wait to become lines."""
    mine = observation.c.source == source

    def count(*where: ColumnElement[bool]) -> int:
        return int(db.execute(select(func.count()).select_from(observation).where(mine, *where)).scalar_one())

    return {"observed": count(), "held": count(*_HELD), "undelivered": count(*_UNDELIVERED)}


_LEFT: Final = observation.c.left_at.is_not(None)
_HELD: Final = (observation.c.held.is_not(None), observation.c.ended_at.is_(None))
_UNDELIVERED: Final = (observation.c.batch.is_(None), observation.c.held.is_(None))


def _seen(db: Connection, source: str, mapping: str, key: ColumnElement[Any], values: Iterable[str]) -> Iterator[Seen]:
    query = select(record_seen).where(*_of(record_seen, source, mapping))
    if key is record_seen.c.order_id:
        # Its planner would rather walk over all records of the mapping.
        query = query.with_hint(record_seen, "indexed by record_seen_order", "sqlite")
    for some in parts(values):
        for one in db.execute(query.where(key.in_(some))):
            yield _told(one)


def _told(row: Row[Any]) -> Seen:
    asked = None if row.asked is None else json.loads(row.asked)
    return Seen(row.record, instant(row.stamp), row.order_id, json.loads(row.state), asked)


def _instant(number: int | None) -> datetime | None:
    return None if number is None else instant(number)


def _of(table: Table, source: str, mapping: str) -> tuple[ColumnElement[bool], ...]:
    return table.c.source == source, table.c.mapping == mapping
