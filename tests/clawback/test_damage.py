"""Damage to known cells of a good file: exactly the damaged line is rejected, and the others do what they did."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from clawback.wiring import Desk
from tests.worlds import CATALOGUE, Sale, codes, ingest, lines, load, values

COLUMNS = ("ActionId", "Oid", "ActionTrackerId", "Amount", "currencyCode", "CustomerStatus", "Comment", "Reason")
LINES = 7
# The first line's comment has a line break, so that the fourth line of the file's lines is its sixth physical one.
DAMAGED, PHYSICAL = 4, 6
WITH_COMMENTS = CATALOGUE.replace('\ncurrency = "USD"\n', '\ncurrency = "USD"\nignore_columns = ["Comment"]\n', 1)


@dataclass(frozen=True)
class Damage:
    """What a cell is overwritten with, as the file has it, and how the line is answered."""

    column: str
    cell: str
    code: str
    told: str | None = None

    def __str__(self) -> str:
        """Name the case by what it does."""
        return ascii(f"{self.column} {self.cell[:20]}")

    def message(self) -> str:
        """What the answer must name: the column and the raw value."""
        if self.told is not None:
            return self.told
        return f"{self.column} {self.cell!r}"


def amounts(*cells: str) -> list[Damage]:
    """Amounts that are none."""
    return [Damage("Amount", cell, "AMOUNT_MALFORMED") for cell in cells]


TABLE = [
    # Marks of the format.
    Damage("Amount", '"40.50', "QUOTING", '"40.50'),
    Damage("Amount", '40".50', "QUOTING", '40".50'),
    Damage("Amount", '"40.50"x', "QUOTING", '"40.50"x'),
    Damage("Amount", "1.234,56", "FIELD_COUNT", "9 fields, the header has 8"),
    Damage("Amount", "40.50;USD", "AMOUNT_MALFORMED"),
    Damage("Amount", "40.50\tUSD", "CONTROL_CHARACTER", "Amount contains a control character: '40.50\\tUSD'"),
    Damage("Amount", "40\x00.50", "CONTROL_CHARACTER", "Amount contains a control character: '40\\x00.50'"),
    Damage("CustomerStatus", "N\x1bEW", "CONTROL_CHARACTER", "CustomerStatus contains a control character"),
    Damage("Comment", "\x07", "CONTROL_CHARACTER", "'Comment' contains a control character: '\\x07'"),
    # What spreadsheets make of ids.
    Damage("ActionId", "1.0E+15", "ACTION_ID_MALFORMED"),
    Damage("ActionId", "=A-4", "ACTION_ID_MALFORMED"),
    Damage("ActionId", "'A-4", "ACTION_ID_MALFORMED", 'ActionId "\'A-4"'),
    Damage("ActionId", "#N/A", "ACTION_ID_MALFORMED"),
    Damage("ActionId", "A-4 ", "ACTION_ID_MALFORMED"),
    Damage("ActionId", " A-4", "ACTION_ID_MALFORMED"),
    Damage("ActionId", "A 4", "ACTION_ID_MALFORMED"),
    Damage("ActionId", "A/4", "ACTION_ID_MALFORMED"),
    Damage("ActionId", "\uff21-4", "ACTION_ID_MALFORMED"),
    Damage("ActionId", "x" * 65, "ACTION_ID_MALFORMED", "ActionId 'xxx"),
    Damage("ActionId", "", "MISSING_IDENTIFIER", "names no action"),
    Damage("ActionTrackerId", "16027.0", "EVENT_TYPE_MALFORMED"),
    Damage("ActionTrackerId", "-1", "EVENT_TYPE_MALFORMED"),
    Damage("ActionTrackerId", "99", "EVENT_TYPE_UNKNOWN", "ActionTrackerId 99"),
    # Numbers as other people write them.
    *amounts("1e5", "+12.50", "(12.50)", "$12.50", "12.50 USD", "12.505", ".50", "12.", "NaN", "inf", "0x10", "TRUE"),
    *amounts("12 50", "12.50 ", " 12.50", "=12.50", "#REF!", "12.50%", "\uff11\uff12.50", "12\u00b750", "\u221212.50"),
    Damage("Amount", "12'50", "AMOUNT_MALFORMED", 'Amount "12\'50"'),
    Damage("Amount", '"1,234.56"', "AMOUNT_MALFORMED", "Amount '1,234.56'"),
    Damage("Amount", "12.50\u200b", "AMOUNT_MALFORMED"),
    Damage("Amount", "\u00a012.50", "AMOUNT_MALFORMED"),
    Damage("Amount", "-12.50", "AMOUNT_NEGATIVE"),
    Damage("Amount", "-0", "AMOUNT_NEGATIVE"),
    Damage("Amount", "-0.00", "AMOUNT_NEGATIVE"),
    Damage("Amount", "100000000", "AMOUNT_TOO_LARGE"),
    Damage("Amount", "99999999999999999999", "AMOUNT_TOO_LARGE"),
    # Words that are not ours.
    *(Damage("currencyCode", cell, "CURRENCY_UNKNOWN", f"CurrencyCode {cell!r}") for cell in ("usd", "US", "USDD")),
    *(Damage("currencyCode", cell, "CURRENCY_UNKNOWN", f"CurrencyCode {cell!r}") for cell in ("\u20ac", "XAU", " USD")),
    Damage("CustomerStatus", "x" * 41, "CUSTOMER_STATUS_TOO_LONG"),
    Damage("CustomerStatus", "NEW ", "SURROUNDING_BLANK"),
    Damage("CustomerStatus", "\u2028", "SURROUNDING_BLANK"),
    Damage("CustomerStatus", "NEW\u200b", "SURROUNDING_BLANK", r"'NEW\u200b' begins or ends with a blank"),
    Damage("Reason", "", "REASON_MISSING", "Reason is empty"),
    Damage("Reason", " ", "REASON_MISSING", "Reason is empty"),
    *(Damage("Reason", cell, "REASON_UNKNOWN") for cell in ("order_update", "ORDER_UPDATE ", "=ORDER_UPDATE", "nan")),
    Damage("Reason", "OVERLIMIT_BUDGET", "REASON_UNKNOWN"),
    Damage("Reason", "REJECTED", "REASON_MISPLACED"),
]


def content(damage: Damage | None = None) -> str:
    """A good file, or one with a damaged cell."""
    rows = []
    for number in range(1, LINES + 1):
        comment = '"two\nlines"' if number == 1 else "x"
        row = dict(
            zip(COLUMNS, (f"A-{number}", "", "", f"{number}0.50", "USD", "NEW", comment, "ORDER_UPDATE"), strict=True)
        )
        if damage is not None and number == DAMAGED:
            row[damage.column] = damage.cell
        rows.append(",".join(row.values()))
    return lines(",".join(COLUMNS), *rows)


@pytest.fixture
def seven(desk: Desk, tmp_path: Path) -> Desk:
    """The actions that the file names."""
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(1, LINES + 1)], catalogue=WITH_COMMENTS)
    return desk


def test_there_are_kinds_enough() -> None:
    """The table is as long as it claims, and no kind stands twice."""
    assert len({(each.column, each.cell) for each in TABLE}) == len(TABLE) >= 40


@pytest.mark.parametrize("damage", TABLE, ids=str)
def test_exactly_the_damaged_line_is_rejected(damage: Damage, seven: Desk) -> None:
    """With its physical line, its column, its raw value and its code; the others are applied."""
    receipt = ingest(seven, content(damage))
    rejected = [one for one in receipt["lines"] if one["verdict"] == "rejected"]
    assert [(one["line"], one["code"]) for one in rejected] == [(PHYSICAL, damage.code)]
    assert damage.message() in rejected[0]["message"]
    assert (receipt["rows"]["applied"], receipt["rows"]["read"]) == (LINES - 1, LINES)
    amounts = [values(seven.store, f"A-{number}")[1] for number in range(1, LINES + 1)]
    assert amounts == [("100.00" if number == DAMAGED else f"{number}0.50") for number in range(1, LINES + 1)]


@pytest.mark.parametrize(
    ("one", "other", "code", "told"),
    [
        ("Amount", "CustomerStatus", "AMOUNT_MALFORMED", "Amount 'NEW'"),
        ("Amount", "currencyCode", "AMOUNT_MALFORMED", "Amount 'USD'"),
        ("ActionId", "Oid", "MISSING_IDENTIFIER", "names no action"),
        ("Reason", "CustomerStatus", "REASON_UNKNOWN", "Reason 'NEW'"),
        ("currencyCode", "CustomerStatus", "CURRENCY_UNKNOWN", "CurrencyCode 'NEW'"),
    ],
)
def test_swapped_cells_are_found(one: str, other: str, code: str, told: str, seven: Desk) -> None:
    """Two cells of a line in each other's columns; the same under a header that has them swapped, too, is no fault."""
    row = content().splitlines()[PHYSICAL - 1].split(",")
    here, there = COLUMNS.index(one), COLUMNS.index(other)
    row[here], row[there] = row[there], row[here]
    swapped = content().splitlines()
    swapped[PHYSICAL - 1] = ",".join(row)
    receipt = ingest(seven, lines(*swapped))
    assert codes(receipt) == [(PHYSICAL, "rejected", code)]
    assert told in receipt["lines"][0]["message"]
    assert receipt["rows"]["applied"] == LINES - 1
    assert values(seven.store, f"A-{DAMAGED}")[1] == "100.00"
    header = list(COLUMNS)
    header[here], header[there] = header[there], header[here]
    assert ingest(seven, lines(",".join(header), ",".join(row)))["rows"]["applied"] == 1


@pytest.mark.parametrize("cell", ["NA", "nan", "NULL", "None", "1e5", "0", "A-04"])
def test_an_id_that_could_be_one_is_taken_at_its_word(cell: str, seven: Desk) -> None:
    """No text is a missing value, and none becomes a number: such an action may come."""
    receipt = ingest(seven, content(Damage("ActionId", cell, "UNKNOWN_ACTION")))
    assert [(one["line"], one["verdict"]) for one in receipt["lines"]] == [(PHYSICAL, "waiting")]
    assert f"ActionId {cell!r}" in receipt["lines"][0]["message"]


def test_the_good_file_is_good(seven: Desk) -> None:
    """Without the damage every line is applied."""
    assert ingest(seven, content())["rows"]["applied"] == LINES
