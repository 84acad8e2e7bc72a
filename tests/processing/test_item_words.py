from pathlib import Path

import pytest

from clawback import deciding, pipeline, revising
from clawback.loading import load_catalog
from clawback.wiring import Desk
from tests.conftest import Clock
from tests.item_worlds import ITEM_CATALOGUE, basket, load_items
from tests.worlds import codes, ingest, lines, written

HEADER = "ActionId,Sku,Quantity,Amount,Sku2,Quantity2,Amount2,CustomerStatus,Reason"
NO_SOCKS = "A-1,SOCK,0,,,,,,OTHER"
CHEAP_BOOTS = "A-1,BOOT,1,30.00,,,,,OTHER"
SAME_BOOTS = "A-1,BOOT,2,80.00,,,,,OTHER"


def held(desk: Desk, clock: Clock, row: str) -> str:
    """A line that arrives now and is held; gives its delivery."""
    clock.pass_by(hours=1)
    receipt = ingest(desk, lines(HEADER, row).rstrip("\n"))
    assert receipt["code"] == "MAYBE_INCOMPLETE"
    return str(receipt["delivery"])


def sent(desk: Desk, clock: Clock, row: str) -> str:
    """A line that arrives now and is judged."""
    clock.pass_by(hours=1)
    return str(ingest(desk, lines(HEADER, row))["delivery"])


def released(desk: Desk, clock: Clock, delivery: str) -> list[tuple[int, str, str | None]]:
    """What becomes of a held line now, if it is not simply applied."""
    deciding.release(desk, delivery, by="dana", at=clock.pass_by(hours=1))
    return codes(pipeline.receipt(desk, delivery))


@pytest.mark.parametrize(
    ("case", "later", "earlier", "applied"),
    [
        ("another item", CHEAP_BOOTS, NO_SOCKS, True),
        ("the same item", CHEAP_BOOTS, "A-1,BOOT,1,50.00,,,,,OTHER", False),
        ("the same item and another", CHEAP_BOOTS, "A-1,SOCK,0,,BOOT,1,50.00,,OTHER", False),
        ("a whole action behind an item", CHEAP_BOOTS, "A-1,,,,,,,,RETURNED", False),
        ("a status behind an item", CHEAP_BOOTS, "A-1,,,,,,,NEW,OTHER", False),
        ("an item with a status", CHEAP_BOOTS, "A-1,SOCK,0,,,,,NEW,OTHER", False),
        ("an item behind a reversal", "A-1,,,,,,,,RETURNED", "A-1,SOCK,1,5.00,,,,,OTHER", False),
        ("an item behind an approval", "A-1,,,,,,,,VALIDATED", NO_SOCKS, False),
        ("an item behind a reset that found nothing to change", "A-1,,,,,,,,RESET", NO_SOCKS, False),
        ("an item behind a status", "A-1,,,,,,,NEW,OTHER", NO_SOCKS, False),
        ("an item behind another with a status", "A-1,BOOT,1,30.00,,,,NEW,OTHER", NO_SOCKS, False),
        ("another was right as it was", SAME_BOOTS, NO_SOCKS, True),
        ("it was right as it was", SAME_BOOTS, "A-1,BOOT,1,50.00,,,,,OTHER", False),
        ("it was right beside another", "A-1,BOOT,1,30.00,SOCK,3,20.00,,OTHER", NO_SOCKS, False),
        ("both were right", "A-1,BOOT,2,80.00,SOCK,3,20.00,,OTHER", NO_SOCKS, False),
    ],
)
def test_a_later_line_overtakes_what_is_said_of_its_items(
    case: str, later: str, earlier: str, desk: Desk, tmp_path: Path, clock: Clock, *, applied: bool
) -> None:
    """One about other items leaves an earlier line alone that is judged after it; one about the action leaves none."""
    load_items(desk, tmp_path)
    first = held(desk, clock, earlier)
    sent(desk, clock, later)
    assert released(desk, clock, first) == ([] if applied else [(2, "refused", "SUPERSEDED")]), case


def test_items_in_and_out_of_order(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """A line that came between is overtaken by the last, though an older one was judged in between."""
    load_items(desk, tmp_path)
    oldest, between = held(desk, clock, NO_SOCKS), held(desk, clock, "A-1,BOOT,1,50.00,,,,,OTHER")
    whole = held(desk, clock, "A-1,,,,,,,,VALIDATED")
    sent(desk, clock, CHEAP_BOOTS)
    assert released(desk, clock, oldest) == []
    assert released(desk, clock, between) == [(2, "refused", "SUPERSEDED")]
    assert released(desk, clock, whole) == [(2, "refused", "SUPERSEDED")]
    assert basket(desk.store) == {"action": ("PENDING", "30.00", "2.40"), "BOOT": (1, "30.00"), "SOCK": (0, "0.00")}


@pytest.mark.parametrize("undos", [0, 1, 2])
@pytest.mark.parametrize("row", [CHEAP_BOOTS, "A-1,SOCK,1,5.00,BOOT,2,80.00,,OTHER"])
def test_what_was_undone_overtakes_no_item(row: str, undos: int, desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Until its undo is undone; be it that it changed the item, or found it right as it was."""
    load_items(desk, tmp_path)
    older = held(desk, clock, "A-1,BOOT,1,50.00,,,,,OTHER")
    last = sent(desk, clock, row)
    for _ in range(undos):
        last = revising.undo(desk, last, by="dana", reason=None, at=clock.pass_by(hours=1))["delivery"]
    assert released(desk, clock, older) == ([] if undos == 1 else [(2, "refused", "SUPERSEDED")])


def test_lines_of_one_file_overtake_each_other_by_item(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Those that are judged again after the catalogue was mended."""
    load_items(desk, tmp_path)
    rows = ["A-1,SOCK,0,,,,,,DAMAGED", "A-1,BOOT,0,,,,,,DAMAGED", CHEAP_BOOTS]
    delivery = ingest(desk, lines(HEADER, *rows))["delivery"]
    mended = ITEM_CATALOGUE.replace('code = "RETURNED"', 'code = "DAMAGED"')
    load_catalog(desk, written(tmp_path, "catalogue.toml", mended))
    receipt = revising.replay(desk, delivery, at=clock.pass_by(hours=1))
    assert codes(receipt) == [(3, "refused", "SUPERSEDED")]
    assert basket(desk.store) == {"action": ("PENDING", "30.00", "2.40"), "BOOT": (1, "30.00"), "SOCK": (0, "0.00")}
