import xml.etree.ElementTree as ET
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import jsonschema_rs
import pytest

from clawback import sweep
from connectors.tokens import Scope
from processing.store import Store
from tests.clawback.web.site import Site
from tests.worlds import LOCK, OTHER_SID, SID, Sale, action

ACTION = {
    "Id": "A-1",
    "CampaignId": 1000,
    "CampaignName": "Acme Partners",
    "ActionTrackerId": 16027,
    "ActionTrackerName": "Online Sale",
    "EventCode": "",
    "MediaPartnerId": 501,
    "MediaPartnerName": "Trail Blog",
    "State": "PENDING",
    "AdId": 0,
    "ClientCost": 5.0,
    "Payout": 5.0,
    "DeltaPayout": 5.0,
    "IntendedPayout": 5.0,
    "Amount": 100.0,
    "DeltaAmount": 100.0,
    "IntendedAmount": 100.0,
    "Currency": "USD",
    "ReferringDate": "",
    "EventDate": "2027-01-15T10:00:00-05:00",
    "CreationDate": "2027-01-15T10:00:00-05:00",
    "LockingDate": "2027-02-28T00:00:00-05:00",
    "ClearedDate": "",
    "ReferringType": "",
    "ReferringDomain": "",
    "PromoCode": "",
    "Oid": "O-1",
    "CustomerId": "",
    "CustomerStatus": "NEW",
    "CustomerPostCode": "",
    "CustomerArea": "",
    "CustomerCity": "",
    "CustomerRegion": "",
    "CustomerCountry": "",
    "IpAddress": "",
    "SharedId": "",
    "CallerId": "",
    "Note": "",
    "Uri": "/Advertisers/IRacme1/Actions/A-1",
}


def fate(site: Site, client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """What became of a queued request, once it was judged."""
    assert answer.json()["Status"] == "QUEUED", answer.text
    uri = answer.json()["QueuedUri"]
    before = client.get(f"{site.url}{uri}").json()
    assert (before["Status"], before["CompletionDate"]) == ("Queued", "")
    site.clock.pass_by(seconds=1)
    site.finish()
    after: dict[str, Any] = client.get(f"{site.url}{uri}").json()
    assert after["Uri"] == uri
    return after


def test_an_action_has_the_documented_fields(site: Site, tmp_path: Path) -> None:
    """Alone and in the list, in JSON and in XML."""
    site.load(tmp_path, Sale("A-1", "O-1", status="NEW"))
    with site.client() as client:
        assert client.get("/Actions/A-1").json() == ACTION
        listed = client.get("/Actions", params={"CampaignId": 1000}).json()
        page = {key: value for key, value in listed.items() if key.startswith("@")}
        assert listed == {**page, "Actions": [ACTION]}
        span = "StartDate=2027-01-13T12%3A00%3A00%2B00%3A00&EndDate=2027-01-20T12%3A00%3A00%2B00%3A00"
        first = f"/Advertisers/IRacme1/Actions?CampaignId=1000&{span}&PageSize=20000&Page=1"
        assert page == {
            "@page": "1",
            "@numpages": "1",
            "@pagesize": "20000",
            "@total": "1",
            "@start": "0",
            "@end": "0",
            "@uri": "/Advertisers/IRacme1/Actions?CampaignId=1000",
            "@firstpageuri": first,
            "@previouspageuri": "",
            "@nextpageuri": "",
            "@lastpageuri": f"{first}&Cursor=z.0.0.1",
        }
        root = ET.fromstring(client.get("/Actions/A-1", headers={"Accept": "*/*"}).content)  # noqa: S314 - our own
    assert root.tag == "ImpactRadiusResponse"
    [found] = root
    assert {field.tag: field.text or "" for field in found} == {
        key: "100.00" if key.endswith("Amount") else "5.00" if key.endswith(("Payout", "Cost")) else str(value)
        for key, value in ACTION.items()
    }


def test_the_clearing_date_is_an_instant_like_the_others(site: Site, tmp_path: Path) -> None:
    """Programs read all dates the same way: the day begins at midnight in the account's time zone."""
    site.load(tmp_path, Sale("A-1", "O-1"))
    with site.client() as client:
        site.clock.now = LOCK
        sweep.lock_due(site.desk, as_of=LOCK, at=LOCK)
        assert client.get("/Actions/A-1").json()["ClearedDate"] == ""
        assert client.get("/ActionUpdates/A-1.0").json()["ClearingDate"] == "2027-03-20T00:00:00-04:00"
        site.clock.pass_by(days=20)
        assert client.get("/Actions/A-1").json()["ClearedDate"] == "2027-03-20T00:00:00-04:00"


@pytest.mark.parametrize(
    ("suffix", "accept", "kind"),
    [
        ("", None, "application/xml; charset=utf-8"),
        ("", "*/*", "application/xml; charset=utf-8"),
        ("", "application/json", "application/json"),
        ("", "text/html, application/json;q=0.9, application/xml;q=0.5", "application/json"),
        ("", "application/json;q=0.1, application/xml", "application/xml; charset=utf-8"),
        ("", "Application/JSON; Q=1.0", "application/json"),
        (".json", "application/xml", "application/json"),
        (".xml", "application/json", "application/xml; charset=utf-8"),
    ],
)
def test_suffix_and_accept_choose_the_form(door: Site, suffix: str, accept: str | None, kind: str) -> None:
    """The suffix wins, then the header; without either it is XML, for refusals as well."""
    with door.client() as client:
        del client.headers["Accept"]
        headers = {} if accept is None else {"Accept": accept}
        for path, status in (("/Actions/A-1", 200), ("/Actions/A-2", 404), ("/Nowhere", 404)):
            answer = client.get(path + suffix, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (status, kind)


@pytest.mark.parametrize("form", [True, False])
def test_put_modifies(site: Site, tmp_path: Path, form: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """By form and by JSON: queued at once, applied by the pipeline, told in submission, action and updates."""
    site.load(tmp_path, Sale("A-1", "O-1"))
    body = {"ActionTrackerId": 16027, "OrderId": "O-1", "Amount": 40.5, "Reason": "ORDER_UPDATE"}
    with site.client() as client:
        answer = client.put("/Actions", data=body) if form else client.put("/Actions", json=body)
        told = fate(site, client, answer)
        submission = told["BatchId"].removeprefix("A-")
        assert told == {
            "BatchId": f"A-{submission}",
            "AccountId": SID,
            "SubmissionDate": "2027-01-20T07:00:00-05:00",
            "CampaignId": "1000",
            "ActionTrackerId": "16027",
            "MediaPartnerId": "501",
            "EventCode": "",
            "OrderId": "",
            "Payload": "Amount=40.5&ActionTrackerId=16027&OrderId=O-1&Reason=ORDER_UPDATE",
            "Type": "Modification",
            "Status": "Complete",
            "CompletionDate": "2027-01-20T07:00:01-05:00",
            "ErrorType": "",
            "ErrorReason": "",
            "ErrorMessage": "",
            "Uri": f"/Advertisers/IRacme1/APISubmissions/A-{submission}",
        }
        found = client.get("/Actions/A-1").json()
        numbers = [found[f"{kind}{of}"] for of in ("Payout", "Amount") for kind in ("", "Delta", "Intended")]
        assert numbers == [2.03, -2.97, 5.0, 40.5, -59.5, 100.0]
        [update, tracked] = client.get("/ActionUpdates", params={"CampaignId": 1000}).json()["ActionUpdates"]
        assert client.get(f"/ActionUpdates/{update['Id']}").json() == update
    assert (update["Id"], update["Disposition"], update["DeltaAmount"]) == ("A-1.1", "ORDER_UPDATE", -59.5)
    assert (tracked["Id"], tracked["Disposition"], tracked["DeltaAmount"]) == ("A-1.0", "IR_BLANK", 100.0)
    assert (update["UpdateDate"], tracked["UpdateDate"]) == ("2027-01-20T07:00:01-05:00", "2027-01-15T10:00:00-05:00")


def test_delete_reverses_and_reset_brings_back(site: Site, tmp_path: Path) -> None:
    """The same change asked for twice is unchanged the second time; RESET is a modification."""
    site.load(tmp_path, Sale("A-1"))
    reverse = {"ActionId": "A-1", "DispositionCode": "ITEM_RETURNED"}
    with site.client() as client:
        for _ in range(2):
            answer = client.request("DELETE", "/Actions", data=reverse)
            assert fate(site, client, answer)["Type"] == "Reversal"
            assert client.get("/Actions/A-1").json()["State"] == "REVERSED"
        fate(site, client, client.put("/Actions", data={"ActionId": "A-1", "Reason": "RESET"}))
        assert client.get("/Actions/A-1").json()["State"] == "PENDING"
        fate(site, client, client.request("DELETE", "/Actions", data=reverse))
        # The bytes are those of the first; as a file they would be a duplicate.
        assert client.get("/Actions/A-1").json()["State"] == "REVERSED"


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("DELETE", {"ActionId": "A-1", "DispositionCode": "OTHER"}),
        ("DELETE", {"ActionTrackerId": "16027", "OrderId": "O-1", "DispositionCode": "OTHER"}),
        ("PUT", {"ActionId": "A-1", "Amount": "40", "Reason": "ORDER_UPDATE"}),
    ],
)
def test_a_payload_can_be_sent_again(site: Site, tmp_path: Path, method: str, body: dict[str, str]) -> None:
    """A program that keeps a payload asks for the same with it, before and after it was judged."""
    site.load(tmp_path, Sale("A-1", "O-1"))
    with site.client() as client:
        queued = client.request(method, "/Actions", data=body).json()["QueuedUri"]
        payload = client.get(f"{site.url}{queued}").json()["Payload"]
        assert dict(parse_qsl(payload)) == body
        again = client.request(method, "/Actions", data=dict(parse_qsl(payload)))
        assert fate(site, client, again)["Payload"] == payload
        assert client.get(f"{site.url}{queued}").json()["Payload"] == payload


@pytest.mark.parametrize(
    ("body", "status", "kind", "reason"),
    [
        ({"ActionId": "A-1", "Amount": "40", "Reason": "NO_SUCH"}, "Complete", "Validation", "REASON_UNKNOWN"),
        ({"ActionId": "A-1", "Reason": "ORDER_UPDATE"}, "Complete", "Validation", "AMOUNT_BLANK"),
        ({"ActionId": "A-2", "Amount": "40", "Reason": "ORDER_UPDATE"}, "Complete", "Contract Error", "ACTION_LOCKED"),
        ({"ActionId": "A-9", "Amount": "40", "Reason": "ORDER_UPDATE"}, "In Progress", "", "UNKNOWN_ACTION"),
        ({"ActionId": "A-1", "Reason": "ORDER_UPDATE", "DispositionCode": "RETURNED"}, "Complete", "", ""),
        ({"ActionId": "A-1", "Reason": "RETURNED", "DispositionCode": "RETURNED"}, "Complete", "", ""),
        ({"ActionId": "A-1", "Reason": "RETURNED", "DispositionCode": "ORDER_UPDATE"}, "Complete", "", ""),
        ({"ActionId": "A-1", "Reason": "ORDER_UPDATE", "CustomerStatus": "OLD"}, "Complete", "", ""),
    ],
)
def test_submission_tells_why(
    site: Site, tmp_path: Path, body: dict[str, str], status: str, kind: str, reason: str
) -> None:
    """Bad data, a refusal of the ledger, or a line that waits; an amount that is missing never reverses."""
    site.load(tmp_path, Sale("A-1"), Sale("A-2", locks_at="2027-01-20T11:00:00Z"))
    with site.client() as client:
        told = fate(site, client, client.put("/Actions", data=body))
    assert (told["Status"], told["ErrorType"], told["ErrorReason"]) == (status, kind, reason)
    assert bool(told["ErrorMessage"]) is bool(reason)
    assert action(site.desk.store, "A-1")["state"] == ("REVERSED" if "DispositionCode" in body else "PENDING")


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/Actions", {"Reason": "ORDER_UPDATE"}, ""),
        ("PUT", "/Actions", {"ActionId": "A-1"}, "Reason"),
        ("PUT", "/Actions", {"OrderId": "O-1", "Reason": "ORDER_UPDATE"}, ""),
        ("PUT", "/Actions", {"ActionId": "A-1", "Reason": "ORDER_UPDATE", "Amount": "1,50"}, "Amount"),
        ("PUT", "/Actions", {"ActionId": "A-1", "Reason": "ORDER_UPDATE", "Amount": "-1"}, "Amount"),
        ("PUT", "/Actions", {"ActionId": "A-1", "Reason": "ORDER_UPDATE", "Amout": "1"}, ""),
        ("PUT", "/Actions", {"ActionId": "A 1", "Reason": "ORDER_UPDATE"}, "ActionId"),
        ("PUT", "/Actions", {"ActionId": "A-1", "Reason": "A\nB"}, "Reason"),
        ("PUT", "/Actions", {"ActionId": "A-1", "Reason": "RESET", "DispositionCode": "RETURNED"}, ""),
        ("PUT", "/Actions", {"ActionId": "A-1", "Reason": "RETURNED", "DispositionCode": "RESET"}, ""),
        ("DELETE", "/Actions", {"ActionId": "A-1", "Reason": "RETURNED", "DispositionCode": "OTHER"}, "Reason"),
        ("DELETE", "/Actions", {"ActionId": "A-1"}, "DispositionCode"),
        ("DELETE", "/Actions", {"ActionId": "A-1", "DispositionCode": "OTHER", "Amount": "1"}, "Amount"),
        ("PUT", "/Actions", {"ActionId": "A-1", "Reason": "OTHER", "Sku": "A", "Sku1": "B"}, ""),
        ("PUT", "/Actions", {"ActionId": "A-1", "Reason": "OTHER", "Category": "A", "Category1": "B"}, ""),
        ("PUT", "/Actions/A-1/Items/S-1", {}, ""),
    ],
)
def test_bad_body_is_refused_by_field(door: Site, method: str, path: str, body: dict[str, str], field: str) -> None:
    """In the documented envelope, by form and by JSON alike, and as the API's document says; nothing lands."""
    template = path.replace("A-1", "{ActionId}").replace("S-1", "{Sku}")
    with door.client() as client:
        operation = httpx.get(f"{door.url}/openapi").json()["paths"][f"/Advertisers/{{AccountSID}}{template}"]
        for kind, sent in (("x-www-form-urlencoded", {"data": body}), ("json", {"json": body})):
            schema = operation[method.lower()]["requestBody"]["content"][f"application/{kind}"]["schema"]
            assert not jsonschema_rs.is_valid(schema, body)
            answer = client.request(method, path, **sent)  # type: ignore[arg-type]
            told = answer.json()
            assert (answer.status_code, told["Status"], told["Code"]) == (400, "ERROR", "VALIDATION_FAILED")
            assert [one["Field"] for one in told["Errors"]] == [field]
    assert door.desk.spool.pending() == []


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"%FF%FE=1", "application/x-www-form-urlencoded", 400, "MALFORMED_BODY"),
        (b"\xff", "application/x-www-form-urlencoded", 400, "MALFORMED_BODY"),
        (b"ActionId", "application/x-www-form-urlencoded", 400, "MALFORMED_BODY"),
        (b"Reason=A&Reason=B", "application/x-www-form-urlencoded", 400, "VALIDATION_FAILED"),
        (b"[1]", "application/json", 400, "MALFORMED_BODY"),
        (b"[" * 30_000, "application/json", 400, "MALFORMED_BODY"),
        (b'{"ActionId": NaN}', "application/json", 400, "MALFORMED_BODY"),
        (b'{"ActionId": "\\ud800", "Reason": "OTHER"}', "application/json", 400, "VALIDATION_FAILED"),
        (b'{"ActionId": null, "Reason": "OTHER"}', "application/json", 400, "VALIDATION_FAILED"),
        (b'{"ActionId": "A", "Amount": 1e999999999, "Reason": "OTHER"}', "application/json", 400, "VALIDATION_FAILED"),
        (b'{"ActionId": "A", "Amount": 0.12345, "Reason": "OTHER"}', "application/json", 400, "VALIDATION_FAILED"),
        (b"ActionId=A", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"A=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413, "BODY_TOO_LARGE"),
    ],
)
def test_body_that_is_none_is_refused(door: Site, content: bytes, kind: str, status: int, code: str) -> None:
    """Whatever it is, the answer is an envelope."""
    with door.client() as client:
        answer = client.put("/Actions", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["Code"]) == (status, code)


@pytest.mark.parametrize("content", ["{}&", "&{}", "{}&&"])
def test_an_ampersand_too_many_is_passed_over(door: Site, content: str) -> None:
    """As scripts write it that put a form together pair by pair, and as all who read forms do."""
    body = content.format("ActionId=A-1&Amount=40&Reason=ORDER_UPDATE")
    with door.client() as client:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = client.put("/Actions", content=body, headers=form)
        assert answer.status_code == 200, answer.text
        assert client.put("/Actions", content="&", headers=form).json()["Errors"][0]["Field"] == "Reason"
    door.finish()


def test_json_numbers_lose_only_their_noise(site: Site, tmp_path: Path) -> None:
    """A binary fraction's last digits are no decimals that somebody meant."""
    site.load(tmp_path, Sale("A-1"))
    with site.client() as client:
        body = {"ActionId": "A-1", "Amount": 0.1 + 0.2, "Reason": "ORDER_UPDATE"}
        fate(site, client, client.put("/Actions", json=body))
        assert client.get("/Actions/A-1").json()["Amount"] == float(Decimal("0.3"))


@pytest.mark.parametrize("name", ["ItemSubTotalDelta", "Rebate", "Rebate2"])
def test_a_parameter_that_cannot_be_honoured_is_named(door: Site, name: str) -> None:
    """With the reason, in a form and in JSON, for an action and for an item; nothing lands."""
    before = len(door.desk.spool.pending())
    with door.client() as client:
        for path, body in (
            ("/Actions", {"ActionId": "A-1", "Reason": "ORDER_UPDATE", "Amount": "4"}),
            ("/Actions/A-1/Items/S", {"Quantity": "1"}),
        ):
            for sent in ({"data": {**body, name: "-5.00"}}, {"json": {**body, name: -5.0}}):
                answer = client.put(path, **sent)
                [fault] = answer.json()["Errors"]
                assert (answer.status_code, fault["Field"]) == (400, name)
                assert "not kept here" in fault["Message"] or "give Amount" in fault["Message"]
    assert len(door.desk.spool.pending()) == before


def test_what_is_not_kept_keeps_no_script_from_its_change(door: Site) -> None:
    """The name of an item, and a rebate of nothing: in a form and in JSON, for an action and for an item."""
    told = {"ItemName": "Tent for two, grün", "ItemName2": "", "Rebate": "0", "Rebate2": "0.00"}
    with door.client() as client:
        items = {"ActionId": "A-1", "Sku": "S", "Quantity": "1", "Sku2": "T", "Quantity2": "0", "Reason": "OTHER"}
        for sent in ({"data": {**items, **told}}, {"json": {**items, **told, "Rebate": 0, "Rebate2": 0.0}}):
            assert client.put("/Actions", **sent).status_code == 200
        assert client.put("/Actions/A-1/Items/S", data={"Quantity": "1", "ItemName": "Tent"}).status_code == 200
        assert client.put("/Actions/A-1/Items/S", json={"Quantity": 1, "Rebate": 0}).status_code == 200
    landed = [door.desk.spool.content(one.delivery).read_text() for one in door.desk.spool.pending()]
    assert landed[-4:] == [
        *["Quantity1,Amount1,Quantity2,Amount2,ActionId,Sku1,Sku2,Reason\n1,,0,,A-1,S,T,OTHER\n"] * 2,
        *["ActionId,Sku,Quantity,Amount,Reason\nA-1,S,1,,ORDER_UPDATE\n"] * 2,
    ]
    door.finish()


def test_an_event_type_has_two_names(site: Site, tmp_path: Path) -> None:
    """EventTypeId is ActionTrackerId, as text and as a number; both at once are refused."""
    site.load(tmp_path, Sale("A-1", "O-1"))
    with site.client() as client:
        body = {"OrderId": "O-1", "EventTypeId": 16027, "Amount": "40", "Reason": "ORDER_UPDATE"}
        assert fate(site, client, client.put("/Actions", json=body))["ErrorReason"] == ""
        assert client.get("/Actions/A-1").json()["Amount"] == 40.0
        both = client.put("/Actions", json={**body, "ActionTrackerId": 16027})
        assert (both.status_code, "same field" in both.json()["Errors"][0]["Message"]) == (400, True)
        reversal = {"OrderId": "O-1", "EventTypeId": "16027", "DispositionCode": "OTHER"}
        assert fate(site, client, client.request("DELETE", "/Actions", data=reversal))["ErrorReason"] == ""
        assert client.get("/Actions/A-1").json()["State"] == "REVERSED"


def test_items_of_an_order(door: Site) -> None:
    """An action that is tracked by order has none; another account's are not there at all."""
    with door.client() as client:
        assert client.get("/Actions/A-1/Items").json()["ActionItems"] == []
        assert client.get("/Actions/A-1/Items/S-1").status_code == 404
        assert client.get("/Actions/A-2/Items").status_code == 404
        answer = client.put("/Actions/A-1/Items/S-1", data={"Quantity": "0"})
        content = door.desk.spool.content(answer.json()["QueuedUri"].rpartition("/A-")[2]).read_text()
    door.finish()
    assert content == "ActionId,Sku,Quantity,Amount,Reason\nA-1,S-1,0,,ORDER_UPDATE\n"


def test_an_order_of_many_items(door: Site) -> None:
    """A form has room for as many as JSON has."""
    body = {"ActionId": "A-1", "Reason": "ORDER_UPDATE"}
    for number in range(1, 301):
        body |= {f"Sku{number}": f"S{number}", f"Quantity{number}": "1", f"Amount{number}": "1.00"}
    with door.client() as client:
        assert [client.put("/Actions", **{form: body}).status_code for form in ("data", "json")] == [200, 200]  # type: ignore[arg-type]
    door.finish()


def test_idempotency_key_makes_a_retry_safe(site: Site, tmp_path: Path) -> None:
    """Same key and body: the same answer, judged or not; another body or method: 409, and nothing lands."""
    site.load(tmp_path, Sale("A-1"))
    body = {"ActionId": "A-1", "Amount": "40", "Reason": "ORDER_UPDATE"}
    headers = {"Idempotency-Key": "return 1"}
    with site.client() as client, site.client(OTHER_SID) as other:
        first = client.put("/Actions", data=body, headers=headers).json()
        assert client.put("/Actions", json=body, headers=headers).json() == first
        assert len(site.desk.spool.pending()) == 1
        site.finish()
        assert client.put("/Actions", data=body, headers=headers).json() == first
        refused = client.put("/Actions", data={**body, "Amount": "41"}, headers=headers)
        assert (refused.status_code, refused.json()["Code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
        reversal = {"ActionId": "A-1", "DispositionCode": "OTHER"}
        assert client.request("DELETE", "/Actions", data=reversal, headers=headers).status_code == 409
        assert site.desk.spool.pending() == []
        # Keys are an account's own.
        assert other.put("/Actions", data=body, headers=headers).json()["Status"] == "QUEUED"


def test_landing_needs_no_store(door: Site) -> None:
    """While the ledger does not answer, requests are taken; reading is refused with what helps."""
    with door.client() as client:
        here, door.office.desk = door.office.desk, replace(door.desk, store=Store("postgresql://127.0.0.1:1/clawback"))
        queued = client.put("/Actions", data={"ActionId": "A-1", "Amount": "1", "Reason": "ORDER_UPDATE"})
        assert queued.json()["Status"] == "QUEUED"
        away = client.get("/Actions/A-1")
    door.office.desk = here
    door.finish()
    assert (away.status_code, away.json()["Code"], away.headers["retry-after"]) == (503, "STORE_UNAVAILABLE", "30")


def test_scopes(door: Site) -> None:
    """A token that may read changes nothing."""
    with door.client(scope=Scope.READ) as client:
        assert client.get("/Actions/A-1").status_code == 200
        answer = client.put("/Actions", data={"ActionId": "A-1", "Amount": "1", "Reason": "ORDER_UPDATE"})
    assert (answer.status_code, answer.json()["Code"]) == (403, "FORBIDDEN")
    assert door.desk.spool.pending() == []
