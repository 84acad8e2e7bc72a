"""Random histories of records for the rules of a cursor: stamped when changed, seen when committed, in plain memory.

The product's own reading runs here as it is (``polling.read``), on an org in memory; the other rules are those of tools
that are known to lose updates.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clawback.salesforce.polling import advanced, read
from clawback.salesforce_tables import parse
from connectors.salesforce_records import Record, State
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing.observed import Cursor
from tests.clawback.salesforce.site import table

START = datetime(2027, 1, 20, 12, tzinfo=UTC)
# How often an org is polled, at random; what is covered is not asked as often.
EVERY_S = (120, 150, 180, 240, 300)
ASKED_AGAIN = timedelta(minutes=5)
# How long an answer takes.
ASKED = timedelta(seconds=20)
SETTINGS = parse(table(), Path(), "worlds")
WITHOUT_COVERAGE = parse(table(use_latest_date_covered=False), Path(), "worlds")
MAPPING = SETTINGS.mappings[0]


@dataclass(frozen=True)
class Change:
    """A record's new value: stamped in whole seconds, seen from its commit on."""

    record: int
    value: int
    stamp: datetime
    seen_at: datetime


@dataclass
class History:
    """What happens to some records in six hours; one record's changes are committed one after the other.

    ``every`` is how often they are polled.
    """

    changes: list[Change]
    every: timedelta

    def read(self, now: datetime, keeps: Callable[[datetime], bool]) -> list[Change]:
        """The records as they are seen now, of those whose stamp is asked for."""
        newest: dict[int, Change] = {}
        for one in self.changes:
            if one.seen_at <= now:
                newest[one.record] = one
        return [one for one in newest.values() if keeps(one.stamp)]

    def covered(self, now: datetime) -> datetime:
        """The start of the oldest transaction that is not committed."""
        return min([now.replace(microsecond=0), *(one.stamp for one in self.changes if one.stamp <= now < one.seen_at)])

    def truth(self) -> dict[int, int]:
        """What every record says in the end."""
        return {one.record: one.value for one in self.changes}


def history(seed: int, longest: timedelta, records: int = 30, changes: int = 120) -> History:
    """Most commits take less than two seconds, some up to the longest."""
    chance = random.Random(seed)  # noqa: S311 - a world, no secret
    free = dict.fromkeys(range(records), START)
    made = []
    for value in range(changes):
        record = chance.randrange(records)
        at = max(free[record], START + timedelta(seconds=chance.uniform(0, 6 * 3600)))
        lasts = longest.total_seconds() if chance.random() < 0.15 else 2.0
        seen_at = at + timedelta(seconds=chance.uniform(0, lasts))
        free[record] = seen_at
        made.append(Change(record, value, at.replace(microsecond=0), seen_at))
    return History(sorted(made, key=lambda one: one.seen_at), timedelta(seconds=chance.choice(EVERY_S)))


@dataclass
class Told:
    """A history as an org that is polled tells it.

    Time goes on with every question: a query is a view of when it was asked, and what is covered of when it is told.
    """

    its: History
    now: datetime

    def latest_date_covered(self, of: str, floor: datetime, now: datetime) -> datetime:  # noqa: ARG002 - the org's
        """The start of the oldest transaction."""
        self.now += ASKED
        return self.its.covered(self.now)

    def changed_since(self, mapping: Mapping_, floor: datetime) -> Iterator[list[Record]]:  # noqa: ARG002 - the org's
        """What is seen now and was stamped at the floor or later."""
        found = self.its.read(self.now, lambda stamp: stamp >= floor)
        self.now += ASKED
        yield [Record(str(one.record), one.stamp, State(None, str(one.value))) for one in found]


@dataclass
class Reader:
    """One rule of a cursor; ``skew`` is what our clock is ahead of the org's."""

    rule: Callable[["Reader", History, datetime], list[Change]]
    skew: timedelta = timedelta()
    highest: datetime = START - ASKED_AGAIN
    cursor: Cursor = field(default_factory=lambda: Cursor(START - timedelta(minutes=15)))
    settings: SalesforceSettings = SETTINGS

    def loses(self, its: History) -> bool:
        """Whether a record's last state was never read, polled as often as the history says, with a rest at the end."""
        known: dict[int, int] = {}
        now = START
        end = max(one.seen_at for one in its.changes) + timedelta(minutes=90)
        while now < end:
            now += its.every
            found = self.rule(self, its, now)
            known |= {one.record: one.value for one in found}
            self.highest = max([self.highest, *(one.stamp for one in found)])
        return known != its.truth()


def ours(reader: Reader, its: History, now: datetime) -> list[Change]:
    """The product's own reading, whole: what it asks, in which order, from which floor, and where that moves."""
    found = list[Record]()
    reader.cursor = read(Told(its, now), MAPPING, reader.cursor, reader.settings, now, found.extend)
    return [Change(int(one.id), int(one.state.status or ""), one.stamp, now) for one in found]


def that_forgets(reader: Reader, its: History, now: datetime) -> list[Change]:
    """The product's rule, but that what was told last counts for nothing until it is asked again."""
    if reader.cursor.covered_at is not None and now - reader.cursor.covered_at < ASKED_AGAIN:
        reader.cursor = replace(reader.cursor, covered=None)
    return ours(reader, its, now)


def by_a_late_clock(reader: Reader, its: History, now: datetime) -> list[Change]:
    """The product's rule in the wrong order: clock and coverage are asked when everything was read."""
    floor, later = reader.cursor.floor, now + ASKED
    reader.cursor = advanced(replace(reader.cursor, covered=its.covered(later)), later, reader.settings)
    return its.read(now, lambda stamp: stamp >= floor)


def after_highest(reader: Reader, its: History, now: datetime) -> list[Change]:
    """Later than the highest stamp that was seen."""
    return its.read(now, lambda stamp: stamp > reader.highest)


def from_highest(reader: Reader, its: History, now: datetime) -> list[Change]:
    """The highest stamp that was seen, or later."""
    return its.read(now, lambda stamp: stamp >= reader.highest)


def a_little_before(reader: Reader, its: History, now: datetime) -> list[Change]:
    """The same, with ten seconds to look back."""
    return its.read(now, lambda stamp: stamp >= reader.highest - timedelta(seconds=10))


def slices(reader: Reader, its: History, now: datetime) -> list[Change]:
    """From the end of the last slice, ten minutes back, to our own clock's now."""
    start, end = reader.cursor.floor - timedelta(seconds=600), now + reader.skew
    reader.cursor = Cursor(end)
    return its.read(now, lambda stamp: start <= stamp < end)
