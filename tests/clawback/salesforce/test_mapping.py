"""What a record's status, amount, order and fate mean for its action."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding, pipeline
from clawback.salesforce import checking, rounds
from clawback.salesforce.asking import Answer, Asked, Line, answers
from clawback.salesforce.preflight import steps
from clawback.salesforce_tables import parse
from connectors import salesforce_soql as soql
from connectors.salesforce_records import State
from connectors.salesforce_settings import Mapping_
from processing import observed
from processing.catalog import read_terms
from processing.errors import SourceRefused, Unusable
from tests.clawback.salesforce.site import PARTNERS, STATUSES, Crm, mapping_table, settings_for, table
from tests.salesforce_org.world import OBJECTS, STAGES
from tests.worlds import LEAD, LOCK, OTHER_SID, SALE, SID, Sale, load, values

REVERSE = Line("ORDER_ERROR", reversal=True)
RESET = Line("RESET")
APPROVE = Line("VALIDATED")


def mapping(**its: Any) -> Mapping_:  # noqa: ANN401 - of Mapping_
    """A mapping of opportunities."""
    return parse(table(mapping=[mapping_table(**its)]), Path(), "test").mappings[0]


def lines(before: Asked | None, status: str, amount: str | None = "80", **its: Any) -> tuple[Line, ...]:  # noqa: ANN401
    """What a state comes to after what was asked before."""
    [found] = answers(before, State("O-1", status, amount), mapping(**its))
    assert found.held is None
    return found.lines


def asked(outcome: str, amount: str | None = None) -> Asked:
    """What was asked before."""
    return Asked("O-1", outcome, amount)


def changed(amount: str, reason: str = "ORDER_UPDATE") -> Line:
    """A new amount."""
    return Line(reason, amount)


@pytest.mark.parametrize(
    ("case", "before", "status", "wanted"),
    [
        ("nothing, of a new record", None, "Negotiation", ()),
        ("reversed", None, "Closed Lost", (REVERSE,)),
        ("reversed again", asked("reverse"), "Returned", ()),
        ("modified", None, "Partly Returned", (changed("80"),)),
        ("modified to the same", asked("modify", "80"), "Partly Returned", ()),
        ("modified once more", asked("modify", "90"), "Partly Returned", (changed("80"),)),
        ("approved", None, "Closed Won", (changed("80"), APPROVE)),
        ("approved at another amount", asked("approve", "90"), "Closed Won", (changed("80"),)),
        ("won after all", asked("reverse"), "Closed Won", (RESET, changed("80"), APPROVE)),
        ("lost after all", asked("approve", "80"), "Closed Lost", (REVERSE,)),
        ("partly, after an approval", asked("approve", "90"), "Partly Returned", (RESET, changed("80"))),
        ("approved after a change", asked("modify", "80"), "Closed Won", (APPROVE,)),
        ("reopened after a loss", asked("reverse"), "Negotiation", (RESET,)),
        ("reopened after a win", asked("approve", "80"), "Negotiation", (RESET,)),
        ("open as before", asked("reset"), "Negotiation", ()),
    ],
)
def test_s24_every_outcome(case: str, before: Asked | None, status: str, wanted: tuple[Line, ...]) -> None:
    """Each row leads from what was asked to what is asked now."""
    assert lines(before, status) == wanted, case


def test_s24_a_status_that_resets() -> None:
    """Once, and whatever was asked before."""
    statuses = {"Reset": {"outcome": "reset"}}
    assert lines(asked("approve", "80"), "Reset", statuses=statuses, amount=None) == (RESET,)
    assert lines(asked("reset"), "Reset", statuses=statuses, amount=None) == ()


def test_s24_an_amount_of_nothing() -> None:
    """It reverses, and is asked once."""
    assert lines(None, "Partly Returned", "0") == (changed("0"),)
    assert lines(asked("reverse", "0"), "Partly Returned", "0") == ()


@pytest.mark.parametrize("before", ["approve", "modify", "reverse"])
def test_s24_a_reopened_record_may_be_held(before: str) -> None:
    """Where the mapping says so a person decides, and what was asked stays asked."""
    asked_before = asked(before, "80")
    held = mapping(on_reopened="hold")
    assert [*answers(asked_before, State("O-1", "Negotiation", "80"), held)] == [
        Answer("O-1", held="The record is open again (Negotiation).", asked=asked_before)
    ]
    assert lines(asked_before, "Negotiation") == (RESET,)
    assert lines(asked("reset"), "Negotiation", on_reopened="hold") == ()


def test_s24_the_way_counts_for_nothing(crm: Crm, tmp_path: Path) -> None:
    """Who saw every status and who saw the last one only have the same action."""
    ways = [("Closed Lost",), ("Closed Won", "Closed Lost"), ("Partly Returned", "Closed Lost"), ("Closed Won",)]
    ends = ["Closed Won", "Partly Returned", "Negotiation", "Closed Lost"]
    cases = [(f"{n}-{m}", way, end) for n, way in enumerate(ways) for m, end in enumerate(ends)]
    crm.sell(tmp_path, *(f"{who}-{name}" for name, _, _ in cases for who in ("SEEN", "LAST")))
    seen = {name: crm.opportunity(f"SEEN-{name}") for name, _, _ in cases}
    late = {name: crm.opportunity(f"LAST-{name}") for name, _, _ in cases}
    for step in range(2):
        for name, way, _ in cases:
            crm.world.change(seen[name], StageName=way[min(step, len(way) - 1)], Amount=70.0)
        unbraked(crm)
    for name, _, end in cases:
        for record in (seen[name], late[name]):
            crm.world.change(record, StageName=end, Amount=60.0)
    unbraked(crm)
    assert [crm.values(f"SEEN-{name}") for name, _, _ in cases] == [crm.values(f"LAST-{name}") for name, _, _ in cases]


def unbraked(crm: Crm) -> None:
    """A round whose deliveries are let through, however much they reverse."""
    for head in crm.round().deliveries:
        if head["state"] == "held":
            deciding.release(crm.desk, head["delivery"], by="dana", at=crm.clock.now)


def test_s25_a_status_without_a_meaning_is_held(crm: Crm, tmp_path: Path) -> None:
    """A new one, a renamed one, a label, another case: no guess; ignored where the mapping says so."""
    unknown = ["closed lost", "Closed Lost ", "Stage 5", "CLOSED LOST"]
    crm.sell(tmp_path, *(f"O-{n}" for n in range(4)))
    for n, status in enumerate(unknown):
        crm.opportunity(f"O-{n}", status)
    crm.round()
    assert sorted(crm.held()) == sorted(
        f"The status {status!r} is not mapped. Add it to statuses of the mapping sales." for status in unknown
    )
    assert crm.entries() == []
    assert [lines(None, status, on_unmapped="ignore") for status in unknown] == [()] * 4


def test_s25_a_value_that_is_renamed(crm: Crm, tmp_path: Path) -> None:
    """Its records are held and what was done for them stays; the others are read on, and the check names the value."""
    crm.sell(tmp_path, "O-1", "O-2")
    lost, won = crm.opportunity("O-1", "Closed Lost"), crm.opportunity("O-2", "Closed Won")
    crm.round()
    before = crm.entries()
    prefix, fields = OBJECTS["Opportunity"]
    values = tuple("Lost Deal" if one == "Closed Lost" else one for one in STAGES)
    renamed = tuple(replace(one, values=values) if one.name == "StageName" else one for one in fields)
    crm.world.objects = {**OBJECTS, "Opportunity": (prefix, renamed)}
    crm.pass_by(minutes=5)
    crm.world.change(lost, StageName="Lost Deal")
    crm.world.touch_all([won])
    crm.round()
    assert crm.held() == ["The status 'Lost Deal' is not mapped. Add it to statuses of the mapping sales."]
    assert (crm.entries(), crm.values("O-1")[0]) == (before, "REVERSED")
    crm.pass_by(days=1)
    crm.world.change(won, StageName="Returned")
    crm.round()
    assert (crm.values("O-2")[0], len(crm.held())) == ("REVERSED", 1)
    with crm.desk.store.read() as db, crm.opened() as org:
        [red] = [one for one in steps(org, crm.settings, read_terms(db, SID), crm.clock.now) if not one.ok]
    assert "StageName has no value 'Closed Lost'" in red.message


def test_s25_a_held_status_that_gets_a_meaning(crm: Crm, tmp_path: Path) -> None:
    """Nothing happens by itself when the mapping changes; asked to, held records are judged anew."""
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Refunded")
    crm.round()
    statuses = STATUSES | {"Refunded": {"outcome": "reverse", "reason": "RETURNED"}}
    crm.settings = settings_for(crm.org, mapping=[mapping_table(statuses=statuses)])
    done = rounds.reconsider(crm.desk, crm.settings)
    assert done is not None
    assert (crm.values("O-1")[0], crm.held(), done.held) == ("REVERSED", [], 0)


@pytest.mark.parametrize("other", [None, "O-2"])
@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("Closed Lost", "Negotiation", ("PENDING", "100.00")),
        ("Closed Lost", "Closed Lost", ("REVERSED", "0.00")),
        ("Closed Won", "Partly Returned", ("PENDING", "70.00")),
        ("Partly Returned", "Closed Won", ("APPROVED", "70.00")),
    ],
)
def test_a_record_that_comes_back_to_its_order(
    crm: Crm, tmp_path: Path, first: str, last: str, expected: tuple[str, str], other: str | None
) -> None:
    """The action is what the record says now, whichever way it took."""
    crm.sell(tmp_path, "O-1", "O-2")
    record = crm.opportunity("O-1", first)
    crm.round()
    crm.world.change(record, Order_Number__c=other)
    crm.round()
    assert f"The record was moved from order 'O-1' to {'none' if other is None else repr(other)}." in crm.held()
    crm.world.change(record, Order_Number__c="O-1", StageName=last, Amount=70.0 if "Won" in last + first else 100.0)
    crm.round()
    assert crm.values("O-1")[:2] == expected
    assert crm.held() == ([] if other is None else ["The record was moved from order 'O-2' to 'O-1'."])


def test_what_a_person_let_go_stays_so(crm: Crm, tmp_path: Path) -> None:
    """Until the record itself says something else: neither another record nor another mapping brings it back."""
    crm.sell(tmp_path, "O-1", "O-2")
    first, second = crm.opportunity("O-1", "Closed Lost"), crm.opportunity("O-1", "Closed Won")
    deleted = crm.opportunity("O-2")
    crm.round()
    crm.world.delete(deleted)
    crm.round()
    with crm.desk.store.write() as db:
        for one in (first, second, deleted):
            observed.let_go(db, "crm", one, crm.clock.now)
    crm.world.change(second, Order_Number__c="O-9")
    policies = {"on_deleted": "reverse", "deleted_reason": "ORDER_ERROR"}
    crm.settings = settings_for(crm.org, mapping=[mapping_table(**policies)])
    assert crm.round().otherwise == 0
    rounds.reconsider(crm.desk, crm.settings, everything=True)
    assert [crm.values(order)[0] for order in ("O-1", "O-2")] == ["PENDING", "PENDING"]
    crm.world.change(first, StageName="Returned")
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


def test_a_corrected_mapping_is_told_and_applied_on_request(crm: Crm, tmp_path: Path) -> None:
    """What was read under the wrong one stays until somebody asks for it; what a person let go stays let go."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(statuses=STATUSES | {"Returned": {"outcome": "none"}})])
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    crm.opportunity("O-1", "Returned")
    crm.opportunity("O-2", "Closed Won")
    left = crm.opportunity("O-3", "Nobody knows")
    assert crm.round().otherwise == 0
    with crm.desk.store.write() as db:
        observed.let_go(db, "crm", left, crm.clock.now)
    crm.settings = settings_for(crm.org)
    assert (crm.round().otherwise, crm.values("O-1")[0]) == (1, "PENDING")
    assert crm.round().otherwise == 0
    told = checking.otherwise(crm.desk, crm.settings, crm.clock.now)
    assert (told.read, told.changed, told.held, crm.values("O-1")[0]) == (3, 1, 0, "PENDING")
    done = rounds.reconsider(crm.desk, crm.settings, everything=True)
    assert done is not None
    assert (done.records["changed"], crm.values("O-1")[0], crm.values("O-2")[0]) == (1, "REVERSED", "APPROVED")
    assert crm.held() == []
    done = rounds.reconsider(crm.desk, crm.settings, everything=True)
    assert done is not None
    assert (done.records["read"], done.records["changed"], done.deliveries) == (3, 0, [])


def test_a_trigger_that_meets_a_corrected_mapping_first_tells_of_it(crm: Crm, tmp_path: Path) -> None:
    """The settings are checked once, by whoever comes first."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(statuses=STATUSES | {"Returned": {"outcome": "none"}})])
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Returned")
    crm.round()
    crm.settings = settings_for(crm.org)
    assert crm.listen().otherwise == 1


def test_judging_anew_reaches_every_record(crm: Crm, tmp_path: Path) -> None:
    """Also those beyond what one query reads."""
    orders = [f"O-{n}" for n in range(501)]
    crm.settings = settings_for(crm.org, mapping=[mapping_table(statuses=STATUSES | {"Returned": {"outcome": "none"}})])
    crm.sell(tmp_path, *orders)
    for order in orders:
        crm.opportunity(order, "Returned")
    crm.round()
    crm.settings = settings_for(crm.org)
    assert crm.round().otherwise == len(orders)


def test_s26_a_formula_as_status_is_refused(crm: Crm) -> None:
    """Its records are not stamped when it changes."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(status="Health__c")])
    with pytest.raises(SourceRefused, match="status: Health__c is a formula"):
        crm.round()


@pytest.mark.parametrize("page", [1, 2_000])
def test_s27_an_order_with_two_records_is_held(crm: Crm, tmp_path: Path, page: int) -> None:
    """On one page or on two; neither of them is heeded, and the one that goes away makes room."""
    crm.org.page = page
    crm.sell(tmp_path, "O-1")
    first, second = crm.opportunity("O-1", "Closed Lost"), crm.opportunity("O-1", "Closed Won")
    done = crm.round()
    assert crm.held() == [f"Order 'O-1' has several records: {first}, {second}."] * 2
    assert (crm.values("O-1")[0], done.held, done.records["held"], done.records["changed"]) == ("PENDING", 2, 2, 0)
    crm.world.change(second, Order_Number__c="O-2")
    crm.world.change(first, StageName="Returned")
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


def test_a_record_that_goes_away_frees_the_other(crm: Crm, tmp_path: Path) -> None:
    """Deleted or given another order: what the other one says counts, without its being touched."""
    crm.sell(tmp_path, "O-1", "O-2")
    for order in ("O-1", "O-2"):
        crm.opportunity(order, "Closed Lost")
    moved, deleted = (crm.opportunity(order, "Closed Won") for order in ("O-1", "O-2"))
    crm.round()
    assert len(crm.held()) == 4
    crm.world.change(moved, Order_Number__c="O-9")
    crm.world.delete(deleted)
    crm.round()
    assert [crm.values(order)[0] for order in ("O-1", "O-2")] == ["REVERSED", "REVERSED"]
    assert crm.held() == ["The record is deleted."]


def test_s28_amounts_that_say_nothing_are_held(crm: Crm, tmp_path: Path) -> None:
    """Intent is never guessed."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(currency="CurrencyIsoCode")])
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    crm.opportunity("O-1", "Partly Returned", Amount=None, CurrencyIsoCode="USD")
    crm.opportunity("O-2", "Partly Returned", Amount=-1.0, CurrencyIsoCode="USD")
    crm.opportunity("O-3", "Partly Returned", Amount=5.0)
    crm.round()
    assert crm.held() == ["Amount is empty.", "Amount is negative.", "CurrencyIsoCode is empty."]


def test_s28_amounts_to_the_cent(crm: Crm, tmp_path: Path) -> None:
    """No float in between; a currency without a rate is refused, the same one is not; nothing reverses."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(currency="CurrencyIsoCode", tolerance="0.05")])
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    one = crm.opportunity("O-1", "Partly Returned", Amount=80.29, CurrencyIsoCode="USD")
    crm.opportunity("O-2", "Partly Returned", Amount=8000, CurrencyIsoCode="JPY")
    crm.opportunity("O-3", "Partly Returned", Amount=0.0, CurrencyIsoCode="USD")
    [head] = crm.round().deliveries
    assert crm.values("O-1")[:2] == ("PENDING", "80.29")
    assert crm.values("O-3")[0] == "REVERSED"
    assert (head["rows"]["applied"], head["rows"]["refused"]) == (2, 1)
    crm.world.change(one, Amount=80.33)
    assert crm.round().deliveries == []


def test_s28_amounts_without_cents(crm: Crm, tmp_path: Path) -> None:
    """Yen have none: what an org tells with a point and a zero is whole, and half a yen is no amount."""
    statuses = {"Partly Returned": STATUSES["Partly Returned"]}
    its = mapping_table(event_type=26027, currency="CurrencyIsoCode", statuses=statuses)
    crm.settings = settings_for(crm.org, account=OTHER_SID, mapping=[its])
    crm.sell(tmp_path, "O-1", "O-2", amount="8000", currency="JPY", event_type=26027, program=2000)
    crm.opportunity("O-1", "Partly Returned", Amount=7999.0, CurrencyIsoCode="JPY")
    crm.opportunity("O-2", "Partly Returned", Amount=7999.5, CurrencyIsoCode="JPY")
    [head] = crm.round().deliveries
    assert (head["rows"]["applied"], head["rows"]["rejected"]) == (1, 1)
    found = [values(crm.desk.store, f"A-{order}", OTHER_SID) for order in ("O-1", "O-2")]
    assert found == [("PENDING", "7999", "800"), ("PENDING", "8000", "800")]


def test_s29_deleted_and_undeleted(crm: Crm, tmp_path: Path) -> None:
    """Held, or reversed where the mapping says so; taken out of the recycle bin it counts again."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.round()
    crm.world.delete(record)
    crm.round()
    assert crm.held() == ["The record is deleted."]
    crm.world.delete(record, deleted=False)
    crm.round()
    assert (crm.held(), crm.entries()) == ([], [])
    reverse = mapping_table(on_deleted="reverse", deleted_reason="ORDER_ERROR")
    crm.settings = settings_for(crm.org, mapping=[reverse])
    crm.world.delete(record)
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"
    crm.world.delete(record, deleted=False)
    crm.round()
    assert crm.values("O-1")[0] == "PENDING"


def test_a_duplicate_that_is_deleted_reverses_nothing(crm: Crm, tmp_path: Path) -> None:
    """The other record still has the order; when that goes too, the order is gone."""
    reverse = mapping_table(on_deleted="reverse", deleted_reason="ORDER_ERROR")
    crm.settings = settings_for(crm.org, mapping=[reverse])
    crm.sell(tmp_path, "O-1")
    good = crm.opportunity("O-1", "Closed Won")
    crm.round()
    duplicate = crm.opportunity("O-1", "Closed Won")
    crm.round()
    crm.world.delete(duplicate)
    crm.round()
    assert (crm.held(), crm.values("O-1")[0]) == ([], "APPROVED")
    crm.world.delete(good)
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


def test_s29_leads_that_become_opportunities(crm: Crm, tmp_path: Path) -> None:
    """A converted lead says no more; the opportunity that carries its order does."""
    leads = mapping_table(
        name="leads",
        object="Lead",
        status="Status",
        amount=None,
        statuses={"Open": {"outcome": "none"}, "Rejected": {"outcome": "reverse", "reason": "ORDER_ERROR"}},
    )
    crm.settings = settings_for(crm.org, mapping=[leads, mapping_table()])
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    lead, winner, loser = (crm.world.add("Lead", Order_Number__c=one, Status="Open") for one in ("O-1", "O-2", "O-3"))
    crm.round()
    crm.world.convert(lead, crm.opportunity("O-1", "Closed Lost"))
    crm.world.merge(winner, loser)
    crm.round()
    assert (crm.values("O-1")[0], crm.values("O-3")[0], crm.held()) == ("REVERSED", "PENDING", [])
    # The winner of a merge speaks for its own order, and for no other.
    crm.world.change(winner, Status="Rejected")
    crm.round()
    assert [crm.values(order)[0] for order in ("O-2", "O-3")] == ["REVERSED", "PENDING"]


def test_s29_leads_that_are_held_when_they_are_converted(crm: Crm, tmp_path: Path) -> None:
    """Where the mapping says so; the record that has taken their place is named."""
    outcomes = {"Open": {"outcome": "none"}, "Rejected": {"outcome": "reverse", "reason": "ORDER_ERROR"}}
    its = mapping_table(object="Lead", status="Status", amount=None, statuses=outcomes, on_converted="hold")
    crm.settings = settings_for(crm.org, mapping=[its])
    crm.sell(tmp_path, "O-1", "O-3")
    lead, winner, loser = (crm.world.add("Lead", Order_Number__c=one, Status="Open") for one in ("O-1", "O-2", "O-3"))
    heir = crm.opportunity("O-1", "Closed Lost")
    crm.round()
    crm.world.convert(lead, heir)
    crm.world.merge(winner, loser)
    crm.round()
    assert crm.held() == [f"The record became {heir}.", f"The record became {winner}."]
    assert crm.entries() == []


def test_s30_items_of_orders_by_their_parent(crm: Crm, tmp_path: Path) -> None:
    """The order's number stands in its parent; the preflight says what that means."""
    statuses = {"Kept": {"outcome": "none"}, "Sent Back": {"outcome": "reverse", "reason": "RETURNED"}}
    items = mapping_table(
        object="OrderItem", order_id="Order.OrderNumber", status="Return_Status__c", amount=None, statuses=statuses
    )
    crm.settings = settings_for(crm.org, mapping=[items])
    crm.sell(tmp_path, "00000101")
    order = crm.world.add("Order", OrderNumber="00000101", Status="Activated")
    item = crm.world.add("OrderItem", OrderId=order, Return_Status__c="Kept", TotalPrice=10.0)
    with crm.desk.store.read() as db, crm.opened() as org:
        told = [one.message for one in steps(org, crm.settings, read_terms(db, SID), crm.clock.now) if one.ok]
    assert any("order_id: Order.OrderNumber belongs to a parent; a change there does not" in one for one in told)
    crm.round()
    crm.world.change(item, Return_Status__c="Sent Back")
    crm.round()
    assert crm.values("00000101")[0] == "REVERSED"


HOSTILE = ["O'Neil", "back\\slash", "100%", "\u00d8-1 \u2603", "x') OR (Id != '", 'quo"te', "a,b;c", "=1+1", "IN ()"]


def test_s31_hostile_orders(crm: Crm, tmp_path: Path) -> None:
    """They are looked up as they are, and change their own action alone."""
    rows = [Sale(f"H-{n}", '"' + order.replace('"', '""') + '"') for n, order in enumerate(HOSTILE)]
    load(crm.desk, tmp_path, rows)
    crm.world.now = crm.world.now.replace(year=2026)
    for order in HOSTILE:
        crm.opportunity(order, "Closed Lost")
    crm.world.now = crm.clock.now
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1")
    done = crm.round(until=LOCK)
    assert done.swept["sales"] == {"orders": len(HOSTILE) + 1, "missing": 0, "gone": 0, "drifted": []}
    assert {values(crm.desk.store, f"H-{n}")[0] for n in range(len(HOSTILE))} == {"REVERSED"}
    assert crm.values("O-1")[0] == "PENDING"


def test_s31_nothing_to_look_up_is_not_asked(crm: Crm) -> None:
    """An empty list is no query: without an order that locks soon there is the poll alone."""
    assert crm.round(until=LOCK).swept["sales"]["orders"] == 0
    assert sum("queryAll" in one for one in crm.org.calls) == 1
    for ask in (soql.with_orders, soql.with_ids):
        with pytest.raises(ValueError, match="empty list"):
            ask(crm.settings.mappings[0], [])


@pytest.mark.parametrize("name", ["StageName FROM User", "Stage;", "", "a.b.c.d.e.f", "Stage\nName", "1st", "F(x)"])
def test_s31_hostile_names_in_the_settings(name: str) -> None:
    """What is no name of a field never gets into a query."""
    for key in ("status", "order_id", "amount"):
        with pytest.raises(Unusable, match=key):
            mapping(**{key: name})
    with pytest.raises(Unusable, match="object"):
        mapping(object=name or "-")


def test_a_record_that_leaves_the_filter_is_open_again(crm: Crm, tmp_path: Path) -> None:
    """Filters are judged here: the record is still seen, and what it asked for is taken back."""
    kind = crm.world.add("RecordType", DeveloperName="Partner")
    other = crm.world.add("RecordType", DeveloperName="Direct")
    only = [{"field": "RecordType.DeveloperName", "value": "Partner"}]
    crm.settings = settings_for(crm.org, mapping=[mapping_table(filter=only)])
    crm.sell(tmp_path, "O-1", "O-2")
    record = crm.opportunity("O-1", "Closed Lost", RecordTypeId=kind)
    crm.opportunity("O-2", "Closed Lost", RecordTypeId=other)
    crm.round()
    assert (crm.values("O-1")[0], crm.values("O-2")[0]) == ("REVERSED", "PENDING")
    crm.world.change(record, RecordTypeId=other)
    crm.round()
    assert crm.values("O-1")[0] == "PENDING"


def test_a_record_that_moves_to_another_order(crm: Crm, tmp_path: Path) -> None:
    """The old order's action is held for a person, the new one's follows the record."""
    crm.sell(tmp_path, "O-1", "O-2")
    record = crm.opportunity("O-1", "Closed Lost")
    crm.round()
    crm.world.change(record, Order_Number__c="O-2")
    crm.round()
    assert crm.held() == ["The record was moved from order 'O-1' to 'O-2'."]
    assert (crm.values("O-1")[0], crm.values("O-2")[0]) == ("REVERSED", "REVERSED")


def test_a_record_before_its_action(crm: Crm, tmp_path: Path) -> None:
    """Its line waits, and is applied when the action is loaded."""
    crm.opportunity("O-1", "Closed Lost")
    [head] = crm.round().deliveries
    assert head["rows"]["waiting"] == 1
    crm.sell(tmp_path, "O-1")
    crm.round()
    pipeline.collect(crm.desk, at=crm.clock.now)
    assert crm.values("O-1")[0] == "REVERSED"


def test_an_action_without_an_amount_is_reversed(crm: Crm, tmp_path: Path) -> None:
    """A lead that pays a fixed sum: no amount of nothing could say so."""
    its = mapping_table(event_type=LEAD, amount=None, statuses={"Closed Lost": STATUSES["Closed Lost"]})
    crm.settings = settings_for(crm.org, mapping=[its | {"on_unmapped": "ignore"}])
    crm.sell(tmp_path, "O-1", amount="0.00", event_type=LEAD, partner=502)
    assert crm.values("O-1")[2] == "12.00"
    crm.opportunity("O-1", "Closed Lost")
    crm.round()
    assert (crm.values("O-1"), SALE) == (("REVERSED", "0.00", "0.00"), 16027)


@pytest.mark.parametrize("policy", ["hold", "reverse"])
@pytest.mark.parametrize("was", [None, "reset"])
def test_a_deleted_record_outside_the_filter_asks_nothing(policy: str, was: str | None) -> None:
    """What it says is not about an action of ours, deleted or not."""
    reason = "ORDER_ERROR" if policy == "reverse" else None
    its = mapping(filter=[PARTNERS], on_deleted=policy, deleted_reason=reason)
    before = None if was is None else asked(was)
    outside = State("O-1", "Closed Lost", "80", matches=False, deleted=True)
    assert [*answers(before, outside, its)] == [Answer("O-1", asked=before)]


def test_a_record_that_left_the_filter_and_was_deleted() -> None:
    """It comes to the same whether both are seen or the last only."""
    its = mapping(filter=[PARTNERS], on_deleted="reverse", deleted_reason="ORDER_ERROR")
    outside = State("O-1", "Closed Won", "80", matches=False, deleted=True)
    assert [*answers(asked("approve", "80"), outside, its)] == [Answer("O-1", (RESET,), asked=asked("reset"))]
