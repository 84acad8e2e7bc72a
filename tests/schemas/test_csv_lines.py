import time
from collections.abc import Iterator

import pytest

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import Chunk
from schemas.columns import Vocabulary
from schemas.csv_lines import read_head, read_lines
from schemas.csv_records import LONGEST, MOST_LINES

HEADER = "ActionId,Oid,Amount,Reason\n"


def read(text: str, size: int = 1000, ignore: tuple[str, ...] = ()) -> list[Chunk]:
    """All chunks of a file."""
    return list(read_lines(iter([text]), read_head(iter([text]), ignore), size))


def seen(text: str, ignore: tuple[str, ...] = ()) -> tuple[dict[int, str], dict[int, tuple[Code, str]]]:
    """The lines that were read, by number, and the code and raw text of those that were not."""
    good: dict[int, str] = {}
    bad: dict[int, tuple[Code, str]] = {}
    for chunk in read(text, ignore=ignore):
        for number, cells in zip(chunk.lines.tolist(), chunk.cells.itertuples(index=False, name=None), strict=True):
            good[number] = "|".join(cells)
        bad |= {each.line: (each.code, chunk.raw[each.line]) for each in chunk.bad}
    return good, bad


@pytest.mark.parametrize(
    ("case", "header", "delimiter"),
    [
        ("comma", "ActionId,Amount,Reason", ","),
        ("semicolon", "ActionId;Amount;Reason", ";"),
        ("tab", "ActionId\tAmount\tReason", "\t"),
        ("pipe", "ActionId|Amount|Reason", "|"),
        ("one column", "ActionId", ","),
        ("the other delimiter in a name", '"Action, Id";Amount', ";"),
        ("quoted names", '"ActionId","Amount"', ","),
    ],
)
def test_the_delimiter_is_the_one_that_makes_sense(case: str, header: str, delimiter: str) -> None:
    """The header tells the delimiter: by the right one, its names are known."""
    names = ("Action, Id",) if "Action, Id" in header else ()
    assert read_head(iter([header + "\r\n"]), names).delimiter == delimiter, case


@pytest.mark.parametrize(
    ("case", "text", "code", "words"),
    [
        ("empty", "", Code.NO_LINES, "no lines"),
        ("blank lines only", "\n\r\n\r", Code.NO_LINES, "no lines"),
        ("header only", HEADER, Code.NO_LINES, "no lines"),
        ("header without a line break", HEADER.strip(), Code.NO_LINES, "no lines"),
        ("header and blank lines", HEADER + "\n\n", Code.NO_LINES, "no lines"),
        ("no header", "1000.1.2,O1,5.00,RETURNED\n", Code.COLUMN_UNKNOWN, "'1000.1.2'"),
        ("open quotation mark in the header", '"ActionId,Amount\n', Code.NOT_READABLE, "line 1"),
        ("a binary file", "PK\x03\x04\x00\x00", Code.NOT_READABLE, "control characters"),
        ("a line without end", HEADER + "x" * (LONGEST + 1), Code.NOT_READABLE, "Line 2 is longer"),
        ("a long line", HEADER + "a,b,c,d\n" + "x" * (LONGEST + 1) + "\n", Code.NOT_READABLE, "Line 3 is longer"),
    ],
)
def test_what_is_no_csv_is_refused_as_a_whole(case: str, text: str, code: Code, words: str) -> None:
    """A file without lines, or whose lines cannot be told apart, says so."""
    with pytest.raises(Unreadable) as raised:
        read(text)
    assert raised.value.code is code, case
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("case", "text", "good", "bad"),
    [
        ("plain", "a,b,c,d\ne,f,g,h\n", {2: "a|b|c|d", 3: "e|f|g|h"}, {}),
        ("CRLF", "a,b,c,d\r\ne,f,g,h\r\n", {2: "a|b|c|d", 3: "e|f|g|h"}, {}),
        ("CR", "a,b,c,d\re,f,g,h\r", {2: "a|b|c|d", 3: "e|f|g|h"}, {}),
        ("no last line break", "a,b,c,d", {2: "a|b|c|d"}, {}),
        ("blank lines are no lines", "\n\na,b,c,d\n\r\n\ne,f,g,h\n", {4: "a|b|c|d", 7: "e|f|g|h"}, {}),
        ("only delimiters is a line", ",,,\n", {2: "|||"}, {}),
        ("only blanks is a line", "   \na,b,c,d\n", {3: "a|b|c|d"}, {2: (Code.FIELD_COUNT, "   ")}),
        ("cells stay as sent", " a , NA,007,1.10\n", {2: " a | NA|007|1.10"}, {}),
        ("quoted", '"a","b,1","c""2",d\n', {2: 'a|b,1|c"2|d'}, {}),
        ("too many fields", "a,b,c,d,e\na,b,c,d\n", {3: "a|b|c|d"}, {2: (Code.FIELD_COUNT, "a,b,c,d,e")}),
        ("too few fields", "a,b,c\r\na,b,c,d\r\n", {3: "a|b|c|d"}, {2: (Code.FIELD_COUNT, "a,b,c")}),
        ("wrong delimiter", "a;b;c;d\na,b,c,d\n", {3: "a|b|c|d"}, {2: (Code.FIELD_COUNT, "a;b;c;d")}),
        (
            "open quotation mark",
            'a,"b,c,d\ne,f,g,h\ni,j,k,l\n',
            {3: "e|f|g|h", 4: "i|j|k|l"},
            {2: (Code.QUOTING, 'a,"b,c,d')},
        ),
        (
            "open before quoted neighbours",
            'a,"b,c,d\n"e","f","g","h"\ni,"j, j",k,l\n',
            {3: "e|f|g|h", 4: "i|j, j|k|l"},
            {2: (Code.QUOTING, 'a,"b,c,d')},
        ),
        ("open in the last line", 'a,b,c,d\ne,"f,g,h\n', {2: "a|b|c|d"}, {3: (Code.QUOTING, 'e,"f,g,h')}),
        ("open at the end of the file", 'a,b,c,d\ne,f,g,"', {2: "a|b|c|d"}, {3: (Code.QUOTING, 'e,f,g,"')}),
        ("mark inside a cell", 'a,b"b,c,d\ne,f,g,h\n', {3: "e|f|g|h"}, {2: (Code.QUOTING, 'a,b"b,c,d')}),
        ("mark at the end of a cell", 'a,b",c,d\ne,f,g,h\n', {3: "e|f|g|h"}, {2: (Code.QUOTING, 'a,b",c,d')}),
        ("text behind a closing mark", 'a,"b"b,c,d\ne,f,g,h\n', {3: "e|f|g|h"}, {2: (Code.QUOTING, 'a,"b"b,c,d')}),
        (
            "two open lines that close one another",
            'a,"b,c,d\ne,f",g,h\ni,j,k,l\n',
            {4: "i|j|k|l"},
            {2: (Code.QUOTING, 'a,"b,c,d'), 3: (Code.QUOTING, 'e,f",g,h')},
        ),
        (
            "line break in a cell of ours",
            'a,"b\nb",c,d\ne,f,g,h\n',
            {4: "e|f|g|h"},
            {2: (Code.QUOTING, 'a,"b'), 3: (Code.QUOTING, 'b",c,d')},
        ),
    ],
)
def test_each_line_is_read_or_rejected_alone(
    case: str, text: str, good: dict[int, str], bad: dict[int, tuple[Code, str]]
) -> None:
    """A faulty line takes nothing with it, and every line has its physical number."""
    assert seen(HEADER + text) == (good, bad), case


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_line_breaks_in_an_ignored_column_count(line_break: str) -> None:
    """Numbers stay right after line breaks in a note that nobody reads."""
    text = line_break.join(["", "Oid,Note", "a,x", 'b,"y', "", 'z"', "c,w", ""])
    good, bad = seen(text, ignore=("note",))
    assert good == {3: "a|x", 4: f"b|y{line_break}{line_break}z", 7: "c|w"}
    assert bad == {}


def test_the_fault_is_told() -> None:
    """A rejected line says what is wrong with it and what to do."""
    [chunk] = read(HEADER + 'a,b,c\na,"b,c,d\n')
    assert [(each.line, each.field, each.value) for each in chunk.bad] == [(2, None, "a,b,c"), (3, None, 'a,"b,c,d')]
    assert chunk.bad[0].message == "The line has 3 fields, the header has 4. Quote cells that contain the delimiter."
    assert chunk.bad[1].message.startswith("The line has a quotation mark that is not closed")


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_chunks_have_the_size_that_was_asked_for(size: int) -> None:
    """A chunk holds as many lines as wanted, the last what is left."""
    lines = min(10 * size, 12_000)
    chunks = read(HEADER + "a,b,c,d\n" * lines, size)
    assert all(size <= len(chunk.lines) <= size + 5000 for chunk in chunks[1:-1])
    assert [number for chunk in chunks for number in chunk.lines.tolist()] == list(range(2, lines + 2))


def open_marks(lines: int) -> Iterator[str]:
    """A file each line of which opens a quotation mark that nothing closes."""
    yield "Oid,Note\n"
    for _ in range(lines // 100):
        yield 'a,"b""\n' * 100


def test_open_quotation_marks_stay_linear() -> None:
    """Each line looks ahead a bounded way only, so that a file of open marks takes seconds and not hours."""
    head = read_head(open_marks(100), ("Note",))
    started = time.perf_counter()
    found = [each for chunk in read_lines(open_marks(20_000), head, 5000) for each in chunk.bad]
    assert {each.code for each in found} == {Code.QUOTING}
    assert len(found) == 20_000
    assert time.perf_counter() - started < 60


def test_a_record_spans_at_most_so_many_lines() -> None:
    """The longest record that is read, and one line more."""
    for lines, expected in ((MOST_LINES, 1), (MOST_LINES + 1, 0)):
        good, _ = seen('Oid,Note\na,"' + "\n" * (lines - 1) + '"\n', ignore=("Note",))
        assert len(good) == expected


def test_another_vocabulary() -> None:
    """Other files have other columns."""
    vocabulary = Vocabulary({"day": ("Day", "Date"), "rate": ("Rate",)})
    head = read_head(iter(["date;RATE\n"]), vocabulary=vocabulary)
    assert (head.delimiter, head.columns.positions) == (";", {"day": 0, "rate": 1})
    assert head.columns.vocabulary is vocabulary
