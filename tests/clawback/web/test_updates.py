"""What a program pulls of the changelog, window after window, while older deliveries are revised."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from clawback import revising
from clawback.loading import load_catalog
from tests.clawback.test_replay import FIXED
from tests.clawback.web.site import Site
from tests.item_worlds import A1, A2, load_items
from tests.worlds import Sale, ingest, lines, written

MANY = 1_500


def pull(client: httpx.Client, day: int, of: str = "ActionUpdates") -> list[dict[str, Any]]:
    """The updates of a day in January by New York's clock, or the actions that were updated last on it."""
    span = {"StartDate": f"2027-01-{day}T00:00:00", "EndDate": f"2027-01-{day}T23:59:59"}
    found: list[dict[str, Any]] = client.get(f"/{of}", params={"CampaignId": 1000, **span}).json()[of]
    return found


def test_an_update_keeps_its_date_whatever_becomes_of_its_delivery(site: Site, tmp_path: Path) -> None:
    """What waited, a replay, an undo and the undo of that have dates of their own; the days add up to the ledger."""
    site.load(tmp_path, Sale("A-1"), Sale("A-2"))
    file = lines("ActionId,Amount,Reason", "W-1,30,OTHER", "A-1,40,OTHER", "A-2,,DAMAGED")
    made = [ingest(site.desk, file)["delivery"]]

    def load_what_is_waited_for() -> None:
        site.load(tmp_path, Sale("W-1"))
        site.finish()

    def replay() -> None:
        load_catalog(site.desk, written(tmp_path, "catalogue.toml", FIXED))
        revising.replay(site.desk, made[0], at=site.clock(), by="dana")

    def undo() -> None:
        made.append(revising.undo(site.desk, made[-1], by="dana", reason=None, at=site.clock())["delivery"])

    steps: list[Callable[[], None]] = [load_what_is_waited_for, replay, undo, undo]
    with site.client() as client:
        pulled = {20: pull(client, 20)}
        for day, step in enumerate(steps, 21):
            site.clock.pass_by(days=1)
            step()
            pulled[day] = pull(client, day)
            if step is replay:
                last = {day: [one["Id"] for one in pull(client, day, "Actions")] for day in (20, 21, 22)}
        assert last == {20: ["A-1"], 21: ["W-1"], 22: ["A-2"]}
        assert {day: sorted(one["Id"] for one in updates) for day, updates in pulled.items()} == {
            20: ["A-1.1"],
            21: ["W-1.1"],
            22: ["A-2.1"],
            23: ["A-1.2", "A-2.2", "W-1.2"],
            24: ["A-1.3", "A-2.3", "W-1.3"],
        }
        assert {day: pull(client, day) for day in pulled} == pulled
        amounts = [one["Amount"] for one in client.get("/Actions", params={"CampaignId": 1000}).json()["Actions"]]
        moved = sum(one["DeltaAmount"] for updates in pulled.values() for one in updates)
        assert (moved, sorted(amounts)) == (sum(amounts) - 300, [0, 30, 40])
        assert all(client.get(f"/ActionUpdates/{one['Id']}").json() == one for day in pulled.values() for one in day)


def test_the_change_of_an_item_keeps_its_date(site: Site, tmp_path: Path) -> None:
    """Of an action that was returned, and of one that was loaded later; another line of their file does not move it."""
    load_items(site.desk, tmp_path, A2)
    file = ("ActionId,Sku,Quantity,Amount,Reason", "A-2,TENT,0,,ITEM_RETURNED", "A-1,SOCK,1,10.00,ORDER_UPDATE")
    ingest(site.desk, lines(*file))
    site.clock.pass_by(days=1)
    load_items(site.desk, tmp_path, A1)
    site.finish()
    with site.client() as client:
        dates = [
            client.get(f"/Actions/{item}").json()["AdjustmentDate"] for item in ("A-2/Items/TENT", "A-1/Items/SOCK")
        ]
    assert dates == ["2027-01-20T07:00:00-05:00", "2027-01-21T07:00:00-05:00"]


def test_following_the_uris_meets_each_update_once_while_its_delivery_is_revised(site: Site, tmp_path: Path) -> None:
    """A page begins in the file of which a line is judged meanwhile; what that makes is new."""
    site.load(tmp_path, *(Sale(f"{letter}-{number}") for letter in "AB" for number in range(MANY)))
    for letter in "AB":
        rows = [f"{letter}-{number},99,OTHER" for number in range(MANY)]
        receipt = ingest(site.desk, lines("ActionId,Amount,Reason", "W-1,5,OTHER", *rows))
        assert receipt["state"] == "done"
        site.clock.pass_by(hours=1)
    with site.client() as client:
        span = {"StartDate": "2027-01-20", "EndDate": "2027-01-21"}
        page = client.get("/ActionUpdates", params={"CampaignId": 1000, "PageSize": 2000, **span}).json()
        met = [one["Id"] for one in page["ActionUpdates"]]
        site.load(tmp_path, Sale("W-1"))
        site.finish()
        page = client.get(f"{site.url}{page['@nextpageuri']}").json()
        met += [one["Id"] for one in page["ActionUpdates"]]
        assert met == [f"{letter}-{number}.1" for letter in "BA" for number in reversed(range(MANY))]
        assert page["@nextpageuri"] == ""
        back = client.get(f"{site.url}{page['@previouspageuri']}").json()
        assert [one["Id"] for one in back["ActionUpdates"]] == met[:2000]
