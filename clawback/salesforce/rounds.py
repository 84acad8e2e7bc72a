"""One round of an org: heed the triggers, read what has changed, look up what locks soon, deliver it all."""

import logging
import secrets
from collections.abc import Iterator
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
from connectors.salesforce_settings import SalesforceSettings
from processing import fetched, hints, observed, org_claims, org_mappings
from processing.errors import ClawbackError, SourceExhausted, SourceRefused, StoreUnavailable

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
                _read(desk, reader, org, done, until)
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


def _read(desk: Desk, reader: Reader, org: Org, done: Round, until: datetime | None) -> None:
    settings, at = reader.settings, desk.spool.clock()
    if not _may_call(desk, settings, done):
        return
    refused, done.otherwise = check(desk, settings, org)
    # A hint that cannot be heeded does not keep the mappings from being read, nor one mapping the others.
    done.hints, unheeded = heeding.heed(reader, org, refused, at=at)
    wrong = [*refused.values(), *unheeded]
    for mapping in settings.mappings:
        if mapping.name in refused:
            continue
        try:
            # The last calls of the day are for what locks soon.
            done.low = org.usage is not None and org.usage.percent > 100 - settings.api_reserve_percent
            if (until is not None or not done.low) and polling.poll(reader, org, mapping, at=at).stalled:
                done.stalled.append(mapping.name)
            if until is not None or sweeping.is_due(reader, mapping, at):
                horizon = max(sweeping.horizon(reader, at), until or at)
                swept = sweeping.sweep(reader, org, mapping, refused, until=horizon, at=at)
                done.swept[mapping.name] = {
                    "orders": swept.orders,
                    "missing": len(swept.missing),
                    "gone": swept.gone,
                    "drifted": list(swept.drifted),
                }
        except SourceRefused as error:
            _log.error("mapping_refused source=%s mapping=%s because=%r", settings.name, mapping.name, str(error))
            with desk.store.write() as db:
                org_mappings.doubt(db, settings.name, mapping.name)
            wrong.append(error)
    if done.low:
        _log.warning("calls_run_out source=%s usage=%s", settings.name, org.usage)
    if wrong:
        raise wrong[0]


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
