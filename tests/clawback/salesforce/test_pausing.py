"""The calls of an org's day run out: polls and triggers wait first, and what locks soon is looked up to the last."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback.cli.orgs import doubts
from clawback.salesforce import pausing
from clawback.salesforce.pausing import Paused
from processing import fetched, hints, org_claims
from processing.errors import SourceExhausted, SourceRefused
from tests.clawback.salesforce.site import LEADS, Crm, mapping_table, settings_for
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


def last_round(crm: Crm) -> dict[str, Any]:
    """What is listed of the org."""
    with crm.desk.store.read() as db:
        return dict(fetched.rounds(db))["crm"]


def test_s09_a_pause_is_listed_as_long_as_it_lasts(crm: Crm, tmp_path: Path) -> None:
    """With whatever the last round that asked something had left; afterwards all is well."""
    near_the_lock(crm, tmp_path)
    used_up(crm, "/updated/")
    with pytest.raises(SourceExhausted) as found:
        crm.round()
    until = (crm.clock.now + 15 * MINUTE).isoformat()
    assert doubts(last_round(crm)) == [f"polls wait until {until}"]
    crm.pass_by(minutes=5)
    assert (crm.round().waited, last_round(crm)["error"]) == (True, str(found.value))
    assert doubts(last_round(crm)) == [f"polls wait until {until}"]
    crm.pass_by(minutes=10)
    crm.round()
    assert (last_round(crm)["error"], doubts(last_round(crm))) == (None, [])


def test_s09_a_pause_that_a_trigger_began_is_told(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    """In the log at once, and by the next round."""
    record = crm.opportunity("O-1")
    crm.round()
    crm.org.used = 95_000
    crm.hint(("Opportunity", record))
    with caplog.at_level(logging.WARNING):
        until = crm.listen().paused_until
    assert "calls_run_out source=crm" in caplog.text
    crm.pass_by(minutes=1)
    crm.round()
    assert doubts(last_round(crm)) == [f"polls wait until {until}"]


def test_s09_triggers_that_wait_take_no_claim(crm: Crm) -> None:
    """They are looked for every second, while somebody else may read what locks soon."""
    crm.hint(("Opportunity", crm.opportunity("O-1")))
    pausing.pause(crm.desk, crm.settings, lambda: 0.0)
    with crm.desk.store.write() as db:
        assert org_claims.claim(db, "crm", "another", crm.clock.now)
    assert crm.listen().paused_until == (crm.clock.now + 15 * MINUTE).isoformat()


def test_s09_a_mapping_without_a_first_reading_waits_with_the_polls(crm: Crm, tmp_path: Path) -> None:
    """It is looked up once; nobody remembers when, and the reserve is not for asking every five minutes."""
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1")
    crm.round()
    crm.clock.now = crm.world.now = LOCK - timedelta(days=2)
    crm.org.used = 95_000
    crm.settings = settings_for(crm.org, mapping=[mapping_table(), LEADS])
    assert set(crm.round().swept) == {"sales", "leads"}
    crm.pass_by(minutes=5)
    before = len(crm.org.calls)
    assert (crm.round().waited, calls_of(crm, before)) == (True, [])


def test_s09_a_mapping_that_was_refused_is_not_checked_again_while_polls_wait(crm: Crm) -> None:
    """Though another one is looked up meanwhile."""
    crm.opportunity("O-1")
    crm.round()
    crm.pass_by(minutes=50)
    crm.org.used = 95_000
    crm.settings = settings_for(crm.org, mapping=[mapping_table(), {**LEADS, "event_type": 99}])
    with pytest.raises(SourceRefused, match="no event type 99"):
        crm.round()
    crm.pass_by(minutes=11)
    before = len(crm.org.calls)
    with pytest.raises(SourceRefused, match="no event type 99"):
        crm.round()
    assert "describe" not in calls_of(crm, before)
    assert calls_of(crm, before) != []
