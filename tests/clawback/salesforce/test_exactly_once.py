"""Each change of a record once, whoever reads it how often and by whichever way."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from clawback import deciding
from clawback.salesforce import heeding, rounds
from processing import hints, observed, org_claims
from processing.errors import LedgerConflict
from processing.hints import Hint
from processing.model import Change
from processing.person import Wish
from processing.record_tables import observation
from tests.clawback.salesforce.site import Crm
from tests.worlds import SID


def hint(crm: Crm, *records: str, key: str = "") -> None:
    """A trigger told of these records."""
    with crm.desk.store.write() as db:
        told = [Hint(f"{key or crm.clock.now}{one}", "Opportunity", one) for one in records]
        hints.take(db, "crm", told, crm.clock.now)


def test_s12_the_same_window_again_and_again(crm: Crm, tmp_path: Path) -> None:
    """A hundred times the same, and it is one transition."""
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Lost")
    done = [crm.round() for _ in range(100)]
    assert [one.records["read"] for one in done] == [1] * 100
    assert [len(one.deliveries) for one in done] == [1] + [0] * 99
    assert crm.entries() == [("reverse", "PENDING", "REVERSED")]


def at_once(*acts: Callable[[], object]) -> list[Exception]:
    """Do all of these at the same time; gives what was raised."""
    failed: list[Exception] = []
    start = threading.Barrier(len(acts))

    def work(act: Callable[[], object]) -> None:
        start.wait()
        try:
            act()
        except Exception as error:  # noqa: BLE001 - told to the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in acts]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return failed


def test_s13_two_workers(crm: Crm, tmp_path: Path) -> None:
    """At the same time: one reads, or both one after the other, and the change is one."""
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Lost")
    failed = at_once(*[lambda: rounds.run(crm.desk, crm.settings, crm.opened())] * 3)
    assert (failed, crm.entries()) == ([], [("reverse", "PENDING", "REVERSED")])


def test_s13_a_worker_that_was_taken_for_dead_writes_no_more(crm: Crm) -> None:
    """Its claim ran out and another took it: what it still has in hand is thrown away."""
    with rounds.claimed(crm.desk, crm.settings) as first:
        assert first is not None
        crm.pass_by(minutes=11)
        with rounds.claimed(crm.desk, crm.settings) as second:
            assert second is not None
            with pytest.raises(LedgerConflict):
                first.take(crm.settings.mappings[0], [], crm.clock.now)
            second.take(crm.settings.mappings[0], [], crm.clock.now)
    with crm.desk.store.write() as db:
        assert org_claims.claim(db, "crm", "third", crm.clock.now)


def test_s13_a_long_round_keeps_its_claim(crm: Crm) -> None:
    """It writes for longer than a claim holds, by the instant at which it began: nobody can take it for dead."""
    began = crm.clock.now
    with rounds.claimed(crm.desk, crm.settings) as first:
        assert first is not None
        for _ in range(4):
            crm.pass_by(minutes=6)
            first.take(crm.settings.mappings[0], [], began)
            with crm.desk.store.write() as db:
                assert not org_claims.claim(db, "crm", "another", crm.clock.now)


def test_s14_poll_trigger_and_sweep_at_the_same_instant(crm: Crm, tmp_path: Path) -> None:
    """Three ways see one change, in one round or each by a worker of its own, and one is applied."""
    crm.sell(tmp_path, "O-1", "O-2")
    record = crm.opportunity("O-1", "Closed Lost")
    hint(crm, record)
    crm.round(until=crm.clock.now + timedelta(days=60))
    assert crm.entries() == [("reverse", "PENDING", "REVERSED")]
    record = crm.opportunity("O-2", "Closed Lost")
    hint(crm, record)
    opened = [crm.opened() for _ in range(3)]
    failed = at_once(
        lambda: rounds.run(crm.desk, crm.settings, opened[0]),
        lambda: rounds.listen(crm.desk, crm.settings, opened[1]),
        lambda: rounds.run(crm.desk, crm.settings, opened[2], until=crm.clock.now + timedelta(days=60)),
    )
    crm.round()
    assert (failed, crm.entries()) == ([], [("reverse", "PENDING", "REVERSED")] * 2)


def test_s15_lost_and_won_twice_are_four(crm: Crm, tmp_path: Path) -> None:
    """Every change is a change of its own; won again it is worth what it was."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won")
    states = []
    for stage in ("Closed Won", "Closed Lost", "Closed Won", "Closed Lost"):
        crm.world.change(record, StageName=stage)
        crm.round()
        states.append(crm.values("O-1"))
        crm.pass_by(minutes=5)
    assert states == [("APPROVED", "100.00", "5.00"), ("REVERSED", "0.00", "0.00")] * 2
    assert crm.entries() == [
        ("approve", "PENDING", "APPROVED"),
        ("reverse", "APPROVED", "REVERSED"),
        ("reset", "REVERSED", "PENDING"),
        ("approve", "PENDING", "APPROVED"),
        ("reverse", "APPROVED", "REVERSED"),
    ]


def test_s16_an_unrelated_touch_is_none(crm: Crm, tmp_path: Path) -> None:
    """A thousand touches of another field, each of which a trigger tells: nothing is observed, only the stamp moves."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won")
    crm.round()
    before, observed_before = crm.entries(), observations(crm)
    with rounds.claimed(crm.desk, crm.settings) as reader, crm.opened() as org:
        assert reader is not None
        for touch in range(1_000):
            crm.pass_by(seconds=1)
            crm.world.change(record, Name=f"renamed {touch}")
            hint(crm, record)
            assert heeding.heed(reader, org, {}, at=crm.clock.now) == (1, [])
        assert (reader.tally.read, reader.tally.unchanged) == (1_000, 1_000)
    assert crm.round().records["changed"] == 0
    assert (crm.entries(), observations(crm)) == (before, observed_before)
    assert stamp_of(crm, record) == crm.world.now


def observations(crm: Crm) -> int:
    """How many changes of records were written down."""
    with crm.desk.store.read() as db:
        return int(db.execute(select(func.count()).select_from(observation)).scalar_one())


def stamp_of(crm: Crm, record: str) -> datetime:
    """The stamp of a record when it was read last."""
    with crm.desk.store.read() as db:
        return observed.seen(db, "crm", "sales", [record])[record].stamp


def test_s17_an_old_trigger_after_a_newer_poll(crm: Crm, tmp_path: Path) -> None:
    """It only says where to look: what is read is what the record says now."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won")
    hint(crm, record, key="told when it was won ")
    crm.pass_by(minutes=1)
    crm.world.change(record, StageName="Closed Lost")
    crm.round()
    hint(crm, record, key="told late ")
    crm.listen()
    assert (crm.values("O-1")[0], crm.entries()) == ("REVERSED", [("reverse", "PENDING", "REVERSED")])


def test_s18_two_changes_within_a_second(crm: Crm, tmp_path: Path) -> None:
    """There and back with one stamp, each read by a trigger: two changes."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.round()
    for stage in ("Closed Lost", "Negotiation"):
        crm.world.change(record, StageName=stage)
        hint(crm, record, key=stage)
        crm.listen()
    assert crm.entries() == [("reverse", "PENDING", "REVERSED"), ("reset", "REVERSED", "PENDING")]


def test_s19_a_decision_of_a_person_survives_a_touch(crm: Crm, tmp_path: Path) -> None:
    """The record says nothing new; the look-up before the lock tells of the difference and leaves it."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Lost")
    crm.round()
    wish = Wish("A-O-1", Change.RESET, reason="RESET")
    deciding.change(crm.desk, SID, wish, by="dana", at=crm.clock.now)
    crm.pass_by(minutes=5)
    crm.world.change(record, Name="touched")
    done = crm.round(until=crm.clock.now + timedelta(days=60))
    assert crm.values("O-1")[0] == "PENDING"
    assert done.swept["sales"]["drifted"] == ["O-1"]


def test_our_clock_is_set_back(crm: Crm, tmp_path: Path) -> None:
    """What is observed later is newer, whatever our clock says."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won")
    crm.clock.now = crm.world.now + timedelta(minutes=3)
    [first] = crm.round().deliveries
    crm.pass_by(minutes=1)
    crm.clock.now -= timedelta(minutes=3)
    crm.world.change(record, StageName="Closed Lost")
    [second] = crm.round().deliveries
    assert (second["rows"]["applied"], crm.values("O-1")[0]) == (1, "REVERSED")
    assert first["received_at"] < second["received_at"]
