"""One round of an org: heed the triggers, read what has changed, look up what locks soon, deliver it all."""

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from clawback.salesforce import delivering, heeding, polling, sweeping
from clawback.salesforce.checking import check
from clawback.salesforce.reading import Reader, add, again
from clawback.wiring import Desk
from connectors.salesforce_org import Org
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing import fetched, hints, observed, org_claims, org_mappings
from processing.errors import ClawbackError, SourceExhausted, SourceRefused, SourceUnreachable, StoreUnavailable

_log = logging.getLogger(__name__)

# An org whose calls of the day are used up is left alone for so long.
PAUSE: Final = timedelta(minutes=15)


@dataclass(slots=True)
class Round:
    """What a round did; ``unapproved`` changes wait for a person: nothing that their mapping reads was applied yet."""

    source: str
    records: dict[str, Any] = field(default_factory=dict)
    hints: int = 0
    swept: dict[str, Any] = field(default_factory=dict)
    stalled: list[str] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    held: int = 0
    unapproved: int = 0
    low: bool = False
    paused_until: str | None = None
    # Records that the settings, which were changed, would judge otherwise.
    otherwise: int = 0
    error: str | None = None

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {
            "source": self.source,
            "records": self.records,
            "hints": self.hints,
            "swept": self.swept,
            "stalled": self.stalled,
            "deliveries": self.deliveries,
            "held": self.held,
            "unapproved": self.unapproved,
            "low": self.low,
            "paused_until": self.paused_until,
            "otherwise": self.otherwise,
            "error": self.error,
        }


def run(desk: Desk, settings: SalesforceSettings, org: Org, *, until: datetime | None = None) -> Round | None:
    """One round; None when somebody reads this org already.

    ``until``: also look up what locks by then, though the last look-up is not long ago. Raises SourceUnreachable and
    SourceExhausted, and SourceRefused also when the settings do not fit the org.
    """
    done = Round(settings.name)
    with claimed(desk, settings) as reader:
        if reader is None:
            return None
        try:
            with org:
                _read(desk, _Turn(reader, org, done, until, desk.spool.clock()))
        except ClawbackError as error:
            done.error = str(error)
            if isinstance(error, SourceExhausted):
                _pause(desk, settings, done)
            raise
        finally:
            # What was read is applied, though the rest could not be read.
            with suppress(StoreUnavailable):
                _deliver(desk, reader, done)
                _end(desk, reader, done)
    return done


def listen(desk: Desk, settings: SalesforceSettings, org: Org) -> Round | None:
    """Only what triggers told, and deliver it; None when somebody reads this org already."""
    done = Round(settings.name)
    with claimed(desk, settings) as reader:
        if reader is None:
            return None
        try:
            with org:
                if _may_call(desk, settings, done):
                    refused, done.otherwise = check(desk, settings, org, patience=PAUSE)
                    done.hints, wrong = heeding.heed(reader, org, refused, at=desk.spool.clock())
                    if wrong := [*refused.values(), *wrong]:
                        raise wrong[0]
        except ClawbackError as error:
            # Whatever it was, asking the org for it again every second would use up the calls of the day.
            with suppress(ClawbackError):
                heeding.put_off(reader, at=desk.spool.clock())
            if isinstance(error, SourceExhausted):
                _pause(desk, settings, done)
            raise
        finally:
            _deliver(desk, reader, done)
    return done


def approve(desk: Desk, settings: SalesforceSettings) -> Round | None:
    """Apply what was observed so far, and from now on; None when somebody reads this org already."""
    done = Round(settings.name)
    with claimed(desk, settings) as reader:
        if reader is None:
            return None
        with desk.store.write() as db:
            _approve(db, settings, desk.spool.clock())
        _deliver(desk, reader, done)
    return done


def reconsider(desk: Desk, settings: SalesforceSettings, *, everything: bool = False) -> Round | None:
    """Judge held records, or all, by today's settings and apply them; None when somebody reads this org already."""
    done = Round(settings.name)
    with claimed(desk, settings) as reader:
        if reader is None:
            return None
        now = desk.spool.clock()
        with desk.store.write() as db:
            reader.fence(db)
            for mapping in settings.mappings:
                add(reader.tally, again(db, settings, mapping, now, everything=everything))
        done.records = reader.tally.told()
        _deliver(desk, reader, done)
    return done


@contextmanager
def claimed(desk: Desk, settings: SalesforceSettings) -> Iterator[Reader | None]:
    """What reads a source under its claim; None when somebody else does."""
    token = secrets.token_hex(16)
    with desk.store.write() as db:
        mine = org_claims.claim(db, settings.name, token, desk.spool.clock())
    if not mine:
        yield None
        return
    try:
        yield Reader(desk.store, settings, token, desk.spool.clock)
    finally:
        with suppress(StoreUnavailable), desk.store.write() as db:
            org_claims.release(db, settings.name, token)


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one round reads with; ``until`` as ``run`` has it, ``at`` its own instant.

    ``wrong`` gathers what kept some of it from being read, while the rest goes on.
    """

    reader: Reader
    org: Org
    done: Round
    until: datetime | None
    at: datetime
    wrong: list[ClawbackError] = field(default_factory=list)


def _read(desk: Desk, turn: _Turn) -> None:
    settings, done = turn.reader.settings, turn.done
    if not _may_call(desk, settings, done):
        return
    refused, done.otherwise = check(desk, settings, turn.org)
    turn.wrong.extend(refused.values())
    # A hint that cannot be heeded does not keep the mappings from being read, nor one mapping the others.
    done.hints, unheeded = heeding.heed(turn.reader, turn.org, refused, at=turn.at)
    turn.wrong.extend(unheeded)
    # All are polled first: who speaks for an order is known before it is looked up.
    if left := [one for one in settings.mappings if one.name not in refused]:
        _look_up(turn, _poll(turn, left), refused)
    if turn.wrong:
        raise next((one for one in turn.wrong if not isinstance(one, SourceRefused)), turn.wrong[0])


def _poll(turn: _Turn, mappings: Sequence[Mapping_]) -> list[Mapping_]:
    """Poll mappings; gives those that may be looked up."""
    reader, org, done = turn.reader, turn.org, turn.done
    server_now, left = org.server_time(), list[Mapping_]()
    for mapping in mappings:
        # The last calls of the day are for what locks soon.
        done.low = org.is_low
        try:
            if turn.until is not None or not done.low:
                moved = polling.poll(reader, org, mapping, server_now=server_now, at=turn.at)
                if moved.stalled:
                    done.stalled.append(mapping.name)
        except SourceRefused as error:
            _refuse(turn, mapping, error)
        except SourceUnreachable as error:
            turn.wrong.append(error)
            break
        else:
            left.append(mapping)
    if done.low:
        _log.warning("calls_run_out source=%s usage=%s", reader.settings.name, org.usage)
    return left


def _look_up(turn: _Turn, mappings: Sequence[Mapping_], refused: Mapping[str, SourceRefused]) -> None:
    """Look up what locks soon, where the last look-up is long enough ago."""
    reader, at = turn.reader, turn.at
    due = [one for one in mappings if turn.until is not None or sweeping.is_due(reader, one, at)]
    horizon = max(sweeping.horizon(reader, at), turn.until or at)
    for mapping in due:
        try:
            swept = sweeping.sweep(reader, turn.org, mapping, refused, until=horizon, at=at)
        except SourceRefused as error:
            _refuse(turn, mapping, error)
        else:
            turn.done.swept[mapping.name] = swept.told()


def _refuse(turn: _Turn, mapping: Mapping_, error: SourceRefused) -> None:
    source = turn.reader.settings.name
    _log.error("mapping_refused source=%s mapping=%s because=%r", source, mapping.name, str(error))
    with turn.reader.store.write() as db:
        org_mappings.doubt(db, source, mapping.name)
    turn.wrong.append(error)


def _may_call(desk: Desk, settings: SalesforceSettings, done: Round) -> bool:
    with desk.store.read() as db:
        paused = org_claims.paused(db, settings.name, desk.spool.clock())
    done.paused_until = None if paused is None else paused.isoformat()
    return paused is None


def _pause(desk: Desk, settings: SalesforceSettings, done: Round) -> None:
    until = desk.spool.clock() + PAUSE
    done.paused_until = until.isoformat()
    with desk.store.write() as db:
        org_claims.pause(db, settings.name, until)


def _deliver(desk: Desk, reader: Reader, done: Round) -> None:
    settings = reader.settings
    with desk.store.write() as db:
        if settings.backfill == "apply":
            _approve(db, settings, desk.spool.clock())
    done.deliveries += delivering.deliver(desk, reader)
    delivering.finish(desk, settings)
    with desk.store.read() as db:
        counts = observed.counts(db, settings.name)
    done.held, done.unapproved = counts["held"], counts["undelivered"]


def _approve(db: Connection, settings: SalesforceSettings, at: datetime) -> None:
    org_mappings.approve(db, settings.name, [one.name for one in settings.mappings], at)


def _end(desk: Desk, reader: Reader, done: Round) -> None:
    at = desk.spool.clock()
    done.records = reader.tally.told()
    told = done.told() | {"deliveries": len(done.deliveries)}
    with desk.store.write() as db:
        fetched.end_round(db, done.source, told, at)
        hints.forget(db, done.source, at)
    read = done.records
    _log.info(
        "observed source=%s read=%d changed=%d held=%d hints=%d deliveries=%d",
        done.source,
        read["read"],
        read["changed"],
        read["held"],
        done.hints,
        len(done.deliveries),
    )
