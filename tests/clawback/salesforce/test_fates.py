"""What was asked against what the ledger did: what it refused, held, gave up or undid is not taken for done."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding, pipeline
from clawback.loading import load_rates
from clawback.revising import undo
from clawback.salesforce import rounds
from tests.clawback.salesforce.site import Crm, mapping_table, settings_for
from tests.worlds import LOCK

MANY = [f"O-{n}" for n in range(30)]


def test_a_state_after_one_that_was_refused_is_asked_in_full(crm: Crm, tmp_path: Path) -> None:
    """Without a rate the amount was refused: the approval brings it along, as for whoever saw the last state only."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(currency="CurrencyIsoCode")])
    crm.sell(tmp_path, "O-1", "O-2")
    record = crm.opportunity("O-1", "Partly Returned", Amount=40.0, CurrencyIsoCode="EUR")
    [head] = crm.round().deliveries
    assert head["rows"]["refused"] == 1
    load_rate(crm, tmp_path)
    crm.pass_by(minutes=5)
    crm.world.change(record, StageName="Closed Won")
    crm.opportunity("O-2", "Closed Won", Amount=40.0, CurrencyIsoCode="EUR")
    crm.round()
    assert (crm.values("O-1"), crm.values("O-2")) == (("APPROVED", "43.42", "2.17"),) * 2


def load_rate(crm: Crm, folder: Path) -> None:
    """What a euro is worth."""
    file = folder / "rates.csv"
    file.write_text("Day,From,To,Rate\n2027-01-15,EUR,USD,1.0856\n")
    load_rates(crm.desk, file)


def test_judging_all_anew_asks_again_what_was_refused(crm: Crm, tmp_path: Path) -> None:
    """And nothing else: not what was applied, nor what still waits for its action."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(currency="CurrencyIsoCode")])
    crm.sell(tmp_path, "O-1", "O-2")
    crm.opportunity("O-1", "Partly Returned", Amount=40.0, CurrencyIsoCode="EUR")
    crm.opportunity("O-2", "Closed Won")
    crm.opportunity("nobody's", "Closed Won")
    crm.round()
    load_rate(crm, tmp_path)
    crm.pass_by(minutes=5)
    assert [one["rows"]["read"] for one in everything_anew(crm)] == [2]
    assert crm.values("O-1") == ("PENDING", "43.42", "2.17")
    crm.pass_by(days=31)
    pipeline.collect(crm.desk, at=crm.clock.now)
    assert everything_anew(crm) == []


def everything_anew(crm: Crm) -> list[dict[str, Any]]:
    """The receipts of judging all records anew."""
    done = rounds.reconsider(crm.desk, crm.settings, everything=True)
    assert done is not None
    return done.deliveries


@pytest.mark.parametrize("decision", ["released before", "rejected before", "released after", "rejected after"])
def test_a_state_after_one_that_is_held(crm: Crm, tmp_path: Path, decision: str) -> None:
    """Whatever a person decides about the delivery, and when, the action has what the record says."""
    head, record = a_held_delivery(crm, tmp_path)
    decide = deciding.release if decision.startswith("released") else deciding.reject
    if decision.endswith("before"):
        decide(crm.desk, head, by="dana", at=crm.clock.now)
        crm.pass_by(minutes=5)
    crm.world.change(record, StageName="Closed Won")
    crm.round()
    crm.pass_by(minutes=5)
    if decision.endswith("after"):
        decide(crm.desk, head, by="dana", at=crm.clock.now)
    assert crm.values("O-29") == ("APPROVED", "60.00", "3.00")


def a_held_delivery(crm: Crm, folder: Path) -> tuple[str, str]:
    """A delivery that reverses too much, and in it an amount of O-29; gives its number, and the record of that."""
    crm.sell(folder, *MANY)
    records = [crm.opportunity(order) for order in MANY]
    crm.round()
    crm.pass_by(minutes=5)
    for one in records[:25]:
        crm.world.change(one, StageName="Partly Returned", Amount=0.0)
    crm.world.change(records[29], StageName="Partly Returned", Amount=60.0)
    [head] = crm.round().deliveries
    assert head["state"] == "held"
    crm.pass_by(hours=2)
    return str(head["delivery"]), records[29]


def test_what_is_held_is_asked_once(crm: Crm, tmp_path: Path) -> None:
    """Judging all records anew, or a touch, adds nothing to it."""
    head, record = a_held_delivery(crm, tmp_path)
    crm.world.change(record, Name="touched")
    assert (crm.round().deliveries, everything_anew(crm)) == ([], [])
    deciding.reject(crm.desk, head, by="dana", at=crm.clock.now)
    [again] = everything_anew(crm)
    assert again["rows"]["read"] == 25 + 2


@pytest.mark.parametrize("undone", [0, 1])
def test_a_state_after_one_that_was_undone(crm: Crm, tmp_path: Path, undone: int) -> None:
    """Both states before it, or the last one; what follows then asks for the difference again."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Partly Returned", Amount=60.0)
    heads = crm.round().deliveries
    crm.pass_by(minutes=5)
    crm.world.change(record, StageName="Closed Won")
    heads += crm.round().deliveries
    crm.pass_by(minutes=5)
    for one in reversed(heads[undone:]):
        undo(crm.desk, one["delivery"], by="dana", reason=None, at=crm.clock.now)
    crm.pass_by(minutes=5)
    crm.world.change(record, Amount=70.0)
    crm.round()
    assert crm.values("O-1") == ("APPROVED", "70.00", "3.50")
    crm.pass_by(minutes=5)
    crm.world.change(record, Amount=80.0)
    [head] = crm.round().deliveries
    assert (head["rows"]["read"], crm.values("O-1")) == (1, ("APPROVED", "80.00", "4.00"))


def test_what_waited_in_vain_is_asked_again_before_the_lock(crm: Crm, tmp_path: Path) -> None:
    """Its action was loaded when nobody waited for it any more; the look-up finds it, and asks once."""
    crm.opportunity("O-1", "Closed Lost")
    [head] = crm.round().deliveries
    crm.pass_by(days=31)
    pipeline.collect(crm.desk, at=crm.clock.now)
    assert pipeline.receipt(crm.desk, head["delivery"])["rows"]["refused"] == 1
    crm.sell(tmp_path, "O-1")
    assert len(crm.round(until=LOCK).deliveries) == 1
    assert crm.values("O-1")[0] == "REVERSED"
    crm.pass_by(hours=1)
    assert crm.round(until=LOCK).deliveries == []


def test_a_parents_status_that_waited_in_vain_is_held_after_the_lock(crm: Crm, tmp_path: Path) -> None:
    """Its action was loaded so late that nobody can tell any more since when the parent says so."""
    outcomes = {"Draft": {"outcome": "none"}, "Activated": {"outcome": "reverse", "reason": "RETURNED"}}
    of_parent = {"object": "OrderItem", "order_id": "Order.OrderNumber", "status": "Order.Status", "amount": None}
    crm.settings = settings_for(crm.org, mapping=[mapping_table(**of_parent, statuses=outcomes)])
    crm.sell(tmp_path, "O-0")
    crm.world.add("OrderItem", OrderId=crm.world.add("Order", OrderNumber="O-1", Status="Activated"))
    crm.round()
    crm.pass_by(days=31)
    pipeline.collect(crm.desk, at=crm.clock.now)
    crm.clock.now = crm.world.now = LOCK + timedelta(hours=1)
    crm.sell(tmp_path, "O-1")
    for _ in range(2):
        [swept] = crm.lock()
        assert (swept.deferred, len(crm.held()), crm.values("O-1")[0]) == (1, 1, "PENDING")


def test_a_state_after_one_that_waits_is_asked_in_full(crm: Crm, tmp_path: Path) -> None:
    """Whether the first waited in vain by the time the action is loaded or did not."""
    record = crm.opportunity("O-1", "Partly Returned", Amount=60.0)
    crm.round()
    crm.pass_by(days=20)
    crm.world.change(record, StageName="Closed Won")
    crm.round()
    crm.pass_by(days=15)
    pipeline.collect(crm.desk, at=crm.clock.now)
    crm.sell(tmp_path, "O-1")
    pipeline.collect(crm.desk, at=crm.clock.now)
    assert crm.values("O-1") == ("APPROVED", "60.00", "3.00")
