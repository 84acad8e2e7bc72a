import codecs
import csv
import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from processing.codes import Code, Verdict
from schemas.document import Document
from schemas.result import EXTRA, REPAIRABLE, Verdicts, write_fix, write_result

CSV = 'ActionId;Amount;Reason\r\nA.1;1.00;RETURNED\r\n\r\nA.2;5,00;"R;S"\r\nA.3;1\r\nA.4;2.00;RETURNED\r\n'
EXTRA_NAMES = "Verdict,Code,Message,ActionId,LocksAt"


def opened(folder: Path, content: bytes, ignore: Collection[str] = ()) -> Document:
    """A delivery, opened."""
    path = folder / "delivery"
    path.write_bytes(content)
    return Document.open(path, "returns", ignore=ignore)


def told(verdicts: dict[int, tuple[str | None, ...]]) -> Verdicts:
    """Verdicts of single lines; all others are applied."""

    def verdicts_for(lines: npt.NDArray[np.int64]) -> pd.DataFrame:
        applied = (Verdict.APPLIED.value, None, None, "1000.1", "2027-02-28T00:00:00-05:00")
        rows = [verdicts.get(line, applied) for line in lines.tolist()]
        return pd.DataFrame([(*row, *[None] * (5 - len(row))) for row in rows], columns=list(EXTRA), dtype=object)

    return verdicts_for


def result(document: Document, verdicts: dict[int, tuple[str | None, ...]] | None = None) -> bytes:
    """The result file."""
    out = io.BytesIO()
    write_result(document, told(verdicts or {}), out)
    return out.getvalue()


def fix(document: Document, verdicts: dict[int, tuple[str | None, ...]]) -> tuple[int, bytes]:
    """How many lines the fix file has, and the file."""
    out = io.BytesIO()
    return write_fix(document, told(verdicts), out), out.getvalue()


def test_a_result_has_every_line_as_sent(tmp_path: Path) -> None:
    """The brand's columns in its order, with its delimiter and line breaks, then the verdict; raw if unreadable."""
    verdicts: dict[int, tuple[str | None, ...]] = {
        4: ("rejected", "AMOUNT_MALFORMED", "Amount '5,00' is not; write \"5.00\"."),
        5: ("rejected", "FIELD_COUNT", "The line has 2 fields."),
    }
    text = result(opened(tmp_path, CSV.encode()), verdicts).decode()
    assert text.split("\r\n") == [
        "ActionId;Amount;Reason;Verdict;Code;Message;ActionId;LocksAt",
        "A.1;1.00;RETURNED;applied;;;1000.1;2027-02-28T00:00:00-05:00",
        'A.2;5,00;"R;S";rejected;AMOUNT_MALFORMED;"Amount \'5,00\' is not; write ""5.00"".";;',
        '"A.3;1";;;rejected;FIELD_COUNT;The line has 2 fields.;;',
        "A.4;2.00;RETURNED;applied;;;1000.1;2027-02-28T00:00:00-05:00",
        "",
    ]


def test_a_fix_has_what_the_brand_can_repair(tmp_path: Path) -> None:
    """Rejected lines and those whose code says so, the brand's columns only, unreadable lines exactly as sent."""
    verdicts: dict[int, tuple[str | None, ...]] = {
        2: ("held", Code.AMBIGUOUS_ORDER.value),
        4: ("rejected", "AMOUNT_MALFORMED"),
        5: ("rejected", "FIELD_COUNT"),
        6: ("refused", "ACTION_LOCKED"),
    }
    count, content = fix(opened(tmp_path, CSV.encode()), verdicts)
    assert count == 3
    assert content.decode().split("\r\n") == [
        "ActionId;Amount;Reason",
        "A.1;1.00;RETURNED",
        'A.2;5,00;"R;S"',
        "A.3;1",
        "",
    ]
    assert Code.ACTION_LOCKED not in REPAIRABLE


def test_a_fix_of_a_good_delivery_is_its_header(tmp_path: Path) -> None:
    """Nothing to repair, nothing but the header."""
    assert fix(opened(tmp_path, CSV.encode()), {}) == (0, b"ActionId;Amount;Reason\r\n")


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-5.00", "-5.00"),
        ("+5", "+5"),
        ("-1.234,56", "-1.234,56"),
        ("a=1", "a=1"),
        ("'=1", "'=1"),
        ("", ""),
    ],
)
def test_formulas_are_made_harmless(tmp_path: Path, cell: str, written: str) -> None:
    """A spreadsheet must not run what a line says: neither as sent nor in a message; a fix file keeps it as sent."""
    out = io.StringIO()
    csv.writer(out).writerows([["Oid", "=Note"], [cell, cell], [cell + "x"]])
    document = opened(tmp_path, out.getvalue().encode(), ignore=["=Note"])
    verdicts: dict[int, tuple[str | None, ...]] = {2: ("rejected", "X", cell, cell, cell), 3: ("rejected", "Y")}
    header, first, _ = csv.reader(io.StringIO(result(document, verdicts).decode(), newline=""))
    assert header == ["Oid", "'=Note", *EXTRA_NAMES.split(",")]
    assert first == [written, written, "rejected", "X", written, written, written]
    assert fix(document, verdicts)[1] == out.getvalue().encode()


def test_an_unreadable_formula_is_harmless(tmp_path: Path) -> None:
    """Raw text is a cell like any other."""
    document = opened(tmp_path, b"Oid,Reason\n=1,2,3\n")
    assert result(document, {2: ("rejected",)}).decode().split("\n")[1] == '"\'=1,2,3",,rejected,,,,'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_the_encoding_is_as_sent(tmp_path: Path, encoding: str) -> None:
    """A brand gets its own encoding back, with its mark; a fix file has a mark if its encoding were guessed without."""
    text = "Oid,Reason\nRückgabe,é\nß,ü\n"
    document = opened(tmp_path, text.encode(encoding))
    fixed = {"utf-16-le": codecs.BOM_UTF16_LE + text.encode("utf-16-le"), "cp1252": text.encode("utf-8-sig")}
    expected = fixed.get(encoding, text.encode(encoding))
    assert fix(document, {2: ("rejected",), 3: ("rejected",)}) == (2, expected)
    assert result(document, {2: ("rejected", None, "é")}).decode(encoding).startswith("Oid,Reason,Verdict")


@pytest.mark.parametrize(
    ("encoding", "declared", "words"),
    [
        ("cp1252", None, ("Größe", "Ø", "sí")),
        ("cp1252", "cp1252", ("5 €", "Ã©", "Â")),
        ("cp932", None, ("注文は返品されました", "返品", "男")),
        ("cp932", "cp932", ("ﾔﾏﾀﾞ", "返品", "ﾃｩ")),
        ("gb18030", None, ("退货订单已经取消", "男", "婷婷")),
        ("gb18030", "gb18030", ("退货", "联通", "男")),
        ("utf-16-le", None, ("x" * 40, "退货订单已经取消退货订单已经取消", "男")),
        ("utf-8", None, ("é", "男", "x")),
    ],
)
def test_a_fix_file_is_read_as_it_was_written(
    tmp_path: Path, encoding: str, declared: str | None, words: tuple[str, ...]
) -> None:
    """Of whichever lines it is, and however it is told which encoding they are in."""
    content = "".join(f"{cell}\n" for cell in ("Oid,Reason", *(f"{word},{word}" for word in words)))
    path = tmp_path / "delivery"
    path.write_bytes(content.encode(encoding))
    document = Document.open(path, "returns", declared_encoding=declared)
    for line, word in enumerate(words, 2):
        count, fixed = fix(document, {line: ("rejected", "REASON_UNKNOWN")})
        (tmp_path / "fixed").write_bytes(fixed)
        again = Document.open(tmp_path / "fixed", "fixed", declared_encoding=declared)
        [chunk] = again.chunks()
        assert (count, chunk.cells.to_numpy().tolist()) == (1, [[word, word]])


def test_what_the_encoding_lacks_is_written_in_utf8(tmp_path: Path) -> None:
    """A message in other letters does not lose them; the file then is UTF-8 and says so."""
    document = opened(tmp_path, "Oid,Reason\né,R\n".encode("cp1252"))
    out = io.BytesIO(b"kept")
    out.seek(4)
    write_result(document, told({2: ("rejected", None, "注文")}), out)
    assert out.getvalue().startswith(b"kept\xef\xbb\xbfOid,")
    assert "é,R,rejected,,注文,," in out.getvalue()[4:].decode("utf-8-sig")


def test_line_breaks_in_cells_come_back(tmp_path: Path) -> None:
    """A note of several lines is quoted as it was."""
    content = b'Oid,Note\nO1,"two\nlines, ""quoted"""\nO2,x\n'
    document = opened(tmp_path, content, ignore=["Note"])
    assert fix(document, {2: ("rejected",), 4: ("rejected",)}) == (2, content)


def test_many_lines(tmp_path: Path) -> None:
    """Chunks follow one another without a seam, and verdicts are asked for in order, each line once."""
    lines = [f"O{number},R" if number % 7 else f"O{number}" for number in range(120_000)]
    document = opened(tmp_path, "\n".join(["Oid,Reason", *lines, ""]).encode())
    asked: list[int] = []

    def verdicts_for(numbers: npt.NDArray[np.int64]) -> pd.DataFrame:
        asked.extend(numbers.tolist())
        return pd.DataFrame({column: ["rejected"] * len(numbers) for column in EXTRA})

    out = io.BytesIO()
    assert write_fix(document, verdicts_for, out) == 120_000
    assert out.getvalue() == document.path.read_bytes()
    assert asked == list(range(2, 120_002))


XML = """\
<?xml version="1.0" encoding="windows-1252"?>
<ModificationRequests xmlns="http://ws.impactradius.com/ws/definitions">
  <ModificationRequest><Order_ID>O&amp;1</Order_ID><Store>é</Store><Amount>5,00</Amount></ModificationRequest>
  <ModificationRequest><ActionId>A</ActionId></ModificationRequest>
</ModificationRequests>
"""


def test_xml_comes_back_as_xml(tmp_path: Path) -> None:
    """Root, records and elements as sent, the verdict as further elements."""
    document = opened(tmp_path, XML.encode("cp1252"), ignore=["store"])
    text = result(document, {1: ("rejected", "AMOUNT_MALFORMED", "Amount <5,00>")}).decode()
    assert (
        text
        == """\
<?xml version="1.0" encoding="UTF-8"?>
<ModificationRequests xmlns="http://ws.impactradius.com/ws/definitions">
  <ModificationRequest>
    <Order_ID>O&amp;1</Order_ID>
    <Store>é</Store>
    <Amount>5,00</Amount>
    <Line>1</Line>
    <Verdict>rejected</Verdict>
    <Code>AMOUNT_MALFORMED</Code>
    <Message>Amount &lt;5,00&gt;</Message>
    <ActionId></ActionId>
    <LocksAt></LocksAt>
  </ModificationRequest>
  <ModificationRequest>
    <ActionId>A</ActionId>
    <Line>2</Line>
    <Verdict>applied</Verdict>
    <Code></Code>
    <Message></Message>
    <ActionId>1000.1</ActionId>
    <LocksAt>2027-02-28T00:00:00-05:00</LocksAt>
  </ModificationRequest>
</ModificationRequests>
"""
    )


def test_an_xml_fix_can_be_sent_again(tmp_path: Path) -> None:
    """It holds the records to repair, and is a delivery itself."""
    document = opened(tmp_path, XML.encode("cp1252"), ignore=["store"])
    count, content = fix(document, {1: ("rejected",)})
    assert count == 1
    again = opened(tmp_path, content, ignore=["store"])
    [chunk] = again.chunks()
    assert again.kind == "modifications"
    assert chunk.cells[["Oid", "Amount"]].to_numpy().tolist() == [["O&1", "5,00"]]


def test_a_carriage_return_survives_xml(tmp_path: Path) -> None:
    """What a parser would normalise is written as a reference."""
    text = "<ReversalRequests><ReversalRequest><Oid>a&#13;b</Oid></ReversalRequest></ReversalRequests>"
    _, content = fix(opened(tmp_path, text.encode()), {1: ("rejected",)})
    [chunk] = opened(tmp_path, content).chunks()
    assert chunk.cells["Oid"].tolist() == ["a\rb"]
