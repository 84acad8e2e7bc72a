"""Files with items as text: their columns, their contract, and XML."""

from pathlib import Path
from typing import Any

import pytest

from processing.codes import Code
from processing.errors import Unreadable
from schemas.check import Checked, check
from schemas.csv_lines import read_head, read_lines
from schemas.document import Document
from schemas.xml_lines import COLUMNS
from schemas.xml_lines import read_head as read_xml_head
from schemas.xml_lines import read_lines as read_xml
from tests.workbooks import table


def checked(text: str, ignore: tuple[str, ...] = ()) -> Checked:
    """A whole CSV file, judged."""
    head = read_head(iter([text]), ignore)
    [chunk] = read_lines(iter([text]), head, 1_000)
    return check(chunk, head.columns)


def items(result: Checked) -> list[list[tuple[Any, ...]]]:
    """SKU, category, quantity and scaled amount of each good line's items."""
    names = ("sku", "category", "quantity", "amount_scaled")
    return [[tuple(one[name] for name in names) for one in line] for line in result.good["items"].array.tolist()]


def codes(result: Checked) -> list[tuple[int, Code, str | None, str | None]]:
    """What is said of each bad line."""
    return [(one.line, one.code, one.field, one.value) for one in result.bad]


@pytest.mark.parametrize(
    "header",
    [
        "ActionId,Sku,Category,Quantity,Amount,Sku2,Category2,Quantity2,Amount2,Reason",
        "ActionId,Sku1,Category1,Quantity1,Amount1,Sku2,Category2,Quantity2,Amount2,Reason",
        "action_id;SKU 1;CATEGORY;quantity;Amount-1;sku_2;Category2;QUANTITY2;amount2;Reason",
        "ActionId,Sku3,Category3,Quantity3,Amount3,Sku12,Category12,Quantity12,Amount12,Reason",
    ],
)
def test_the_columns_of_items(header: str) -> None:
    """Numbered, the first with or without its number, whatever their case."""
    delimiter = ";" if ";" in header else ","
    row = "A-1,X,Shoes,1,2.50,Y,,,0,OTHER".replace(",", delimiter)
    result = checked(f"{header}\n{row}\n")
    assert items(result) == [[("X", "Shoes", 1, 25_000), ("Y", None, None, 0)]]
    assert result.good["amount_scaled"].isna().all()


@pytest.mark.parametrize(
    ("header", "code", "words"),
    [
        ("ActionId,Sku1,Quantity1,Amount,Reason", Code.COLUMN_UNKNOWN, "Column 'Amount' is not known. Did you"),
        ("ActionId,Sku1,Amount1,Amount,Reason", Code.COLUMN_UNKNOWN, "Column 'Amount' is not known."),
        ("ActionId,Sku,Amount,Amount1,Reason", Code.COLUMN_TWICE, "Columns 'Amount' and 'Amount1' mean the same thing"),
        ("ActionId,Sku,Sku1,Reason", Code.COLUMN_TWICE, "Columns 'Sku' and 'Sku1' mean the same thing, Sku."),
        ("ActionId,Sku,Quantity2,Reason", Code.COLUMN_UNKNOWN, "Column 'Quantity2' is not known."),
        ("ActionId,Quantity,Amount,Reason", Code.COLUMN_UNKNOWN, "Column 'Quantity' is not known."),
        ("ActionId,Sku0,Reason", Code.COLUMN_UNKNOWN, "Column 'Sku0' is not known."),
    ],
)  # fmt: skip
def test_a_header_that_says_too_little(header: str, code: Code, words: str) -> None:
    """Nobody guesses whether an amount is the order's or an item's."""
    with pytest.raises(Unreadable) as caught:
        read_head(iter([header + "\n"]))
    assert (caught.value.code, str(caught.value)[: len(words)]) == (code, words)


def test_a_brand_may_have_its_items_ignored() -> None:
    """Then its files are of orders, as before."""
    result = checked("ActionId,Sku,Amount,Reason\nA-1,X,5.00,OTHER\n", ignore=("SKU",))
    assert "items" not in result.good
    assert result.good["amount_scaled"].tolist() == [50_000]


def test_faults_of_items_are_told_with_their_field() -> None:
    """The first in the order of the codes, whether it is the line's or an item's."""
    header = "ActionId,Sku1,Category1,Quantity1,Amount1,Sku2,Category2,Quantity2,Amount2,Reason"
    rows = [
        *("A-1,X,,1,1.00,Y,,2,2.00,OTHER", "A-1,,,,,,,,,OTHER", "A-1,X,,1.0,,,,,,OTHER", "A-1,X,,,,Y,,1000000,,OTHER"),
        *("A-1,X,,,1e3,,,,,OTHER", "A-1,X,,,-1,,,,,OTHER", "A-1,X,,,100000000,,,,,OTHER", "A-1,,Shoes,,,,,,,OTHER"),
        *("A-1,X,,,,X,,,,OTHER", "A-1,X ,,,,,,,,OTHER", "A-1,X,Shoes ,,,,,,,OTHER", "A-1,X\x07,,,,,,,,OTHER"),
        *("A/1,X,,x,,,,,,OTHER", "A-1,X,,x,,,,,,", "A-1,,,1,,,,,,", "A-1,x,,1,1,X,,1,1,OTHER"),
    ]
    result = checked("\n".join([header, *rows]) + "\n")
    assert codes(result) == [
        (4, Code.QUANTITY_MALFORMED, "Quantity1", "1.0"),
        (5, Code.QUANTITY_MALFORMED, "Quantity2", "1000000"),
        (6, Code.AMOUNT_MALFORMED, "Amount1", "1e3"),
        (7, Code.AMOUNT_NEGATIVE, "Amount1", "-1"),
        (8, Code.AMOUNT_TOO_LARGE, "Amount1", "100000000"),
        (9, Code.SKU_MISSING, "Sku1", None),
        (10, Code.SKU_TWICE, "Sku2", "X"),
        (11, Code.SURROUNDING_BLANK, "Sku1", "X "),
        (12, Code.SURROUNDING_BLANK, "Category1", "Shoes "),
        (13, Code.CONTROL_CHARACTER, "Sku1", "X\x07"),
        (14, Code.ACTION_ID_MALFORMED, "ActionId", "A/1"),
        (15, Code.REASON_MISSING, "Reason", ""),
        (16, Code.SKU_MISSING, "Sku1", None),
    ]
    assert [len(one) for one in items(result)] == [2, 0, 2]
    assert result.good.index.tolist() == [2, 3, 17]


def xml(records: str, kind: str = "ItemModificationRequest", namespace: str = "") -> str:
    """A document of such records."""
    return f"<{kind}s{namespace}>{records}</{kind}s>"


def checked_xml(text: str) -> Checked:
    """A whole document, judged."""
    head = read_xml_head(iter([text]))
    [chunk] = read_xml(iter([text]), (), 1_000)
    return check(chunk, COLUMNS, reversals=head.kind == "reversals")


def record(inside: str, kind: str = "ItemModificationRequest") -> str:
    """A record of an action."""
    return f"<{kind}><ActionId>A-1</ActionId><Reason>OTHER</Reason>{inside}</{kind}>"


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://ws.impactradius.com/ws/definitions"'])
def test_items_in_xml(namespace: str) -> None:
    """As many as a record has; an empty one is none."""
    inside = (
        "<Items><Item><Sku>X</Sku><Category>Shoes</Category><Quantity>2</Quantity><Amount>7.5</Amount></Item>"
        "<Item/><Item><amount>0</amount><SKU>Y</SKU></Item></Items>"
    )
    result = checked_xml(xml(record(inside) + record("") + record("<Items/>"), namespace=namespace))
    assert items(result) == [[("X", "Shoes", 2, 75_000), ("Y", None, None, 0)], [], []]
    assert result.bad == []


def test_bad_items_in_xml() -> None:
    """Each record alone."""
    wrong = [
        "<Items><Item><Sku>X</Sku><Quantity>x</Quantity></Item></Items>",
        "<Items><Item><Quantity>1</Quantity></Item></Items>",
        "<Items><Item><Sku>X</Sku></Item><Item><Sku>X</Sku></Item></Items>",
        "<Items><Item><Sku>X</Sku><Sku>Y</Sku></Item></Items>",
        "<Items/><Items/>",
    ]
    result = checked_xml(xml("".join(map(record, wrong))))
    assert codes(result) == [
        (1, Code.QUANTITY_MALFORMED, "Quantity", "x"),
        (2, Code.SKU_MISSING, "Sku", None),
        (3, Code.SKU_TWICE, "Sku", "X"),
        (4, Code.FIELD_COUNT, "Sku", None),
        (5, Code.FIELD_COUNT, "Items", None),
    ]
    assert [result.bad[at].message for at in (3, 4)] == [
        "Item 1 of the record has Sku more than once: 'X' and 'Y'. Keep one of them.",
        "The record has Items more than once. Keep one of them.",
    ]


def test_returned_items_in_xml_have_no_values() -> None:
    """A quantity might be meant as how many came back; nobody guesses."""
    kind = "ItemReversalRequest"
    values = ["", "<Quantity>0</Quantity><Amount>0.00</Amount>", "<Quantity>2</Quantity>", "<Amount>2</Amount>"]
    records = (record(f"<Items><Item><Sku>X</Sku>{each}</Item></Items>", kind) for each in values)
    result = checked_xml(xml("".join(records), kind))
    assert codes(result) == [
        (3, Code.QUANTITY_MALFORMED, "Quantity", "2"),
        (4, Code.AMOUNT_MALFORMED, "Amount", "2"),
    ]
    assert result.bad[0].message == (
        "Item 'X': Quantity '2' stands in a reversal. Leave it out, or send an ItemModificationRequest."
    )


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (xml(record("<Amount>5</Amount>")), Code.COLUMN_UNKNOWN, "Column 'Amount' is not known."),
        (xml(record("<Sku>5</Sku>")), Code.COLUMN_UNKNOWN, "Column 'Sku' is not known."),
        (xml(record("<Items><Sku>5</Sku></Items>")), Code.NOT_READABLE, "Element Sku stands where only Item can"),
        (xml(record("<Items><Item><Skew/></Item></Items>")), Code.COLUMN_UNKNOWN, "Column 'Skew' is not known."),
        (xml(record("<Items><Item><Sku><b/></Sku></Item></Items>")), Code.NOT_READABLE, "Element b stands inside Sku"),
        (xml(record("<Items>X</Items>")), Code.NOT_READABLE, "The text 'X' stands outside the elements"),
        (xml(record("<Items>" + "<Item/>" * 1001 + "</Items>")), Code.NOT_READABLE, "A record has more than 1000"),
        (xml(record("<Items/>", "ModificationRequest"), "ModificationRequest"), Code.COLUMN_UNKNOWN, "Column 'Items'"),
        (xml(record(""))[:-5], Code.NOT_READABLE, "The XML is cut off or not well-formed"),
        ("<Orders/>", Code.NOT_READABLE, "The root element is Orders; it must be ModificationRequests, Reversal"),
    ],
)
def test_xml_that_is_no_such_document(text: str, code: Code, words: str) -> None:
    """The file as a whole is refused."""
    with pytest.raises(Unreadable) as caught:
        list(read_xml(iter([text]), (), 10))
    assert (caught.value.code, str(caught.value)[: len(words)]) == (code, words)


@pytest.mark.parametrize(
    ("content", "gives"),
    [
        ("ActionId,Sku,Reason\nA,X,OTHER\n", (False, False)),
        ("ActionId,Sku,Quantity,Reason\nA,X,0,OTHER\n", (True, False)),
        ("ActionId,Sku,Sku2,Amount2,Reason\nA,X,,,OTHER\n", (True, False)),
        ("ActionId,Sku,CustomerStatus,Reason\nA,X,,OTHER\n", (False, True)),
        (xml(record("")), (True, True)),
        (xml(record("", "ItemReversalRequest"), "ItemReversalRequest"), (False, False)),
    ],
)
def test_what_a_file_can_say(content: str, gives: tuple[bool, bool], tmp_path: Path) -> None:
    """An amount or a quantity of an item, and a customer status."""
    file = tmp_path / "delivery"
    file.write_text(content)
    document = Document.open(file, "delivery")
    assert (document.has_amount, document.has_status) == gives


def test_a_workbook_of_items(tmp_path: Path) -> None:
    """Its columns mean what they mean in a CSV."""
    file = tmp_path / "delivery.xlsx"
    file.write_bytes(table(["ActionId", "Sku", "Quantity", "Amount", "Reason"], ["A-1", "X", "1", "2.50", "OTHER"]))
    document = Document.open(file, file.name)
    [chunk] = document.chunks()
    assert items(check(chunk, document.columns)) == [[("X", None, 1, 25_000)]]
