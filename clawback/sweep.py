"""The lock sweep: finishes what arrived before a lock, then locks what is due."""

import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from clawback import mailroom, pipeline
from clawback.cases import case_of
from clawback.judging import named_actions
from clawback.wiring import Desk
from processing import catalog, deliveries, lock, waiting
from processing.instants import instant, micros
from processing.lock import Doubts
from processing.store import claim_account

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What the sweep did in one account; ``waits_for`` are the deliveries and channels that made it defer actions."""

    account: str
    locked: int
    deferred: int
    waits_for: tuple[str, ...]

    def told(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


class Feeds(Protocol):
    """What changes actions without sending deliveries, and has to be asked before they lock."""

    def freshen(self, desk: Desk, sid: str, as_of: datetime) -> None:
        """Read what an account's feeds have to say by now; never raises."""

    def doubts(self, db: Connection, sid: str, account_id: int, as_of: datetime) -> Doubts:
        """The due actions of which something may not have been read, or is not applied."""


def lock_due(desk: Desk, *, as_of: datetime, at: datetime, feeds: Feeds | None = None) -> list[Swept]:
    """Lock every action whose lock has come at ``as_of``, account by account; ``at`` is the instant of processing.

    Deliveries that arrived before are finished first. One that cannot be finished (held or broken) defers the actions
    it names in time, and all that it could name in time when it cannot be read; one whose envelope is damaged could be
    anybody's, and defers those of every account. ``feeds`` are read first, and may defer actions too.
    """
    with desk.store.read() as db:
        due = lock.due_accounts(db, as_of)
    return [_lock_account(desk, sid, as_of=as_of, at=at, feeds=feeds) for sid in due]


def _lock_account(desk: Desk, sid: str, *, as_of: datetime, at: datetime, feeds: Feeds | None) -> Swept:
    if feeds is not None:
        feeds.freshen(desk, sid, as_of)
    pipeline.collect(desk, at=at, account=sid)
    with desk.store.write() as db:
        account_id = claim_account(db, sid)
        deferred: set[int] = set()
        waits_for = []
        for delivery, received_at in _unfinished(desk, db, sid):
            in_time = lock.due_after(db, account_id, as_of, micros(received_at))
            named = in_time & _named(desk, db, delivery, otherwise=in_time)
            if named:
                waits_for.append(delivery)
                deferred |= named
        for one in waiting.ready(db, sid, with_held=True):
            # Loaded since the collecting, or not to be judged: they are held, or the bytes are damaged.
            named = lock.due_after(db, account_id, as_of, one.received_at) & waiting.ready_actions(db, one.id)
            if named:
                waits_for.append(one.delivery)
                deferred |= named
        doubts = feeds.doubts(db, sid, account_id, as_of) if feeds else Doubts()
        for channel, named in doubts.deferred.items():
            waits_for.append(channel)
            deferred |= named
        locked = lock.lock_due(db, catalog.read_terms(db, sid), as_of, deferred)
        for channel, unread in doubts.unread.items():
            lock.record_unread(db, channel, unread - deferred)
    _log.info("locked account=%s actions=%d deferred=%d waits_for=%s", sid, locked, len(deferred), waits_for)
    return Swept(sid, locked, len(deferred), tuple(waits_for))


def _unfinished(desk: Desk, db: Connection, sid: str) -> list[tuple[str, datetime]]:
    found = {row.delivery: instant(row.received_at) for row in deliveries.unfinished(db, sid)}
    # A message that a person released is in the spool's past, whoever died before it was opened.
    for envelope in [*desk.spool.pending(sid), *mailroom.released(desk, sid)]:
        if deliveries.state_of(db, envelope.delivery) is None:
            found[envelope.delivery] = envelope.received_at
    return sorted((found | desk.spool.damaged()).items())


def _named(desk: Desk, db: Connection, delivery: str, otherwise: set[int]) -> set[int]:
    """The actions (row ids) that an unfinished delivery names, ``otherwise`` when it cannot be read."""
    try:
        envelope = desk.spool.find(delivery)
        if envelope.trace is not None:
            # What it may yet bring could name any of them.
            return otherwise if mailroom.may_name_more(desk, db, envelope) else set()
        with db.begin_nested():
            return named_actions(db, case_of(db, desk, envelope))
    except Exception:  # noqa: BLE001 - whatever is wrong with it, its actions must not lock
        _log.exception("unreadable delivery=%s", delivery)
        return otherwise
