"""Answers in the shapes that other clients have recorded of real orgs, which differ from those of the fake in detail.

The shapes are those of the recordings in restforce (token, pages, getUpdated, describe) and CumulusCI (Organization);
the values are ours.

``emulator.json`` is what go-salesforce-emulator (b204661, with sessions of two seconds) answered to the connector on
2026-11-22: a login, a query whose session ended before each page, and a login that was refused. It speaks no TLS and
knows no queryAll, and the last three letters of its ids are not Salesforce's: a proxy put that right, and asked for
pages of two. No package index has it, so its answers are played again.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clawback.salesforce.preflight import steps
from connectors.salesforce_org import Org
from connectors.salesforce_records import Record, State
from connectors.salesforce_settings import SalesforceSettings
from processing.catalog import read_terms
from processing.errors import SourceRefused
from tests.clawback.salesforce.site import ENVIRON, Crm, mapping_table, settings_for
from tests.conftest import START
from tests.salesforce_org.server import Fault, serving
from tests.salesforce_org.server import Org as FakeOrg
from tests.salesforce_org.world import ORG_ID
from tests.worlds import SID

FIRST, SECOND = "0065g00000AbCdEAAV", "0065g00000AbCdFAAV"
# What a description tells of each field; the fake leaves most of it out.
FIELD: dict[str, Any] = {
    **dict.fromkeys(("length", "precision", "scale", "byteLength", "digits"), 0),
    **dict.fromkeys(("defaultValue", "controllerName", "inlineHelpText", "calculatedFormula"), None),
    **dict.fromkeys(("defaultValueFormula", "relationshipName", "relationshipOrder"), None),
    **dict.fromkeys(("calculated", "unique", "caseSensitive", "nameField", "externalId", "idLookup"), False),
    **dict.fromkeys(("deprecatedAndHidden", "autoNumber", "restrictedPicklist", "namePointing"), False),
    **dict.fromkeys(("htmlFormatted", "dependentPicklist", "writeRequiresMasterRead"), False),
    **dict.fromkeys(("updateable", "nillable", "filterable", "createable", "groupable", "sortable"), True),
    "custom": True,
    "defaultedOnCreate": False,
    "soapType": "xsd:string",
    "type": "string",
    "picklistValues": [],
    "referenceTo": [],
}


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOrg]:
    """An org that answers as it is told to."""
    with serving(tmp_path) as running:
        yield running


def told(fake: FakeOrg, path: str, document: object) -> None:
    """The next answer to a request of this path."""
    fake.fault(Fault(status=200, body=json.dumps(document).encode()), path)


def opened(fake: FakeOrg, **mapping: Any) -> Org:  # noqa: ANN401 - of Mapping_
    """The connector."""
    return Org(settings_for(fake, mapping=[mapping_table(**mapping)]), ENVIRON, pause=lambda _seconds: None)


def replayed(fake: FakeOrg, exchange: Any) -> None:  # noqa: ANN401 - any JSON value
    """The next answer to what was asked then; a token is for this server."""
    answer = exchange["answer"]
    if "access_token" in answer:
        answer |= {"instance_url": fake.url}
    fake.fault(Fault(status=exchange["status"], body=json.dumps(answer).encode()), exchange["asked"])


def org_of_emulator(fake: FakeOrg) -> SalesforceSettings:
    """The settings with which the answers were recorded."""
    login = {"auth": "password", "user": "integration@acme.example", "session": "env:SF_SESSION"}
    return settings_for(fake, org_id="00D000000000000", api_version="62.0", **login)


def logged_in(fake: FakeOrg) -> Org:
    """The connector with those settings."""
    return Org(org_of_emulator(fake), ENVIRON, pause=lambda _seconds: None)


def record(name: str, **fields: object) -> dict[str, Any]:
    """A row of a page, which says of itself what it is."""
    url = f"/services/data/v38.0/sobjects/Opportunity/{name}"
    stamp = {"SystemModstamp": "2027-01-20T11:37:00.000+0000", "IsDeleted": False}
    return {"attributes": {"type": "Opportunity", "url": url}, "Id": name, **stamp, **fields}


def test_s51_a_token_of_few_words(fake: FakeOrg) -> None:
    """It says neither its type nor how long it holds, and carries a signature that nobody asked for."""
    identity = {"id": f"https://login.salesforce.com/id/{ORG_ID}/0055g00000AbCdEAAV", "issued_at": "1811764800026"}
    token = {"instance_url": fake.url, "signature": "c2lnbmVk=", "access_token": fake.new_token()}
    told(fake, "/oauth2/token", identity | token)
    with opened(fake) as org:
        assert org.server_time() == START


def test_s51_pages_of_another_version(fake: FakeOrg) -> None:
    """The next page lies under an older version; parents stand before or after their attributes, or are none."""
    its = {"type": "Shop__c", "url": "/services/data/v38.0/sobjects/Shop__c/a"}
    parent = {"Status__c": "Closed Won", "attributes": its}
    on = "/services/data/v38.0/query/01gD0000002HU6KIAW-2000"
    first = record(FIRST, Order_Number__c="O-1", Shop__r=parent, Amount=100.0)
    second = record(SECOND, Order_Number__c="O-2", Shop__r=None, Amount=None)
    told(fake, "/queryAll", {"totalSize": 2, "done": False, "nextRecordsUrl": on, "records": [first]})
    told(fake, on, {"totalSize": 2, "done": True, "records": [second]})
    with opened(fake, status="Shop__r.Status__c") as org:
        [mapping] = settings_for(fake, mapping=[mapping_table(status="Shop__r.Status__c")]).mappings
        found = [one for page in org.changed_since(mapping, START) for one in page]
    stamp = datetime(2027, 1, 20, 11, 37, tzinfo=UTC)
    assert found == [
        Record(FIRST, stamp, State("O-1", "Closed Won", "100")),
        Record(SECOND, stamp, State("O-2", None)),
    ]


def test_s51_what_was_covered(fake: FakeOrg) -> None:
    """The instant has milliseconds and an offset without a colon."""
    told(fake, "/updated/", {"ids": [FIRST, SECOND], "latestDateCovered": "2027-01-20T11:17:00.000+0000"})
    with opened(fake) as org:
        assert org.latest_date_covered("Opportunity", START, START) == datetime(2027, 1, 20, 11, 17, tzinfo=UTC)


def test_s51_an_organization_that_tells_more(fake: FakeOrg) -> None:
    """All that was not asked for is left alone."""
    row: dict[str, Any] = {
        "attributes": {"type": "Organization", "url": f"/services/data/v48.0/sobjects/Organization/{ORG_ID}"}
    }
    row |= {"Id": ORG_ID, "OrganizationType": "Developer Edition", "IsSandbox": False, "NamespacePrefix": None}
    told(fake, "/query", {"totalSize": 1, "done": True, "records": [row]})
    with opened(fake) as org:
        assert org.identity() == ORG_ID


def test_s52_pages_of_an_emulator(fake: FakeOrg) -> None:
    """Every page has the same address, and the session ends before each: no page is skipped, and none is read twice."""
    *read, refused = json.loads((Path(__file__).parent / "emulator.json").read_text())
    for one in read:
        replayed(fake, one)
    with logged_in(fake) as org:
        [mapping] = org_of_emulator(fake).mappings
        pages = [[record.state for record in page] for page in org.changed_since(mapping, START)]
    assert pages == [
        [State("O-0", "Negotiation", "100"), State("O-1", "Closed Won", "79.9")],
        [State("O-2", "Closed Lost"), State("O-3", "Partly Returned", "12.34")],
        [State("O-4", "Returned", "0")],
    ]
    assert fake.calls == [one["asked"] for one in read]
    replayed(fake, refused)
    with logged_in(fake) as org, pytest.raises(SourceRefused, match=r"gives no token \(invalid_grant\)"):
        org.server_time()


def test_s51_a_full_description(crm: Crm) -> None:
    """Every attribute of every field, a parent of several kinds, and values with what depends on them."""
    choices = [*crm.settings.mappings[0].statuses, "Prospecting"]
    plain = {"active": True, "defaultValue": False, "validFor": None}
    values = [{**plain, "label": f"<{one}>", "value": one} for one in choices]
    fields = [
        FIELD | {"name": "Id", "type": "id", "soapType": "tns:ID", "custom": False},
        FIELD | {"name": "OwnerId", "type": "reference", "referenceTo": ["Group", "User"], "relationshipName": "Owner"},
        FIELD | {"name": "Order_Number__c", "externalId": True, "unique": True},
        FIELD | {"name": "StageName", "type": "picklist", "picklistValues": values},
        FIELD | {"name": "Amount", "type": "currency", "soapType": "xsd:double", "precision": 18, "scale": 2},
    ]
    told(crm.org, "/describe", {"name": "Opportunity", "queryable": True, "replicateable": True, "fields": fields})
    with crm.desk.store.read() as db:
        terms = read_terms(db, SID)
    with crm.opened() as org:
        found = steps(org, crm.settings, terms, crm.clock.now)
    assert [one.message for one in found if not one.ok] == []
    assert any("'Prospecting' not mapped" in one.message for one in found)
