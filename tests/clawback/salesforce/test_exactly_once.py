"""Each change of a record once, whoever reads it how often and by whichever way."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from clawback import deciding
from clawback.salesforce import rounds
from processing import hints, org_claims
from processing.errors import LedgerConflict
from processing.hints import Hint
from processing.model import Change
from processing.person import Wish
from tests.clawback.salesforce.site import Crm
from tests.worlds import SID


def hint(crm: Crm, *records: str, key: str = "") -> None:
    """A trigger told of these records."""
    with crm.desk.store.write() as db:
        told = [Hint(f"{key or crm.clock.now}{one}", "Opportunity", one) for one in records]
        hints.take(db, "crm", told, crm.clock.now)


def test_s12_the_same_window_again_and_again(crm: Crm, tmp_path: Path) -> None:
    """Ten times the same, and it is one transition."""
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Lost")
    for _ in range(10):
        crm.round()
    assert crm.entries() == [("reverse", "PENDING", "REVERSED")]


def test_s13_two_workers(crm: Crm, tmp_path: Path) -> None:
    """At the same time: one reads, or both one after the other, and the change is one."""
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Lost")
    failed: list[Exception] = []

    def work() -> None:
        try:
            rounds.run(crm.desk, crm.settings, crm.opened())
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
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
    """Three ways see one change, and one is applied."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Lost")
    hint(crm, record)
    crm.round(until=crm.clock.now + timedelta(days=60))
    assert crm.entries() == [("reverse", "PENDING", "REVERSED")]


def test_s15_lost_and_won_twice_are_four(crm: Crm, tmp_path: Path) -> None:
    """Every change is a change of its own; won again it is worth what it was."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won")
    for stage in ("Closed Won", "Closed Lost", "Closed Won", "Closed Lost"):
        crm.world.change(record, StageName=stage)
        crm.round()
        crm.pass_by(minutes=5)
    assert crm.entries() == [
        ("approve", "PENDING", "APPROVED"),
        ("reverse", "APPROVED", "REVERSED"),
        ("reset", "REVERSED", "PENDING"),
        ("approve", "PENDING", "APPROVED"),
        ("reverse", "APPROVED", "REVERSED"),
    ]


def test_s16_an_unrelated_touch_is_none(crm: Crm, tmp_path: Path) -> None:
    """Touches of another field: nothing is observed, only the stamp moves."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won")
    crm.round()
    before = crm.entries()
    for _ in range(8):
        crm.pass_by(seconds=1)
        crm.world.change(record, Name="renamed")
        hint(crm, record)
        crm.listen()
    assert crm.round().records["changed"] == 0
    assert crm.entries() == before


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
