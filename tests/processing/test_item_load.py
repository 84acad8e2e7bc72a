from pathlib import Path

import pytest

from clawback.wiring import Desk
from processing.actions import Load, Problem
from tests.item_worlds import A1, A2, BOOTS, HEADER, ITEM_CATALOGUE, SOCKS, basket, load_items
from tests.worlds import action, ingest, lines

START = "1000,16030,501,O-1,2027-01-15T10:00:00-05:00,USD"
ONE_EACH = "ActionId,CampaignId,ActionTrackerId,MediaPartnerId,Oid,EventDate,Currency,Sku,Category,Quantity,Amount"
TWICE = "ActionId 'A-1' is already there with other items; an action is tracked once, and its lines stand together."


def test_an_action_is_worth_its_items(desk: Desk, tmp_path: Path) -> None:
    """Its amount is their sum, its payout the sum of what each of them pays by its category."""
    assert load_items(desk, tmp_path) == Load(read=2, added=2)
    assert action(desk.store, "A-1")["items"] == [
        {
            "sku": "BOOT",
            "category": "Shoes",
            "quantity": 2,
            "amount": "80.00",
            "tracked": {"quantity": 2, "amount": "80.00"},
        },
        {
            "sku": "SOCK",
            "category": None,
            "quantity": 3,
            "amount": "20.00",
            "tracked": {"quantity": 3, "amount": "20.00"},
        },
    ]
    assert basket(desk.store)["action"] == ("PENDING", "100.00", "7.40")
    assert basket(desk.store, "A-2") == {"action": ("PENDING", "50.00", "2.50"), "TENT": (1, "50.00")}


def test_each_item_is_rounded_by_itself(desk: Desk, tmp_path: Path) -> None:
    """Half a cent of each of two items is a cent."""
    load_items(desk, tmp_path, f"A-1,{START},A,,1,0.10,B,,1,0.10")
    assert basket(desk.store)["action"] == ("PENDING", "0.20", "0.02")


def test_one_line_per_item(desk: Desk, tmp_path: Path) -> None:
    """Lines of one action that follow one another are one action."""
    rows = [f"A-1,{START},{BOOTS}", f"A-1,{START},{SOCKS}", f"A-2,{START},TENT,,1,50.00"]
    assert load_items(desk, tmp_path, *rows, header=ONE_EACH) == Load(read=2, added=2)
    assert basket(desk.store) == {
        "action": ("PENDING", "100.00", "7.40"),
        "BOOT": (2, "80.00"),
        "SOCK": (3, "20.00"),
    }


def test_lines_of_one_action_may_be_chunks_apart(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reader cuts makes no difference."""
    monkeypatch.setattr("schemas.actions_file.CHUNK_LINES", 1)
    items = [f"A-{n},{START},SKU-{item},,1,10.00" for n in (1, 2, 3) for item in range(7)]
    assert load_items(desk, tmp_path, *items, header=ONE_EACH) == Load(read=3, added=3)
    assert [len(basket(desk.store, f"A-{n}")) - 1 for n in (1, 2, 3)] == [7, 7, 7]


def test_loading_twice_is_loading_once(desk: Desk, tmp_path: Path) -> None:
    """However the items have changed since."""
    load_items(desk, tmp_path)
    ingest(desk, lines("ActionId,Sku,Quantity,Amount,Reason", "A-1,BOOT,1,40.00,OTHER"))
    assert load_items(desk, tmp_path, A1, A2, A2.replace("A-2", "A-3")) == Load(read=3, added=1, known=2)
    assert basket(desk.store)["BOOT"] == (1, "40.00")


OTHERS = [
    ("another quantity", A1.replace("SOCK,,3", "SOCK,,4"), TWICE),
    ("another SKU", A1.replace("SOCK", "SHOE"), TWICE),
    ("another category", A1.replace("SOCK,,", "SOCK,Socks,"), TWICE),
    ("another order", f"A-1,{START},{SOCKS},{BOOTS}", TWICE),
    ("an item less", f"A-1,{START},BOOT,Shoes,2,100.00,,,,", TWICE),
    (
        "another sum",
        f"A-1,{START},{BOOTS},,,,",
        "ActionId 'A-1' is already there with other values; an action is tracked once.",
    ),
]


def test_an_action_is_tracked_once(desk: Desk, tmp_path: Path) -> None:
    """The same id with other items is a problem, and nothing of it is kept."""
    load_items(desk, tmp_path)
    before = action(desk.store, "A-1")
    for case, row, message in OTHERS:
        assert load_items(desk, tmp_path, row) == Load(read=1, problems=[Problem(2, message)]), case
    assert action(desk.store, "A-1") == before


def test_lines_of_one_action_stand_together(desk: Desk, tmp_path: Path) -> None:
    """A line further down is another try at the same action, and told."""
    rows = [f"A-1,{START},{BOOTS}", f"A-2,{START},TENT,,1,50.00", f"A-1,{START},{SOCKS}"]
    loaded = load_items(desk, tmp_path, *rows, header=ONE_EACH)
    words = "ActionId 'A-1' is already there with other values; an action is tracked once."
    assert loaded == Load(read=3, added=2, problems=[Problem(4, words)])
    assert basket(desk.store) == {"action": ("PENDING", "80.00", "6.40"), "BOOT": (2, "80.00")}


def test_the_same_line_twice_apart_is_known(desk: Desk, tmp_path: Path) -> None:
    """Its items are added once."""
    assert load_items(desk, tmp_path, A1, A2, A1) == Load(read=3, added=2, known=1)
    loaded = load_items(desk, tmp_path, *(row.replace("A-", "B-") for row in (A1, A2, A1.replace("SOCK", "SHOE"))))
    assert loaded == Load(read=3, added=2, problems=[Problem(4, TWICE.replace("A-1", "B-1"))])


WRONG = [
    ("no quantity", f"A-1,{START},BOOT,,,80.00,,,,", "Quantity1 '' cannot be loaded; it must be a whole number"),
    ("none of it", f"A-1,{START},BOOT,,0,80.00,,,,", "Quantity1 '0' cannot be loaded"),
    ("half of one", f"A-1,{START},BOOT,,1.5,80.00,,,,", "Quantity1 '1.5' cannot be loaded"),
    ("no amount", f"A-1,{START},{BOOTS},SOCK,,3,", "Amount2 '' cannot be loaded; it must be digits"),
    ("negative", f"A-1,{START},{BOOTS},SOCK,,3,-1", "Amount2 '-1' cannot be loaded"),
    ("no SKU", f"A-1,{START},{BOOTS},,,3,1", "Sku2 '' cannot be loaded; it must be 1 to 255 characters"),
    ("twice", f"A-1,{START},{BOOTS},{BOOTS}", "Sku 'BOOT' stands twice in the action; give each item once."),
    ("decimals", f"A-1,{START},BOOT,,1,1.005,,,,", "Amount has more decimals than USD has."),
    (
        "decimals that add up",
        f"A-1,{START},A,,1,1.005,B,,1,1.005",
        "The Amount of an item has more decimals than USD has.",
    ),
    (
        "no items",
        f"A-1,{START},,,,,,,,",
        "Amount '' cannot be loaded; it must be digits with a point before the decimals, for example 1234.56.",
    ),
    (
        "an order",
        f"A-1,{START},{BOOTS},,,,".replace("16030", "16027"),
        "ActionTrackerId 16027 is tracked by order; leave out the items.",
    ),
    ("text", f"A/1,{START},{BOOTS},,,,", "ActionId 'A/1' cannot be loaded"),
    ("program", f"A-1,{START},{BOOTS},,,,".replace("1000", "7"), "CampaignId 7 is not in the catalogue"),
]


def test_an_item_that_cannot_be_loaded_is_told(desk: Desk, tmp_path: Path) -> None:
    """Once for its action, which is left out as a whole; the actions beside it are loaded."""
    rows = [row.replace("A-1", f"A-{at}") for at, (_, row, _) in enumerate(WRONG, 10)]
    loaded = load_items(desk, tmp_path, A2, *rows, A2.replace("A-2", "A-3"))
    assert (loaded.read, loaded.added) == (len(WRONG) + 2, 2)
    assert [one.line for one in loaded.problems] == list(range(3, len(WRONG) + 3))
    for (case, _, words), problem in zip(WRONG, loaded.problems, strict=True):
        assert problem.message.startswith(words), case


def test_a_total_beside_its_items_is_compared(desk: Desk, tmp_path: Path) -> None:
    """And an action without items has nothing but that."""
    header = HEADER.replace("Currency", "Currency,Amount")
    rows = [
        A1.replace("USD", "USD,100.0"),
        A2.replace("USD", "USD,"),
        A2.replace("A-2", "A-3").replace("USD", "USD,50.01"),
        f"A-4,{START},7.00,,,,,,,,".replace("16030", "16027"),
        f"A-5,{START},7.00,,,,,,,,",
        A2.replace("A-2", "A-6").replace("USD", "USD,fifty"),
    ]
    loaded = load_items(desk, tmp_path, *rows, header=header)
    assert (loaded.read, loaded.added) == (6, 3)
    assert [(one.line, one.message[:54]) for one in loaded.problems] == [
        (4, "Amount '50.01' is not the sum of the items' amounts."),
        (6, "ActionTrackerId 16030 is tracked by item; give Sku1, Q"),
        (7, "Amount 'fifty' cannot be loaded; it must be digits wit"),
    ]


def test_an_action_is_loaded_with_all_its_items_or_not_at_all(desk: Desk, tmp_path: Path) -> None:
    """A bad line takes the others of its action with it; one that cannot be read, those beside it."""
    rows = [
        *(f"A-1,{START},{BOOTS}", f"A-1,{START},SOCK,,3,x", f"A-1,{START},HAT,,1,5.00"),
        *(f"A-2,{START},{BOOTS}", f"A-2,{START.replace('O-1', 'O-2')},{SOCKS}"),
        *(f"A-3,{START},{BOOTS}", "broken", f"A-4,{START},{BOOTS}", f"A-4,{START},{SOCKS}"),
        f"A-5,{START},{BOOTS}",
    ]
    loaded = load_items(desk, tmp_path, *rows, header=ONE_EACH)
    assert (loaded.read, loaded.added) == (6, 1)
    assert [(one.line, one.message) for one in loaded.problems] == [
        (3, "Amount 'x' cannot be loaded; it must be digits with a point before the decimals, for example 1234.56."),
        (
            6,
            "ActionId 'A-2' has other values than in line 5; the lines of one action differ in their items alone.",
        ),
        (7, "Line 8 beside it cannot be read, and may hold another item of the action."),
        (8, "The line has 1 fields, the header has 11. Quote cells that contain the delimiter."),
        (9, "Line 8 beside it cannot be read, and may hold another item of the action."),
    ]
    assert basket(desk.store, "A-5")["action"] == ("PENDING", "80.00", "6.40")


def test_a_fixed_sum_is_paid_for_the_action(desk: Desk, tmp_path: Path) -> None:
    """However many items it has."""
    load_items(desk, tmp_path, A1.replace(",501,", ",502,"))
    assert basket(desk.store)["action"] == ("PENDING", "100.00", "12.00")


def test_a_category_changes_the_rate_of_items_alone(desk: Desk, tmp_path: Path) -> None:
    """An action of an event type that is tracked by order is paid the plain percentage."""
    header = HEADER.replace("Currency", "Currency,Amount")
    load_items(desk, tmp_path, f"A-4,{START},7.00,,,,,,,,".replace("16030", "16027"), header=header)
    assert basket(desk.store, "A-4") == {"action": ("PENDING", "7.00", "0.35")}
    assert "Shoes" in ITEM_CATALOGUE
