from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.clawback.web.site import Site
from tests.worlds import OTHER_SID, SID, Sale

ORDER = {
    "CampaignId": "1000",
    "ActionTrackerId": "16027",
    "MediaPartnerId": "501",
    "OrderId": "O-77",
    "EventDate": "2027-01-19T10:00:00-05:00",
    "Amount": "120.00",
}


def test_a_conversion_is_an_action_at_once(site: Site, tmp_path: Path) -> None:
    """With payout and lock by the contract; the same again is the same, with other values it is a conflict."""
    site.load(tmp_path)
    with site.client() as client:
        done = client.post("/Conversions", data=ORDER).json()
        found = client.get(f"{site.url}{done['Uri']}").json()
        told = [found[key] for key in ("State", "Amount", "Payout", "Currency", "EventDate", "LockingDate", "Oid")]
        assert told == ["PENDING", 120, 6, "USD", ORDER["EventDate"], "2027-02-28T00:00:00-05:00", "O-77"]
        assert found["CreationDate"] == "2027-01-20T07:00:00-05:00"
        site.clock.pass_by(hours=1)
        assert client.post("/Conversions", json={**ORDER, "CampaignId": 1000, "Amount": 120}).json() == done
        other = client.post("/Conversions", data={**ORDER, "Amount": "130.00"})
        assert (other.status_code, other.json()["Code"]) == (409, "CONTRACT_ERROR")
        new = {**ORDER, "ActionId": "1000.1.2", "OrderId": "O-78", "EventDate": "NOW"}
        named = client.post("/Conversions", data=new).json()
        assert named["Uri"].endswith("/Actions/1000.1.2")
        site.clock.pass_by(hours=1)
        assert client.post("/Conversions", data=new).json() == named
        assert client.get("/Actions", params={"CampaignId": 1000}).json()["@total"] == "2"


def test_an_order_is_credited_once(site: Site, tmp_path: Path) -> None:
    """One that the ledger has under another id is that action; with other values, or another id, it is a conflict."""
    site.load(tmp_path, Sale("1000.4636.1", "O-77", amount="120.00", event_at=ORDER["EventDate"]), Sale("A-2", "O-2"))
    with site.client() as client:
        done = client.post("/Conversions", data=ORDER).json()
        assert done == {"Status": "OK", "Uri": f"/Advertisers/{SID}/Actions/1000.4636.1"}
        for change in ({"Amount": "130.00"}, {"ActionId": "X.1"}, {"ActionId": "A-2"}):
            other = client.post("/Conversions", data=ORDER | change)
            assert (other.status_code, other.json()["Code"]) == (409, "CONTRACT_ERROR")
            assert "1000.4636.1" in other.json()["Errors"][0]["Message"]
        assert client.post("/Conversions", data={**ORDER, "ActionId": "1000.4636.1"}).json() == done
        assert client.get("/Actions", params={"CampaignId": 1000}).json()["@total"] == "2"


def test_a_conversion_leaves_nothing_when_the_server_is_killed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it writes down has no name at any statement."""
    site.load(tmp_path)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    named: list[Path] = []
    engine = site.office.desk.store.engine
    event.listen(engine, "before_cursor_execute", lambda *_: named.extend(temporary.iterdir()))
    with site.client() as client:
        assert client.post("/Conversions", data=ORDER).json()["Status"] == "OK"
    assert named == []


def test_an_id_that_ends_like_a_suffix(site: Site, tmp_path: Path) -> None:
    """Every Uri of the action leads to it."""
    site.load(tmp_path)
    with site.client() as client:
        done = client.post("/Conversions", data={**ORDER, "ActionId": "one.xml"}).json()
        found = client.get(f"{site.url}{done['Uri']}").json()
        [update] = client.get("/ActionUpdates", params={"CampaignId": 1000}).json()["ActionUpdates"]
    assert (found["Id"], found["Uri"], update["ActionUri"]) == ("one.xml", done["Uri"], done["Uri"])


def test_a_late_one_is_dated_at_its_submission(site: Site, tmp_path: Path) -> None:
    """An order whose lock had come: it is open as long as any other, also when it is sent once more."""
    site.load(tmp_path)
    with site.client() as client:
        late = {**ORDER, "EventDate": "2026-11-03"}
        uri = client.post("/Conversions", data=late).json()["Uri"]
        site.clock.pass_by(hours=1)
        assert client.post("/Conversions", data=late).json()["Uri"] == uri
        found = client.get(f"{site.url}{uri}").json()
    assert [found[key] for key in ("EventDate", "LockingDate")] == [
        "2027-01-20T07:00:00-05:00",
        "2027-02-28T00:00:00-05:00",
    ]


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ({"CampaignId": "2000"}, 404, "NOT_FOUND", ""),
        ({"CampaignId": "9"}, 404, "NOT_FOUND", ""),
        (
            {"ActionTrackerId": "26027"},
            409,
            "CONTRACT_ERROR",
            "ActionTrackerId 26027 is no event type of program 1000.",
        ),
        ({"MediaPartnerId": "9"}, 409, "CONTRACT_ERROR", "Partner 9 has no contract in program 1000 on 2027-01-19"),
        ({"CurrencyCode": "XYZ"}, 409, "CONTRACT_ERROR", "Currency 'XYZ' cannot be loaded"),
        ({"OrderId": "O-77 "}, 409, "CONTRACT_ERROR", "Oid 'O-77 ' cannot be loaded; it must be at most 64 characters"),
        ({"OrderId": " \u3000 "}, 409, "CONTRACT_ERROR", "no blank at the ends"),
        ({"Amount": "1.001"}, 409, "CONTRACT_ERROR", "more decimals than USD"),
        ({"EventDate": "2027-02-30"}, 409, "CONTRACT_ERROR", "EventDate '2027-02-30' cannot be loaded"),
        ({"EventDate": "2027-01-22"}, 409, "CONTRACT_ERROR", "EventDate 2027-01-22 has not come yet"),
        ({"EventDate": "yesterday"}, 400, "VALIDATION_FAILED", ""),
        ({"OrderId": ""}, 400, "VALIDATION_FAILED", ""),
    ],
)
def test_what_cannot_be_credited_is_told(
    door: Site, change: dict[str, str], status: int, code: str, words: str
) -> None:
    """Another brand's program is nobody's; what the catalogue does not know is a contract error."""
    with door.client() as client:
        answer = client.post("/Conversions", data=ORDER | change)
        told: dict[str, Any] = answer.json()
    assert (answer.status_code, told["Code"]) == (status, code)
    assert words in " ".join(one["Message"] for one in told["Errors"])


def test_conversions_of_another_brand_stay_its_own(door: Site) -> None:
    """The id of an action is an account's own."""
    with door.client() as client, door.client(OTHER_SID) as other:
        mine = client.post("/Conversions", data={**ORDER, "ActionId": "SAME"}).json()["Uri"]
        shop = {"CampaignId": "2000", "ActionTrackerId": "26027", "Amount": "500", "ActionId": "SAME"}
        theirs = other.post("/Conversions", data=ORDER | shop).json()["Uri"]
        assert client.get(f"{door.url}{mine}").json()["Currency"] == "USD"
        assert other.get(f"{door.url}{theirs}").json()["Currency"] == "JPY"
