"""The calls of an org's day run out: polls and triggers wait first, and what locks soon is looked up to the last."""

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from clawback.salesforce import pausing
from clawback.salesforce.pausing import Paused
from processing import hints
from processing.errors import SourceExhausted
from tests.clawback.salesforce.site import Crm
from tests.salesforce_org.server import refusal
from tests.worlds import LOCK

MINUTE = timedelta(minutes=1)
# The list of resources, of which the clock is asked.
HOME = r"/data/v[\d.]+/$"


def used_up(crm: Crm, path: str, times: int = 1) -> None:
    """The next calls of this path are too many."""
    crm.org.fault(refusal(403, "REQUEST_LIMIT_EXCEEDED"), path, times)


def calls_of(crm: Crm, before: int) -> list[str]:
    """What was asked since, but for tokens; the list of resources has no name."""
    asked = [one.split("/", 4)[4] for one in crm.org.calls[before:] if "/data/" in one]
    return [one.rstrip("/").rpartition("/")[2] for one in asked]


def near_the_lock(crm: Crm, folder: Path) -> str:
    """A record that was read once, and says something else two days before its action locks."""
    crm.sell(folder, "O-1")
    record = crm.opportunity("O-1")
    crm.round()
    crm.clock.now = crm.world.now = LOCK - timedelta(days=2)
    crm.world.change(record, StageName="Closed Lost")
    return record


def test_s09_a_poll_without_calls_leaves_the_look_up(crm: Crm, tmp_path: Path) -> None:
    """The limit meets the poll; what locks soon is looked up in the same round, and polls wait."""
    near_the_lock(crm, tmp_path)
    used_up(crm, "/updated/")
    with pytest.raises(SourceExhausted, match=r"1 open actions that it speaks of lock soon, the first at 2027-"):
        crm.round()
    assert crm.values("O-1")[0] == "REVERSED"
    assert pausing.paused(crm.desk, crm.settings) == Paused(crm.clock.now + 15 * MINUTE, None)


def test_s09_look_ups_go_on_while_polls_wait(crm: Crm, tmp_path: Path) -> None:
    """When they are due, and for the lock sweep at any time, which polls too."""
    record = near_the_lock(crm, tmp_path)
    crm.round()
    crm.pass_by(minutes=50)
    used_up(crm, HOME)
    with pytest.raises(SourceExhausted):
        crm.round()
    crm.world.change(record, StageName="Closed Won")
    crm.pass_by(minutes=5)
    before = len(crm.org.calls)
    assert (crm.round().swept, calls_of(crm, before)) == ({}, [])
    crm.pass_by(minutes=6)
    done = crm.round()
    assert (calls_of(crm, before), crm.values("O-1")[0]) == (["", "queryAll"], "APPROVED")
    assert done.swept["sales"]["orders"] == 1
    crm.clock.now = crm.world.now = LOCK - MINUTE
    used_up(crm, "/queryAll")
    with pytest.raises(SourceExhausted):
        crm.round()
    crm.pass_by(minutes=2)
    assert [(one.locked, one.deferred) for one in crm.lock()] == [(1, 0)]


def test_s09_a_look_up_without_calls_leaves_the_org_alone(crm: Crm, tmp_path: Path) -> None:
    """Not even the lock sweep asks before the pause is over; then all that was missed is read."""
    record = near_the_lock(crm, tmp_path)
    crm.clock.now = crm.world.now = LOCK - 61 * MINUTE
    crm.round()
    crm.world.change(record, StageName="Closed Won")
    crm.clock.now = crm.world.now = LOCK - MINUTE
    used_up(crm, HOME, 2)
    with pytest.raises(SourceExhausted):
        crm.round()
    crm.pass_by(minutes=2)
    before = len(crm.org.calls)
    assert [(one.locked, one.deferred) for one in crm.lock()] == [(0, 1)]
    assert (crm.round().paused_until, calls_of(crm, before)) == ((LOCK + 14 * MINUTE).isoformat(), [])
    crm.pass_by(minutes=13)
    assert [(one.locked, one.deferred) for one in crm.lock()] == [(1, 0)]
    assert crm.values("O-1")[0] == "APPROVED"


@pytest.mark.parametrize(("drawn", "minutes"), [(0.0, 15), (0.5, 17.5), (1.0, 20)])
def test_s09_a_pause_is_spread(crm: Crm, drawn: float, minutes: float) -> None:
    """A quarter of an hour at least, and by chance up to five minutes more."""
    crm.round()
    crm.pass_by(minutes=5)
    used_up(crm, "/updated/")
    with pytest.raises(SourceExhausted):
        crm.round(spread=lambda: drawn)
    assert pausing.paused(crm.desk, crm.settings).polls == crm.clock.now + minutes * MINUTE


def test_s09_the_reserve_is_not_for_triggers(crm: Crm, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They wait with the polls, and are heeded when there are calls again."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.round()
    crm.pass_by(minutes=5)
    crm.org.used = 95_000
    with caplog.at_level(logging.WARNING):
        assert crm.round().low
    assert "calls_run_out source=crm" in caplog.text
    crm.world.change(record, StageName="Closed Lost")
    crm.hint(("Opportunity", record))
    before = len(crm.org.calls)
    assert (crm.listen().hints, crm.round().hints, calls_of(crm, before)) == (0, 0, [])
    crm.org.used = 100
    crm.pass_by(minutes=15)
    assert (crm.listen().hints, crm.values("O-1")[0]) == (1, "REVERSED")


def test_s09_a_trigger_that_finds_the_reserve_is_the_last(crm: Crm) -> None:
    """Of the calls that are left its own answer tells; the limit itself pauses as well, and puts it off."""
    record = crm.opportunity("O-1")
    crm.round()
    crm.org.used = 95_000
    crm.hint(("Opportunity", record))
    assert crm.listen().hints == 1
    assert pausing.paused(crm.desk, crm.settings).polls == crm.clock.now + 15 * MINUTE
    crm.pass_by(minutes=16)
    crm.hint(("Opportunity", record))
    used_up(crm, "/queryAll")
    with pytest.raises(SourceExhausted):
        crm.listen()
    with crm.desk.store.read() as db:
        assert hints.waiting(db, ["crm"], crm.clock.now) == []
    assert pausing.paused(crm.desk, crm.settings) == Paused(crm.clock.now + 15 * MINUTE, None)
