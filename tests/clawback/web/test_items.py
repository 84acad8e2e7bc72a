"""Items by Web Services: read, changed and returned, as item files do it."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import httpx
import pytest

from clawback.loading import load_catalog
from tests.clawback.web.site import Site
from tests.clawback.web.test_actions import fate
from tests.item_worlds import A1, A2, HEADER, ITEM_CATALOGUE, basket, load_items
from tests.worlds import OTHER_SID, SID, written

BOOT = {
    "Sku": "BOOT",
    "ItemName": "",
    "Category": "Shoes",
    "Quantity": "2",
    "SaleAmount": "80.00",
    "SaleAmountCurrency": "USD",
    "Payout": 6.4,
    "PayoutCurrency": "USD",
    "Rebate": 0.0,
    "RebateCurrency": "USD",
    "AdjustmentDate": "",
    "AdjustmentReason": "",
    "Uri": "/Advertisers/IRacme1/Actions/A-1/Items/BOOT",
}
SOCK = BOOT | {
    "Sku": "SOCK",
    "Category": "",
    "Quantity": "3",
    "SaleAmount": "20.00",
    "Payout": 1.0,
    "Uri": "/Advertisers/IRacme1/Actions/A-1/Items/SOCK",
}
LATER = {"AdjustmentDate": "2027-01-20T07:00:01-05:00"}


def items(client: httpx.Client, action_id: str = "A-1") -> list[dict[str, Any]]:
    """The items of an action."""
    found: list[dict[str, Any]] = client.get(f"/Actions/{action_id}/Items").json()["ActionItems"]
    return found


def test_items_have_the_documented_fields(site: Site, tmp_path: Path) -> None:
    """In the order in which they were tracked, in JSON and in XML; nobody else sees them."""
    load_items(site.desk, tmp_path)
    with site.client() as client, site.client(OTHER_SID) as other:
        assert items(client) == [BOOT, SOCK]
        assert client.get("/Actions/A-1/Items/SOCK").json() == SOCK
        assert client.get("/Actions/A-1/Items/TENT").status_code == 404
        assert other.get("/Actions/A-1/Items").status_code == 404
        assert other.get("/Actions/A-1/Items/BOOT").status_code == 404
        [listed] = ET.fromstring(client.get("/Actions/A-1/Items.xml").content)  # noqa: S314 - our own
        [update] = client.get("/ActionUpdates", params={"CampaignId": 1000}).json()["ActionUpdates"][:1]
    assert (listed.tag, [one.tag for one in listed]) == ("ActionItems", ["ActionItem", "ActionItem"])
    assert {field.tag: field.text or "" for field in listed[0]} == {
        key: {"Payout": "6.40", "Rebate": "0"}.get(key, value) for key, value in BOOT.items()
    }
    assert update["PayoutLevel"] == "ITEM"


@pytest.mark.parametrize("way", ["item", "order", "numbered"])
def test_put_changes_an_item(site: Site, tmp_path: Path, way: str) -> None:
    """By the item's own address, and by the fields of PUT Actions with or without a number."""
    load_items(site.desk, tmp_path)
    fields = {"Quantity": "1", "Amount": "40.00", "Reason": "ORDER_UPDATE"}
    one = {"Sku1": "BOOT", "Quantity1": "1", "Amount1": "40.00", "Reason": "ORDER_UPDATE"}
    with site.client() as client:
        answer = {
            "item": lambda: client.put("/Actions/A-1/Items/BOOT", data=fields),
            "order": lambda: client.put("/Actions", data={"ActionId": "A-1", "Sku": "BOOT", **fields}),
            "numbered": lambda: client.put("/Actions", data={"ActionId": "A-1", **one}),
        }[way]()
        told = fate(site, client, answer)
        assert (told["Type"], told["Status"], told["ErrorReason"]) == ("Modification", "Complete", "")
        half = {"Quantity": "1", "SaleAmount": "40.00", "Payout": 3.2, "AdjustmentReason": "ORDER_UPDATE"}
        assert items(client) == [BOOT | half | LATER, SOCK]
        assert client.get("/Actions/A-1").json()["Amount"] == 60.0
    assert basket(site.desk.store)["action"] == ("PENDING", "60.00", "4.20")


def test_put_changes_several_items_and_returns_the_last(site: Site, tmp_path: Path) -> None:
    """One request, two items; what returns the last one reverses the action, and RESET brings all back."""
    load_items(site.desk, tmp_path)
    both = {"ActionId": "A-1", "Reason": "ITEM_RETURNED", "Sku": "BOOT", "Quantity": 0, "Sku2": "SOCK", "Quantity2": 0}
    with site.client() as client:
        assert fate(site, client, client.put("/Actions", json=both))["ErrorReason"] == ""
        gone = {"Quantity": "0", "SaleAmount": "0.00", "Payout": 0.0, "AdjustmentReason": "ITEM_RETURNED"}
        assert items(client) == [BOOT | gone | LATER, SOCK | gone | LATER]
        assert client.get("/Actions/A-1").json()["State"] == "REVERSED"
        fate(site, client, client.put("/Actions", data={"ActionId": "A-1", "Reason": "RESET"}))
        assert [one["Payout"] for one in items(client)] == [6.4, 1.0]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/Actions/A-1/Items/TENT", {"Quantity": "0"}, "ITEM_UNKNOWN"),
        ("/Actions/A-1/Items/BOOT", {"Quantity": "1"}, "AMOUNT_BLANK"),
        ("/Actions", {"ActionId": "A-1", "Amount": "10", "Reason": "ORDER_UPDATE"}, "ITEM_LINES_NEEDED"),
        ("/Actions", {"ActionId": "A-1", "Sku": "BOOT", "Reason": "ORDER_UPDATE"}, "AMOUNT_BLANK"),
    ],
)
def test_submission_tells_what_is_wrong_with_an_item(
    site: Site, tmp_path: Path, path: str, body: dict[str, str], reason: str
) -> None:
    """Nothing of the action is changed: a quantity or an amount that is missing never returns an item."""
    load_items(site.desk, tmp_path)
    with site.client() as client:
        assert fate(site, client, client.put(path, data=body))["ErrorReason"] == reason
        assert items(client) == [BOOT, SOCK]


def test_payouts_of_items_add_up_to_the_action_s(site: Site, tmp_path: Path) -> None:
    """By the contract of the day on which the change arrived; what is not rated by item is shared out."""
    new = ITEM_CATALOGUE.replace("effective = 2026-01-01", "effective = 2027-01-20").replace("8.00", "10.00")
    load_items(site.desk, tmp_path)
    load_catalog(site.desk, written(tmp_path, "new.toml", new))
    with site.client() as client:
        assert [one["Payout"] for one in items(client)] == [6.4, 1.0]
        fate(site, client, client.put("/Actions/A-1/Items/SOCK", data={"Quantity": "0"}))
        assert [one["Payout"] for one in items(client)] == [8.0, 0.0]
        assert client.get("/Actions/A-1").json()["Payout"] == 8.0


def test_a_fixed_payout_is_shared_out(site: Site, tmp_path: Path) -> None:
    """By amount, to the cent."""
    fixed = ITEM_CATALOGUE.replace(
        'payout = { percent = "5.00", categories = { Shoes = "8.00" } }', 'payout = { fixed = "10.01" }'
    )
    load_items(site.desk, tmp_path, catalogue=fixed)
    with site.client() as client:
        assert [one["Payout"] for one in items(client)] == [8.01, 2.0]


def test_a_sku_of_any_letters(site: Site, tmp_path: Path) -> None:
    """Its Uri leads back to it, whatever it holds."""
    load_items(site.desk, tmp_path, A1.replace("SOCK", "S/1 ü%2F?"), A2, header=HEADER)
    with site.client() as client:
        [_, found] = items(client)
        assert client.get(f"{site.url}{found['Uri']}").json() == found
        answer = client.put(f"{site.url}{found['Uri']}", data={"Quantity": "0"})
        assert fate(site, client, answer)["ErrorReason"] == ""
        assert items(client)[1]["Quantity"] == "0"
        assert client.post(f"{site.url}{found['Uri']}").headers["allow"] == "GET, PUT"
    assert SID in found["Uri"]


def test_an_update_tells_the_item_that_it_is_about(site: Site, tmp_path: Path) -> None:
    """And none if it is about several, or about the order as a whole."""
    load_items(site.desk, tmp_path)
    with site.client() as client:

        def updates(*fields: str) -> list[tuple[str, ...]]:
            found = client.get("/ActionUpdates", params={"CampaignId": 1000}).json()["ActionUpdates"]
            assert found == [client.get(f"{site.url}{one['Uri']}").json() for one in found]
            return [tuple(one[field] for field in ("ActionId", *fields)) for one in found]

        def change(action_id: str, **fields: str) -> None:
            site.clock.pass_by(minutes=1)
            answer = client.put("/Actions", data={"ActionId": action_id, "Reason": "ORDER_UPDATE", **fields})
            assert answer.status_code == 200, answer.text
            site.finish()

        change("A-1", Sku="BOOT", Quantity="1", Amount="40.00")
        change("A-1", Sku="BOOT", Quantity="0", Sku2="SOCK", Quantity2="1", Amount2="5.00")
        change("A-2", Amount="0")
        told = "; ".join(",".join(one) for one in reversed(updates("Sku", "Category", "Quantity", "State")))
    assert told == (
        "A-1,,,,PENDING; A-2,TENT,,1,PENDING; A-1,BOOT,Shoes,1,PENDING; A-1,,,,PENDING; A-2,TENT,,0,REVERSED"
    )


@pytest.mark.parametrize("accept", ["application/json", "application/xml"])
@pytest.mark.parametrize("ending", [".xml", ".json", ".xml.json", ".json.xml"])
def test_a_sku_that_ends_like_a_suffix(site: Site, tmp_path: Path, ending: str, accept: str) -> None:
    """Its Uri never means the item without the ending, and is answered in the form in which it was asked for."""
    load_items(site.desk, tmp_path, A1.replace("BOOT", "guide").replace("SOCK", f"guide{ending}"), A2, header=HEADER)
    with site.client() as client:
        asked = client.get("/Actions/A-1/Items", headers={"Accept": accept})
        uris = re.findall(r"/Advertisers/\w+/Actions/A-1/Items/[^\"<]+", asked.text)
        uri = next(one for one in uris if ending in one)
        found = client.get(f"{site.url}{uri}", headers={"Accept": accept})
        assert found.headers["content-type"].startswith(accept)
        assert f"guide{ending}" in re.split("ItemName", found.text)[0]
        answer = client.put(f"{site.url}{uri}", data={"Quantity": "0"}, headers={"Accept": "application/json"})
        assert answer.status_code == 200
        site.finish()
        assert [one["Quantity"] for one in items(client)] == ["2", "0"]


@pytest.mark.parametrize("amount", ["0.00", "15.00"])
def test_what_files_ignore_is_not_ignored_in_a_put(site: Site, tmp_path: Path, amount: str) -> None:
    """A brand whose files are files of orders still changes one item by a PUT to it, and nothing else of the order."""
    ignoring = ITEM_CATALOGUE.replace(
        'name = "Acme Outdoor"', 'name = "Acme Outdoor"\nignore_columns = ["Sku", "Quantity"]'
    )
    load_items(site.desk, tmp_path, catalogue=ignoring)
    with site.client() as client:
        fate(site, client, client.put("/Actions/A-1/Items/SOCK", data={"Amount": amount}))
        [boot, sock] = items(client)
        assert (boot, sock["SaleAmount"]) == (BOOT, amount)
