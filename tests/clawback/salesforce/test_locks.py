"""What the org says around a lock: before it counts, after it does not, and what was not read holds the lock."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from clawback import deciding
from clawback.salesforce import delivering, rounds
from clawback.salesforce.locking import OrgWatch
from clawback.sweep import lock_due
from connectors.salesforce_org import Org
from connectors.salesforce_settings import SalesforceSettings
from processing import observed
from processing.adjustment_tables import adjustment
from processing.errors import SourceUnreachable, UploadRefused
from processing.model import Change
from processing.person import Wish
from tests.clawback.salesforce.site import PARTNERS, STATUSES, Crm, mapping_table, settings_for
from tests.salesforce_org.server import Fault
from tests.worlds import LOCK, SID, action

SECOND = timedelta(seconds=1)


def down(crm: Crm) -> None:
    """The org answers nothing but errors."""
    crm.org.fault(Fault(status=503, body=b"<html>maintenance</html>", kind="text/html"), "/", times=10_000)


def shut(_settings: SalesforceSettings) -> Org:
    """Opens no org."""
    raise SourceUnreachable("shut")


def up(crm: Crm) -> None:
    """The org answers again."""
    crm.org.faults.clear()


@pytest.mark.parametrize(("offset", "state"), [(-SECOND, "REVERSED"), (0 * SECOND, "APPROVED"), (SECOND, "APPROVED")])
def test_s20_a_second_before_at_and_after_the_lock(crm: Crm, tmp_path: Path, offset: timedelta, state: str) -> None:
    """What the org had a second before counts, though it was read only after; at the lock it is too late."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.clock.now = crm.world.now = LOCK - timedelta(minutes=2)
    crm.round()
    crm.world.now = LOCK + offset
    crm.world.change(record, StageName="Closed Lost")
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=10)
    [swept] = crm.lock()
    assert (swept.locked, swept.waits_for, crm.values("O-1")[0]) == (1, (), state)


def test_s21_the_sweep_finds_what_the_cursor_missed(crm: Crm, tmp_path: Path) -> None:
    """A change that never moved the stamp: found by its order before the lock."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.round()
    crm.pass_by(minutes=30)
    crm.round()
    crm.world.recalculate(record, StageName="Closed Lost")
    crm.pass_by(minutes=30)
    crm.round()
    assert crm.values("O-1")[0] == "PENDING"
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=71)
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


def test_s21_an_order_number_of_another_case_is_another_order(crm: Crm, tmp_path: Path) -> None:
    """An org finds records without regard to case."""
    crm.sell(tmp_path, "O-1a", "O-1A")
    crm.opportunity("O-1a")
    record = crm.opportunity("O-1A")
    crm.round()
    crm.world.recalculate(record, StageName="Closed Lost")
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=71)
    crm.round()
    assert (crm.values("O-1a")[0], crm.values("O-1A")[0], crm.held()) == ("PENDING", "REVERSED", [])


@pytest.mark.parametrize("policy", ["hold", "lock_anyway"])
@pytest.mark.parametrize("is_touched", [False, True])
def test_what_was_held_in_time_stays_in_time(crm: Crm, tmp_path: Path, policy: str, *, is_touched: bool) -> None:
    """Whatever touches the record before a person gets to it."""
    crm.settings = settings_for(crm.org, on_stale=policy)
    crm.sell(tmp_path, "O-1")
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=5)
    record = crm.opportunity("O-1", "Refunded")
    crm.pass_by(minutes=1)
    crm.round()
    crm.clock.now = crm.world.now = LOCK + timedelta(hours=1)
    crm.lock()
    if is_touched:
        crm.world.change(record, Name="a nightly job")
        crm.pass_by(minutes=5)
        crm.round()
    statuses = STATUSES | {"Refunded": {"outcome": "reverse", "reason": "RETURNED"}}
    crm.settings = settings_for(crm.org, on_stale=policy, mapping=[mapping_table(statuses=statuses)])
    rounds.reconsider(crm.desk, crm.settings)
    assert crm.values("O-1")[0] == "REVERSED"


@pytest.mark.parametrize(("policy", "locked"), [("hold", 0), ("lock_anyway", 1)])
def test_s22_the_org_is_down_over_a_lock(crm: Crm, tmp_path: Path, policy: str, locked: int) -> None:
    """By policy the lock waits for what was not read, and then honours it; or it does not wait."""
    crm.settings = settings_for(crm.org, on_stale=policy)
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=1)
    crm.round()
    down(crm)
    crm.pass_by(minutes=30)
    crm.world.change(record, StageName="Closed Lost")
    crm.pass_by(hours=2)
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred) == (locked, 1 - locked)
    assert swept.waits_for == (() if locked else ("salesforce:crm",))
    with pytest.raises(SourceUnreachable):
        crm.round()
    up(crm)
    crm.pass_by(hours=3)
    if locked:
        crm.round()
        assert crm.values("O-1")[0] == "APPROVED"
    else:
        [swept] = crm.lock()
        assert (swept.locked, swept.deferred, crm.values("O-1")[0]) == (1, 0, "REVERSED")
    assert action(crm.desk.store, "A-O-1")["locked_unread"] == (["salesforce:crm"] if locked else [])


@pytest.mark.parametrize(("policy", "locked"), [("hold", 0), ("lock_anyway", 1)])
def test_an_action_that_is_loaded_after_its_lock_is_asked_for(
    crm: Crm, tmp_path: Path, policy: str, locked: int
) -> None:
    """Whatever was read before did not ask for its order: it waits for the org as others do."""
    crm.settings = settings_for(crm.org, on_stale=policy)
    crm.sell(tmp_path, "O-0")
    crm.world.now = crm.clock.now - timedelta(days=60)
    crm.opportunity("O-1", "Closed Lost")
    crm.clock.now = crm.world.now = LOCK + timedelta(hours=1)
    crm.round(until=crm.clock.now)
    crm.pass_by(hours=1)
    crm.sell(tmp_path, "O-1")
    down(crm)
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred) == (1 + locked, 1 - locked)
    assert action(crm.desk.store, "A-O-0")["locked_unread"] == []
    assert action(crm.desk.store, "A-O-1")["locked_unread"] == (["salesforce:crm"] if locked else [])
    if not locked:
        up(crm)
        crm.pass_by(hours=3)
        [swept] = crm.lock()
        assert (swept.locked, swept.deferred, crm.values("O-1")[0]) == (1, 0, "REVERSED")


def test_s22_a_touch_after_the_lock_makes_a_change_late(crm: Crm, tmp_path: Path) -> None:
    """The stamp tells of the last touch alone: what was changed before is refused, and proposed as an adjustment."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=1)
    crm.round()
    crm.pass_by(minutes=30)
    crm.world.change(record, StageName="Closed Lost")
    down(crm)
    crm.pass_by(hours=1)
    crm.lock()
    crm.world.change(record, Name="touched by a nightly job")
    up(crm)
    crm.pass_by(hours=1)
    assert [(one.locked, crm.values("O-1")[0]) for one in crm.lock()] == [(1, "APPROVED")]
    with crm.desk.store.read() as db:
        assert [one.change for one in db.execute(select(adjustment))] == ["reverse"]


def test_s23_what_comes_late_is_kept_as_an_adjustment(crm: Crm, tmp_path: Path) -> None:
    """The action stays as it locked; the line tells of record, stamp and statuses, and proposes the change."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=1)
    crm.lock()
    crm.pass_by(days=1)
    crm.world.change(record, StageName="Closed Lost")
    [head] = crm.round().deliveries
    assert head["rows"]["refused"] == 1
    content = crm.desk.spool.content(head["delivery"]).read_text()
    assert f"{record},{crm.world.now.isoformat()},Negotiation,Closed Lost" in content
    with crm.desk.store.read() as db:
        assert [one.change for one in db.execute(select(adjustment))] == ["reverse"]
    assert action(crm.desk.store, "A-O-1")["state"] == "APPROVED"


@pytest.mark.parametrize("policy", ["hold", "lock_anyway"])
def test_a_held_record_holds_its_lock(crm: Crm, tmp_path: Path, policy: str) -> None:
    """Nobody knows what its status means; until somebody does, its action does not lock, and others do."""
    crm.settings = settings_for(crm.org, on_stale=policy)
    crm.sell(tmp_path, "O-1", "O-2")
    record = crm.opportunity("O-1", "On Hold")
    crm.opportunity("O-2")
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=1)
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred) == (1, 1)
    crm.world.change(record, StageName="Negotiation")
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred) == (1, 0)


GONE = "The record can no longer be seen: it is hidden from our user, or removed for good."


@pytest.mark.parametrize("policy", ["hold", "lock_anyway"])
def test_a_record_that_was_hidden_holds_its_lock(crm: Crm, tmp_path: Path, policy: str) -> None:
    """What it says now nobody can read; once it can be seen again, or a person lets it go, the lock is free."""
    crm.settings = settings_for(crm.org, on_stale=policy)
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    hidden, purged = crm.opportunity("O-1", "Closed Won"), crm.opportunity("O-2", "Closed Won")
    crm.round()
    crm.world.hidden_records.add(hidden)
    crm.world.purged.add(purged)
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=1)
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred, swept.waits_for) == (1, 2, ("salesforce:crm",))
    assert crm.held() == [GONE, GONE]
    [swept] = crm.lock()
    assert (swept.locked, len(crm.held())) == (0, 2)
    crm.world.hidden_records.clear()
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred, crm.held()) == (1, 1, [GONE])
    with crm.desk.store.write() as db:
        assert observed.let_go(db, "crm", purged, crm.clock.now) == 1
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred, crm.held()) == (1, 0, [])


def test_a_record_that_shows_again_says_what_it_says(crm: Crm, tmp_path: Path) -> None:
    """Its stamp is as old as it was, so no poll finds it."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.round()
    crm.world.hidden_records.add(record)
    crm.world.recalculate(record, StageName="Closed Lost")
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=2)
    crm.round()
    assert crm.held() == [GONE]
    crm.world.hidden_records.clear()
    crm.pass_by(hours=1)
    crm.round()
    assert (crm.values("O-1")[0], crm.held()) == ("REVERSED", [])


def test_a_record_that_was_moved_without_a_stamp_is_found_by_its_id(crm: Crm, tmp_path: Path) -> None:
    """Neither order locks by what nobody decided on."""
    crm.sell(tmp_path, "O-1", "O-2")
    record = crm.opportunity("O-1", "Closed Won")
    crm.round()
    crm.world.recalculate(record, Order_Number__c="O-2")
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=2)
    crm.round()
    assert crm.held() == ["The record was moved from order 'O-1' to 'O-2'."]
    assert crm.values("O-2")[0] == "APPROVED"


@pytest.mark.parametrize("batches", ["none", "all"])
def test_what_was_read_and_has_not_landed_holds_its_lock(crm: Crm, tmp_path: Path, batches: str) -> None:
    """Behind the second change of an order, or in a batch whose maker died: it is not applied, so nothing locks."""
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    crm.opportunity("O-3")
    record = crm.opportunity("O-1", "Closed Won")
    crm.round()
    crm.world.change(record, StageName="Closed Lost")
    crm.opportunity("O-2", "Closed Lost")
    crm.round()
    if batches == "all":
        with crm.desk.store.write() as db:
            while due := observed.due(db, "crm"):
                observed.make_batch(db, "crm", delivering.places(due), crm.clock.now, crm.clock.now)
        crm.settings = settings_for(crm.org, backfill="ask", on_stale="lock_anyway")
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=1)
    # No round comes so far that the batches land before the lock.
    watch = OrgWatch([crm.settings], crm.opened if batches == "none" else shut)
    [swept] = lock_due(crm.desk, as_of=crm.clock.now, at=crm.clock.now, feeds=watch)
    assert (swept.locked, swept.deferred, swept.waits_for) == (1, 2, ("salesforce:crm",))


def test_the_lock_waits_for_a_round_that_reads_meanwhile(crm: Crm, tmp_path: Path) -> None:
    """Whatever ``on_stale`` says, for the org can be read, and the lock sweep comes back soon."""
    crm.settings = settings_for(crm.org, on_stale="lock_anyway")
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.clock.now = crm.world.now = LOCK - timedelta(minutes=5)
    crm.round()
    crm.pass_by(minutes=2)
    crm.world.change(record, StageName="Closed Lost")
    crm.clock.now = crm.world.now = LOCK
    watch = OrgWatch([crm.settings], crm.opened)
    with rounds.claimed(crm.desk, crm.settings) as reader:
        assert reader is not None
        [swept] = lock_due(crm.desk, as_of=LOCK, at=LOCK, feeds=watch)
        assert (swept.locked, swept.deferred, swept.waits_for) == (0, 1, ("salesforce:crm",))
    # It does not wait for one that is over.
    [swept] = lock_due(crm.desk, as_of=LOCK, at=LOCK, feeds=watch)
    assert swept.deferred == 0


@pytest.mark.parametrize("policy", ["hold", "lock_anyway"])
@pytest.mark.parametrize("how", ["started", "mapped"])
def test_what_a_lock_waited_for_is_in_time(crm: Crm, tmp_path: Path, policy: str, how: str) -> None:
    """It was read before the lock, and a person decides after it: else there was nothing to wait for."""
    crm.settings = settings_for(crm.org, on_stale=policy, backfill="ask" if how == "started" else "apply")
    crm.sell(tmp_path, "O-1")
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=5)
    crm.opportunity("O-1", "Closed Lost" if how == "started" else "Refunded")
    crm.round()
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=10)
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred) == (0, 1)
    if how == "started":
        rounds.approve(crm.desk, crm.settings)
    else:
        statuses = STATUSES | {"Refunded": {"outcome": "reverse", "reason": "RETURNED"}}
        crm.settings = settings_for(crm.org, on_stale=policy, mapping=[mapping_table(statuses=statuses)])
        rounds.reconsider(crm.desk, crm.settings)
    assert crm.values("O-1")[0] == "REVERSED"


@pytest.mark.parametrize("policy", ["hold", "lock_anyway"])
@pytest.mark.parametrize(("offset", "state"), [(-SECOND, "REVERSED"), (0 * SECOND, "PENDING")])
def test_a_status_of_a_parent_that_was_read_before_the_lock_is_in_time(
    crm: Crm, tmp_path: Path, policy: str, offset: timedelta, state: str
) -> None:
    """It was held, for nobody knew what it means: of what was read by then no stamp has to tell."""
    outcomes = {"Draft": {"outcome": "none"}}
    its = {"object": "OrderItem", "order_id": "Order.OrderNumber", "status": "Order.Status", "amount": None}
    crm.settings = settings_for(crm.org, on_stale=policy, mapping=[mapping_table(**its, statuses=outcomes)])
    crm.sell(tmp_path, "O-1")
    crm.world.now = LOCK - timedelta(days=1)
    crm.world.add("OrderItem", OrderId=crm.world.add("Order", OrderNumber="O-1", Status="Refunded"))
    crm.clock.now = crm.world.now = LOCK + offset
    crm.round()
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=10)
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred) == (0, 1)
    outcomes["Refunded"] = {"outcome": "reverse", "reason": "RETURNED"}
    crm.settings = settings_for(crm.org, on_stale=policy, mapping=[mapping_table(**its, statuses=outcomes)])
    rounds.reconsider(crm.desk, crm.settings)
    assert crm.values("O-1")[0] == state


def test_each_batch_of_before_a_lock_has_an_arrival_of_its_own(crm: Crm, tmp_path: Path) -> None:
    """So the later of two changes is the newer one, whichever of them is judged first."""
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Lost")
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=5)
    crm.round()
    crm.pass_by(hours=1)
    crm.world.change(record, StageName="Closed Won")
    crm.round()
    crm.clock.now = crm.world.now = LOCK + timedelta(hours=1)
    started = rounds.approve(crm.desk, crm.settings)
    assert started is not None
    first, second = (datetime.fromisoformat(one["received_at"]) for one in started.deliveries)
    assert LOCK - SECOND < first < second < LOCK
    assert crm.values("O-1")[0] == "APPROVED"


def test_a_hold_outlives_its_mapping(crm: Crm, tmp_path: Path) -> None:
    """Renamed, or taken out of the settings: what a person has to decide waits for one, and so does the lock."""
    crm.sell(tmp_path, "O-1", "O-2")
    held = crm.opportunity("O-1", "Nobody knows")
    crm.opportunity("O-2", "Closed Won")
    crm.round()
    crm.settings = settings_for(crm.org, mapping=[mapping_table(name="others", filter=[PARTNERS])])
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=1)
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred) == (1, 1)
    with crm.desk.store.write() as db:
        observed.let_go(db, "crm", held, crm.clock.now)
    assert [one.locked for one in crm.lock()] == [1]


@pytest.mark.parametrize("policy", ["hold", "lock_anyway"])
def test_what_was_read_in_time_counts_however_late_it_lands(crm: Crm, tmp_path: Path, policy: str) -> None:
    """Nothing could land when it was read, and the lock passed before it could."""
    crm.settings = settings_for(crm.org, on_stale=policy)
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.clock.now = crm.world.now = LOCK - timedelta(minutes=2)
    crm.round()
    crm.world.change(record, StageName="Closed Lost")
    crm.pass_by(minutes=1)
    order, away = tmp_path / "spool" / "order", tmp_path / "away"
    order.rename(away)
    order.mkdir()
    with pytest.raises((UploadRefused, OSError), match="Is a directory"):
        crm.round()
    order.rmdir()
    away.rename(order)
    crm.pass_by(minutes=5)
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


def test_an_org_whose_clock_is_behind_supersedes_nothing(crm: Crm, tmp_path: Path) -> None:
    """By our clock the approval arrived after the stamp of the reversal that followed it in the org."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won")
    crm.clock.now, crm.world.now = LOCK - timedelta(seconds=10), LOCK - timedelta(seconds=70)
    crm.round()
    crm.world.now = LOCK - timedelta(seconds=65)
    crm.world.change(record, StageName="Closed Lost")
    crm.clock.now, crm.world.now = LOCK + timedelta(minutes=1), LOCK
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


def test_a_status_of_a_parent_read_after_the_lock_is_held(crm: Crm, tmp_path: Path) -> None:
    """The item's stamp is from before the lock whenever its order changed; a person decides, and lets the record go."""
    outcomes = {"Draft": {"outcome": "none"}, "Activated": {"outcome": "reverse", "reason": "RETURNED"}}
    items = mapping_table(
        object="OrderItem", order_id="Order.OrderNumber", status="Order.Status", amount=None, statuses=outcomes
    )
    crm.settings = settings_for(crm.org, mapping=[items])
    crm.sell(tmp_path, "O-1")
    order = crm.world.add("Order", OrderNumber="O-1", Status="Draft")
    item = crm.world.add("OrderItem", OrderId=order)
    crm.round()
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=1)
    crm.world.change(order, Status="Activated")
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred, crm.values("O-1")[0]) == (0, 1, "PENDING")
    rounds.reconsider(crm.desk, crm.settings)
    [why] = crm.held()
    assert why.startswith("Order.Status of order 'O-1' was read only after the lock")
    assert decided(crm, Change.MODIFY, "60.00")["rows"]["applied"] == 1
    with crm.desk.store.write() as db:
        observed.let_go(db, "crm", item, crm.clock.now)
    [swept] = crm.lock()
    assert (swept.locked, crm.values("O-1")[:2]) == (1, ("APPROVED", "60.00"))


@pytest.mark.parametrize(("offset", "rows"), [(-SECOND, "applied"), (0 * SECOND, "refused")])
def test_a_person_decides_in_time_on_what_a_lock_waits_for(
    crm: Crm, tmp_path: Path, offset: timedelta, rows: str
) -> None:
    """What the org had before the lock and nobody could map counts, however late somebody looks at it."""
    crm.sell(tmp_path, "O-1", "O-2")
    crm.world.now = LOCK + offset
    crm.opportunity("O-1", "Refunded")
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=10)
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred) == (1, 1)
    assert decided(crm, Change.MODIFY, "60.00")["rows"][rows] == 1
    assert decided(crm, Change.REVERSE)["rows"][rows] == 1
    assert crm.values("O-1")[0] == ("REVERSED" if rows == "applied" else "PENDING")
    wish = Wish("A-O-2", Change.REVERSE, reason="RETURNED")
    late = deciding.change(crm.desk, SID, wish, by="dana", at=crm.clock.now, sources=["crm"])
    assert late["rows"]["refused"] == 1


def decided(crm: Crm, change: Change, amount: str | None = None) -> dict[str, Any]:
    """The receipt of what a person decides on the action of O-1, some time later."""
    crm.pass_by(minutes=1)
    wish = Wish("A-O-1", change, reason="OTHER", amount=amount)
    return deciding.change(crm.desk, SID, wish, by="dana", at=crm.clock.now, sources=["crm"])


def test_who_let_the_record_go_is_late(crm: Crm, tmp_path: Path) -> None:
    """Nothing holds the lock any more, though the lock sweep has not come by yet; nor does another brand's record."""
    crm.sell(tmp_path, "O-1")
    crm.world.now = LOCK - SECOND
    record = crm.opportunity("O-1", "Refunded")
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=10)
    crm.lock()
    wish = Wish("A-O-1", Change.REVERSE, reason="RETURNED")
    told = deciding.change(crm.desk, SID, wish, by="dana", at=crm.clock.now, sources=["another"])
    assert told["rows"]["refused"] == 1
    with crm.desk.store.write() as db:
        observed.let_go(db, "crm", record, crm.clock.now)
    assert decided(crm, Change.REVERSE)["rows"]["refused"] == 1


def test_a_clock_of_the_org_that_is_ahead_proves_nothing(crm: Crm, tmp_path: Path) -> None:
    """By its clock the last reading began after the lock; by ours a change came behind it and before the lock."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.org.skew = timedelta(minutes=4)
    crm.clock.now = crm.world.now = LOCK - timedelta(minutes=3)
    crm.round(until=LOCK)
    crm.pass_by(minutes=1)
    crm.world.change(record, StageName="Closed Lost")
    down(crm)
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=1)
    [swept] = crm.lock()
    assert (swept.locked, swept.deferred) == (0, 1)
