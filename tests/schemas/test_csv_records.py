import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.errors import Unreadable
from schemas.chunk import BadLine, Chunk
from schemas.columns import map_header
from schemas.csv_lines import CsvHead, read_lines
from schemas.csv_records import RecordReader, fast_reader, well_quoted

HEADER = ["a", "b", "c"]
IGNORED = map_header(HEADER, ignore=HEADER)

cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8) | st.text(
    '",;\r\n\t |=1\ufeff', max_size=8
)
plain_cells = st.text(st.characters(codec="utf-8", exclude_characters='\x00"\r\n,;\t|'), max_size=8)


def physical_lines(text: str) -> int:
    """How many line breaks a text has."""
    return len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1


@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=12),
    shape=st.tuples(st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans()),
    blanks=st.integers(0, 2),
    size=st.integers(1, 8),
    block=st.integers(1, 64),
)
def test_what_csv_writes_comes_back(
    rows: list[tuple[str, str, str]], shape: tuple[str, str, bool], blanks: int, size: int, block: int
) -> None:
    """Any cells written by the csv module come back the same, under the number of their first physical line."""
    delimiter, line_break, quote_all = shape
    text, number, expected = delimiter.join(HEADER) + line_break, 2, []
    for row in rows:
        out = io.StringIO()
        # Left to itself, the module quotes no line break but its own.
        quoting: Literal[0, 1] = csv.QUOTE_ALL if quote_all or physical_lines("".join(row)) else csv.QUOTE_MINIMAL
        csv.writer(out, delimiter=delimiter, lineterminator=line_break, quoting=quoting).writerow(row)
        expected.append((number, row))
        text += out.getvalue() + line_break * blanks
        number += physical_lines(out.getvalue()) + blanks
    found = []
    for chunk in read_lines(cut(text, block), CsvHead(delimiter, line_break, IGNORED, 1), size):
        assert not chunk.bad
        found += rows_of(chunk)
    assert found == expected


def cut(text: str, block: int) -> Iterator[str]:
    """A text in blocks."""
    return (text[at : at + block] for at in range(0, len(text), block))


def rows_of(chunk: Chunk) -> list[tuple[int, tuple[str, ...]]]:
    """The lines that were read and their cells."""
    return list(zip(chunk.lines.tolist(), chunk.cells.itertuples(index=False, name=None), strict=True))


def everything(text: str, block: int, size: int) -> tuple[list[tuple[int, tuple[str, ...]]], list[tuple[BadLine, str]]]:
    """What is read of a text, and what is rejected, in the order of both."""
    good, bad = [], []
    chunks = read_lines(cut(text, block), CsvHead(",", "\n", IGNORED, 1), size)
    with suppress(Unreadable):  # NO_LINES, where all are blank
        for chunk in chunks:
            good += rows_of(chunk)
            bad += [(each, chunk.raw[each.line]) for each in chunk.bad]
    return good, bad


@given(st.text('ab,"\n\r', max_size=60), st.integers(1, 5), st.integers(1, 20))
def test_no_line_is_lost(text: str, size: int, block: int) -> None:
    """However broken a text is, each line that is not blank is read, rejected, or inside a record that was read."""
    text = "a,b,c\n" + text
    good, bad = everything(text, len(text), 1000)
    assert everything(text, block, size) == (good, bad)
    numbers = [number for number, _ in good] + [each.line for each, _ in bad]
    assert len(set(numbers)) == len(numbers)
    spanned = {number + more for number, row in good for more in range(1 + sum(map(physical_lines, row)))}
    physical = io.StringIO(text, newline="").readlines()
    written = {at + 1 for at, line in enumerate(physical) if line.strip("\r\n")} - {1}
    assert written <= spanned | set(numbers)
    assert all(physical[each.line - 1].rstrip("\r\n") == raw for each, raw in bad)


@given(st.lists(st.lists(plain_cells, min_size=3, max_size=3), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_the_fast_reader_reads_as_csv_does(rows: list[list[str]], delimiter: str) -> None:
    """Where the fast reader takes lines at all, they mean what they mean to the csv module."""
    lines = [delimiter.join(row) + "\n" for row in rows]
    table = fast_reader(delimiter, 3)(lines)
    slow = list(csv.reader(lines, delimiter=delimiter, strict=True))
    assert table is None or list(zip(*(column.to_pylist() for column in table), strict=True)) == [*map(tuple, slow)]
    assert table is not None or rows[0][0].startswith("\ufeff")


@pytest.mark.parametrize(
    ("case", "lines"),
    [
        ("a quotation mark", ['a,"b",c\n']),
        ("a blank line", ["a,b,c\n", "\n"]),
        ("a cell too many", ["a,b,c\n", "a,b,c,d\n"]),
        ("a cell too few", ["a,b\n"]),
        ("a mark that is part of a cell", ["\ufeffa,b,c\n"]),
        ("nothing", []),
    ],
)
def test_the_fast_reader_leaves_the_rest(case: str, lines: list[str]) -> None:
    """What the two readers might disagree about is for the csv module."""
    assert fast_reader(",", 3)(lines) is None, case


@pytest.mark.parametrize(
    ("record", "good"),
    [
        ("a,b\n", True),
        ('"a","b"\r\n', True),
        ('"a""b",c', True),
        ('"a\nb",c', True),
        ('"""",""\n', True),
        (",\n", True),
        ('a"b,c\n', False),
        ('a","b\n', False),
        ('a""b,c\n', False),
        ('"a""b,c\n', False),
    ],
)
def test_well_quoted(record: str, good: bool) -> None:  # noqa: FBT001 - a row of the table
    """A cell is quoted as a whole or not at all."""
    assert bool(well_quoted(",")(record)) is good


def test_a_record_waits_for_its_end() -> None:
    """Lines of a record that is not complete are handed back, to be read again with those that follow."""
    reader = RecordReader(",", IGNORED)
    stretch = reader.read(["1,2,3\n", '1,"2\n'], 2, final=False)
    assert (list(stretch.numbers), stretch.rest, stretch.following) == ([2], ['1,"2\n'], 3)
    again = reader.read([*stretch.rest, '",3\n'], stretch.following, final=False)
    assert [column.to_pylist() for column in again.columns] == [["1"], ["2\n"], ["3"]]
    assert (list(again.numbers), again.rest, again.following) == ([3], [], 5)
