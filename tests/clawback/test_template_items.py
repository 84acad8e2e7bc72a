"""Templates of the items of open actions, from the ledger to the brand and back."""

import io
import sys
from pathlib import Path

import pytest

from clawback.cli import cli
from clawback.cli.running import guarded
from clawback.cli.template import rows_of
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing.catalog import read_terms
from processing.editable import EditableItem, editable, editable_items
from schemas.template import Kind, write_filled
from tests.item_worlds import A1, A2, BASKET, load_items
from tests.worlds import ARRIVED, LOCK, SID, codes, dump, ingest, lines


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Three actions with items: one as tracked, one with an item returned, one reversed."""
    load_items(desk, tmp_path, A1, A2, A1.replace("A-1", "A-3"), A1.replace("A-1", "A-4"))
    ingest(desk, lines("ActionId,Sku,Quantity,Reason", "A-3,BOOT,0,ITEM_RETURNED"))
    ingest(desk, lines("ActionId,Reason", "A-4,ITEM_RETURNED"))
    return desk


def template(desk: Desk, kind: Kind, reason: str) -> bytes:
    """A template of all items of open actions, its reasons filled in."""
    out = io.BytesIO()
    with desk.store.read() as db:
        rows = rows_of(editable_items(db, read_terms(db, SID), at=ARRIVED))
        write_filled(kind, ((*row[:3], reason, *row[4:]) for row in rows), out)
    return out.getvalue()


def test_items_are_listed_by_action(loaded: Desk) -> None:
    """As they are now, in their order; order-level templates do not have them."""
    with loaded.store.read() as db:
        terms = read_terms(db, SID)
        found = list(editable_items(db, terms, at=ARRIVED))
        assert list(editable(db, terms, at=ARRIVED)) == []
        assert list(editable_items(db, terms, at=LOCK)) == []
        assert list(editable_items(db, terms, at=ARRIVED, event_type=16027)) == []
    assert found == [
        EditableItem("A-1", "O-1", BASKET, "BOOT", "Shoes", 2, "80.00"),
        EditableItem("A-1", "O-1", BASKET, "SOCK", None, 3, "20.00"),
        EditableItem("A-2", "O-2", BASKET, "TENT", None, 1, "50.00"),
        EditableItem("A-3", "O-1", BASKET, "BOOT", "Shoes", 0, "0.00"),
        EditableItem("A-3", "O-1", BASKET, "SOCK", None, 3, "20.00"),
    ]


@pytest.mark.parametrize(("sku", "count"), [("0012345678905", 1), ("=1+1", 1), ("SOCK-7", 0)])
def test_a_sku_that_a_spreadsheet_would_change_is_told(
    sku: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the item as the action's id names the action; the file has it as it is."""
    with open_desk(Settings(state=tmp_path / "var"), lambda: ARRIVED) as desk:
        load_items(desk, tmp_path, A2.replace("TENT", sku))
    monkeypatch.setenv("CLAWBACK_STATE", str(tmp_path / "var"))
    monkeypatch.setattr("clawback.cli.template.now", lambda: ARRIVED)
    monkeypatch.setattr(sys, "argv", ["clawback", "template", "item-csv", "--editable-actions", "--account", SID])
    assert guarded(cli) == 0
    out, err = capsys.readouterr()
    assert f'"{sku}"' in out
    assert ("1 action ids or SKUs look like numbers, days or formulas" in err) is bool(count)


def test_a_category_that_a_spreadsheet_would_run_is_left_out(desk: Desk, tmp_path: Path) -> None:
    """A file cannot change it, so it need not be given; one that is plain text is."""
    load_items(desk, tmp_path, A1.replace("Shoes", "=1+1"), A2.replace("TENT,", "TENT,Hats"))
    with desk.store.read() as db:
        rows = list(rows_of(editable_items(db, read_terms(db, SID), at=ARRIVED)))
    assert [(row[4], row[5]) for row in rows] == [("BOOT", ""), ("SOCK", ""), ("TENT", "Hats")]
    receipt = ingest(desk, template(desk, "item-csv", "OTHER"), name="template.csv")
    assert receipt["rows"]["unchanged"] == receipt["rows"]["read"] == 3


@pytest.mark.parametrize("kind", ["item-csv", "item-xml"])
def test_a_template_of_items_left_as_it_is_changes_nothing(loaded: Desk, kind: Kind) -> None:
    """Without a reason each line is rejected; with one, and the old values, it is unchanged."""
    before = dump(loaded.store)
    receipt = ingest(loaded, template(loaded, kind, ""), name=f"template.{kind[-3:]}")
    assert {(verdict, code) for _, verdict, code in codes(receipt)} == {("rejected", "REASON_MISSING")}
    receipt = ingest(loaded, template(loaded, kind, "OTHER"), name=f"template.{kind[-3:]}")
    assert receipt["rows"]["unchanged"] == receipt["rows"]["read"] == (5 if kind == "item-csv" else 3)
    after = dump(loaded.store)
    assert [after[name] for name in ("action", "item", "entry")] == [
        before[name] for name in ("action", "item", "entry")
    ]
