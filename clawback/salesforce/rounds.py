"""One round of an org: heed the triggers, read what has changed, look up what locks soon, deliver it all."""

import logging
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from clawback.salesforce import delivering, heeding, pausing, polling, sweeping
from clawback.salesforce.checking import Unread, check, check_as_read, dropped
from clawback.salesforce.pausing import Spread
from clawback.salesforce.preflight import MOST_SKEW, SKEW
from clawback.salesforce.reading import Reader, again
from clawback.salesforce.tally import add
from clawback.wiring import Desk
from connectors.salesforce_org import Org
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing import fetched, hints, observed, org_claims, org_mappings
from processing.errors import ClawbackError, SourceExhausted, SourceRefused, SourceUnreachable, StoreUnavailable

_log = logging.getLogger(__name__)

_LEFT: Final = ("stalled", "uncovered", "dropped", "low", "skew_s", "error")


@dataclass(slots=True)
class Round:
    """What a round did; ``unapproved`` changes wait for a person: nothing that their mapping reads was applied yet."""

    source: str
    records: dict[str, Any] = field(default_factory=dict)
    hints: int = 0
    swept: dict[str, Any] = field(default_factory=dict)
    # Mappings whose floor is held back for longer than it may be, and those of which the org does not tell what it
    # covers, or only for a part of what was read.
    stalled: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    held: int = 0
    unapproved: int = 0
    # Mappings that could not be approved: they were not read to the end yet.
    unread: list[str] = field(default_factory=list)
    # Mappings that see far fewer records than a day before: how many then, and how many now.
    dropped: dict[str, tuple[int, int]] = field(default_factory=dict)
    low: bool = False
    # By how many seconds the org's clock is ahead of ours, where they differ by more than a minute.
    skew_s: int | None = None
    paused_until: str | None = None
    # Whether the org was not asked at all, for all that is due waits.
    waited: bool = False
    # Records that the settings, which were changed, would judge otherwise.
    otherwise: int = 0
    error: str | None = None

    def told(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def run(
    desk: Desk,
    settings: SalesforceSettings,
    org: Org,
    *,
    until: datetime | None = None,
    spread: Spread = random.random,
) -> Round | None:
    """One round; None when somebody reads this org already.

    ``until``: also look up what locks by then, though the last look-up is not long ago. ``spread`` draws by how much a
    pause is longer. Raises SourceUnreachable and SourceExhausted, and SourceRefused also when the settings do not fit
    the org.
    """
    done = Round(settings.name)
    with claimed(desk, settings) as reader:
        if reader is None:
            return None
        try:
            with org:
                _read(desk, _Turn(reader, org, done, until, spread, desk.spool.clock()))
        except ClawbackError as error:
            done.error = str(error)
            raise
        finally:
            # What was read is applied, though the rest could not be read.
            with suppress(StoreUnavailable):
                _deliver(desk, reader, done)
                _end(desk, reader, done)
    return done


def listen(desk: Desk, settings: SalesforceSettings, org: Org, *, spread: Spread = random.random) -> Round | None:
    """Only what triggers told, and deliver it; None when somebody reads this org already.

    Nothing is written while triggers wait: they are looked for every second.
    """
    done = Round(settings.name, paused_until=_told(pausing.paused(desk, settings).polls))
    if done.paused_until is not None:
        return done
    with claimed(desk, settings) as reader:
        if reader is None:
            return None
        turn = _Turn(reader, org, done, None, spread, desk.spool.clock())
        try:
            with org:
                _listen(desk, turn)
        except ClawbackError as error:
            # Whatever it was, asking the org for it again every second would use up the calls of the day.
            with suppress(ClawbackError):
                heeding.put_off(reader, at=desk.spool.clock())
            if isinstance(error, SourceExhausted):
                raise _exhausted(desk, turn, error, look_ups=False) from None
            raise
        finally:
            _deliver(desk, reader, done)
    return done


def approve(desk: Desk, settings: SalesforceSettings) -> Round | None:
    """Apply what was observed so far, and from now on; None when somebody reads this org already.

    Not by mappings that are ``unread``: nobody has seen yet what they would do.
    """
    done = Round(settings.name)
    with claimed(desk, settings) as reader:
        if reader is None:
            return None
        with desk.store.write() as db:
            done.unread = unread(db, settings)
            _approve(db, settings, desk.spool.clock(), but=done.unread)
        _deliver(desk, reader, done)
    return done


def unread(db: Connection, settings: SalesforceSettings) -> list[str]:
    """The mappings that wait to be approved and were not read to the end yet."""
    if settings.backfill == "apply":
        return []
    return [one.name for one in settings.mappings if observed.cursor(db, settings.name, one.name) is None]


def reconsider(desk: Desk, settings: SalesforceSettings, *, everything: bool = False) -> Round | None:
    """Judge held records, or all, by today's settings and apply them; None when somebody reads this org already.

    Raises Unusable when they were read by other settings.
    """
    done = Round(settings.name)
    with claimed(desk, settings) as reader:
        if reader is None:
            return None
        now = desk.spool.clock()
        with desk.store.write() as db:
            reader.fence(db)
            check_as_read(db, settings)
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
    """What one round reads with; ``until`` and ``spread`` as ``run`` has them, ``at`` its own instant.

    ``wrong`` gathers what kept some of it from being read, while the rest goes on.
    """

    reader: Reader
    org: Org
    done: Round
    until: datetime | None
    spread: Spread
    at: datetime
    wrong: list[ClawbackError] = field(default_factory=list)

    def may_poll(self) -> bool:
        """Whether polls may go on, and note it: the last calls of the day are for what locks soon."""
        self.done.low = self.org.is_low
        return self.until is not None or not self.done.low


def _read(desk: Desk, turn: _Turn) -> None:
    settings, done, wrong = turn.reader.settings, turn.done, turn.wrong
    waits = pausing.paused(desk, settings)
    done.paused_until = _told(waits.polls)
    polls = waits.polls is None
    due = [one for one in settings.mappings if turn.until or sweeping.is_due(turn.reader, one, turn.at, polls=polls)]
    done.waited = waits.look_ups is not None or (not polls and not due)
    if done.waited:
        return
    try:
        patience = timedelta(0) if polls else pausing.PAUSE
        refused, done.otherwise = check(desk, settings, turn.org, patience=patience)
    except SourceExhausted as error:
        raise _exhausted(desk, turn, error, look_ups=not polls) from None
    wrong.extend(refused.values())
    done.dropped = dropped(desk, settings)
    left = [one for one in settings.mappings if one.name not in refused]
    # All are polled first: who speaks for an order is known before it is looked up.
    try:
        if polls or turn.until is not None:
            _poll(turn, left, refused)
    except SourceExhausted as error:
        wrong.append(_exhausted(desk, turn, error, look_ups=False))
    if done.low:
        _run_out(desk, turn)
    try:
        _look_up(turn, [one for one in left if one in due], refused)
    except SourceExhausted as error:
        wrong.append(_exhausted(desk, turn, error, look_ups=True))
    if wrong:
        raise _gathered(wrong)


def _listen(desk: Desk, turn: _Turn) -> None:
    done = turn.done
    refused, done.otherwise = check(desk, turn.reader.settings, turn.org, patience=pausing.PAUSE)
    done.hints, wrong = heeding.heed(turn.reader, turn.org, refused, at=turn.at)
    if not turn.may_poll():
        _run_out(desk, turn)
    if wrong := [*refused.values(), *wrong]:
        raise _gathered(wrong)


def _poll(turn: _Turn, mappings: Sequence[Mapping_], refused: Mapping[str, Unread]) -> None:
    """Heed triggers and poll, as long as more than the reserve of calls is left."""
    reader, org, done = turn.reader, turn.org, turn.done
    server_now = org.server_time()
    done.skew_s = _skew_s(reader, server_now)
    if turn.may_poll():
        # A hint that cannot be heeded does not keep the mappings from being read, nor one mapping the others.
        done.hints, unheeded = heeding.heed(reader, org, refused, at=turn.at)
        turn.wrong.extend(unheeded)
    for mapping in mappings:
        if not turn.may_poll():
            return
        try:
            moved = polling.poll(reader, org, mapping, server_now=server_now, at=turn.at)
        except (SourceRefused, SourceUnreachable) as error:
            _set_aside(turn, mapping, error)
        else:
            if moved.stalled:
                done.stalled.append(mapping.name)
            untold = moved.covered is None or mapping.object in org.halved
            if untold and reader.settings.use_latest_date_covered:
                done.uncovered.append(mapping.name)


def _skew_s(reader: Reader, server_now: datetime) -> int | None:
    """By how much the org's clock is ahead of ours, if that is worth a word: locks go by ours."""
    skew = server_now - reader.clock()
    if abs(skew) <= SKEW:
        return None
    skew_s = round(skew.total_seconds())
    source = reader.settings.name
    if abs(skew) > MOST_SKEW:
        # The preflight, which refuses such an org, is not due before tomorrow.
        with reader.store.write() as db:
            org_claims.doubt(db, source)
    _log.warning("clocks_differ source=%s skew_s=%d; have this machine's clock set by NTP", source, skew_s)
    return skew_s


def _look_up(turn: _Turn, mappings: Sequence[Mapping_], refused: Mapping[str, Unread]) -> None:
    """Look up what locks soon."""
    reader, at = turn.reader, turn.at
    horizon = max(sweeping.horizon(reader, at), turn.until or at)
    for mapping in mappings:
        try:
            swept = sweeping.sweep(reader, turn.org, mapping, refused, until=horizon, at=at)
        except (SourceRefused, SourceUnreachable) as error:
            _set_aside(turn, mapping, error)
        else:
            turn.done.swept[mapping.name] = swept.told()


def _set_aside(turn: _Turn, mapping: Mapping_, error: Unread) -> None:
    """Go on without what one mapping would read now."""
    turn.wrong.append(error)
    if isinstance(error, SourceUnreachable):
        turn.org.stop_waiting()
        return
    source = turn.reader.settings.name
    _log.error("mapping_refused source=%s mapping=%s because=%r", source, mapping.name, str(error))
    with turn.reader.store.write() as db:
        org_mappings.doubt(db, source, mapping.name)


def _gathered(wrong: Sequence[ClawbackError]) -> ClawbackError:
    """One error that names them all, and is as passing as can be: what does not pass is found again."""
    kinds = (SourceExhausted, SourceUnreachable, SourceRefused)
    kind = next(kind for kind in kinds if any(isinstance(one, kind) for one in wrong))
    return kind(" ".join(dict.fromkeys(str(one) for one in wrong)))


def _run_out(desk: Desk, turn: _Turn) -> None:
    settings = turn.reader.settings
    until = pausing.pause(desk, settings, turn.spread)
    _log.warning("calls_run_out source=%s usage=%s paused_until=%s", settings.name, turn.org.usage, until)
    turn.done.paused_until = _told(until)


def _exhausted(desk: Desk, turn: _Turn, error: SourceExhausted, *, look_ups: bool) -> SourceExhausted:
    told = pausing.exhausted(desk, turn.reader.settings, error, turn.spread, look_ups=look_ups)
    turn.done.paused_until = _told(pausing.paused(desk, turn.reader.settings).polls)
    return told


def _told(until: datetime | None) -> str | None:
    return None if until is None else until.isoformat()


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


def _approve(db: Connection, settings: SalesforceSettings, at: datetime, *, but: Sequence[str] = ()) -> None:
    org_mappings.approve(db, settings.name, [one.name for one in settings.mappings if one.name not in but], at)


def _end(desk: Desk, reader: Reader, done: Round) -> None:
    at = desk.spool.clock()
    done.records = reader.tally.told()
    told = done.told() | {"deliveries": len(done.deliveries)}
    with desk.store.write() as db:
        if done.waited:
            # What the last round left to somebody is not done because nobody asked.
            last = dict(fetched.rounds(db)).get(done.source, {})
            told |= {name: last[name] for name in _LEFT if name in last}
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
