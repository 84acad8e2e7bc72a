"""Settings that do not fit the org, or were changed; and what the org refuses for good."""

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from clawback.cli.orgs import doubts
from clawback.salesforce import rounds
from clawback.salesforce.checking import otherwise
from clawback.salesforce.preflight import steps
from processing import observed
from processing.catalog import read_terms
from processing.errors import SourceRefused, SourceUnreachable, Unusable
from tests.clawback.salesforce.site import LEADS, PARTNERS, STATUSES, Crm, mapping_table, settings_for
from tests.clawback.salesforce.test_locks import down, up
from tests.salesforce_org.server import Fault, refusal
from tests.salesforce_org.world import OBJECTS, STAGES
from tests.worlds import LEAD, LOCK, SID


@pytest.mark.parametrize("wrong", ["leads", "sales"])
def test_a_red_mapping_does_not_stop_the_others(crm: Crm, tmp_path: Path, wrong: str) -> None:
    """From the first round on; it is read as soon as it is right, and its actions do not lock before."""
    tables = {"leads": LEADS, "sales": mapping_table()}
    crm.settings = settings_for(crm.org, mapping=[*(tables | {wrong: {**tables[wrong], "event_type": 99}}).values()])
    crm.sell(tmp_path, "O-1", "O-2")
    opportunity, lead = crm.opportunity("O-1", "Closed Lost"), crm.world.add("Lead", Order_Number__c="O-2")
    crm.world.change(lead, Status="Rejected")
    for _ in range(2):
        with pytest.raises(SourceRefused, match=f"^Mapping {wrong} of source crm is not started: .* no event type 99"):
            crm.round()
    assert [crm.values(order)[0] == "REVERSED" for order in ("O-1", "O-2")] == [wrong == "leads", wrong == "sales"]
    crm.hint(("Opportunity", opportunity), ("Lead", lead))
    calls = len(crm.org.calls)
    with pytest.raises(SourceRefused, match=wrong):
        crm.listen()
    # The record of the one that is right, and nothing about the other: it was refused a moment ago.
    assert [one.rsplit("/", 2)[-2] for one in crm.org.calls[calls:]] == ["oauth2", "queryAll"]
    crm.settings = settings_for(crm.org, mapping=[*tables.values()])
    crm.round()
    assert [crm.values(order)[0] for order in ("O-1", "O-2")] == ["REVERSED", "REVERSED"]


def test_a_status_that_goes_from_the_org_stops_no_mapping(crm: Crm, tmp_path: Path) -> None:
    """A status that was renamed in the org is one without a mapping: its records are held, the others go on."""
    crm.sell(tmp_path, "O-1", "O-2")
    renamed = crm.opportunity("O-1")
    crm.round()
    prefix, fields = OBJECTS["Opportunity"]
    stages = tuple("Lost" if one == "Closed Lost" else one for one in STAGES)
    changed = tuple(replace(one, values=stages) if one.name == "StageName" else one for one in fields)
    crm.world.objects = {**OBJECTS, "Opportunity": (prefix, changed)}
    crm.pass_by(days=1, minutes=1)
    crm.world.change(renamed, StageName="Lost")
    crm.opportunity("O-2", "Returned")
    crm.round()
    assert (crm.held()[0][:26], crm.values("O-2")[0]) == ("The status 'Lost' is not m", "REVERSED")


def test_a_mapping_that_is_added_waits_to_be_approved(crm: Crm, tmp_path: Path) -> None:
    """Those that were approved go on, and one that is taken out again leaves nothing behind."""
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.sell(tmp_path, "O-1", "O-2")
    crm.opportunity("O-1", "Closed Won")
    crm.round()
    rounds.approve(crm.desk, crm.settings)
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(), LEADS])
    lead = crm.world.add("Lead", Order_Number__c="O-2", Status="Rejected")
    crm.opportunity("O-1b", "Closed Won")
    done = crm.round()
    assert (len(done.deliveries), done.unapproved, crm.values("O-2")[0]) == (1, 1, "PENDING")
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.round()
    assert crm.round().unapproved == 0
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(), LEADS])
    assert crm.round().unapproved == 1
    crm.world.change(lead, Status="Rejected")
    assert crm.round().unapproved == 1
    rounds.approve(crm.desk, crm.settings)
    assert crm.values("O-2")[0] == "REVERSED"


def test_a_mapping_that_was_not_read_is_not_approved(crm: Crm, tmp_path: Path) -> None:
    """It was red when the other one was started: what its first reading comes to was seen by nobody."""
    tables = [mapping_table(), LEADS | {"event_type": 99}]
    crm.settings = settings_for(crm.org, backfill="ask", mapping=tables)
    crm.sell(tmp_path, "O-1", "O-2")
    crm.opportunity("O-1", "Closed Lost")
    crm.world.add("Lead", Order_Number__c="O-2", Status="Rejected")
    started = rounds.approve(crm.desk, crm.settings)
    assert started is not None
    assert started.unread == ["sales", "leads"]
    with pytest.raises(SourceRefused, match="no event type 99"):
        crm.round()
    assert crm.values("O-1")[0] == "PENDING"
    started = rounds.approve(crm.desk, crm.settings)
    assert started is not None
    assert (started.unread, crm.values("O-1")[0]) == (["leads"], "REVERSED")
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(), LEADS])
    done = crm.round()
    assert (done.unapproved, crm.values("O-2")[0]) == (1, "PENDING")
    started = rounds.approve(crm.desk, crm.settings)
    assert started is not None
    assert (started.unread, crm.values("O-2")[0]) == ([], "REVERSED")


@pytest.mark.parametrize("trigger", [False, True])
def test_a_mapping_that_reads_otherwise_waits_to_be_approved(crm: Crm, tmp_path: Path, *, trigger: bool) -> None:
    """Another filter, another field: everything is read again, and nothing is applied before somebody has seen it."""
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.sell(tmp_path, "O-1", "O-2")
    record = crm.opportunity("O-1", "Closed Won")
    crm.opportunity("O-2", "Closed Won", RecordTypeId=crm.world.add("RecordType", DeveloperName="Partner"))
    crm.round()
    rounds.approve(crm.desk, crm.settings)
    crm.pass_by(hours=1)
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(filter=[PARTNERS])])
    if trigger:
        crm.hint(("Opportunity", record))
        crm.listen()
    done = crm.round()
    assert (done.unapproved, done.otherwise, crm.values("O-1")[0]) == (1, 0, "APPROVED")
    rounds.approve(crm.desk, crm.settings)
    assert [crm.values(order)[0] for order in ("O-1", "O-2")] == ["PENDING", "APPROVED"]


def test_a_mapping_that_is_corrected_before_its_start_begins_anew(crm: Crm, tmp_path: Path) -> None:
    """Nothing of what the wrong one would have done is applied."""
    wrong = STATUSES | {"Closed Won": STATUSES["Closed Lost"]}
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(statuses=wrong)])
    crm.sell(tmp_path, "O-1", "O-2")
    crm.opportunity("O-1", "Closed Won")
    crm.opportunity("O-2", "Nobody knows")
    crm.round()
    crm.settings = settings_for(crm.org, backfill="ask")
    done = crm.round()
    assert (done.unapproved, done.otherwise, done.held) == (1, 0, 1)
    rounds.approve(crm.desk, crm.settings)
    assert (crm.entries(), len(crm.held())) == ([("approve", "PENDING", "APPROVED")], 1)


def read_by_three(crm: Crm) -> None:
    """Three mappings, read once, and a trigger for one of their objects."""
    items = mapping_table(name="items", object="OrderItem", order_id="Order.OrderNumber", status="Return_Status__c")
    items |= {"amount": None, "statuses": {"Sent Back": STATUSES["Returned"]}}
    crm.settings = settings_for(crm.org, mapping=[mapping_table(), LEADS, items])
    record = crm.opportunity("O-1")
    crm.round()
    crm.pass_by(minutes=5)
    crm.hint(("Opportunity", record))


def test_s33_a_session_that_never_opens_costs_two_tokens_a_round(crm: Crm) -> None:
    """Refused with a new token, too: the org is not asked again in this round, whatever else there is to read."""
    read_by_three(crm)
    before = crm.org.token_calls
    crm.org.refuses_all_tokens = True
    with pytest.raises(SourceRefused, match="does not accept the session"):
        crm.round()
    assert crm.org.token_calls - before == 2


def test_s32_a_secret_that_is_revoked_is_shown_once_a_round(crm: Crm) -> None:
    """After the preflight of the day was green."""
    read_by_three(crm)
    before = crm.org.token_calls
    crm.environ["SF_SECRET"] = "wr0ng"
    with pytest.raises(SourceRefused, match="invalid_client"):
        crm.round()
    assert crm.org.token_calls - before == 1


def test_a_session_that_is_refused_is_no_missing_object(crm: Crm) -> None:
    """While a changed mapping is checked: what is wrong is the session."""
    crm.round()
    crm.pass_by(minutes=5)
    crm.settings = settings_for(crm.org, mapping=[mapping_table(on_reopened="hold")])
    crm.org.refuses_all_tokens = True
    with pytest.raises(SourceRefused, match="does not accept the session"):
        crm.round()


OF_BOTH = {"Closed Lost": STATUSES["Closed Lost"], "Negotiation": {"outcome": "none"}}


def test_a_mapping_of_another_event_type_reads_for_other_actions(crm: Crm, tmp_path: Path) -> None:
    """Its records say what they said, but of other actions; until they are read, none of those locks."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(statuses=OF_BOTH, amount=None)])
    crm.sell(tmp_path, "O-2")
    crm.sell(tmp_path, "O-1", event_type=LEAD)
    for order in ("O-1", "O-2"):
        crm.opportunity(order, "Closed Lost")
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=1)
    crm.round(until=LOCK)
    assert [crm.values(order)[0] for order in ("O-1", "O-2")] == ["PENDING", "REVERSED"]
    crm.settings = settings_for(crm.org, mapping=[mapping_table(statuses=OF_BOTH, amount=None, event_type=LEAD)])
    down(crm)
    assert [(one.locked, one.deferred) for one in crm.lock()] == [(1, 1)]
    up(crm)
    crm.lock()
    assert [crm.values(order)[0] for order in ("O-1", "O-2")] == ["REVERSED", "REVERSED"]


def test_a_held_record_that_is_not_read_again_waits_for_a_person(crm: Crm, tmp_path: Path) -> None:
    """The mapping is about other actions now; judging anew passes over what nobody knows, and keeps the hold."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(statuses=OF_BOTH, amount=None)])
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Nobody knows")
    crm.round()
    crm.world.hidden_records.add(record)
    crm.settings = settings_for(crm.org, mapping=[mapping_table(statuses=OF_BOTH, amount=None, event_type=LEAD)])
    crm.round()
    done = rounds.reconsider(crm.desk, crm.settings)
    assert done is not None
    assert (done.records["read"], done.held, len(crm.held())) == (0, 1, 1)


def test_what_was_read_by_another_filter_is_not_judged_anew(crm: Crm, tmp_path: Path) -> None:
    """The held record does not meet the new one; nobody knows that before it is read again."""
    unmapped = {name: its for name, its in STATUSES.items() if name != "Returned"}
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(statuses=unmapped)])
    crm.sell(tmp_path, "O-1", "O-2")
    crm.opportunity("O-1", "Returned")
    crm.opportunity("O-2", "Closed Won")
    crm.round()
    rounds.approve(crm.desk, crm.settings)
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(filter=[PARTNERS])])
    crm.pass_by(hours=1)
    for everything in (False, True):
        with pytest.raises(Unusable, match="Mapping sales was changed in what it reads"):
            rounds.reconsider(crm.desk, crm.settings, everything=everything)
    with pytest.raises(Unusable, match="sources pull crm"):
        otherwise(crm.desk, crm.settings, crm.clock())
    crm.org.fault(refusal(500, "UNKNOWN"), "queryAll", times=99)
    with pytest.raises(SourceUnreachable):
        crm.round()
    with pytest.raises(Unusable, match="Mapping sales"):
        rounds.reconsider(crm.desk, crm.settings, everything=True)
    crm.org.faults.clear()
    crm.round()
    done = rounds.reconsider(crm.desk, crm.settings)
    assert done is not None
    assert [crm.values(order)[0] for order in ("O-1", "O-2")] == ["PENDING", "APPROVED"]


def test_a_mapping_that_reads_and_means_otherwise_tells_of_every_record(crm: Crm, tmp_path: Path) -> None:
    """Also of those that say by the new filter what they said by the old one."""
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Won")
    crm.round()
    rounds.approve(crm.desk, crm.settings)
    crm.pass_by(hours=1)
    some = [{"field": "StageName", "op": "!=", "value": "Negotiation"}]
    other = STATUSES | {"Closed Won": STATUSES["Closed Lost"]}
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(filter=some, statuses=other)])
    assert (crm.round().unapproved, crm.values("O-1")[0]) == (1, "APPROVED")


def test_what_a_mapping_would_have_done_before_it_was_corrected_is_forgotten(crm: Crm, tmp_path: Path) -> None:
    """An earlier one had been approved; the wrong one never was."""
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.sell(tmp_path, "O-1", "O-2")
    crm.opportunity("O-1", "Closed Won")
    crm.round()
    rounds.approve(crm.desk, crm.settings)
    crm.pass_by(hours=1)
    wrong = STATUSES | {"Partly Returned": STATUSES["Closed Lost"]}
    some = [{"field": "StageName", "op": "!=", "value": "Negotiation"}]
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(filter=some, statuses=wrong)])
    crm.opportunity("O-2", "Partly Returned", Amount=60.0)
    assert crm.round().unapproved == 1
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(filter=some)])
    crm.pass_by(hours=1)
    crm.round()
    rounds.approve(crm.desk, crm.settings)
    assert (crm.values("O-1")[0], crm.values("O-2")[:2]) == ("APPROVED", ("PENDING", "60.00"))


def test_what_a_mapping_had_read_that_is_gone_is_for_a_person(crm: Crm, tmp_path: Path) -> None:
    """Its changes waited to be approved; nobody can approve it any more, so they are held, and can be let go."""
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won")
    crm.round()
    rounds.approve(crm.desk, crm.settings)
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(filter=[PARTNERS])])
    crm.pass_by(hours=1)
    assert crm.round().unapproved == 1
    crm.settings = settings_for(crm.org, backfill="ask", mapping=[mapping_table(name="renamed")])
    crm.pass_by(hours=1)
    crm.round()
    rounds.approve(crm.desk, crm.settings)
    assert [one for one in crm.held() if "mapping sales was taken out" in one] == crm.held() != []
    crm.clock.now = crm.world.now = LOCK + timedelta(minutes=1)
    assert [one.deferred for one in crm.lock()] == [1]
    with crm.desk.store.write() as db:
        observed.let_go(db, "crm", record, crm.clock.now)
    assert [(one.locked, one.deferred) for one in crm.lock()] == [(1, 0)]


def test_a_red_mapping_is_not_read_for_its_leads_either(crm: Crm, tmp_path: Path) -> None:
    """The look-up of what a lead became waits for the mapping of what it became."""
    leads = LEADS | {"on_converted": "follow"}
    crm.settings = settings_for(crm.org, mapping=[leads, mapping_table()])
    crm.sell(tmp_path, "O-1")
    lead = crm.world.add("Lead", Order_Number__c="O-1", Status="Open")
    crm.round()
    crm.pass_by(hours=2)
    wrong = {"Closed Won": STATUSES["Closed Lost"], "Returned": {"outcome": "reverse", "reason": "N0NE"}}
    crm.settings = settings_for(crm.org, mapping=[leads, mapping_table(statuses=STATUSES | wrong)])
    crm.world.convert(lead, crm.opportunity("O-1", "Closed Won"))
    with pytest.raises(SourceRefused, match="N0NE"):
        crm.round(until=LOCK)
    assert crm.values("O-1")[0] == "PENDING"


def test_records_that_are_missing_are_told(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    """Sharing hides them without a word: once a day they are counted, and a drop is told until the next count."""
    records = [crm.opportunity(f"O-{n}") for n in range(60)]
    assert crm.round().dropped == {}
    crm.world.hidden_records.update(records[:12])
    crm.pass_by(hours=23)
    assert crm.round().dropped == {}
    crm.pass_by(hours=2)
    with caplog.at_level(logging.ERROR):
        assert crm.round().dropped == {"sales": (60, 48)}
    assert "records_dropped source=crm mapping=sales before=60 now=48" in caplog.text
    crm.pass_by(minutes=5)
    crm.settings = settings_for(crm.org, mapping=[mapping_table(tolerance="0.05")])
    told = crm.round().dropped
    assert (told, doubts({"dropped": told})) == (
        {"sales": (60, 48)},
        ["sales: 48 records where 60 were seen the day before; deleted, or hidden from us?"],
    )
    crm.pass_by(days=1)
    assert crm.round().dropped == {}


@pytest.mark.parametrize(
    ("before", "hidden", "told"),
    [(49, 9, {}), (51, 10, {}), (50, 10, {"sales": (50, 40)}), (3, 3, {"sales": (3, 0)}), (0, 0, {})],
)
def test_a_few_records_less_are_none(crm: Crm, before: int, hidden: int, told: dict[str, tuple[int, int]]) -> None:
    """A fifth of them, and ten at least, or all."""
    records = [crm.opportunity(f"O-{n}") for n in range(before)]
    crm.round()
    crm.world.hidden_records.update(records[:hidden])
    crm.pass_by(days=1)
    assert crm.round().dropped == told


def test_records_that_cannot_be_counted_stop_nothing(crm: Crm) -> None:
    """There are so many that the org gives up; the mapping is read, and compared when it can be counted again."""
    records = [crm.opportunity(f"O-{n}") for n in range(20)]
    crm.round()
    crm.pass_by(days=1)
    crm.world.hidden_records.update(records)
    crm.org.fault(Fault(status=500, body=b"[]"), r"COUNT", times=1)
    assert (crm.round().dropped, crm.org.faults[0].times) == ({}, 0)
    crm.pass_by(days=1)
    assert crm.round().dropped == {"sales": (20, 0)}


@pytest.mark.parametrize("what", ["a field is hidden as well", "a query is refused"])
def test_missing_records_are_told_of_a_mapping_that_was_refused(
    crm: Crm, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """Counts are compared with those of the day before, whatever was found since then; the log has it once."""
    records = [crm.opportunity(f"O-{n}") for n in range(60)]
    crm.round()
    crm.pass_by(days=1)
    crm.world.hidden_records.update(records[:40])
    if what == "a query is refused":
        crm.round()
        crm.org.fault(refusal(400, "INVALID_FIELD"), "queryAll")
    else:
        crm.world.hidden_fields.add(("Opportunity", "StageName"))
    crm.pass_by(minutes=5)
    with pytest.raises(SourceRefused):
        crm.round()
    crm.world.hidden_fields.clear()
    for _ in range(3):
        crm.pass_by(minutes=5)
        assert crm.round().dropped == {"sales": (60, 20)}
    assert caplog.text.count("records_dropped") == 1


def test_clocks_that_come_to_differ_stop_the_next_round(crm: Crm) -> None:
    """By more than five minutes: the org is not read until they are set, though its preflight was of today."""
    crm.round()
    crm.pass_by(minutes=5)
    crm.org.skew = timedelta(seconds=301)
    assert crm.round().skew_s == 301
    for _ in range(2):
        crm.pass_by(minutes=5)
        with pytest.raises(SourceRefused, match="the clocks differ by 301 s"):
            crm.round()
    crm.org.skew = timedelta()
    assert crm.round().error is None


def test_another_object_has_as_many_records_as_it_has(crm: Crm) -> None:
    """A mapping that is about other records now is not compared with what it was about."""
    for number in range(20):
        crm.opportunity(f"O-{number}")
    crm.round()
    crm.settings = settings_for(crm.org, mapping=[LEADS | {"name": "sales"}])
    for _ in range(2):
        crm.pass_by(days=1)
        assert crm.round().dropped == {}


def test_an_order_number_that_is_a_number(crm: Crm) -> None:
    """Orders are looked up by their texts, and the org refuses those for a number."""
    prefix, fields = OBJECTS["Opportunity"]
    numbered = [replace(one, type="double") if one.name == "Order_Number__c" else one for one in fields]
    crm.world.objects = {**OBJECTS, "Opportunity": (prefix, tuple(numbered))}
    with crm.desk.store.read() as db, crm.opened() as org:
        [red] = [one for one in steps(org, crm.settings, read_terms(db, SID), crm.clock.now) if not one.ok]
    assert red.message == "sales: order_id: Order_Number__c is a double; an order number has to be text"
