"""The preflight, the first reading, and reports that add up."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback.loading import load_catalog
from clawback.salesforce import rounds
from clawback.salesforce.preflight import steps
from clawback.salesforce.rehearsing import rehearse
from connectors.source import Step
from processing import hints
from processing.catalog import read_terms
from processing.errors import SourceRefused
from tests.clawback.salesforce.site import STATUSES, Crm, mapping_table, settings_for
from tests.salesforce_org.ids import checked
from tests.salesforce_org.server import Fault
from tests.salesforce_org.world import OBJECTS, PERMISSION_SET, Field
from tests.worlds import CATALOGUE, SID


def preflight(crm: Crm, **its: Any) -> list[Step]:  # noqa: ANN401 - of the settings
    """All steps."""
    settings = settings_for(crm.org, **its)
    with crm.desk.store.read() as db:
        terms = read_terms(db, SID)
    crm.settings = settings
    with crm.opened() as org:
        return steps(org, settings, terms, crm.clock.now)


GREEN = (
    "logged in; the clocks differ by 0 s",
    "org 00D5g000004XyZzEAK",
    "102 of 100,000 API calls of the day are used",
    "sales: reason VALIDATED for approve",
    "sales: reason ORDER_UPDATE for modify",
    "sales: reason ORDER_ERROR for reverse",
    "sales: reason RETURNED for reverse",
    "sales: Opportunity is queryable",
    "sales: Opportunity is replicateable",
    "sales: the user sees all records of Opportunity",
    "sales: order_id: Order_Number__c",
    "sales: status: StageName, 5 values mapped",
    "sales: amount: Amount is a currency",
    "sales: currency: Opportunity has CurrencyIsoCode and it is not read; amounts count in the action's",
)


def test_s48_all_green(crm: Crm) -> None:
    """Every rule says what it found; and what is only unusual is said without refusing anything."""
    assert preflight(crm) == [Step(ok=True, message=one) for one in GREEN]
    some = {name: its for name, its in STATUSES.items() if name != "Returned"} | {"Old": STATUSES["Closed Lost"]}
    of_partners = [{"field": "RecordType.DeveloperName", "value": "Partner"}]
    unusual = mapping_table(statuses=some, order_id="Name", currency="CurrencyIsoCode", filter=of_partners)
    found = [one.message for one in preflight(crm, mapping=[unusual]) if one.ok]
    assert [one for one in found if one not in GREEN and "calls of the day" not in one] == [
        "sales: order_id: Name is not unique; an order twice is held",
        "sales: status: 'Old' inactive; only records that have it already say so",
        "sales: status: 'Returned' not mapped; held when they occur",
        "sales: currency: CurrencyIsoCode",
        "sales: filter 1: RecordType.DeveloperName",
    ]


def test_s48_a_currency_that_is_not_read(crm: Crm) -> None:
    """Said where records have one and their amounts are applied; an org with one currency has none."""

    def said(**its: Any) -> bool:  # noqa: ANN401 - of Mapping_
        return any("not read; amounts" in one.message for one in preflight(crm, mapping=[mapping_table(**its)]))

    without = {name: one for name, one in STATUSES.items() if name != "Partly Returned"}
    assert [said(), said(currency="CurrencyIsoCode"), said(statuses=without, amount_applies="ignore")] == [
        True,
        False,
        False,
    ]
    prefix, fields = OBJECTS["Opportunity"]
    some = tuple(one for one in fields if one.name != "CurrencyIsoCode")
    crm.world.objects = {**OBJECTS, "Opportunity": (prefix, some)}
    assert not said()


def test_s48_amounts_that_are_too_fine(crm: Crm) -> None:
    """Said where a field holds more decimals than a currency has."""
    prefix, fields = OBJECTS["Opportunity"]
    for scale, note in ((2, ""), (4, " with 4 decimals; an amount finer than its currency is rejected")):
        finer = tuple(replace(one, scale=scale) if one.name == "Amount" else one for one in fields)
        crm.world.objects = {**OBJECTS, "Opportunity": (prefix, finer)}
        assert Step(ok=True, message=f"sales: amount: Amount is a currency{note}") in preflight(crm)


def test_s48_what_sharing_hides(crm: Crm) -> None:
    """View All on the object does, or on the whole org; without it, or where nobody tells, the preflight says so."""
    gone = "of Opportunity is not read"

    def sharing() -> list[str]:
        return [one.message for one in preflight(crm) if "sharing" in one.message or "sees all" in one.message]

    crm.world.change(PERMISSION_SET, PermissionsViewAllData=False)
    assert sharing() == [f"sales: the user does not have View All on Opportunity; what sharing hides {gone}"]
    crm.world.add("ObjectPermissions", ParentId=PERMISSION_SET, SobjectType="Lead", PermissionsViewAllRecords=True)
    assert "does not have" in sharing()[0]
    crm.world.add(
        "ObjectPermissions", ParentId=PERMISSION_SET, SobjectType="Opportunity", PermissionsViewAllRecords=True
    )
    assert sharing() == ["sales: the user sees all records of Opportunity"]
    crm.world.objects = {name: its for name, its in OBJECTS.items() if name != "PermissionSetAssignment"}
    assert sharing()[0].startswith("sales: it cannot be told whether the user has View All on Opportunity")


@pytest.mark.parametrize(("skew_s", "advice"), [(60, False), (-61, True), (300, True)])
def test_s48_clocks_that_differ(crm: Crm, skew_s: int, *, advice: bool) -> None:
    """By more than a minute the preflight says what to do, and refuses nothing yet."""
    crm.org.skew = timedelta(seconds=skew_s)
    [step] = [one for one in preflight(crm) if "clocks differ" in one.message]
    more = "; have this machine's clock set by NTP, locks go by it" if advice else ""
    assert step == Step(ok=True, message=f"logged in; the clocks differ by {abs(skew_s)} s{more}")


def hide(crm: Crm) -> None:
    """Field-level security takes a field away."""
    crm.world.hidden_fields.add(("Opportunity", "StageName"))


def compute(crm: Crm) -> None:
    """A field has become a formula."""
    prefix, fields = OBJECTS["Opportunity"]
    changed = tuple(replace(one, calculated=True) if one.name == "Amount" else one for one in fields)
    crm.world.objects = {**OBJECTS, "Opportunity": (prefix, changed)}


def as_text(crm: Crm) -> None:
    """The amount is a text."""
    prefix, fields = OBJECTS["Opportunity"]
    changed = tuple(Field("Amount") if one.name == "Amount" else one for one in fields)
    crm.world.objects = {**OBJECTS, "Opportunity": (prefix, changed)}


def unqueryable(crm: Crm) -> None:
    """The user may not query the object."""
    crm.world.unable.add(("Opportunity", "queryable"))


def unreplicated(crm: Crm) -> None:
    """The object tells of no changes."""
    crm.world.unable.add(("Opportunity", "replicateable"))


def late(crm: Crm) -> None:
    """Our clock is ten minutes off, a day after the org was checked."""
    crm.pass_by(days=1)
    crm.clock.pass_by(minutes=10)


def nothing(_crm: Crm) -> None:
    """Only the settings are wrong."""


LEADS: dict[str, Any] = {
    "object": "Lead",
    "status": "Status",
    "amount": None,
    "statuses": {"Rejected": STATUSES["Closed Lost"]},
}

RED: tuple[tuple[Callable[[Crm], None], dict[str, Any], str], ...] = (
    (hide, {}, "status: StageName does not exist, or is hidden"),
    (compute, {}, "amount: Amount is a formula"),
    (as_text, {}, "amount: Amount is a string; it has to be a number"),
    (unqueryable, {}, "Opportunity is not queryable"),
    (unreplicated, {}, "Opportunity is not replicateable"),
    (nothing, {"currency": "Currency__c"}, "currency: Currency__c does not exist"),
    (nothing, {"filter": [{"field": "RecordType.Kind", "value": "x"}]}, "filter 1: RecordType.Kind does not exist"),
    (nothing, {"statuses": {"Closed Lost (label)": STATUSES["Closed Lost"]}}, "no value 'Closed Lost (label)'"),
    (nothing, LEADS, "add a mapping of Opportunity"),
    (late, {}, "clocks differ by 600 s"),
    (nothing, {"object": "Opportunitty"}, "the object Opportunitty does not exist"),
    (nothing, {"order_id": "Description"}, "Description cannot be filtered"),
    (nothing, {"order_id": "RecordType.Nothing"}, "order_id: RecordType.Nothing does not exist"),
    (nothing, {"statuses": {"Lost": STATUSES["Closed Lost"]}}, "no value 'Lost'"),
    (nothing, {"statuses": {"closed lost": STATUSES["Closed Lost"]}}, "no value 'closed lost'"),
    (nothing, {"event_type": 99}, "no event type 99"),
    (nothing, {"statuses": {"Returned": {"outcome": "reverse", "reason": "NOPE"}}}, "reason NOPE for reverse"),
    (nothing, {"statuses": {"Returned": {"outcome": "reverse", "reason": "ORDER_UPDATE"}}}, "ORDER_UPDATE"),
    (nothing, {"statuses": {"Closed Won": {"outcome": "approve", "reason": "OTHER"}}}, "needs a disposition"),
    (nothing, {"statuses": {"Closed Won": {"outcome": "approve", "reason": "RETURNED"}}}, "would reverse"),
    (nothing, {"on_deleted": "reverse", "deleted_reason": "VALIDATED"}, "reason VALIDATED for reverse"),
    (nothing, {"filter": [{"field": "Amount", "op": "!=", "value": "0"}]}, "filter 1: Amount is a currency"),
    (nothing, {"filter": [{"field": "IsDeleted", "value": "false"}]}, "write true or false, without quotes"),
    (nothing, {"filter": [{"field": "Name", "value": True}]}, "Name is a string; it has to be compared with a text"),
    (nothing, {"filter": [{"field": "RecordTypeId", "value": "0125g00000AbCdE"}]}, "is none of 18 characters"),
    (nothing, {"filter": [{"field": "StageName", "op": "in", "value": ["Lost"]}]}, "filter 1: StageName has no value"),
    (nothing, {"filter": [{"field": "StageName", "op": "!=", "value": "negotiation"}]}, "no value 'negotiation'"),
)


def test_s48_conditions_that_can_be_met(crm: Crm) -> None:
    """A text, truth, an id and a value of a list are compared with what is one."""
    fit = [("RecordType.DeveloperName", "Partner"), ("IsDeleted", False), ("RecordTypeId", checked("0125g00000AbCdE"))]
    conditions = [{"field": name, "value": value} for name, value in [*fit, ("StageName", "Closed Won")]]
    found = preflight(crm, mapping=[mapping_table(filter=conditions)])
    assert [one.message for one in found if not one.ok] == []
    assert [one.message[7:15] for one in found if "filter" in one.message] == [f"filter {at}" for at in range(1, 5)]


def test_s48_each_rule_turns_red(crm: Crm) -> None:
    """And a source whose preflight is red is not read."""
    for change, its, says in RED:
        crm.world.objects, crm.org.used, crm.clock.now = OBJECTS, 100, crm.world.now
        crm.world.hidden_fields.clear()
        crm.world.unable.clear()
        change(crm)
        red = [one.message for one in preflight(crm, mapping=[mapping_table(**its)]) if not one.ok]
        assert len(red) == 1, (says, red)
        assert says in red[0]
        with pytest.raises(SourceRefused, match="is not started"):
            crm.round()
    assert [one for one in crm.org.calls if "queryAll" in one] == []


@pytest.mark.parametrize("code", ["RESET", "ORDER_UPDATE"])
def test_s48_a_catalogue_that_turns_our_words_round(crm: Crm, tmp_path: Path, code: str) -> None:
    """What we ask with of our own accord would reverse: the reset of what is open again, or a new amount."""
    file = tmp_path / "turned.toml"
    file.write_text(CATALOGUE.replace('code = "RETURNED"', f'code = "{code}"'))
    load_catalog(crm.desk, file)
    statuses = {name: STATUSES[name] for name in ("Closed Won", "Closed Lost")}
    [red] = [one.message for one in preflight(crm, mapping=[mapping_table(statuses=statuses)]) if not one.ok]
    assert f"has a disposition {code} that would reverse" in red


def test_s48_the_wrong_org(crm: Crm) -> None:
    """Found by what the org says of itself, also with a session that was given."""
    crm.environ["SF_TOKEN"] = crm.org.new_token()
    found = preflight(
        crm, auth="session", session="env:SF_TOKEN", key=None, secret=None, org_id=checked("00D5g0000000001")
    )
    assert "org_id is 00D5g0000000001" in next(one.message for one in found if not one.ok)


def test_s49_the_first_reading_waits_and_its_preview_is_true(crm: Crm, tmp_path: Path) -> None:
    """Nothing is applied before somebody has seen what it would do; then exactly that is done."""
    crm.settings = settings_for(crm.org, backfill="ask")
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    crm.opportunity("O-1", "Closed Lost")
    crm.opportunity("O-2", "Closed Won", Amount=70.0)
    crm.opportunity("O-9", "Closed Lost")
    assert crm.round().unapproved == 3
    shown = rehearse(crm.desk, crm.settings, at=crm.clock.now)
    assert (crm.entries(), crm.round().deliveries) == ([], [])
    done = rounds.approve(crm.desk, crm.settings)
    assert done is not None
    parts = ("name", "rows", "money", "state")
    assert [{part: one[part] for part in parts[1:]} for one in done.deliveries] == [
        {part: one[part] for part in parts[1:]} for one in shown
    ]
    assert crm.values("O-2") == ("APPROVED", "70.00", "3.50")
    crm.world.change(crm.opportunity("O-3"), StageName="Closed Lost")
    crm.round()
    assert crm.values("O-3")[0] == "REVERSED"


def test_s50_the_report_adds_up(crm: Crm, tmp_path: Path) -> None:
    """Read = changed + unchanged + idle + held + stale; and every line of a change has its verdict. One of each."""
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    crm.sell(tmp_path, "O-7", locks_at="2027-01-20T13:00:00Z")
    touched, late = crm.opportunity("O-3"), crm.opportunity("O-7")
    crm.round()
    crm.pass_by(hours=2)
    assert crm.lock()[0].locked == 1
    crm.pass_by(minutes=1)
    crm.world.change(touched, Name="touched")
    crm.world.change(late, StageName="Closed Lost")
    crm.opportunity("O-1", "Closed Lost")
    crm.opportunity("O-2", "Nobody knows")
    crm.opportunity("O-4", "Negotiation")
    crm.opportunity("O-9", "Closed Won")
    done = crm.round()
    counts = {"read": 6, "changed": 3, "unchanged": 1, "idle": 1, "held": 1, "stale": 0}
    assert {name: done.records[name] for name in counts} == counts
    # The one that is held, and nothing that waits to be delivered.
    assert (done.held, done.unapproved) == (1, 0)
    rows = Counter[str]()
    for head in done.deliveries:
        rows.update(head["rows"])
    # Won and with an amount: two lines of one record wait for their action.
    wanted = {"read": 4, "applied": 1, "refused": 1, "waiting": 2, "unchanged": 0, "rejected": 0, "held": 0}
    assert {name: rows[name] for name in wanted} == wanted


def test_s50_what_is_older_than_what_was_read_counts_as_stale(crm: Crm, tmp_path: Path) -> None:
    """A page that was overtaken on its way says nothing any more, and is in the sum."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1", "Closed Won")
    [mapping] = crm.settings.mappings
    with crm.opened() as org:
        [overtaken] = list(org.changed_since(mapping, crm.world.now))
    crm.pass_by(minutes=1)
    crm.world.change(record, StageName="Closed Lost")
    crm.round()
    with rounds.claimed(crm.desk, crm.settings) as reader:
        assert reader is not None
        reader.take(mapping, overtaken, crm.clock.now)
    assert (reader.tally.read, reader.tally.stale, reader.tally.changed) == (1, 1, 0)
    crm.round()
    assert (crm.values("O-1")[0], crm.entries()) == ("REVERSED", [("reverse", "PENDING", "REVERSED")])


def test_s32_credentials_that_are_refused_are_shown_once_a_round(crm: Crm) -> None:
    """However much there is to be read; and triggers, which are looked for every second, do not repeat it."""
    crm.environ["SF_SECRET"] = "wr0ng"
    crm.hint(*(("Opportunity", crm.opportunity(f"O-{n}", "Closed Lost")) for n in range(3)))
    for calls in (1, 2):
        with pytest.raises(SourceRefused, match="invalid_client"):
            crm.round()
        assert crm.org.token_calls == calls
    with pytest.raises(SourceRefused, match="invalid_client"):
        crm.listen()
    with crm.desk.store.read() as db:
        assert hints.waiting(db, ["crm"], crm.clock.now) == []
    assert crm.org.token_calls == 3


def test_a_mapping_that_is_wrong_does_not_stop_the_others(crm: Crm, tmp_path: Path) -> None:
    """Between two checks an object went away: its mapping says so, the other one is read."""
    leads = mapping_table(name="a-leads", object="Lead", status="Status", amount=None)
    leads["statuses"] = {"Rejected": STATUSES["Closed Lost"]}
    crm.settings = settings_for(crm.org, mapping=[leads, mapping_table()])
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1")
    crm.round()
    crm.world.objects = {name: its for name, its in OBJECTS.items() if name != "Lead"}
    crm.opportunity("O-1b")
    crm.pass_by(minutes=5)
    with pytest.raises(SourceRefused, match="INVALID_TYPE"):
        crm.round()
    with crm.desk.store.read() as db:
        from processing import observed  # noqa: PLC0415 - only here

        cursor = observed.cursor(db, "crm", "sales")
    assert cursor is not None
    assert cursor.complete_at == crm.clock.now


def test_a_hint_that_cannot_be_heeded_keeps_nothing_from_being_read(crm: Crm, tmp_path: Path) -> None:
    """The query of its record fails; the hints of other objects and the polls go on, and the round says what it was."""
    leads = mapping_table(
        name="leads",
        object="Lead",
        status="Status",
        amount=None,
        statuses={"Rejected": {"outcome": "reverse", "reason": "ORDER_ERROR"}},
    )
    crm.settings = settings_for(crm.org, mapping=[mapping_table(), leads])
    crm.sell(tmp_path, "O-1", "O-2")
    crm.round()
    opportunity = crm.opportunity("O-1", "Closed Lost")
    lead = crm.world.add("Lead", Order_Number__c="O-2", Status="Rejected")
    crm.hint(("Opportunity", opportunity), ("Lead", lead))
    crm.org.fault(Fault(status=400, body=b'[{"errorCode": "INVALID_FIELD", "message": "no"}]'), "/query", times=1)
    with pytest.raises(SourceRefused, match="Opportunity"):
        crm.round()
    assert (crm.values("O-1")[0], crm.values("O-2")[0]) == ("REVERSED", "REVERSED")


def test_a_red_preflight_is_not_repeated_for_a_hint(crm: Crm) -> None:
    """Triggers are looked for every second; the org is not asked that often."""
    hide(crm)
    crm.hint(("Opportunity", crm.opportunity("O-1", "Closed Lost")))
    with pytest.raises(SourceRefused, match="StageName"):
        crm.listen()
    with crm.desk.store.read() as db:
        assert hints.waiting(db, ["crm"], crm.clock.now) == []
    crm.pass_by(seconds=31)
    with crm.desk.store.read() as db:
        assert hints.waiting(db, ["crm"], crm.clock.now) == ["crm"]
