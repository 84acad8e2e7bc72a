"""Several records of one order: together, one after the other, by one mapping or by two."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback.salesforce import rounds
from tests.clawback.salesforce.site import LEADS, PARTNERS, STATUSES, Crm, mapping_table, settings_for
from tests.worlds import LOCK, Sale, load, values

RETAIL: dict[str, Any] = {"field": "RecordType.DeveloperName", "value": "Retail"}
FOLLOWED = LEADS | {"on_converted": "follow"}


def test_what_waits_is_held_when_another_record_shows(crm: Crm, tmp_path: Path) -> None:
    """Also when the first is read again with it, and says what it said."""
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Lost")
    crm.round()
    crm.pass_by(minutes=5)
    crm.opportunity("O-1", "Closed Won")
    crm.round()
    rounds.approve(crm.desk, crm.settings)
    assert (len(crm.held()), crm.values("O-1")[0]) == (2, "PENDING")


def test_a_trigger_tells_of_one_of_two(crm: Crm, tmp_path: Path) -> None:
    """Nothing of it is applied before the round has seen the other."""
    crm.sell(tmp_path, "O-1")
    crm.round()
    crm.pass_by(minutes=5)
    first = crm.opportunity("O-1", "Closed Lost")
    crm.opportunity("O-1", "Closed Won")
    crm.hint(("Opportunity", first))
    crm.round()
    assert (len(crm.held()), crm.values("O-1")[0]) == (2, "PENDING")


@pytest.mark.parametrize("page", [1, 2_000])
def test_a_double_that_gets_its_right_order(crm: Crm, tmp_path: Path, page: int) -> None:
    """Nothing was asked for the wrong one, so nothing of it is in doubt any more."""
    crm.org.page = page
    crm.sell(tmp_path, "O-1", "O-2")
    crm.opportunity("O-1", "Closed Won")
    double = crm.opportunity("O-1", "Closed Lost")
    crm.round()
    assert len(crm.held()) == 2
    crm.pass_by(minutes=5)
    crm.world.change(double, Order_Number__c="O-2")
    crm.round()
    assert (crm.held(), crm.values("O-1")[0], crm.values("O-2")[0]) == ([], "APPROVED", "REVERSED")


def test_a_record_that_moves_to_an_order_of_another(crm: Crm, tmp_path: Path) -> None:
    """It is held until the other goes away; what it was moved from is for a person."""
    crm.sell(tmp_path, "O-1", "O-2")
    moved, other = crm.opportunity("O-1", "Closed Won"), crm.opportunity("O-2")
    crm.round()
    crm.pass_by(minutes=5)
    crm.world.change(moved, Order_Number__c="O-2", StageName="Closed Lost")
    crm.round()
    assert crm.values("O-2")[0] == "PENDING"
    crm.pass_by(minutes=5)
    crm.world.change(other, Order_Number__c="O-9")
    crm.round()
    assert crm.held() == ["The record was moved from order 'O-1' to 'O-2'."]
    assert crm.values("O-2")[0] == "REVERSED"


def test_records_of_two_mappings(crm: Crm, tmp_path: Path) -> None:
    """A lead and an opportunity of one order: two records, whatever reads them."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(), LEADS])
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Won")
    lead = crm.world.add("Lead", Order_Number__c="O-1", Status="Rejected")
    crm.round()
    assert (len(crm.held()), crm.values("O-1")[0]) == (2, "PENDING")
    crm.world.delete(lead)
    crm.round()
    assert (crm.held(), crm.values("O-1")[0]) == (["The record is deleted."], "APPROVED")


@pytest.mark.parametrize("turned", [False, True])
def test_a_record_that_goes_from_one_mapping_to_another(crm: Crm, tmp_path: Path, *, turned: bool) -> None:
    """What it says by the new one stands, whichever is read first."""
    two = [mapping_table(name="aa", filter=[PARTNERS]), mapping_table(name="bb", filter=[RETAIL])]
    crm.settings = settings_for(crm.org, mapping=two)
    kinds = [crm.world.add("RecordType", DeveloperName=one) for one in ("Partner", "Retail")]
    old, new = reversed(kinds) if turned else kinds
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won", RecordTypeId=old)
    crm.round()
    assert crm.values("O-1")[0] == "APPROVED"
    crm.pass_by(minutes=20)
    crm.world.change(record, RecordTypeId=new, StageName="Partly Returned", Amount=60.0)
    crm.round()
    crm.pass_by(minutes=20)
    crm.round(until=LOCK)
    assert crm.values("O-1")[:2] == ("PENDING", "60.00")
    crm.world.change(record, RecordTypeId=old, StageName="Closed Won")
    crm.round()
    assert crm.values("O-1")[0] == "APPROVED"


@pytest.mark.parametrize("first", ["the old one leaves", "the new one comes"])
def test_a_record_takes_over_from_one_that_leaves_the_filter(crm: Crm, tmp_path: Path, first: str) -> None:
    """The one that left asks nothing while the other has its order."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(filter=[PARTNERS])])
    partner = crm.world.add("RecordType", DeveloperName="Partner")
    crm.sell(tmp_path, "O-1")
    old = crm.opportunity("O-1", "Closed Won", RecordTypeId=partner)
    crm.round()
    crm.pass_by(minutes=20)
    for step in sorted(("the old one leaves", "the new one comes"), key=lambda one: one != first):
        if step == "the old one leaves":
            crm.world.change(old, RecordTypeId=None)
        else:
            crm.opportunity("O-1", "Partly Returned", Amount=60.0, RecordTypeId=partner)
        crm.pass_by(seconds=5)
    crm.round()
    crm.round(until=LOCK)
    assert (crm.values("O-1")[:2], crm.held()) == (("PENDING", "60.00"), [])


def test_a_record_takes_over_from_a_deleted_one_that_had_reversed(crm: Crm, tmp_path: Path) -> None:
    """The ledger refuses an amount of a reversed action, so its word begins with a reset."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(on_deleted="reverse", deleted_reason="ORDER_ERROR")])
    crm.sell(tmp_path, "O-1")
    old = crm.opportunity("O-1", "Closed Lost")
    crm.round()
    crm.pass_by(minutes=20)
    crm.world.delete(old)
    crm.pass_by(seconds=5)
    new = crm.opportunity("O-1", "Partly Returned", Amount=60.0)
    crm.round()
    assert crm.values("O-1")[:2] == ("PENDING", "60.00")
    crm.world.delete(new)
    crm.world.delete(old, deleted=False)
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


def test_a_rejected_lead_that_is_won_after_all(crm: Crm, tmp_path: Path) -> None:
    """The lead had reversed; the opportunity that it became has the word."""
    crm.settings = settings_for(crm.org, mapping=[FOLLOWED, mapping_table()])
    crm.sell(tmp_path, "O-1")
    lead = crm.world.add("Lead", Order_Number__c="O-1", Status="Rejected")
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"
    crm.pass_by(days=1)
    crm.world.convert(lead, crm.opportunity("O-1", "Closed Won", Amount=60.0))
    crm.round()
    crm.pass_by(days=1)
    crm.round(until=LOCK)
    assert (crm.values("O-1")[:2], crm.held()) == (("APPROVED", "60.00"), [])


def test_the_winner_of_a_merge_takes_the_losers_order(crm: Crm, tmp_path: Path) -> None:
    """The loser had reversed."""
    statuses = {"Rejected": STATUSES["Closed Lost"], "Qualified": STATUSES["Closed Won"], "Open": {"outcome": "none"}}
    crm.settings = settings_for(crm.org, mapping=[FOLLOWED | {"statuses": statuses}, mapping_table()])
    crm.sell(tmp_path, "O-1")
    loser = crm.world.add("Lead", Order_Number__c="O-1", Status="Rejected")
    winner = crm.world.add("Lead", Status="Open")
    crm.round()
    crm.pass_by(hours=1)
    crm.world.merge(winner, loser)
    crm.world.change(winner, Order_Number__c="O-1", Status="Qualified")
    crm.round(until=LOCK)
    assert (crm.values("O-1")[0], crm.held()) == ("APPROVED", [])


@pytest.mark.parametrize("first", ["the other was moved", "it was deleted", "a trigger told that it was deleted"])
def test_the_last_record_of_an_order_is_judged_though_it_was_deleted_while_another_had_the_order(
    crm: Crm, tmp_path: Path, first: str
) -> None:
    """What a deletion asks is asked as soon as nobody else speaks for the order, whatever was read first."""
    deletes = mapping_table(on_deleted="reverse", deleted_reason="ORDER_ERROR")
    crm.settings = settings_for(crm.org, mapping=[deletes])
    crm.sell(tmp_path, "O-1", "O-3")
    one, other = crm.opportunity("O-1"), crm.opportunity("O-1")
    crm.round()
    crm.pass_by(minutes=5)
    if first == "it was deleted":
        crm.world.delete(one)
        crm.round()
        crm.pass_by(minutes=5)
        crm.world.change(other, Order_Number__c="O-3")
    else:
        crm.world.change(other, Order_Number__c="O-3")
        if first == "the other was moved":
            crm.round()
        crm.pass_by(minutes=5)
        crm.world.delete(one)
        if first != "the other was moved":
            crm.hint(("Opportunity", one))
            crm.listen()
    crm.round()
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=2)
    crm.round()
    assert (crm.values("O-1")[0], crm.held()) == ("REVERSED", [])


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_an_order_number_with_line_breaks_is_none(crm: Crm, tmp_path: Path, line_break: str) -> None:
    """It is held, and what stands behind a break is no line about another order."""
    crm.sell(tmp_path, "O-1", "O-9")
    odd = line_break.join(("x", "O-9,16027,99999.00,USD,ORDER_UPDATE,r,s,b,a,1", "y"))
    crm.opportunity(odd, "Closed Won")
    crm.opportunity("O-1", "Closed Won", Amount=90.0)
    [head] = crm.round().deliveries
    assert (head["rows"]["applied"], head["rows"]["rejected"]) == (2, 0)
    assert (crm.values("O-1")[:2], crm.values("O-9")[:2]) == (("APPROVED", "90.00"), ("PENDING", "100.00"))
    assert crm.held() == [f"The order number {odd!r} has a control character."]


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ("x" * 65, f"The order number '{'x' * 65}' has more than 64 characters."),
        ("☃" * 255, f"The order number '{'☃' * 79}…' has more than 64 characters."),
        (" O-1", "The order number ' O-1' begins or ends with a blank."),
        ("O-1\u00a0", "The order number 'O-1\\xa0' begins or ends with a blank."),
    ],
)
def test_an_order_number_that_no_line_may_have(crm: Crm, tmp_path: Path, order: str, why: str) -> None:
    """It is held, not sent to be rejected, until the record has another; that one is judged as ever."""
    load(crm.desk, tmp_path, [Sale("A-O-1", "O-1"), Sale("A-2", "x" * 64)])
    record = crm.opportunity("", "Closed Lost")
    # As a field has it that is filled in otherwise than by being saved.
    crm.world.recalculate(record, Order_Number__c=order)
    done = crm.round(until=LOCK)
    assert (done.deliveries, done.records["held"], crm.held()) == ([], 1, [why])
    assert crm.values("O-1")[0] == "PENDING"
    crm.pass_by(minutes=5)
    crm.world.change(record, Order_Number__c="O-1")
    crm.round()
    assert (crm.values("O-1")[0], values(crm.desk.store, "A-2")[0], crm.held()) == ("REVERSED", "PENDING", [])


def test_an_order_number_as_long_as_may_be(crm: Crm, tmp_path: Path) -> None:
    """Its action follows the record, and is looked up before the lock."""
    order = "☃" * 63 + "'"
    load(crm.desk, tmp_path, [Sale("A-1", order)])
    crm.opportunity(order, "Closed Lost")
    assert crm.round(until=LOCK).swept["sales"]["missing"] == 0
    assert crm.entries() == [("reverse", "PENDING", "REVERSED")]


def test_a_currency_with_line_breaks_is_none(crm: Crm, tmp_path: Path) -> None:
    """It is held as an order number is."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(currency="Name")])
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Won", Name="USD\nO-9")
    assert (crm.round().deliveries, crm.held()) == ([], ["Name 'USD\\nO-9' has a control character."])


@pytest.mark.parametrize("bad", ["\x00", "\ud83d"])
def test_what_no_store_takes_keeps_no_other_record_from_being_read(crm: Crm, tmp_path: Path, bad: str) -> None:
    """A zero, or half of an emoji that somebody cut: the record that has it is held, wherever it stands."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(currency="CurrencyIsoCode")])
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    crm.opportunity(f"O-{bad}", "Closed Lost")
    crm.opportunity("O-1", f"Closed Lost{bad}")
    crm.opportunity("O-2", "Closed Won", CurrencyIsoCode=f"US{bad}")
    crm.opportunity("O-3", "Closed Lost")
    crm.round()
    assert crm.held() == [
        "The order number 'O-\\x1a' has a control character.",
        "The status 'Closed Lost\\x1a' is not mapped. Add it to statuses of the mapping sales.",
        "CurrencyIsoCode 'US\\x1a' has a control character.",
    ]
    assert [crm.values(order)[0] for order in ("O-1", "O-2", "O-3")] == ["PENDING", "PENDING", "REVERSED"]


def test_no_order_number_is_a_trailer(crm: Crm, tmp_path: Path) -> None:
    """It keeps none of the other lines from being read."""
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Lost")
    crm.opportunity("#TRAILER", "Closed Lost")
    [head] = crm.round().deliveries
    assert (head["state"], head["rows"]["waiting"], crm.values("O-1")[0]) == ("done", 1, "REVERSED")


@pytest.mark.parametrize("between", ["Closed Lost", "Partly Returned"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_record_goes_to_the_other_mapping_and_back(crm: Crm, tmp_path: Path, between: str, turned: bool) -> None:  # noqa: FBT001
    """What it asks when it is back begins from what the other mapping asked, not from what it left."""
    partner, retail = mapping_table(name="aa", filter=[PARTNERS]), mapping_table(name="bb", filter=[RETAIL])
    crm.settings = settings_for(crm.org, mapping=[partner, retail])
    kinds = [crm.world.add("RecordType", DeveloperName=name) for name in ("Partner", "Retail")]
    here, there = reversed(kinds) if turned else kinds
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won", Amount=60.0, RecordTypeId=here)
    for kind, stage, amount in ((here, "Closed Won", 60.0), (there, between, 50.0), (here, "Closed Won", 60.0)):
        crm.world.change(record, RecordTypeId=kind, StageName=stage, Amount=amount)
        crm.round()
        crm.pass_by(minutes=20)
    assert crm.values("O-1") == ("APPROVED", "60.00", "3.00")
    again = rounds.reconsider(crm.desk, crm.settings, everything=True)
    assert again is not None
    assert (again.records["changed"], again.deliveries) == (0, [])
    crm.world.change(record, StageName="Negotiation")
    crm.round()
    assert crm.values("O-1") == ("PENDING", "100.00", "5.00")


def test_two_changes_of_an_order_stand_in_two_batches(crm: Crm, tmp_path: Path) -> None:
    """The files of one are judged in any order; here the lost record was deleted, and another one was won."""
    how = {"on_deleted": "reverse", "deleted_reason": "ORDER_ERROR"}
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(**how)])
    crm.sell(tmp_path, "O-1")
    old = crm.opportunity("O-1", "Closed Lost")
    crm.round()
    crm.pass_by(minutes=20)
    crm.world.delete(old)
    crm.opportunity("O-1", "Closed Won", Amount=60.0)
    crm.round()
    started = rounds.approve(crm.desk, crm.settings)
    assert started is not None
    names = [one["name"] for one in started.deliveries]
    assert names == ["crm-00000001-reversals.csv", "crm-00000002-changes.csv"]
    assert crm.values("O-1") == ("APPROVED", "60.00", "3.00")
