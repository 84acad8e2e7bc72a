import codecs
from pathlib import Path

import pytest

from processing.codes import Code
from processing.errors import Unreadable, Unusable
from schemas.document import Document

CSV = "ActionId;Amount;Reason\nA.1;1.00;RETURNED\n"
XML = "<ReversalRequests><ReversalRequest><Oid>ö</Oid></ReversalRequest></ReversalRequests>"


def opened(folder: Path, content: bytes, **how: object) -> Document:
    """A delivery, opened."""
    path = folder / "delivery"
    path.write_bytes(content)
    return Document.open(path, "returns.csv", **how)  # type: ignore[arg-type]


def test_a_csv_file(tmp_path: Path) -> None:
    """All that is known of a CSV file before its lines are read."""
    document = opened(tmp_path, CSV.encode("utf-16"))
    assert (document.format, document.kind, document.delimiter) == ("csv", "lines", ";")
    assert (document.encoding.name, document.name, document.terminated) == ("utf-16-le", "returns.csv", True)
    assert document.header == ("ActionId", "Amount", "Reason")
    assert document.columns.positions == {"action_id": 0, "amount": 1, "reason": 2}
    assert (document.has_amount, document.has_status, document.has_currency) == (True, False, False)


@pytest.mark.parametrize(
    ("case", "content", "kind", "changes"),
    [
        ("reversals", XML, "reversals", (False, False, False)),
        ("modifications", XML.replace("Reversal", "Modification"), "modifications", (True, True, True)),
        ("blank lines above", "\n \n" + XML, "reversals", (False, False, False)),
    ],
)
def test_an_xml_file(tmp_path: Path, case: str, content: str, kind: str, changes: tuple[bool, bool, bool]) -> None:
    """The content tells the format, whatever the name says; XML proves its own end."""
    document = opened(tmp_path, content.encode())
    assert (document.format, document.kind, document.delimiter, document.terminated) == ("xml", kind, None, None), case
    assert (document.has_amount, document.has_status, document.has_currency) == changes


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        ("Oid,ActionTrackerId,Reason", (False, False, False)),
        ("Oid,Amount,Reason", (True, False, False)),
        ("Oid,CustomerStatus,Reason", (False, True, False)),
        ("Oid,currencyCode,Reason", (False, False, True)),
    ],
)
def test_which_change_columns_a_file_has(tmp_path: Path, header: str, changes: tuple[bool, bool, bool]) -> None:
    """A file of ids and reasons alone means reversals, so it matters which columns there are."""
    document = opened(tmp_path, f"{header}\n".encode())
    assert (document.has_amount, document.has_status, document.has_currency) == changes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "cp932", "gb18030"])
@pytest.mark.parametrize(
    ("end", "terminated"), [("\n", True), ("\r\n", True), ("\r", True), ("", False), ("\n ", False), ("Ċ", False)]
)
def test_whether_the_last_line_ends(tmp_path: Path, encoding: str, end: str, terminated: bool) -> None:  # noqa: FBT001
    """A file whose last line has no line break may have been cut off."""
    if end == "Ċ" and encoding == "cp932":
        end = "ー"
    document = opened(tmp_path, (CSV.strip() + end).encode(encoding), declared_encoding=encoding)
    assert document.terminated is terminated


def test_chunks_can_be_read_again(tmp_path: Path) -> None:
    """Each call reads the file from its start; the result file is written from the second."""
    document = opened(tmp_path, codecs.BOM_UTF8 + (CSV + "A.2;2.00;RETURNED\nA.3\n").encode())
    for _ in range(2):
        [chunk] = document.chunks()
        assert chunk.lines.tolist() == [2, 3]
        assert list(chunk.cells.columns) == ["ActionId", "Amount", "Reason"]
        assert chunk.raw == {4: "A.3"}
    assert [len(chunk.lines) for chunk in document.chunks(1)] == [1, 1, 0]


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", codecs.BOM_UTF8, b" \r\n\t"], ids=["empty", "lines", "mark", "blanks"]
)
def test_nothing_is_no_delivery(tmp_path: Path, content: bytes) -> None:
    """A file without a character has no lines."""
    with pytest.raises(Unreadable) as raised:
        opened(tmp_path, content)
    assert raised.value.code is Code.NO_LINES


def test_an_unknown_declaration_is_the_operators(tmp_path: Path) -> None:
    """A wrong setting of the account is not the brand's fault."""
    with pytest.raises(Unusable, match="klingon"):
        opened(tmp_path, CSV.encode(), declared_encoding="klingon")


def test_xml_that_is_cut_fails_at_its_end(tmp_path: Path) -> None:
    """Chunks before the cut were handed out; the error tells to drop them."""
    record = "<ReversalRequest><Oid>O1</Oid></ReversalRequest>"
    document = opened(tmp_path, ("<ReversalRequests>" + record * 10_000).encode())
    chunks = document.chunks(1000)
    assert len(next(chunks).lines) == 1000
    with pytest.raises(Unreadable, match="cut off"):
        list(chunks)
