from pathlib import Path

import httpx
import pytest

from clawback import pipeline
from clawback.loading import load_actions
from processing.pages import Page, Place, sliced
from tests.clawback.web.site import Site
from tests.worlds import SID, Sale, actions_csv, written

MANY = 4_500


def test_following_the_uris_meets_each_action_once(site: Site, tmp_path: Path) -> None:
    """Forwards and backwards, while more are tracked: what was there is met in order, once, and what is new is not."""
    site.load(tmp_path, *(Sale(f"A-{number}", created_at="2027-01-19T00:00:00Z") for number in range(MANY)))
    with site.client() as client:
        page = client.get("/Actions", params={"CampaignId": 1000, "PageSize": 100}).json()
        assert [page[f"@{key}"] for key in ("page", "numpages", "pagesize", "total", "start", "end")] == [
            "1", "3", "2000", "4500", "0", "1999",
        ]  # fmt: skip
        met = [[one["Id"] for one in page["Actions"]]]
        new = actions_csv([Sale("N-1", created_at="2027-01-20T00:00:00Z")])
        load_actions(site.desk, written(tmp_path, "new.csv", new))
        while page["@nextpageuri"]:
            page = client.get(f"{site.url}{page['@nextpageuri']}").json()
            met.append([one["Id"] for one in page["Actions"]])
        assert [one for ids in met for one in ids] == [f"A-{number}" for number in reversed(range(MANY))]
        assert (page["@page"], page["@total"], page["@end"], page["@nextpageuri"]) == ("3", "4500", "4499", "")
        back = client.get(f"{site.url}{page['@previouspageuri']}").json()
        assert [one["Id"] for one in back["Actions"]] == met[1]
        last = client.get(f"{site.url}{back['@lastpageuri']}").json()
        assert [one["Id"] for one in last["Actions"]] == met[2]
        assert client.get(f"{site.url}{last['@firstpageuri']}").json()["@total"] == "4501"
        del client.headers["Accept"]
        suffixed = client.get("/Actions.json", params={"CampaignId": 1000}).json()["@firstpageuri"]
        assert client.get(f"{site.url}{suffixed}").json()["@page"] == "1"
        client.headers["Accept"] = "application/json"
        by_number = client.get("/Actions", params={"CampaignId": 1000, "PageSize": 1, "Page": 3}).json()
        assert [one["Id"] for one in by_number["Actions"]] == met[1][-1:] + met[2]


def test_a_list_that_is_read_whole_has_pages_too(door: Site) -> None:
    """Its own URIs lead to it, and a program that asks every list for pages may ask this one."""
    with door.client() as client:
        for path, key in (("/Campaigns", "Campaigns"), ("/MediaPartners", "MediaPartners")):
            first = client.get(path, params={"Page": 1, "PageSize": 2_000, "IrVersion": "13"}).json()
            assert first[key] == client.get(path).json()[key] != []
            for other in ("@uri", "@firstpageuri", "@lastpageuri"):
                assert client.get(f"{door.url}{first[other]}").json()[key] == first[key]
            beyond = client.get(path, params={"Page": 2}).json()
            assert (beyond[key], beyond["@page"], beyond["@total"]) == ([], "2", first["@total"])
        items = client.get("/Actions/A-1/Items.json", params={"PageSize": 2_000}).json()
        assert client.get(f"{door.url}{items['@firstpageuri']}").json()["ActionItems"] == items["ActionItems"]


def test_the_uris_of_a_list_that_is_read_whole_meet_each_row_once() -> None:
    """Forwards from the first page, and backwards from the last one."""
    rows = [{"Id": str(number)} for number in range(4_500)]
    met, page = [], sliced(rows, Place(1, 2_000))
    for number in (2, 3, 4):
        met += [row for _, row in page.rows]
        page = sliced(rows, Place(number, 2_000, after=(0, len(met) - 1), total=4_500))
    assert (met, page) == (rows, Page([], 4_500))
    last = sliced(rows, Place(3, 2_000, last=True, total=4_500))
    assert [number for number, _ in last.rows] == list(range(4_000, 4_500))
    before = sliced(rows, Place(2, 2_000, before=(0, 4_000), total=4_500))
    assert [number for number, _ in before.rows] == list(range(2_000, 4_000))
    assert [number for number, _ in sliced(rows, Place(2, 2_000)).rows] == list(range(2_000, 4_000))
    assert sliced(rows, Place(1, 2_000, after=(0, -9), total=1)).rows[0][0] == 1


def test_a_list_counts_what_waits_to_be_judged(site: Site, tmp_path: Path) -> None:
    """It fills pages like everything else; what is judged while they are read is met once, too."""
    site.load(tmp_path)
    landed = []
    for number in range(2_003):
        content = f"ActionId,Amount,Reason\nA-{number},x,OTHER\n".encode()
        landed.append(site.desk.spool.land(content, account=SID, channel="ftp", name="returns.csv").delivery)
        if number == 1:
            site.finish()
    landed.reverse()
    with site.client() as client:
        first = client.get("/FTPFileSubmissions", params={"PageSize": 2000}).json()
        assert [first[f"@{key}"] for key in ("page", "numpages", "total", "start", "end")] == [
            "1", "2", "2003", "0", "1999",
        ]  # fmt: skip
        assert [one["BatchId"] for one in first["FTPFileSubmissions"]] == [f"F-{number}" for number in landed[:2000]]
        pipeline.ingest(site.desk, landed[2000], at=site.clock())
        second = client.get(f"{site.url}{first['@nextpageuri']}").json()
        assert [second[f"@{key}"] for key in ("page", "total", "start", "end", "nextpageuri")] == [
            "2", "2003", "2000", "2002", "",
        ]  # fmt: skip
        assert [(one["BatchId"], one["Status"]) for one in second["FTPFileSubmissions"]] == [
            (f"F-{number}", "Complete") for number in landed[2000:]
        ]
        assert (
            client.get(f"{site.url}{second['@previouspageuri']}").json()["FTPFileSubmissions"][1:]
            == first["FTPFileSubmissions"][1:]
        )


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "CampaignId"),
        ({"CampaignId": "x"}, "CampaignId"),
        ({"CampaignId": "1000", "State": "OPEN"}, "State"),
        ({"CampaignId": "1000", "StartDate": "2027-01-01"}, "EndDate"),
        ({"CampaignId": "1000", "EndDate": "2027-01-01"}, "StartDate"),
        ({"CampaignId": "1000", "StartDate": "2027-01-02", "EndDate": "2027-01-01"}, "StartDate"),
        ({"CampaignId": "1000", "StartDate": "2026-11-01", "EndDate": "2027-01-01"}, "StartDate"),
        ({"CampaignId": "1000", "LockingDateStart": "2022-01-01", "LockingDateEnd": "2022-01-02"}, "LockingDateStart"),
        ({"CampaignId": "1000", "StartDate": "yesterday", "EndDate": "2027-01-01"}, "StartDate"),
        ({"CampaignId": "1000", "StartDate": "2027-02-30", "EndDate": "2027-03-01"}, "StartDate"),
        ({"CampaignId": "1000", "Page": "0"}, "Page"),
        ({"CampaignId": "1000", "Cursor": "x"}, "Cursor"),
        ({"CampaignId": "1000", "Sate": "PENDING"}, "Sate"),
    ],
)
def test_a_list_tells_what_it_cannot_do(door: Site, params: dict[str, str], field: str) -> None:
    """Which parameter is missing, malformed or beyond its limit."""
    with door.client() as client:
        for path in ("/Actions", "/ActionUpdates"):
            answer = client.get(path, params=params)
            assert (answer.status_code, answer.json()["Errors"][0]["Field"]) == (400, field)


@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        # In New York summer ended on 1 November.
        ("2026-10-15", "2026-11-29", 200),
        ("2026-10-15", "2026-11-29T00:00:01", 400),
        ("2026-10-15T04:00:00Z", "2026-11-29T05:00:00Z", 200),
        # It began on 8 March.
        ("2026-03-01", "2026-04-15", 200),
        ("2026-03-01T00:00:00Z", "2026-04-15T00:00:00Z", 200),
        ("2026-03-01", "2026-04-15T01:00:01", 400),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 400),
    ],
)
def test_a_window_has_days_of_the_calendar(door: Site, start: str, end: str, status: int) -> None:
    """A program that asks for 45 days by their dates may do so all the year, and turn to the next page of them."""
    with door.client() as client:
        answer = client.get("/Actions", params={"CampaignId": "1000", "StartDate": start, "EndDate": end})
        assert answer.status_code == status, answer.text
        if status == 200:
            assert client.get(f"{door.url}{answer.json()['@lastpageuri']}").status_code == 200


def test_a_parameter_that_is_given_twice_is_refused(door: Site) -> None:
    """Only one of the two would count, and the list would be shorter than was meant; or a preview would be applied."""
    with door.client() as client:
        listed = client.get("/Actions?CampaignId=1000&State=PENDING&State=REVERSED")
        sent = client.post("/Deliveries?preview=true&preview=false", content=b"ActionId,Reason\n")
        for answer, field in ((listed, "State"), (sent, "preview")):
            [fault] = answer.json()["Errors"]
            assert (answer.status_code, fault) == (400, {"Field": field, "Message": "The parameter is given twice."})
    assert door.desk.spool.pending() == []


def test_dates_are_read_as_programs_write_them(door: Site) -> None:
    """With an offset, without one in the account's zone, and with a plus sign that nobody encoded."""
    with door.client() as client:

        def total(query: str) -> str:
            answer: httpx.Response = client.get(f"/Actions?CampaignId=1000&{query}")
            found: str = answer.json()["@total"]
            return found

        # It was tracked at 10:00 in New York, which is 15:00 UTC.
        assert total("StartDate=2027-01-15T10:00:00&EndDate=2027-01-15T10:00:00") == "1"
        assert total("StartDate=2027-01-15T15:00:00Z&EndDate=2027-01-15T15:00:00Z") == "1"
        assert total("StartDate=2027-01-15T16:00:00+01:00&EndDate=2027-01-15T16:00:00+01:00") == "1"
        assert total("StartDate=2027-01-15T10:00:01&EndDate=2027-01-16") == "0"
        assert total("LockingDateStart=2027-02-28&LockingDateEnd=2027-02-28") == "1"
