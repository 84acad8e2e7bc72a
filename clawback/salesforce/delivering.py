"""Makes deliveries of what was observed: each change once, whatever dies when.

A batch is written down before it lands, and lands under keys of its own, from rows that never change; so landing it
again after a crash finds the deliveries that landed then.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row

from clawback import pipeline
from clawback.salesforce.reading import Reader
from clawback.wiring import Desk
from connectors.salesforce_settings import SalesforceSettings
from processing import deliveries, observed, org_mappings
from processing.instants import instant
from processing.observed import Place
from processing.open_actions import locks_passed
from schemas.observed import FIRST_LINE, ObservedLine, files, kind_of

_log = logging.getLogger(__name__)

# The clock's smallest step.
_TICK: Final = timedelta(microseconds=1)
# How long before a lock a batch counts as received at the earliest, of those that are read late; each later one a tick
# after the one before.
_JUST_BEFORE: Final = 1000 * _TICK


def deliver(desk: Desk, reader: Reader) -> list[dict[str, Any]]:
    """Land and finish all that approved mappings observed; gives the heads of the receipts."""
    heads = []
    # One batch may take long to finish, so each has a time of its own.
    while (batch := _next(reader, desk.spool.clock())) is not None:
        landed = _land(desk, reader.settings, batch)
        with desk.store.write() as db:
            observed.landed(db, batch.id, landed, desk.spool.clock())
        heads += [pipeline.ingest(desk, one, at=desk.spool.clock()) for one in landed.values()]
    return heads


def finish(desk: Desk, settings: SalesforceSettings) -> None:
    """Bring deliveries to their end that landed before somebody died."""
    for envelope in desk.spool.pending(settings.account):
        if envelope.channel == settings.channel:
            try:
                pipeline.ingest(desk, envelope.delivery, at=desk.spool.clock())
            except Exception:  # noqa: BLE001 - it has landed: whoever looks after the spool tries again
                _log.exception("put_off delivery=%s", envelope.delivery)


def _next(reader: Reader, at: datetime) -> Row[Any] | None:
    """The batch that lands now: one that was written down already, or else the oldest changes."""
    settings = reader.settings
    with reader.store.write() as db:
        reader.fence(db)
        if (left := observed.batch_to_land(db, settings.name)) is not None:
            return left
        due = observed.due(db, settings.name, org_mappings.approved(db, settings.name))
        if not due:
            return None
        newest = deliveries.newest_arrival(db, settings.account)
        # The clock may have been set back, and what is observed now is newer than all that was applied.
        arrival = at if newest is None else max(at, newest + _TICK)
        for received_at, some in _by_arrival(db, settings, due, arrival).items():
            observed.make_batch(db, settings.name, places(some), received_at, at)
        return observed.batch_to_land(db, settings.name)


def _by_arrival(
    db: Connection, settings: SalesforceSettings, due: list[Row[Any]], at: datetime
) -> dict[datetime, list[Row[Any]]]:
    """The changes by the arrival of their deliveries.

    Where a lock waits for this source, what the org had before the lock counts as received just before it: reading it
    late is our delay, not the brand's. Not when the org had it, for that is told by another clock than ours, and what
    arrived before would seem to be newer. A source that locks anyway waits for what was read, and so that counts, too.
    """
    # Those of which no stamp tells, and which are not held for it: what was read before the lock was so before it.
    untold = {one.name for one in settings.mappings if settings.on_stale != "hold" and one.of_parents}
    locks: dict[int, dict[str, datetime]] = {}
    for event_type in {one.event_type_id for one in due}:
        orders = [one.order_id for one in due if one.event_type_id == event_type and one.order_id]
        locks[event_type] = locks_passed(db, settings.account, event_type, orders, at)
    before = {lock: _before(db, settings, lock) for its in locks.values() for lock in its.values()}
    arrivals: dict[datetime, list[Row[Any]]] = {}
    for one in due:
        locks_at = locks[one.event_type_id].get(one.order_id)
        known_at = max(one.stamp, one.observed_at) if one.mapping in untold else one.stamp
        in_time = locks_at is not None and instant(known_at) < locks_at
        arrivals.setdefault(before[locks_at] if locks_at and in_time else at, []).append(one)
    return arrivals


def _before(db: Connection, settings: SalesforceSettings, locks_at: datetime) -> datetime:
    """An arrival just before a lock, and later than those of the batches before this one."""
    earliest = locks_at - _JUST_BEFORE
    last = observed.last_arrival(db, settings.name, earliest, locks_at)
    return earliest if last is None else min(last + _TICK, locks_at - _TICK)


def _land(desk: Desk, settings: SalesforceSettings, batch: Row[Any]) -> dict[str, str]:
    with desk.store.read() as db:
        changes = observed.of_batch(db, batch.id)
    received_at = None if batch.received_at is None else instant(batch.received_at)
    landed = {}
    for kind, content in files(lines_of(changes)).items():
        name = f"{settings.name}-{batch.id:08}-{kind}.csv"
        envelope = desk.spool.land(
            content,
            account=settings.account,
            channel=settings.channel,
            name=name,
            key=f"{settings.channel}/{name}",
            received_at=received_at,
            proven=True,
        )
        landed[kind] = envelope.delivery
    return landed


def places(changes: Iterable[Row[Any]]) -> dict[int, Place]:
    """Where the lines of the changes (row ids) of a batch will begin; those of one change stand in one file."""
    found, so_far = dict[int, Place](), Counter[str]()
    for one in changes:
        lines = json.loads(one.lines)
        [kind] = {kind_of(what) for what in lines}
        found[one.id] = Place(kind, FIRST_LINE + so_far[kind])
        so_far[kind] += len(lines)
    return found


def lines_of(changes: Iterable[Row[Any]]) -> Iterable[ObservedLine]:
    """The lines of observed changes, in their order."""
    for one in changes:
        stamp = instant(one.stamp).isoformat()
        evidence = (one.record, stamp, one.status_before, one.status_after, one.id)
        for what in json.loads(one.lines):
            yield ObservedLine(one.order_id, one.event_type_id, what, evidence)
