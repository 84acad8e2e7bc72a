from pathlib import Path

import pytest

from processing.codes import Code
from processing.errors import Unreadable, Unusable
from schemas import actions_file
from schemas.document import Document
from schemas.trailer import trailer_in
from tests.schemas.test_result import fix, result

HEADER = "ActionId,Amount,Reason\n"
LINES = HEADER + "A-1,40.00,OTHER\nA-2,,RESET\n\nA-3,39.90,OTHER\n"


def opened(folder: Path, content: str, encoding: str = "utf-8", *, proven: bool = False) -> Document:
    """A delivery, opened."""
    path = folder / "delivery"
    path.write_bytes(content.encode(encoding))
    declared = None if encoding.startswith("utf") else encoding
    return Document.open(path, "returns.csv", declared_encoding=declared, proven=proven)


def numbers(document: Document) -> list[int]:
    """The lines of a delivery that can be read."""
    return [line for chunk in document.chunks() for line in chunk.lines.tolist()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp932", "gb18030"])
@pytest.mark.parametrize(
    "end",
    [
        "#TRAILER,3,79.90\n",
        "#TRAILER,3,79.9",
        "#TRAILER,3,79.900\r\n",
        '"#TRAILER","3","79.90"\n\n',
        "#TRAILER,3,79.90,,\n",
        "#TRAILER,3,79.90\r\n" + "\r\n" * 70_000,
        "#TRAILER,3,79.90" + "\n" * (64 * 1024 + 5),
    ],
)
def test_a_trailer_proves_that_nothing_is_missing(tmp_path: Path, encoding: str, end: str) -> None:
    """With and without a line break of its own, and padded as a spreadsheet does; it is no line."""
    document = opened(tmp_path, LINES + end, encoding)
    assert document.terminated is None
    for _ in range(2):
        assert numbers(document) == [2, 3, 5]


@pytest.mark.parametrize(
    ("case", "content"),
    [
        ("no Amount column", "ActionId,Reason\nA-1,OTHER\n#TRAILER,1\n"),
        ("no Amount column, a sum", "ActionId,Reason\nA-1,OTHER\n#TRAILER,1,0.00\n"),
        ("another delimiter", "ActionId;Amount;Reason\nA-1;1.50;OTHER\n#TRAILER;1;1.50\n"),
        ("another delimiter, a trailer in commas", "ActionId;Amount;Reason\nA-1;1.50;OTHER\n#TRAILER,1,1.5\n"),
        ("no line break but CR", "ActionId,Amount,Reason\rA-1,1.50,OTHER\r#TRAILER,1,1.50"),
        ("lines that are rejected", HEADER + "A-1,-5.00,OTHER\nA-2,1e5,OTHER\nA-3,1\n#TRAILER,3,-5\n"),
        ("a line that cannot be read", LINES + "A-4,7.00\n#TRAILER,4,86.90\n"),
        ("an amount that is no number", LINES + 'A-4,"7,00",OTHER\n#TRAILER,4,86.90\n'),
        ("a sum that no float holds", HEADER + "A-1,0.1,OTHER\nA-2,0.2,OTHER\n#TRAILER,2,0.3\n"),
        ("large sums", HEADER + f"A-1,{'9' * 30},OTHER\nA-2,0.0000000001,OTHER\n#TRAILER,2,{'9' * 30}.0000000001\n"),
    ],
)
def test_what_a_trailer_counts(tmp_path: Path, case: str, content: str) -> None:
    """Lines whatever is wrong with them; amounts as they are written, exactly."""
    list(opened(tmp_path, content).chunks())
    assert opened(tmp_path, content).terminated is None, case


@pytest.mark.parametrize(
    ("case", "content", "words"),
    [
        (
            "a line less",
            LINES + "#TRAILER,4,79.90\n",
            "4 lines and amounts of 79.90 in all; the file has 3 lines and 79.90",
        ),
        ("a line more", LINES + "#TRAILER,2,79.90\n", "says 2 lines"),
        ("another sum", LINES + "#TRAILER,3,79.91\n", "amounts of 79.91 in all; the file has 3 lines and 79.90"),
        ("cut in the sum", LINES + "#TRAILER,3,7", "amounts of 7 in all"),
        ("cut behind the point", LINES + "#TRAILER,3,79.", "is not #TRAILER,<lines>,<sum of Amount>"),
        ("cut before the sum", LINES + "#TRAILER,3,", "is not #TRAILER"),
        ("cut behind the mark", LINES + "#TRAILER", "is not #TRAILER"),
        ("no sum", LINES + "#TRAILER,3\n", "is not #TRAILER"),
        ("no numbers", LINES + "#TRAILER,three,79.90\n", "is not #TRAILER"),
        ("full-width digits", LINES + "#TRAILER,\uff13,79.90\n", "is not #TRAILER"),
        ("an exponent", LINES + "#TRAILER,3,7.99e1\n", "is not #TRAILER"),
        ("too many cells", LINES + "#TRAILER,3,79.90,x\n", "is not #TRAILER"),
        ("a line too few, and one that cannot be read", LINES + "A-4,7.00\n#TRAILER,5,86.90\n", "has 4 lines"),
        ("a sum that is not compared and may be cut", LINES + 'A-4,"7,00",OTHER\n#TRAILER,4,8', "and amounts of 8"),
        ("an amount of many zeros", HEADER + f"A-1,{'0' * 30}9.00,OTHER\n#TRAILER,1,999.00\n", "1 lines and 9.00"),
        ("behind many blank lines", LINES + "#TRAILER,5,90.00\n" + "\n" * 70_000, "says 5 lines"),
        ("a sum without amounts", "ActionId,Reason\nA-1,OTHER\n#TRAILER,1,5\n", "1 lines and 0"),
        ("a line behind it", LINES + "#TRAILER,3,79.90\nA-4,,RESET\n", "Lines stand below the trailer"),
        ("two trailers", LINES + "#TRAILER,3,79.90\n#TRAILER,3,79.90\n", "Lines stand below the trailer"),
        ("half a line behind it", LINES + "#TRAILER,3,79.90\nA", "Lines stand below the trailer"),
        ("an open quotation mark above it", LINES + '"A-4,1\n#TRAILER,3,79.90\n', "has 4 lines"),
    ],
)
def test_a_trailer_that_does_not_fit(tmp_path: Path, case: str, content: str, words: str) -> None:
    """The whole delivery is rejected, with what the trailer says and what is there."""
    with pytest.raises(Unreadable) as raised:
        list(opened(tmp_path, content).chunks())
    assert raised.value.code is Code.TRAILER_MISMATCH, case
    assert words in str(raised.value)


BREAKS = 'A-1,1.00,"OTHER\n"\n'
INNER = 'A-1,1.00,"a "b" c\n\nd, e\nf",OTHER\n'
OPEN = '"A-1,1.00,OTHER\n'
PLAIN = "A-2,1.00,OTHER\n"


@pytest.mark.parametrize("size", [1, 50_000])
@pytest.mark.parametrize(
    ("case", "above", "fitting"),
    [
        ("a line break inside a cell of ours", BREAKS + PLAIN, {2, 3}),
        ("at the end", PLAIN + BREAKS, {2, 3}),
        ("quotation marks that are not doubled, and blank lines", INNER + PLAIN, {2, 3, 4}),
        ("two damaged records", BREAKS + INNER + PLAIN, {3, 4, 5, 6}),
        ("a quotation mark that is never closed", PLAIN + OPEN + PLAIN, {3}),
        ("one that is closed behind a line that can be read", OPEN + PLAIN + 'A-3,1.00,O"\n', {3}),
        ("a line too few cells", "A-1,1.00\n" + PLAIN, {2}),
        ("nothing damaged", PLAIN, {1}),
    ],
)
def test_a_damaged_record_may_be_several_lines_of_the_trailers_one(
    tmp_path: Path, case: str, above: str, fitting: set[int], size: int
) -> None:
    """The brand counts records; where one ends that cannot be read, nobody knows. What can be read counts exactly."""
    found = set[int]()
    for count in range(9):
        document = opened(tmp_path, f"{HEADER}{above}#TRAILER,{count},{above.count('A-2')}.00\n")
        try:
            list(document.chunks(size))
        except Unreadable as error:
            assert error.code is Code.TRAILER_MISMATCH  # noqa: PT017 - which of them are raised is what is tried
        else:
            found.add(count)
    assert found == fitting, case


def test_a_trailer_of_a_file_that_is_proven_was_not_cut_off(tmp_path: Path) -> None:
    """It needs no line break of its own: its sum is compared as little as that of any other file with a bad amount."""
    content = LINES + 'A-4,"1.234,56",OTHER\n#TRAILER,4,1314.46'
    assert numbers(opened(tmp_path, content, proven=True)) == [2, 3, 5, 6]
    with pytest.raises(Unreadable, match=r"amounts of 1314\.46 in all"):
        numbers(opened(tmp_path, content))


def test_a_trailer_alone_is_no_delivery(tmp_path: Path) -> None:
    """Nothing, truly counted, is nothing."""
    with pytest.raises(Unreadable) as raised:
        list(opened(tmp_path, HEADER + "#TRAILER,0,0\n").chunks())
    assert raised.value.code is Code.NO_LINES


@pytest.mark.parametrize("line", ["#TRAILERS,1,0", "x#TRAILER,1,0", " #TRAILER,1,0", '"#TRAILER,1', "#trailer,1,0", ""])
def test_a_line_that_is_no_trailer(line: str) -> None:
    """The mark is the whole first cell."""
    assert trailer_in(line, ",") is None


def test_the_trailer_across_chunks_and_blocks(tmp_path: Path) -> None:
    """Counted over all chunks of a file that is longer than a block."""
    content = HEADER + "A-1,0.10,OTHER\n" * 60_000 + "#TRAILER,60000,6000.00\n"
    assert len(numbers(opened(tmp_path, content))) == 60_000
    short = content.replace("A-1,0.10,OTHER\n", "", 1)
    with pytest.raises(Unreadable, match=r"the file has 59999 lines and 5999\.90"):
        numbers(opened(tmp_path, short))


def test_the_trailer_comes_back_below_the_result_and_not_in_the_fix(tmp_path: Path) -> None:
    """The result is the file as sent; of the fix it would say something wrong."""
    document = opened(tmp_path, LINES + "#TRAILER,3,79.90")
    assert result(document).decode().splitlines()[-2:] == [
        "A-3,39.90,OTHER,applied,,,1000.1,2027-02-28T00:00:00-05:00",
        "#TRAILER,3,79.90",
    ]
    count, content = fix(document, {3: ("rejected", "REASON_UNKNOWN")})
    assert (count, content.decode()) == (1, HEADER + "A-2,,RESET\n")


def test_an_actions_file_may_have_a_trailer(tmp_path: Path) -> None:
    """It is counted there, too."""
    header = "ActionId,CampaignId,ActionTrackerId,MediaPartnerId,Oid,EventDate,Amount,Currency"
    line = "A-1,1000,16027,501,O-1,2027-01-15T10:00:00-05:00,100.00,USD"
    path = tmp_path / "actions.csv"
    path.write_text(f"{header}\n{line}\n#TRAILER,1,100.00\n")
    [chunk] = actions_file.read(path)
    assert (len(chunk.texts), chunk.problems) == (1, [])
    path.write_text(f"{header}\n{line}\n#TRAILER,2,200.00\n")
    with pytest.raises(Unreadable, match="the file has 1 lines"):
        list(actions_file.read(path))


def test_an_actions_file_that_may_be_cut_off_is_not_loaded(tmp_path: Path) -> None:
    """Nothing of it: its last amount may lack digits. A trailer that fits proves it, ended or not."""
    path = tmp_path / "actions.csv"
    text = (
        "ActionId,CampaignId,ActionTrackerId,MediaPartnerId,Oid,EventDate,Currency,Amount\n"
        "A-1,1000,16027,501,O-1,2027-01-15T10:00:00-05:00,USD,1234.50"
    )
    for cut in (0, 3):
        path.write_text(text[: len(text) - cut])
        with pytest.raises(Unusable, match=r"actions\.csv: line 2 does not end with a line break"):
            list(actions_file.read(path))
    path.write_text(f"{text}\n#TRAILER,1,1234.50")
    [chunk] = actions_file.read(path)
    assert (len(chunk.texts), chunk.problems) == (1, [])
