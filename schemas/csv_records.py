"""Turns physical lines of CSV into records and into lines that cannot be read.

A line that cannot be read is rejected alone: when a faulty record spans several physical lines, its first is rejected
and reading goes on at the next, so that a quotation mark left open never swallows its neighbours. To keep that linear,
a record spans at most ``MOST_LINES`` physical lines and ``LONGEST`` characters.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.csv

from processing.codes import Code
from schemas.chunk import BadLine, quoted, shown
from schemas.columns import Columns

Text: TypeAlias = "pa.Array[pa.StringScalar]"
BREAKS: Final = "\r\n"
MOST_LINES: Final = 100
LONGEST: Final = 64 * 1024

_BREAK: Final = re.compile(r"\r\n|\r|\n")


def well_quoted(delimiter: str) -> Callable[[str], re.Match[str] | None]:
    """Whether a record's cells are each quoted as a whole or not at all."""
    each = re.escape(delimiter)
    cell = rf'(?:"(?:[^"]|"")*+"|[^"{each}\r\n]*+)'
    return re.compile(rf"{cell}(?:{each}{cell})*+(?:\r\n|\r|\n)?").fullmatch


@dataclass(slots=True)
class Stretch:
    """Records read from physical lines; ``rest`` are lines of a record that is not complete yet."""

    numbers: Sequence[int]
    columns: list[Text]
    following: int
    bad: list[BadLine] = field(default_factory=list)
    raw: dict[int, str] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    def reject(self, bad: BadLine, line: str) -> None:
        """Note a physical line that cannot be read."""
        self.bad.append(bad)
        self.raw[bad.line] = line.rstrip(BREAKS)


class _Window:
    """Physical lines for one ``csv.reader``, which gets no more than one record may span."""

    def __init__(self, lines: list[str], at: int) -> None:
        self.lines = lines
        self.at = at
        self.begin(at)

    def begin(self, at: int) -> None:
        """A record starts at ``at``."""
        self.most = at + MOST_LINES
        self.characters = 0

    @property
    def at_end(self) -> bool:
        """Whether it was the lines that ended, not the limits of a record."""
        return self.at == len(self.lines) and self.at < self.most and self.characters <= LONGEST

    def __iter__(self) -> "_Window":
        return self

    def __next__(self) -> str:
        if self.at == len(self.lines) or self.at >= self.most or self.characters > LONGEST:
            raise StopIteration
        line = self.lines[self.at]
        self.at += 1
        self.characters += len(line)
        return line


class RecordReader:
    """Turns physical lines into records of as many cells as ``columns`` has."""

    def __init__(self, delimiter: str, columns: Columns) -> None:
        self._delimiter = delimiter
        self._columns = columns
        self._width = len(columns.header)
        self._well_quoted = well_quoted(delimiter)
        self._fast = fast_reader(delimiter, self._width)

    def read(self, lines: list[str], first: int, *, final: bool) -> Stretch:
        """Read ``lines``, the first of which has the number ``first``; ``final`` if no more will come."""
        if table := self._fast(lines):
            return Stretch(range(first, first + len(lines)), table, first + len(lines))
        return self._line_by_line(lines, first) or self._record_by_record(lines, first, final=final)

    def _line_by_line(self, lines: list[str], first: int) -> Stretch | None:
        """Lines each of which is a record, faulty or blank; ``None`` if a record spans several."""
        try:
            rows = list(self._records(lines))
        except csv.Error:
            return None
        if len(rows) != len(lines):
            return None
        stretch = Stretch(range(first, first + len(rows)), [], first + len(rows))
        keep = [bool(row) for row in rows]
        for at, row in enumerate(rows):
            if row and (fault := self._fault(row, lines[at], first + at)):
                keep[at] = False
                stretch.reject(fault, lines[at])
        stretch.numbers = list(compress(stretch.numbers, keep))
        stretch.columns = _columns(list(compress(rows, keep)))
        return stretch

    def _record_by_record(self, lines: list[str], first: int, *, final: bool) -> Stretch:
        """Records that may span physical lines or be faulty in any way."""
        numbers, rows = list[int](), list[list[str]]()
        stretch = Stretch(numbers, [], first)
        at = 0
        while at < len(lines):
            window = _Window(lines, at)
            fault: BadLine | None = None
            try:
                for row in self._records(window):
                    fault = self._fault(row, "".join(lines[at : window.at]), first + at) if row else None
                    if fault:
                        break
                    if row:
                        numbers.append(first + at)
                        rows.append(row)
                    at = window.at
                    window.begin(at)
            except csv.Error:
                if window.at_end and not final:
                    break
                fault = _quoting(first + at, lines[at])
            if fault:
                stretch.reject(fault, lines[at])
                at += 1
        stretch.columns, stretch.following, stretch.rest = _columns(rows), first + at, lines[at:]
        return stretch

    def _records(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _fault(self, row: list[str], text: str, number: int) -> BadLine | None:
        """What is wrong with the record that ``text`` was read as."""
        joined = "".join(row)
        # csv takes a quotation mark inside an unquoted cell as it stands, but it is more likely half of a pair.
        if '"' in joined and not self._well_quoted(text):
            return _quoting(number, text)
        if len(row) != self._width:
            message = _count_message(len(row), self._width)
            return BadLine(number, Code.FIELD_COUNT, message, None, shown(_first_line(text)))
        # A line break is fine in a column that is ignored; in one of ours it means a quotation mark that was left open.
        if ("\n" in joined or "\r" in joined) and any(
            _BREAK.search(row[at]) for at in self._columns.positions.values()
        ):
            return _quoting(number, text)
        return None


def fast_reader(delimiter: str, width: int) -> Callable[[list[str]], list[Text] | None]:
    """A reader of lines that are all records of ``width`` cells without any quotation mark, ``None`` for all others.

    Such lines mean the same to Arrow's reader as to Python's, and it is several times as fast.
    """
    names = [str(at) for at in range(width)]
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, quote_char=False)
    read = pyarrow.csv.ReadOptions(column_names=names, use_threads=False)
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)

    def table(lines: list[str]) -> list[Text] | None:
        text = "".join(lines)
        # Arrow drops a byte order mark wherever a stretch begins.
        if not text or '"' in text or text.startswith("\ufeff"):
            return None
        try:
            rows = pyarrow.csv.read_csv(io.BytesIO(text.encode()), read, parse, convert)
        except pa.ArrowInvalid:
            return None
        # It skips blank lines, and then their numbers would be lost.
        return [column.combine_chunks() for column in rows.columns] if rows.num_rows == len(lines) else None

    return table


def _columns(rows: list[list[str]]) -> list[Text]:
    return [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]


def _quoting(number: int, text: str) -> BadLine:
    line = _first_line(text)
    return BadLine(number, Code.QUOTING, Code.QUOTING.message(value=quoted(line)), None, shown(line))


@cache
def _count_message(fields: int, expected: int) -> str:
    return Code.FIELD_COUNT.message(value=fields, expected=expected)


def _first_line(text: str) -> str:
    return text.rstrip(BREAKS) if text.count("\n") + text.count("\r") < 2 else _BREAK.split(text, maxsplit=1)[0]
