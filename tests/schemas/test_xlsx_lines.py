import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import BadLine
from schemas.document import Document
from tests.workbooks import MAIN, packed, parts, row, table, workbook

HEADER = ("ActionId", "Amount", "Reason")


def opened(folder: Path, content: bytes, **how: Any) -> Document:  # noqa: ANN401 - those of Document.open
    """A delivery, opened."""
    path = folder / "delivery"
    path.write_bytes(content)
    return Document.open(path, "returns.xlsx", **how)


def rows(folder: Path, content: bytes, **how: Any) -> dict[int, list[str]]:  # noqa: ANN401 - those of Document.open
    """The cells of each row that could be read, by its number."""
    found: dict[int, list[str]] = {}
    for chunk in opened(folder, content, **how).chunks():
        found |= dict(zip(chunk.lines.tolist(), chunk.cells.to_numpy().tolist(), strict=True))
    return found


def cells(content: str) -> str:
    """The header, and a second row with these ``c`` elements."""
    return row(1, *HEADER) + f'<row r="2">{content}</row>'


def refused(folder: Path, content: bytes, **how: Any) -> Unreadable:  # noqa: ANN401 - those of Document.open
    """What is said of a workbook that is not read."""
    with pytest.raises(Unreadable) as raised:
        rows(folder, content, **how)
    return raised.value


def test_a_workbook(tmp_path: Path) -> None:
    """The first sheet, its first row as the header, and rows under their own numbers, empty ones skipped."""
    content = workbook(row(3, *HEADER) + row(4) + row(5, "A-1", "0", "OTHER") + row(9, "A-2", "", "RESET"))
    document = opened(tmp_path, content)
    assert (document.format, document.kind, document.delimiter, document.terminated) == ("xlsx", "lines", None, None)
    assert document.header == HEADER
    assert document.columns.positions == {"action_id": 0, "amount": 1, "reason": 2}
    assert (document.has_amount, document.has_status) == (True, False)
    for size, lines in ((50, [[5, 9]]), (1, [[5], [9]])):
        chunks = list(document.chunks(size))
        assert [chunk.lines.tolist() for chunk in chunks] == lines
    assert rows(tmp_path, content) == {5: ["A-1", "0", "OTHER"], 9: ["A-2", "", "RESET"]}


@pytest.mark.parametrize(
    ("case", "cell", "expected"),
    [
        ("inline", '<c r="A2" t="inlineStr"><is><t>00123</t></is></c>', "00123"),
        ("inline in runs", '<c r="A2" t="inlineStr"><is><r><t>0</t></r><r><t>1</t></r></is></c>', "01"),
        ("shared", '<c r="A2" t="s"><v>1</v></c>', "1E5"),
        ("shared in runs, with a reading", '<c r="A2" t="s"><v>2</v></c>', "髙島屋"),
        ("escaped characters", '<c r="A2" t="s"><v>3</v></c>', "a\rb_x000D_c_xD800_"),
        ("spaces", '<c r="A2" t="s"><v>4</v></c>', " x "),
        ("number", '<c r="A2"><v>12345.0</v></c>', "12345"),
        ("number with a format", '<c r="A2" s="1"><v>0.3</v></c>', "0.30"),
        ("date", '<c r="A2" s="2"><v>46402</v></c>', "2027-01-15"),
        ("own format", '<c r="A2" s="3"><v>7</v></c>', "007"),
        ("style that is not there", '<c r="A2" s="99"><v>7</v></c>', "7"),
        ("ISO date", '<c r="A2" t="d"><v>2027-01-15</v></c>', "2027-01-15"),
        ("boolean", '<c r="A2" t="b"><v>1</v></c>', "TRUE"),
        ("error", '<c r="A2" t="e"><v>#N/A</v></c>', "#N/A"),
        ("formula with a number", '<c r="A2"><f>1+1</f><v>2</v></c>', "2"),
        ("formula with a text", '<c r="A2" t="str"><f>"a"</f><v>=a</v></c>', "=a"),
        ("formula with an empty text", '<c r="A2" t="str"><f>""</f><v></v></c><c r="B2"><v>1</v></c>', ""),
        ("no reference", "<c><v>5</v></c>", "5"),
        ("a text that is no number", '<c r="A2" t="s"><v>0</v></c>', "1.0"),
    ],
)
def test_a_cell_is_what_it_shows(tmp_path: Path, case: str, cell: str, expected: str) -> None:
    """Texts stay texts, numbers have their format, formulas the value that was kept with them."""
    texts = (
        "<si><t>1.0</t></si><si><t>1E5</t></si>"
        "<si><r><t>髙</t></r><r><t>島屋</t></r><rPh><t>タカシマヤ</t></rPh></si>"
        '<si><t>a_x000D_b_x005F_x000D_c_xD800_</t></si><si><t xml:space="preserve"> x </t></si>'
    )
    styles = (
        '<numFmts><numFmt numFmtId="164" formatCode="000"/></numFmts><cellStyleXfs><xf numFmtId="9"/></cellStyleXfs>'
        '<cellXfs><xf numFmtId="0"/><xf numFmtId="4"/><xf numFmtId="14"/><xf numFmtId="164"/></cellXfs>'
    )
    found = rows(tmp_path, workbook(cells(cell), texts=texts, styles=styles))
    assert found[2][0] == expected, case


def test_the_first_sheet_that_is_shown(tmp_path: Path) -> None:
    """What nobody sees is not what was meant."""
    hidden = '<sheet name="a" state="hidden" r:id="rId1"/><sheet name="b" r:id="rId2"/>'
    with pytest.raises(Unreadable, match="'Second' is not known"):
        opened(tmp_path, workbook(row(1, *HEADER), sheets=hidden))


def test_parts_may_be_named_from_the_root(tmp_path: Path) -> None:
    """Some programs do, and some write the stricter dialect, or dates from 1904."""
    content = parts(
        cells('<c r="A2" s="0"><v>44940</v></c>'),
        target="/xl/worksheets/sheet1.xml",
        styles='<cellXfs><xf numFmtId="14"/></cellXfs>',
        properties='<workbookPr date1904="1"/>',
    )
    strict = {
        name: part.replace(MAIN, "http://purl.oclc.org/ooxml/spreadsheetml/main").replace(
            "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
            "http://purl.oclc.org/ooxml/officeDocument/relationships",
        )
        for name, part in content.items()
    }
    assert rows(tmp_path, packed(content)) == rows(tmp_path, packed(strict)) == {2: ["2027-01-15", "", ""]}


def test_a_row_with_more_cells_than_the_header(tmp_path: Path) -> None:
    """It is rejected alone, with its text; blank cells to the right are none."""
    content = workbook(
        row(1, *HEADER) + row(2, "A-1", "0", "OTHER", "", "x") + '<row r="3"><c r="A3"><v>1</v></c><c r="ZZ3"/></row>'
    )
    [chunk] = opened(tmp_path, content).chunks()
    message = "The row has a value in column E; the header ends with column C. Clear it."
    assert chunk.bad == [BadLine(2, Code.FIELD_COUNT, message, None, "A-1\t0\tOTHER\t\tx")]
    assert chunk.raw == {2: "A-1\t0\tOTHER\t\tx"}
    assert chunk.lines.tolist() == [3]


@pytest.mark.parametrize("column", ["D", "Z", "AA", "AZ", "BA", "ZZ", "AAA", "XFD"])
def test_a_value_beyond_the_header_is_named_as_the_spreadsheet_does(tmp_path: Path, column: str) -> None:
    """A brand finds it there; nobody quotes cells in a workbook."""
    cells = f'<c r="A2" t="inlineStr"><is><t>A-1</t></is></c><c r="{column}2"><v>1</v></c>'
    [chunk] = opened(tmp_path, workbook(row(1, *HEADER) + f'<row r="2">{cells}</row>')).chunks()
    assert [one.message.split(";")[0] for one in chunk.bad] == [f"The row has a value in column {column}"]


@pytest.mark.parametrize(
    ("case", "content", "code", "words"),
    [
        ("no rows", workbook(""), Code.NO_LINES, "no lines"),
        ("only a header", table(HEADER), Code.NO_LINES, "no lines"),
        ("a misspelt column", table(("ActionId", "Amuont")), Code.COLUMN_UNKNOWN, "Did you mean Amount"),
        ("a column without a name", table(("ActionId", "", "Amount")), Code.NOT_READABLE, "Column 2"),
        (
            "a formula without its value",
            workbook(cells('<c r="A2"/><c r="B2"><f>A1*2</f></c>')),
            Code.NOT_READABLE,
            "row 2, column 2 holds a formula",
        ),
        ("no sheet", workbook("", sheets=""), Code.NOT_READABLE, "no sheet"),
        ("rows out of order", workbook(row(2, "x") + row(1, "x")), Code.NOT_READABLE, "Row 1 stands behind row 2"),
        ("too many rows", workbook(row(1_048_577, "x")), Code.NOT_READABLE, "Row 1048577"),
        (
            "cells out of order",
            workbook('<row r="1"><c r="B1"/><c r="A1"/></row>'),
            Code.NOT_READABLE,
            "not in order",
        ),
        ("a cell of another row", workbook('<row r="1"><c r="A2"/></row>'), Code.NOT_READABLE, "stands in row 1"),
        ("a column that cannot be", workbook('<row r="1"><c r="ZZZ1"/></row>'), Code.NOT_READABLE, "not in order"),
        ("too many columns", workbook(f"<row>{'<c/>' * 16_385}</row>"), Code.NOT_READABLE, "not in order"),
        ("a shared text that is not there", workbook(cells('<c t="s"><v>0</v></c>')), Code.NOT_READABLE, "text 0"),
        ("a number that is none", workbook(cells('<c t="s"><v>x</v></c>')), Code.NOT_READABLE, "damaged"),
        ("a style that is not there", workbook(cells('<c s="-1"><v>1</v></c>')), Code.NOT_READABLE, "damaged"),
        ("a cell that is too long", workbook(cells(f"<c><v>{'1' * 32_768}</v></c>")), Code.NOT_READABLE, "32767"),
        (
            "a text that is too long",
            workbook(row(1, "x"), texts=f"<si><t>{'x' * 32_768}</t></si>"),
            Code.NOT_READABLE,
            "32767",
        ),
        ("XML that ends early", workbook("<row>"), Code.NOT_READABLE, "not well-formed"),
        ("an element that does not end", workbook("<" + "x" * 2_000_000), Code.NOT_READABLE, "does not end"),
        (
            "a text in a file of styles",
            workbook(row(1, "x"), styles='<cellXfs><xf numFmtId="x"/></cellXfs>'),
            Code.NOT_READABLE,
            "damaged",
        ),
        (
            "too many styles",
            workbook(row(1, "x"), styles=f"<cellXfs>{'<xf/>' * 65_537}</cellXfs>"),
            Code.NOT_READABLE,
            "styles",
        ),
        (
            "another kind of document",
            packed({"[Content_Types].xml": "<x/>", "_rels/.rels": "<x/>"}),
            Code.NOT_READABLE,
            "no xlsx",
        ),
        ("a missing part", packed({"[Content_Types].xml": "<x/>"}), Code.NOT_READABLE, "'_rels/.rels' is missing"),
    ],
)
def test_what_is_no_sheet_of_lines(tmp_path: Path, case: str, content: bytes, code: Code, words: str) -> None:
    """Each with what is wrong and where."""
    error = refused(tmp_path, content)
    assert (error.code, words in str(error)) == (code, True), f"{case}: {error}"


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/worksheets/sheet1.xml"]
)
def test_entities_of_ones_own_are_refused(tmp_path: Path, part: str) -> None:
    """Ten of ten of ten … of a text, or a file of ours: without a document type there are none."""
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
    content = parts(row(1, *HEADER), texts="", styles="")
    content[part] = bomb + content[part]
    assert "document type" in str(refused(tmp_path, packed(content)))


@pytest.mark.parametrize("part", ["rows", "texts", "styles"])
def test_a_bomb_is_stopped_by_the_bytes_that_come_out(tmp_path: Path, part: str) -> None:
    """Fifty million bytes out of fifty thousand, in whichever part: memory stays flat."""
    blanks = " " * 50_000_000
    content = workbook(**{"rows": row(1, *HEADER), part: blanks})
    assert len(content) < 60_000
    tracemalloc.start()
    try:
        assert refused(tmp_path, content, most_bytes=1_000_000).code is Code.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_text_that_many_cells_share_counts_each_time(tmp_path: Path) -> None:
    """Sixteen megabytes of text out of one of 32 kilobytes: stopped at the limit, and before a row fills the memory."""
    texts = f"<si><t>{'x' * 32_000}</t></si>"
    many = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(2, 502))
    cell = '<c t="s"><v>0</v></c>'
    wide = f'<row r="2">{cell * 9}</row>'
    assert refused(tmp_path, workbook(row(1, *HEADER) + many, texts=texts), most_bytes=4_000_000).code is Code.TOO_LARGE
    assert "Row 2 is longer" in str(refused(tmp_path, workbook(row(1, *HEADER) + wide, texts=texts)))
    chunks = opened(tmp_path, workbook(row(1, *HEADER) + many, texts=texts)).chunks()
    assert [len(chunk.lines) for chunk in chunks] == [263, 237]


def test_a_workbook_that_is_larger_than_a_delivery_may_be(tmp_path: Path) -> None:
    """The limit holds for the bytes that were sent, too."""
    content = table(HEADER)
    assert refused(tmp_path, content, most_bytes=len(content) - 1).code is Code.TOO_LARGE


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """A sheet is read in chunks; only its shared texts stay."""
    content = workbook(row(1, *HEADER) + "".join(row(n, f"A-{n}", "0", "OTHER") for n in range(2, 20_000)))
    document = opened(tmp_path, content)
    tracemalloc.start()
    try:
        assert sum(len(chunk.lines) for chunk in document.chunks(500)) == 19_998
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
