import io
import re
from pathlib import Path
from zipfile import ZipFile

import pytest

from processing.errors import Unusable
from schemas import template
from schemas.check import Checked, check
from schemas.document import Document
from schemas.template import (
    KINDS,
    Kind,
    Row,
    examples,
    harmless,
    looks_like_a_number,
    write_examples,
    write_filled,
    write_sheet,
)

ROWS: list[Row] = [
    ("1000.4636.158133", "0012345678901234567890", "16027", "79.90", ""),
    ("1000.4636.158134", 'a "quoted", <order> & a half', "16027", "0.00", ""),
]


def read_back(folder: Path, content: bytes) -> Checked:
    """What our own reader makes of a template."""
    file = folder / "template"
    file.write_bytes(content)
    document = Document.open(file, "template")
    [chunk] = document.chunks()
    assert document.terminated is not False
    return check(chunk, document.columns)


def written(kind: Kind, rows: list[Row], *, filled: bool = False) -> bytes:
    """A template's bytes."""
    out = io.BytesIO()
    assert (write_filled if filled else write_examples)(kind, rows, out) == len(rows)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["order-csv", "order-xml"])
def test_our_reader_finds_no_fault_with_the_examples(tmp_path: Path, kind: Kind) -> None:
    """Each line of a template is one that may be sent as it is."""
    checked = read_back(tmp_path, written(kind, examples(kind, 4711)))
    assert checked.bad == []
    assert checked.good["reason"].tolist() == ["ITEM_RETURNED", "ORDER_UPDATE", "RESET"]
    assert checked.good["amount_text"].tolist() == ["0", "79.90", ""]
    assert checked.good["event_type"].dropna().tolist() == [4711, 4711]


def test_items_of_one_action_are_lines_in_csv_and_one_record_in_xml() -> None:
    """A line for each SKU repeats its action; in XML they stand together, blank elements left out."""
    rows = examples("item-csv")
    assert written("item-csv", rows).decode().splitlines() == [
        "ActionId,Oid,ActionTrackerId,Reason,Sku,Category,Quantity,Amount",
        "1000.4636.158133,,,ITEM_RETURNED,SHOE-42,Shoes,1,39.90",
        "1000.4636.158133,,,ITEM_RETURNED,HAT-3,Hats,0,0",
        ",ORDER-20931,16027,ORDER_UPDATE,SOCK-7,,2,12.00",
    ]
    xml = re.sub(r"\s*\n\s*", "", written("item-xml", rows).decode())
    assert xml == (
        '<?xml version="1.0" encoding="UTF-8"?><ItemModificationRequests>'
        "<ItemModificationRequest><ActionId>1000.4636.158133</ActionId><Reason>ITEM_RETURNED</Reason><Items>"
        "<Item><Sku>SHOE-42</Sku><Category>Shoes</Category><Quantity>1</Quantity><Amount>39.90</Amount></Item>"
        "<Item><Sku>HAT-3</Sku><Category>Hats</Category><Quantity>0</Quantity><Amount>0</Amount></Item>"
        "</Items></ItemModificationRequest>"
        "<ItemModificationRequest><Oid>ORDER-20931</Oid><ActionTrackerId>16027</ActionTrackerId>"
        "<Reason>ORDER_UPDATE</Reason><Items>"
        "<Item><Sku>SOCK-7</Sku><Quantity>2</Quantity><Amount>12.00</Amount></Item>"
        "</Items></ItemModificationRequest></ItemModificationRequests>"
    )


@pytest.mark.parametrize("kind", ["item-csv", "item-xml"])
def test_our_reader_finds_no_fault_with_the_examples_of_items(tmp_path: Path, kind: Kind) -> None:
    """Each line, or record, names its items."""
    checked = read_back(tmp_path, written(kind, examples(kind)))
    assert checked.bad == []
    named = [(one["sku"], one["quantity"], one["amount_text"]) for items in checked.good["items"] for one in items]
    assert named == [("SHOE-42", 1, "39.90"), ("HAT-3", 0, "0"), ("SOCK-7", 2, "12.00")]


@pytest.mark.parametrize("kind", ["order-csv", "order-xml"])
def test_a_filled_template_asks_for_reasons_and_nothing_else(tmp_path: Path, kind: Kind) -> None:
    """Left as it is, every line is rejected for its reason, whatever the order ids look like."""
    checked = read_back(tmp_path, written(kind, ROWS, filled=True))
    assert len(checked.good) == 0
    assert [bad.code for bad in checked.bad] == ["REASON_MISSING"] * 2


def test_ids_come_back_as_they_were(tmp_path: Path) -> None:
    """Zeros in front, digits beyond a spreadsheet's fifteen, delimiters and quotation marks survive a CSV."""
    content = written("order-csv", [(*row[:4], "OTHER") for row in ROWS], filled=True)
    assert content.startswith(b'\xef\xbb\xbf"ActionId","Oid","ActionTrackerId","Amount","Reason"\n"1000.4636.158133",')
    good = read_back(tmp_path, content).good
    assert good["action_id"].tolist() == [row[0] for row in ROWS]
    assert good["order_id"].tolist() == [row[1] for row in ROWS]
    assert good["amount_text"].tolist() == ["79.90", "0.00"]


def test_the_cells_of_a_sheet_are_texts() -> None:
    """An xlsx holds no number that a spreadsheet could round, and all its cells have the format for text."""
    out = io.BytesIO()
    assert write_sheet("order-csv", ROWS, out) == 2
    with ZipFile(out) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        styles = book.read("xl/styles.xml").decode()
    cells = re.findall(r"<c [^>]*>", sheet)
    assert len(cells) == 15
    assert [cell for cell in cells if 's="1"' not in cell or 't="inlineStr"' not in cell] == []
    assert "0012345678901234567890" in sheet
    assert 'formatCode="@"' in styles


def test_more_rows_than_a_sheet_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out in silence."""
    monkeypatch.setattr(template, "MOST_SHEET_ROWS", 2)
    assert write_sheet("order-csv", ROWS[:1], io.BytesIO()) == 1
    with pytest.raises(Unusable, match="A sheet holds 2 rows and there are more"):
        write_sheet("order-csv", ROWS, io.BytesIO())


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_without_lines_is_a_header(kind: Kind) -> None:
    """Where nothing is open, nothing is offered."""
    content = written(kind, [], filled=True).decode("utf-8-sig")
    assert content.splitlines()[0] in {
        '"ActionId","Oid","ActionTrackerId","Amount","Reason"',
        '"ActionId","Oid","ActionTrackerId","Reason","Sku","Category","Quantity","Amount"',
        '<?xml version="1.0" encoding="UTF-8"?>',
    }


@pytest.mark.parametrize(
    ("action_id", "risky"),
    [
        ("1000.4636.158133", False),
        ("M1000.4636", False),
        ("1000.10", True),
        ("0012", True),
        ("12345678901234567", True),
        ("1e5", True),
        ("1.2.2027", True),
        ("2027-01-15", True),
        ("1-2-27", True),
        ("1-2-X", False),
        *((each, True) for each in ("12-5", "3/4", "1.5", "1-2-3", "2027/1/15", "MAR1", "mar-01", "1-Sep", "DEC-2027")),
        *((each, True) for each in ("15JAN27", "10:30", "50%", "$5", "1,000", "1.000.000", ".5", "(12)", "TRUE")),
        *((each, False) for each in ("MARS-1", "MAR", "SOCK-9", "BOOT-42", "12-5X", "A10:30", "TRUE-1", "MARCH-UP")),
        *((each, False) for each in ("1000.1.1", "1000-4636", "1/2/3/4", "SEPTUM-1")),
    ],
)
def test_ids_that_a_spreadsheet_would_change(action_id: str, risky: bool) -> None:  # noqa: FBT001 - a column of the table
    """Numbers and days are written differently by a spreadsheet; ids with two points and long parts are not."""
    assert looks_like_a_number(action_id) is risky


@pytest.mark.parametrize(
    ("order_id", "shown"), [("O-1", "O-1"), ("=1+1", ""), ("+49", ""), ("-1", ""), ("@x", ""), (None, "")]
)
def test_formulas_stay_out_of_templates(order_id: str | None, shown: str) -> None:
    """The action id names the action; an order id that would run as a formula is not needed."""
    assert harmless(order_id) == shown
