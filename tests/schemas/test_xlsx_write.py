import io
from pathlib import Path

from schemas.xlsx_lines import BETWEEN
from schemas.xlsx_write import write_rows
from tests.schemas.test_result import fix, opened, result
from tests.schemas.test_xlsx_lines import rows
from tests.workbooks import row, sheet, workbook

HEADER = ("ActionId", "Amount", "Reason")
SENT = workbook(
    row(1, *HEADER)
    + row(3, "=1+1", "1E5", "OTHER")
    + row(4, "00123", "5,00", "OTHER", "more")
    + row(7, "A-1", "", "RESET")
)
VERDICTS: dict[int, tuple[str | None, ...]] = {
    3: ("rejected", "AMOUNT_MALFORMED", "Amount '1E5' is not."),
    4: ("rejected", "FIELD_COUNT", "The line has 4 fields."),
}


def texts(content: bytes) -> dict[int, list[str]]:
    """The texts of a sheet, in which there is nothing else."""
    found = sheet(content)
    assert {kind for cells in found.values() for kind, text in cells.values() if text} == {"inlineStr"}
    return {number: [text for _, text in cells.values() if text] for number, cells in found.items()}


def test_a_result_has_every_row_in_its_place(tmp_path: Path) -> None:
    """The brand's columns, then the verdict; what looks like a formula or a number is a text."""
    applied = ["applied", "1000.1", "2027-02-28T00:00:00-05:00"]
    assert texts(result(opened(tmp_path, SENT), VERDICTS)) == {
        1: [*HEADER, "Verdict", "Code", "Message", "ActionId", "LocksAt"],
        3: ["=1+1", "1E5", "OTHER", "rejected", "AMOUNT_MALFORMED", "Amount '1E5' is not."],
        4: [BETWEEN.join(("00123", "5,00", "OTHER", "more")), "rejected", "FIELD_COUNT", "The line has 4 fields."],
        7: ["A-1", "RESET", *applied],
    }
    cells = sheet(result(opened(tmp_path, SENT), VERDICTS))[7]
    assert {column: text for column, (_, text) in cells.items() if text} == {
        "A": "A-1",
        "C": "RESET",
        "D": "applied",
        "G": "1000.1",
        "H": "2027-02-28T00:00:00-05:00",
    }


def test_a_fix_can_be_repaired_and_sent_again(tmp_path: Path) -> None:
    """The rows that the brand can repair, below one another, with all their cells."""
    count, content = fix(opened(tmp_path, SENT), VERDICTS)
    assert count == 2
    assert texts(content) == {1: [*HEADER], 2: ["=1+1", "1E5", "OTHER"], 3: ["00123", "5,00", "OTHER", "more"]}
    assert rows(tmp_path, content) == {2: ["=1+1", "1E5", "OTHER"]}


def test_a_fix_of_a_good_delivery_is_its_header(tmp_path: Path) -> None:
    """Nothing to repair."""
    assert fix(opened(tmp_path, SENT), {})[0] == 0


def test_answers_are_the_same_however_often_they_are_written(tmp_path: Path) -> None:
    """No instant of writing stands in them."""
    document = opened(tmp_path, SENT)
    assert result(document, VERDICTS) == result(document, VERDICTS)


def test_characters_that_xml_cannot_hold(tmp_path: Path) -> None:
    """They come back as they were."""
    out = io.BytesIO()
    odd = "a\x01b\r\nc_x000D_ <&> é漢 "
    assert write_rows(HEADER, [(2, [odd, "", "x"])], out) == 1
    assert rows(tmp_path, out.getvalue()) == {2: [odd, "", "x"]}
