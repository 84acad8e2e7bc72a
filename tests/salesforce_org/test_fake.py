"""The fake org can see the faults that the connector is tested for, and refuses what it does not understand."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.salesforce_org.ids import checked
from tests.salesforce_org.messages import Sender, envelope
from tests.salesforce_org.server import LONGEST_HEAD, Org, refusal, serving
from tests.salesforce_org.soql import Refused, parse
from tests.salesforce_org.world import ORG_ID, World

SINCE = "SELECT Id, StageName FROM Opportunity WHERE SystemModstamp >= {} ORDER BY SystemModstamp, Id"


NO_ID = "INVALID_QUERY_FILTER_OPERATOR"


def found(world: World, soql: str, *, deleted_too: bool = True) -> list[str]:
    """The stages that a query gives."""
    return [row["StageName"] for row in world.query(soql, deleted_too=deleted_too)[1]]


def test_a_change_is_seen_when_it_commits_and_stamped_when_it_is_made() -> None:
    """In between the record is what it was; then its stamp lies in the past, and coverage has waited for it."""
    world = World()
    record = world.add("Opportunity", StageName="Negotiation")
    made = world.pass_by(minutes=1, microseconds=900_000)
    world.change(record, timedelta(minutes=9), StageName="Closed Won")
    world.pass_by(minutes=5)
    assert found(world, SINCE.format("2027-01-20T11:00:00Z")) == ["Negotiation"]
    assert world.latest_date_covered() == made.replace(microsecond=0)
    world.pass_by(minutes=5)
    assert found(world, SINCE.format("2027-01-20T12:01:00Z")) == ["Closed Won"]
    assert found(world, SINCE.format("2027-01-20T12:01:01Z")) == []
    assert world.latest_date_covered() == world.now.replace(microsecond=0)


@pytest.mark.parametrize(
    "soql",
    [
        "SELECT StageName FROM Opportunity WHERE StageName = 'closed won'",
        "SELECT StageName FROM Opportunity WHERE StageName IN ('x', 'CLOSED WON')",
    ],
)
def test_texts_are_compared_without_regard_to_case(soql: str) -> None:
    """As they are by a real org, in all fields that were not made to mind it."""
    world = World()
    world.add("Opportunity", StageName="Closed Won")
    assert found(world, soql) == ["Closed Won"]


def test_what_is_hidden_deleted_or_computed() -> None:
    """Sharing hides a record silently; the recycle bin is seen by queryAll only; a formula stamps nothing."""
    world = World()
    one, two = (world.add("Opportunity", StageName=stage) for stage in ("Closed Won", "Closed Lost"))
    before = world.read(one)
    world.pass_by(minutes=1)
    world.recalculate(one, Health__c="green")
    world.delete(two)
    after = world.read(one)
    assert before is not None
    assert after is not None
    assert (after["Health__c"], after["SystemModstamp"]) == ("green", before["SystemModstamp"])
    every = "SELECT Id, StageName FROM Opportunity"
    assert found(world, every) == ["Closed Won", "Closed Lost"]
    assert found(world, every, deleted_too=False) == ["Closed Won"]
    world.hidden_records.add(one)
    assert found(world, every) == ["Closed Lost"]


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id FROM Opportunity WHERE SystemModstamp >= '2027-01-20T12:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE StageName = 2027-01-20T12:00:00Z", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Amount = 'ten'", "INVALID_FIELD"),
        ("SELECT Nothing FROM Opportunity", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Id = '006'", NO_ID),
        ("SELECT Id FROM Opportunity WHERE Id = '0065g0000000001AAB'", NO_ID),
        ("SELECT Id FROM Opportunity WHERE Id IN ('0065g0000000001AAA', '00Q5g0000000001AAA')", NO_ID),
        ("SELECT Id FROM Opportunity WHERE RecordTypeId = '0065g0000000001AAA'", NO_ID),
        ("SELECT Id FROM OrderItem WHERE Order.Id = '8025g0000000001AAA'", NO_ID),
        ("SELECT Id FROM Opportunity WHERE Name = '" + "x" * 100_000 + "'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Id FROM Opportunity WHERE Id IN ()", "MALFORMED_QUERY"),
        ("SELECT Id FROM Opportunity WHERE StageName LIKE 'a%'", "MALFORMED_QUERY"),
        ("SELECT COUNT(Id) FROM Opportunity", "MALFORMED_QUERY"),
        ("SELECT COUNT(), Id FROM Opportunity", "MALFORMED_QUERY"),
        ("SELECT Id FROM Opportunity WHERE Id = 'it's'", "MALFORMED_QUERY"),
        ("DELETE Id FROM Opportunity", "MALFORMED_QUERY"),
    ],
)
def test_what_it_cannot_parse_it_refuses(soql: str, code: str) -> None:
    """As the real one does; an emulator that passes over a condition would hide every fault of a cursor."""
    with pytest.raises(Refused) as refused:
        World().query(soql, deleted_too=True)
    assert refused.value.code == code


def test_texts_are_kept_without_the_blanks_around_them() -> None:
    """One of blanks alone is none."""
    world = World()
    one = world.add("Opportunity", Name="\t A  b ", Order_Number__c=" ", StageName=" Closed Won")
    found = world.read(one)
    assert found is not None
    assert [found[name] for name in ("Name", "Order_Number__c", "StageName")] == ["A  b", None, " Closed Won"]


def test_instants_are_compared_to_the_second() -> None:
    """And whatever their zone."""
    keeps = parse("SELECT Id FROM Opportunity WHERE CreatedDate = 2027-01-20T12:00:00.999+00:00").keeps
    assert keeps(lambda _path: datetime(2027, 1, 20, 12, tzinfo=UTC))
    assert not keeps(lambda _path: datetime(2027, 1, 20, 12, 0, 1, tzinfo=UTC))


def asked(org: Org, path: str, token: str, **params: str) -> httpx.Response:
    """An answer of the running org."""
    trust = ssl.create_default_context(cafile=str(org.ca_file))
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(
        f"{org.url}/services/data/v62.0/{path}", params=params, headers=headers, verify=trust, trust_env=False
    )


def test_pages_tokens_and_faults(tmp_path: Path) -> None:
    """Its own authority, sessions that end, pages that go on by a locator, and faults as often as they are set."""
    with serving(tmp_path) as org:
        for _ in range(3):
            org.world.add("Opportunity", StageName="Closed Won")
        org.page, token = 2, org.new_token()
        first = asked(org, "queryAll/", token, q="SELECT Id FROM Opportunity").json()
        assert (first["totalSize"], first["done"], len(first["records"])) == (3, False, 2)
        second = asked(org, first["nextRecordsUrl"].removeprefix("/services/data/v62.0/"), token).json()
        assert (second["done"], len(second["records"])) == (True, 1)
        org.fault(refusal(403, "REQUEST_LIMIT_EXCEEDED"), times=2)
        statuses = [asked(org, "limits", token).status_code for _ in range(3)]
        assert statuses == [403, 403, 200]
        org.end_sessions()
        assert asked(org, "limits", token).json()[0]["errorCode"] == "INVALID_SESSION_ID"
        with pytest.raises(httpx.ConnectError):
            httpx.get(org.url, trust_env=False)


@pytest.mark.parametrize(("longer", "status"), [(0, 200), (1, 431), (5_000, 414)])
def test_an_address_that_is_too_long(tmp_path: Path, longer: int, status: int) -> None:
    """All that stands before a request's body has to fit, the headers too; an address that alone does not is told."""
    with serving(tmp_path) as org:
        token, soql = org.new_token(), "SELECT Id FROM Opportunity WHERE Name = '{}'"
        fits = LONGEST_HEAD - head_bytes(org, token, soql.format(""))
        assert asked(org, "query/", token, q=soql.format("x" * (fits + longer))).status_code == status


def head_bytes(org: Org, token: str, soql: str) -> int:
    """How long the head of a query is."""
    url, headers = f"{org.url}/services/data/v62.0/query/", {"Authorization": f"Bearer {token}"}
    with httpx.Client(trust_env=False, verify=False) as client:  # noqa: S501 - nothing is sent
        request = client.build_request("GET", url, params={"q": soql}, headers=headers)
    lines = [f"GET {request.url.raw_path.decode()} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return sum(len(f"{line}\r\n") for line in lines)


SPAN = {"start": "2027-01-20T12:00:59+00:00", "end": "2027-01-20T13:00:00+00:00"}


def test_what_was_deleted_and_when(tmp_path: Path) -> None:
    """What lies in the recycle bin, by the minute; not what was taken out of it again or is hidden from the reader."""
    with serving(tmp_path) as org:
        token, world = org.new_token(), org.world
        one, back, hidden, kept = (world.add("Opportunity", StageName="Closed Won") for _ in range(4))
        world.pass_by(seconds=30)
        for record in (one, back, hidden):
            world.delete(record)
        world.hidden_records.add(hidden)
        world.delete(back, deleted=False)
        world.pass_by(minutes=10)
        assert asked(org, "sobjects/Opportunity/deleted/", token, **SPAN).json() == {
            "deletedRecords": [{"id": one, "deletedDate": "2027-01-20T12:00:30.000+0000"}],
            "earliestDateAvailable": "2027-01-05T12:10:30.000+0000",
            "latestDateCovered": "2027-01-20T12:10:30.000+0000",
        }
        later = {"start": "2027-01-20T12:01:00Z", "end": "2027-01-20T13:00:00Z"}
        assert asked(org, "sobjects/Opportunity/deleted/", token, **later).json()["deletedRecords"] == []
        updated = asked(org, "sobjects/Opportunity/updated/", token, **SPAN).json()
        assert updated == {"ids": [back, kept], "latestDateCovered": "2027-01-20T12:10:30.000+0000"}
        world.purged.add(one)
        assert asked(org, "sobjects/Opportunity/deleted/", token, **SPAN).json()[0]["errorCode"] == REPLICATION


REPLICATION = "INVALID_REPLICATION_DATE"


@pytest.mark.parametrize(
    ("what", "start", "end", "code"),
    [
        ("deleted", "2027-01-20T11:59:00Z", "2027-01-20T12:00:00Z", ""),
        ("deleted", "2027-01-20T12:00:00Z", "2027-01-20T12:00:59Z", REPLICATION),
        ("deleted", "2027-01-05T12:00:00Z", "2027-01-20T12:00:00Z", ""),
        ("deleted", "2027-01-05T11:59:00Z", "2027-01-20T12:00:00Z", REPLICATION),
        ("updated", "2026-12-21T12:00:00Z", "2027-01-20T12:00:00Z", ""),
        ("updated", "2026-12-21T11:59:00Z", "2027-01-20T12:00:00Z", REPLICATION),
        ("updated", "2027-01-20T12:00:00Z", "2027-01-20T12:00:59Z", REPLICATION),
    ],
)
def test_how_far_back_an_org_tells(tmp_path: Path, what: str, start: str, end: str, code: str) -> None:
    """Fifteen days of what was deleted, thirty of what was changed, and a minute at least."""
    with serving(tmp_path) as org:
        answer = asked(org, f"sobjects/Opportunity/{what}/", org.new_token(), start=start, end=end)
        found = answer.json()
        assert (answer.status_code, found[0]["errorCode"] if code else "") == (400 if code else 200, code)


def test_several_requests_in_one(tmp_path: Path) -> None:
    """Each has an answer and a status of its own; more queries than five are refused."""
    query = "/services/data/v62.0/query/?q=SELECT+Id+FROM+Opportunity"
    with serving(tmp_path) as org:
        record = org.world.add("Opportunity")
        for urls, statuses in (((query, "/services/data/v62.0/sobjects/No/describe"), [200, 404]), ((query,) * 6, [])):
            parts = [{"method": "GET", "url": url, "referenceId": f"r{n}"} for n, url in enumerate(urls)]
            told = posted(org, {"compositeRequest": parts})
            if not statuses:
                assert told[0]["errorCode"] == "PROCESSING_HALTED"
                continue
            answers = told["compositeResponse"]
            assert [(one["referenceId"], one["httpStatusCode"]) for one in answers] == [("r0", 200), ("r1", 404)]
            assert [one["Id"] for one in answers[0]["body"]["records"]] == [record]


def posted(org: Org, document: object) -> Any:  # noqa: ANN401 - any JSON value
    """The answer to a composite request."""
    trust = ssl.create_default_context(cafile=str(org.ca_file))
    url, headers = f"{org.url}/services/data/v62.0/composite", {"Authorization": f"Bearer {org.new_token()}"}
    return httpx.post(url, json=document, headers=headers, verify=trust, trust_env=False).json()


def test_a_query_is_a_view_of_one_instant_or_of_none(tmp_path: Path) -> None:
    """What a record said when it was asked for, or, by a switch, what it says when its page is read: no row is lost."""
    for snapshot, wanted in ((True, ["Closed Won"] * 2), (False, ["Closed Lost", "Closed Won"])):
        (tmp_path / str(snapshot)).mkdir()
        with serving(tmp_path / str(snapshot)) as org:
            records = [org.world.add("Opportunity", StageName="Closed Won") for _ in range(3)]
            org.page, org.snapshot, token = 1, snapshot, org.new_token()
            told = asked(org, "queryAll/", token, q=SINCE.format("2027-01-20T11:00:00Z")).json()
            org.world.change(records[1], StageName="Closed Lost")
            found = []
            while "nextRecordsUrl" in told:
                told = asked(org, told["nextRecordsUrl"].removeprefix("/services/data/v62.0/"), token).json()
                found += [one["StageName"] for one in told["records"]]
            assert found == wanted


def test_a_message_is_told_again_for_a_day(tmp_path: Path) -> None:
    """Sooner at first and later every two hours; then it is dropped."""
    with serving(tmp_path) as org:
        sender = Sender(org, "http://127.0.0.1:9/")
        sender.tell(org.world.add("Opportunity"))
        waits = sender.keep_trying(lambda wait: org.world.pass_by(seconds=wait.total_seconds()))
    assert [one.total_seconds() / 60 for one in waits[:8]] == [1, 2, 4, 8, 16, 32, 64, 120]
    assert (max(waits), sender.queue) == (timedelta(hours=2), [])
    assert timedelta(hours=22) < sum(waits, timedelta()) <= timedelta(hours=24)


def test_ids_and_messages() -> None:
    """The last three characters of an id tell its case; a message holds its notifications in their order."""
    assert checked("00D5g000004XyZz") == ORG_ID == "00D5g000004XyZzEAK"
    text = envelope([("1", "Lead", ""), ("2", "Order", "")], ORG_ID).decode()
    assert text.index("sf:Lead") < text.index("sf:Order")
