"""Deliveries of items from their bytes to the ledger: each row of a table is a line for an action of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from clawback import deciding
from clawback.cli.actions import text
from clawback.wiring import Desk
from processing import adjustments, exchange
from processing.exchange import Rate
from processing.model import Change
from processing.person import Wish
from processing.store import Store
from tests.conftest import Clock
from tests.item_worlds import A1, A2, HEADER, basket, load_items
from tests.worlds import LOCK, SID, Sale, action, ingest, lines, load

WIDE = "ActionId,Sku1,Category1,Quantity1,Amount1,Sku2,Category2,Quantity2,Amount2,CurrencyCode,CustomerStatus,Reason"
TRACKED = ("PENDING", "100.00", "7.40")
LESS = ("PENDING", "60.00", "4.20")
SOCKS_ALONE = ("PENDING", "20.00", "1.00")
NONE = (0, "0.00")
GONE = ("REVERSED", "0.00", "0.00")


@dataclass(frozen=True)
class Row:
    """A line (without its ActionId), its verdict or code, and action, boots and socks (returned, as shown) after it."""

    case: str
    line: str
    fate: str
    after: tuple[str, str, str] = TRACKED
    boot: tuple[int, str] = (2, "80.00")
    sock: tuple[int, str] = (3, "20.00")


def played(desk: Desk, folder: Path, header: str, rows: list[Row], *, before: str | None = None) -> None:
    """Send a line for each row's own action, maybe after another delivery, and compare what it did."""
    names = [f"A-{at}" for at in range(len(rows))]
    load_items(desk, folder, *(A1.replace("A-1", name) for name in names))
    if before is not None:
        ingest(desk, lines("ActionId,Reason", *(f"{name},{before}" for name in names)), name="before.csv")
    receipt = ingest(desk, lines(header, *(f"{name},{row.line}" for name, row in zip(names, rows, strict=True))))
    told = {line["line"]: line["code"] or line["verdict"] for line in receipt["lines"]}
    done = {
        row.case: (told.get(at, "applied"), basket(desk.store, name))
        for at, (name, row) in enumerate(zip(names, rows, strict=True), 2)
    }
    assert done == {row.case: (row.fate, {"action": row.after, "BOOT": row.boot, "SOCK": row.sock}) for row in rows}


SHIFTED = ("PENDING", "100.00", "5.21")
HUGE = ("PENDING", "1000079.99", "50006.40")
WIDE_ROWS = [
    Row("one item", "BOOT,,1,40.00,,,,,,,OTHER", "applied", LESS, (1, "40.00")),
    Row("both", "SOCK,,1,7,BOOT,,1,40,,,OTHER", "applied", ("PENDING", "47.00", "3.55"), (1, "40.00"), (1, "7.00")),
    Row("quantity 0", "BOOT,,0,,,,,,,,OTHER", "applied", SOCKS_ALONE, NONE),
    Row("quantity 0 wins", "BOOT,,0,40.00,,,,,,,OTHER", "applied", SOCKS_ALONE, NONE),
    Row("amount 0", "BOOT,,2,0.00,,,,,,,OTHER", "applied", SOCKS_ALONE, NONE),
    Row("all returned", "BOOT,,0,,SOCK,,0,,,,OTHER", "applied", GONE, NONE, NONE),
    Row("the amount alone", "BOOT,,,50.00,,,,,,,OTHER", "applied", ("PENDING", "70.00", "5.00"), (2, "50.00")),
    Row("more", "BOOT,,9,90.00,,,,,,,OTHER", "AMOUNT_RAISED", ("PENDING", "110.00", "8.20"), (9, "90.00")),
    Row("shifted", "BOOT,,2,7,SOCK,,3,93,,,OTHER", "applied", SHIFTED, (2, "7.00"), (3, "93.00")),
    Row("as it is", "BOOT,Shoes,2,80.00,,,,,,,OTHER", "unchanged"),
    Row("a status beside", "BOOT,,2,80.00,,,,,,NEW,OTHER", "applied"),
    Row("a status alone", ",,,,,,,,,NEW,OTHER", "applied"),
    Row("a category", "BOOT,Hats,1,40.00,,,,,,,OTHER", "CATEGORY_DIFFERS", LESS, (1, "40.00")),
    Row("a category where none is", "SOCK,Hats,3,20.00,,,,,,,OTHER", "CATEGORY_DIFFERS"),
    Row("unknown", "HAT,,1,4.00,BOOT,,0,,,,OTHER", "ITEM_UNKNOWN"),
    Row("in other letters", "boot,,1,4.00,,,,,,,OTHER", "ITEM_UNKNOWN"),
    Row("no amount", "BOOT,,1,,,,,,,,OTHER", "AMOUNT_BLANK"),
    Row("no amount of the second", "BOOT,,1,1.00,SOCK,,,,,,OTHER", "AMOUNT_BLANK"),
    Row("no item", ",,,,,,,,,,OTHER", "SKU_MISSING"),
    Row("no item to modify", ",,,,,,,,,,REPRICED", "AMOUNT_BLANK"),
    Row("its own reason of the action", ",,,,,,,,,,RETURNED", "applied", GONE, NONE, NONE),
    Row("its own reason of an item", "BOOT,,1,40.00,,,,,,,RETURNED", "applied", SOCKS_ALONE, NONE),
    Row("approved", "BOOT,,1,40.00,,,,,,,VALIDATED", "applied", ("APPROVED", "100.00", "7.40")),
    Row("approved with a stranger", "HAT,,1,40.00,,,,,,,VALIDATED", "ITEM_UNKNOWN"),
    Row("reset", "BOOT,,1,40.00,,,,,,,RESET", "unchanged"),
    Row("modified by its own reason", "BOOT,,1,40.00,,,,,,,REPRICED", "applied", LESS, (1, "40.00")),
    Row("another currency", "BOOT,,1,40.00,,,,,EUR,,OTHER", "NO_EXCHANGE_RATE"),
    Row("returned in whatever currency", "BOOT,,0,,,,,,EUR,,OTHER", "applied", SOCKS_ALONE, NONE),
    Row("more decimals", "BOOT,,1,4.005,,,,,,,OTHER", "AMOUNT_MALFORMED"),
    Row("too large", "BOOT,,1,1000000.00,,,,,,,OTHER", "AMOUNT_TOO_LARGE"),
    Row("huge", "SOCK,,1,999999.99,,,,,,,OTHER", "AMOUNT_RAISED", HUGE, (2, "80.00"), (1, "999999.99")),
]  # fmt: skip


def test_wide_columns(desk: Desk, tmp_path: Path) -> None:
    """Quantity and amount of each named item are its new values; a line is applied as a whole or not at all."""
    played(desk, tmp_path, WIDE, WIDE_ROWS)


def test_lines_for_a_reversed_action(desk: Desk, tmp_path: Path) -> None:
    """What is returned already can be returned again; nothing else revives an item of it."""
    gone: dict[str, Any] = {"after": GONE, "boot": NONE, "sock": NONE}
    rows = [
        Row("an item again", "BOOT,,0,,,,,,,,OTHER", "unchanged", **gone),
        Row("all again, in another currency", "BOOT,,0,,SOCK,,3,0,EUR,,OTHER", "unchanged", **gone),
        Row("an item modified", "BOOT,,1,40.00,,,,,,,OTHER", "ACTION_REVERSED", **gone),
        Row("one of two modified", "BOOT,,1,40.00,SOCK,,0,,,,OTHER", "ACTION_REVERSED", **gone),
        Row("a status beside", "BOOT,,0,,,,,,,NEW,OTHER", "ACTION_REVERSED", **gone),
        Row("unknown", "HAT,,0,,,,,,,,OTHER", "ITEM_UNKNOWN", **gone),
        Row("approved", ",,,,,,,,,,VALIDATED", "applied"),
        Row("reset", ",,,,,,,,,,RESET", "applied"),
    ]  # fmt: skip
    played(desk, tmp_path, WIDE, rows, before="RETURNED")


def test_ids_items_and_reasons_return_the_items(desk: Desk, tmp_path: Path) -> None:
    """In a file that can say nothing else; a line without an item is no reversal of the whole."""
    rows = [
        Row("one", "BOOT,,OTHER", "applied", SOCKS_ALONE, NONE),
        Row("both", "BOOT,SOCK,OTHER", "applied", GONE, NONE, NONE),
        Row("the second alone", ",SOCK,OTHER", "applied", ("PENDING", "80.00", "6.40"), (2, "80.00"), NONE),
        Row("none", ",,OTHER", "SKU_MISSING"),
        Row("to modify", "BOOT,,REPRICED", "NOTHING_TO_CHANGE"),
        Row("reset", ",,RESET", "unchanged"),
        Row("of the action", ",,RETURNED", "applied", GONE, NONE, NONE),
    ]
    played(desk, tmp_path, "ActionId,Sku,Sku2,Reason", rows)


def test_a_status_column_leaves_nothing_to_guess(desk: Desk, tmp_path: Path) -> None:
    """A file that can change something else does not return an item that it names."""
    rows = [
        Row("an item", "BOOT,,OTHER", "NOTHING_TO_CHANGE"),
        Row("an item and a status", "BOOT,NEW,OTHER", "NOTHING_TO_CHANGE"),
        Row("a status", ",NEW,OTHER", "applied"),
        Row("its own reason", "BOOT,,RETURNED", "applied", SOCKS_ALONE, NONE),
    ]
    played(desk, tmp_path, "ActionId,Sku,CustomerStatus,Reason", rows)


def test_one_line_an_item(desk: Desk, tmp_path: Path) -> None:
    """The lines of an action apply in their order, each with its own verdict, and the last return reverses it."""
    load_items(desk, tmp_path)
    content = lines(
        "ActionId,Sku,Quantity,Amount,Reason",
        *("A-1,BOOT,1,40.00,OTHER", "A-1,HAT,1,4.00,OTHER", "A-1,SOCK,0,,OTHER", "A-1,BOOT,2,60.00,OTHER"),
        *("A-1,SOCK,,5.00,OTHER", "A-1,SOCK,1,5.00,OTHER", "A-1,SOCK,0,0,OTHER", "A-1,BOOT,0,0,OTHER"),
        *("A-1,SOCK,0,0,OTHER", "A-2,TENT,,0,OTHER"),
    )
    receipt = ingest(desk, content)
    assert [(line["line"], line["code"] or line["verdict"]) for line in receipt["lines"]] == [
        *((3, "ITEM_UNKNOWN"), (5, "AMOUNT_RAISED"), (6, "QUANTITY_NEEDED"), (7, "AMOUNT_RAISED")),
        (10, "unchanged"),
    ]
    assert receipt["rows"] == {
        "read": 10,
        "applied": 7,
        "unchanged": 1,
        "rejected": 0,
        "refused": 2,
        "waiting": 0,
        "held": 0,
    }
    assert receipt["money"]["USD"] == {
        "amount_before": "150.00",
        "amount_after": "0.00",
        "payout_before": "9.90",
        "payout_after": "0.00",
    }
    history = [
        (one["line"], one["change"], [(item["sku"], item["after"]["quantity"]) for item in one["items"]])
        for one in action(desk.store, "A-1")["history"]
    ]
    assert history == [
        (2, "modify", [("BOOT", 1)]),
        (4, "modify", [("SOCK", 0)]),
        (5, "modify", [("BOOT", 2)]),
        (7, "modify", [("SOCK", 1)]),
        (8, "modify", [("SOCK", 0)]),
        (9, "reverse", []),
    ]
    assert basket(desk.store) == {"action": GONE, "BOOT": NONE, "SOCK": NONE}
    ingest(desk, lines("ActionId,Reason", "A-1,VALIDATED"))
    assert basket(desk.store) == {"action": ("PENDING", "60.00", "4.80"), "BOOT": (2, "60.00"), "SOCK": NONE}
    ingest(desk, lines("ActionId,Reason", "A-1,RESET"))
    assert basket(desk.store) == {"action": TRACKED, "BOOT": (2, "80.00"), "SOCK": (3, "20.00")}
    last = action(desk.store, "A-1")["history"][-1]
    assert last["items"] == [
        {
            "sku": "BOOT",
            "before": {"quantity": 2, "amount": "60.00"},
            "after": {"quantity": 2, "amount": "80.00"},
        },
        {"sku": "SOCK", "before": {"quantity": 0, "amount": "0.00"}, "after": {"quantity": 3, "amount": "20.00"}},
    ]


def test_an_amount_of_the_order(desk: Desk, tmp_path: Path) -> None:
    """Is that of its only item, and refused where there are several; reversing needs no items."""
    load_items(desk, tmp_path, A1, A2, A1.replace("A-1", "A-3"), A2.replace("A-2", "A-4"))
    content = lines("ActionId,Amount,CustomerStatus,Reason", "A-1,90.00,,OTHER", "A-2,40.00,,OTHER", "A-3,0,,OTHER")
    receipt = ingest(desk, content)
    assert [(line["line"], line["code"]) for line in receipt["lines"]] == [(2, "ITEM_LINES_NEEDED")]
    assert basket(desk.store)["action"] == TRACKED
    assert basket(desk.store, "A-2") == {"action": ("PENDING", "40.00", "2.00"), "TENT": (1, "40.00")}
    assert basket(desk.store, "A-3") == {"action": GONE, "BOOT": NONE, "SOCK": NONE}
    ingest(desk, lines("ActionId,CustomerStatus,Reason", "A-1,NEW,OTHER"))
    assert basket(desk.store)["action"] == TRACKED
    fix = (desk.brands / SID / "results" / "fix_returns.csv").read_text()
    assert fix == lines("ActionId,Amount,CustomerStatus,Reason", "A-1,90.00,,OTHER")


def test_items_of_an_order_have_no_meaning(desk: Desk, tmp_path: Path) -> None:
    """A line that names an item of an action without items is refused, and one that names none is not."""
    header = HEADER.replace("Currency", "Currency,Amount")
    order = "A-{},1000,16027,501,O-{},2027-01-15T10:00:00-05:00,USD,7.00,,,,,,,,"
    click = order.replace("16027", "16029")
    load_items(desk, tmp_path, *(order.format(n, n) for n in (1, 2)), click.format(3, 3), header=header)
    receipt = ingest(desk, lines("ActionId,Sku,Quantity,Reason", "A-1,X,0,OTHER", "A-2,,,RETURNED", "A-3,X,0,OTHER"))
    assert [(line["line"], line["code"]) for line in receipt["lines"]] == [
        (2, "NOT_ITEM_LEVEL"),
        (4, "CLICKS_NOT_REVERSIBLE"),
    ]


def test_the_lock_counts_for_items(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """A late line changes nothing, and one that would change nothing is told so."""
    load_items(desk, tmp_path)
    clock.now = LOCK
    content = lines(
        "ActionId,Sku,Quantity,Amount,Reason", "A-1,BOOT,1,40,OTHER", "A-1,BOOT,2,80,OTHER", "A-2,TENT,0,,OTHER"
    )
    receipt = ingest(desk, content)
    assert [line["code"] or line["verdict"] for line in receipt["lines"]] == [
        "ACTION_LOCKED",
        "unchanged",
        "ACTION_LOCKED",
    ]
    assert [basket(desk.store, name)["action"][1] for name in ("A-1", "A-2")] == ["100.00", "50.00"]


def test_a_person_changes_the_only_item(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """By the same rules as an order-level line."""
    load_items(desk, tmp_path)
    told = [
        deciding.change(desk, SID, Wish(name, Change.MODIFY, "OTHER", "30.00"), by="ana", at=clock.pass_by(seconds=1))
        for name in ("A-1", "A-2")
    ]
    assert [one["lines"][0]["code"] if one["lines"] else "applied" for one in told] == ["ITEM_LINES_NEEDED", "applied"]
    assert basket(desk.store, "A-2") == {"action": ("PENDING", "30.00", "1.50"), "TENT": (1, "30.00")}


def test_messages_name_the_item(desk: Desk, tmp_path: Path) -> None:
    """And its field, with what to do next."""
    load_items(desk, tmp_path)
    rows = [
        ("BOOT,1,1.005,,,", "Item 'BOOT': Amount '1.005' is not an amount of USD. Write digits with a point before"),
        ("BOOT,1,,,,", "Item 'BOOT' has no Amount. Give its new amount, or Quantity 0 to return it."),
        ("BOOT,1,1.00,HAT,1,2.00", "The action has no item 'HAT'. Give the Sku as it was tracked; items cannot be"),
        ("BOOT,1,1.00,SOCK,x,2.00", "Item 'SOCK': Quantity 'x' is not a whole number from 0 to 999999. Give the new"),
        ("BOOT,1,1.00,SOCK,1,-2", "Item 'SOCK': Amount '-2' is negative. It is the item's new total; send 0 to"),
        (
            "BOOT,1,1.00,,1,2",
            "Sku2 is empty, but the item has a Quantity, an Amount or a Category. Give the item's Sku.",
        ),
        ("BOOT,1,1.00,BOOT,1,2", "Sku 'BOOT' stands twice in the line. Name each item once."),
        (" BOOT,1,1.00,,,", "Item ' BOOT': Sku1 ' BOOT' begins or ends with a blank. Send the cell without it."),
    ]
    header = "ActionId,Sku1,Quantity1,Amount1,Sku2,Quantity2,Amount2,Reason"
    receipt = ingest(desk, lines(header, *(f"A-1,{cells},OTHER" for cells, _ in rows)))
    assert len(receipt["lines"]) == len(rows)
    for (_, words), line in zip(rows, receipt["lines"], strict=True):
        assert line["message"].startswith(words)


def test_items_are_shown_with_their_action(desk: Desk, tmp_path: Path) -> None:
    """What each is now and was tracked as, and what every entry changed."""
    load_items(desk, tmp_path)
    ingest(desk, lines("ActionId,Sku,Quantity,Amount,Reason", "A-1,BOOT,1,40.00,OTHER", "A-1,SOCK,0,,OTHER"))
    shown = [line.split("  ") for line in text(action(desk.store, "A-1")).splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in shown]
    assert cells[4:7] == [
        ["item", "category", "now", "tracked"],
        ["BOOT", "Shoes", "1 for 40.00", "2 for 80.00"],
        ["SOCK", "-", "returned", "3 for 20.00"],
    ]
    assert [row[-1] for row in cells[8:]] == [
        "items",
        "BOOT 2 for 80.00 → 1 for 40.00",
        "SOCK 3 for 20.00 → 0 for 0.00",
    ]


def test_amounts_of_items_are_converted(desk: Desk, tmp_path: Path) -> None:
    """With the rate of the action's day, each by itself; what becomes too large is rejected."""
    load_items(desk, tmp_path, A1, A2)
    with desk.store.write() as db:
        exchange.save(db, [Rate(date(2027, 1, 15), "EUR", "USD", 12_500_000_000)])
    content = lines(
        "ActionId,Sku1,Quantity1,Amount1,Sku2,Quantity2,Amount2,CurrencyCode,Reason",
        *("A-1,BOOT,1,10.01,SOCK,3,1.01,EUR,OTHER", "A-2,TENT,1,900000.00,,,,EUR,OTHER"),
        *("A-2,TENT,0,40.00,,,,EUR,OTHER",),
    )
    receipt = ingest(desk, content)
    assert [(line["line"], line["code"]) for line in receipt["lines"]] == [
        (2, "CURRENCY_CONVERTED"),
        (3, "AMOUNT_TOO_LARGE"),
    ]
    assert basket(desk.store) == {"action": ("PENDING", "13.77", "1.06"), "BOOT": (1, "12.51"), "SOCK": (3, "1.26")}
    assert basket(desk.store, "A-2")["action"] == GONE


@pytest.mark.parametrize("line", ["A-2,TENT,0,,OTHER", "A-2,TENT,,0,OTHER", "A-2,TENT,,,RETURNED"])
def test_a_late_return_of_the_only_item_takes_a_late_approval_back(
    line: str, desk: Desk, tmp_path: Path, clock: Clock
) -> None:
    """The action locked reversed, and is left so."""
    load_items(desk, tmp_path)
    ingest(desk, lines("ActionId,Reason", "A-2,OTHER"))
    clock.now = LOCK
    ingest(desk, lines("ActionId,Amount,Reason", "A-2,,VALIDATED"))
    clock.pass_by(minutes=1)
    assert ingest(desk, lines("ActionId,Sku,Quantity,Amount,Reason", line))["rows"]["unchanged"] == 1
    with desk.store.read() as db:
        found = [(one["amount_before"], one["amount_after"]) for one in adjustments.listing(db, SID)]
    assert found == [("0.00", "50.00"), ("50.00", "0.00")]


def test_what_a_late_line_would_have_done_to_items_is_proposed(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """With the action's amount and payout after it."""
    load_items(desk, tmp_path)
    clock.now = LOCK
    rows = ("A-1,BOOT,1,40.00,OTHER", "A-2,TENT,0,,OTHER")
    ingest(desk, lines("ActionId,Sku,Quantity,Amount,Reason", *rows))
    with desk.store.read() as db:
        found = [(one["change"], one["amount_after"], one["payout_after"]) for one in adjustments.listing(db, SID)]
    assert found == [("modify", "60.00", "4.20"), ("reverse", "0.00", "0.00")]


def test_late_lines_about_several_items_add_up(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """What is returned of one item leaves the proposals about the others; no action comes to less than nothing."""
    load_items(desk, tmp_path)
    clock.now = LOCK
    named, whole = "ActionId,Sku,Quantity,Amount,Reason", "ActionId,Reason"
    sock = (named, "A-1,SOCK,0,,OTHER")
    for rows in ((named, "A-1,BOOT,1,40.00,OTHER"), sock, (whole, "A-1,OTHER"), sock, (whole, "A-1,RETURNED")):
        ingest(desk, lines(*rows), again=True)
        clock.pass_by(minutes=1)
    with desk.store.read() as db:
        found = [(one["amount_after"], one["payout_after"]) for one in adjustments.listing(db, SID)]
    assert found == [("60.00", "4.20"), ("40.00", "3.20"), ("0.00", "0.00")]


def test_a_late_line_takes_back_what_was_said_of_the_only_item(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Its amount is that of its action; a quantity alone says nothing of it."""
    load_items(desk, tmp_path)
    clock.now = LOCK
    for row in ("A-2,TENT,1,20.00,OTHER", "A-2,TENT,1,,OTHER", "A-2,TENT,1,50.00,OTHER"):
        ingest(desk, lines("ActionId,Sku,Quantity,Amount,Reason", row))
        clock.pass_by(minutes=1)
    with desk.store.read() as db:
        found = [(one["amount_after"], one["payout_after"]) for one in adjustments.listing(db, SID)]
    assert found == [("20.00", "1.00"), ("50.00", "2.50")]


def test_a_reason_fits_what_becomes_of_the_items(desk: Desk, tmp_path: Path) -> None:
    """To return all that a line names is to reverse it."""
    rows = [
        Row("returned for a reversal's reason", "BOOT,0,,MP_RETURNED", "applied", SOCKS_ALONE, NONE),
        Row("modified for it", "BOOT,1,40.00,MP_RETURNED", "REASON_MISPLACED"),
        Row("returned for an update", "BOOT,0,,ORDER_UPDATE", "applied", SOCKS_ALONE, NONE),
    ]
    played(desk, tmp_path, "ActionId,Sku,Quantity,Amount,Reason", rows)


@pytest.mark.parametrize(
    ("record", "inside", "fate"),
    [
        ("ReversalRequest", "<Amount>0.00</Amount>", "applied"),
        ("ReversalRequest", "", "REASON_MISPLACED"),
        ("ItemReversalRequest", "<Items><Item><Sku>BOOT</Sku><Amount>0</Amount></Item></Items>", "applied"),
        ("ItemReversalRequest", "<Items><Item><Sku>BOOT</Sku><Quantity>0</Quantity></Item></Items>", "applied"),
        ("ItemReversalRequest", "<Items><Item><Sku>BOOT</Sku></Item></Items>", "REASON_MISPLACED"),
        (
            "ItemReversalRequest",
            "<Items><Item><Sku>BOOT</Sku><Amount>0</Amount></Item><Item><Sku>SOCK</Sku></Item></Items>",
            "REASON_MISPLACED",
        ),
    ],
)
def test_a_zero_in_a_document_of_reversals_goes_with_any_reason(
    record: str, inside: str, fate: str, desk: Desk, tmp_path: Path
) -> None:
    """As in any other file; the message of REASON_MISPLACED advises it."""
    load_items(desk, tmp_path)
    told = f"<{record}><ActionId>A-1</ActionId>{inside}<Reason>ORDER_UPDATE</Reason></{record}>"
    receipt = ingest(desk, f"<{record}s>{told}</{record}s>", name="returns.xml")
    assert [line["code"] for line in receipt["lines"]] == ([] if fate == "applied" else [fate])
    assert receipt["rows"]["applied"] == (fate == "applied")


def test_an_account_without_items_is_never_asked_for_any(desk: Desk, tmp_path: Path) -> None:
    """The speed of files of orders is measured: not one statement more."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")])
    asked = list[str]()
    with listening(desk.store, asked):
        ingest(desk, lines("ActionId,Amount,Reason", "A-1,50.00,OTHER", "A-2,,RESET"))
    assert len(asked) > 5
    assert [statement for statement in asked if "item" in statement] == []


@contextmanager
def listening(store: Store, statements: list[str]) -> Iterator[None]:
    """Hear every statement."""

    def hear(*arguments: Any) -> None:  # noqa: ANN401 - the event's arguments
        statements.append(arguments[2])

    event.listen(store.engine, "before_cursor_execute", hear)
    try:
        yield
    finally:
        event.remove(store.engine, "before_cursor_execute", hear)


def test_a_trailer_tells_the_sum_of_all_amounts(desk: Desk, tmp_path: Path) -> None:
    """Those of all items of all lines."""
    load_items(desk, tmp_path)
    rows = ("ActionId,Sku,Amount,Sku2,Amount2,Reason", "A-1,BOOT,40.00,SOCK,10.00,OTHER", "A-2,TENT,5.50,,,OTHER")
    assert ingest(desk, lines(*rows, "#TRAILER,2,45.50"))["code"] == "TRAILER_MISMATCH"
    assert ingest(desk, lines(*rows, "#TRAILER,2,55.50"))["rows"]["applied"] == 2
