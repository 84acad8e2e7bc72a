"""Reads CSV as a stream: cells exactly as sent, each record under the number of its first physical line.

A physical line ends with LF, CRLF or CR; a blank one is no line. A line that cannot be read is rejected alone: when a
faulty record spans several physical lines, its first is rejected and reading goes on at the next, so that a quotation
mark left open never swallows its neighbours. To keep that linear, a record spans at most ``MOST_LINES`` physical lines
and ``LONGEST`` characters.
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

import numpy as np

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import BadLine, Chunk, quoted, shown, text_frame
from schemas.columns import DISPLAY, Columns, known, map_header

DELIMITERS: Final = (",", ";", "\t", "|")
MOST_LINES: Final = 100
LONGEST: Final = 64 * 1024

_STRETCH_CHARACTERS: Final = 16 * 1024 * 1024
_BREAKS: Final = "\r\n"
_BREAK: Final = re.compile(r"\r\n|\r|\n")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class CsvHead:
    """What the header tells about a CSV file: its delimiter, line break, columns, and the header's physical line."""

    delimiter: str
    line_break: str
    columns: Columns
    line: int


def read_head(blocks: Iterator[str], ignore: Collection[str] = ()) -> CsvHead:
    """Understand the header, which is the first line that is not blank.

    The delimiter is the one by which most of the header's names are known; among equals the first of ``DELIMITERS``.
    Raises ``Unreadable``: NO_LINES if there is no header, NOT_READABLE if it is no CSV, and all of ``map_header``.
    """
    number = 0
    for lines in _stretches(blocks, 1):
        number += 1
        if text := lines[0].rstrip(_BREAKS):
            break
    else:
        raise Unreadable(Code.NO_LINES, Code.NO_LINES.message())
    if _CONTROL.search(text):
        raise _unreadable(f"Line {number} holds control characters; this is not a CSV or XML file.")
    headers = {each: header for each in DELIMITERS if (header := _header(text, each)) is not None}
    if not headers:
        raise _unreadable(f"The header, line {number}, has a quotation mark that is not closed: {quoted(text)}.")
    delimiter = max(headers, key=lambda each: known(headers[each], ignore))
    line_break = lines[0][len(text) :] or "\n"
    return CsvHead(delimiter, line_break, map_header(headers[delimiter], ignore), number)


def read_lines(blocks: Iterator[str], head: CsvHead, size: int) -> Iterator[Chunk]:
    """The lines below the header, at most about ``size`` at a time.

    Raises ``Unreadable``: NOT_READABLE for a physical line of more than ``LONGEST`` characters, and NO_LINES after the
    last chunk if there was no line.
    """
    empty = True
    for chunk in _chunks(blocks, _Reader(head), size):
        empty = empty and not len(chunk.lines) and not chunk.bad
        yield chunk
    if empty:
        raise Unreadable(Code.NO_LINES, Code.NO_LINES.message())


def _chunks(blocks: Iterator[str], reader: "_Reader", size: int) -> Iterator[Chunk]:
    first, rest = 1, list[str]()
    for lines in _stretches(blocks, size):
        stretch = reader.read([*rest, *lines], first, final=False)
        rest = stretch.rest
        first = stretch.following
        yield stretch.chunk(reader.columns)
    if rest:
        yield reader.read(rest, first, final=True).chunk(reader.columns)


def _stretches(blocks: Iterator[str], size: int) -> Iterator[list[str]]:
    """Physical lines with their line breaks, ``size`` at a time, fewer if they are long; the last may lack its own."""
    lines, rest, read, characters = list[str](), "", 0, 0
    for block in filter(None, blocks):
        new = list(io.StringIO(rest + block, newline=""))
        # The last may go on in the next block, and a CR may be half of a CRLF.
        rest = "" if new[-1].endswith("\n") else new.pop()
        longest = max(map(len, new), default=0)
        if longest > LONGEST or len(rest) > LONGEST:
            number = read + len(lines) + 1 + next((at for at, line in enumerate(new) if len(line) > LONGEST), len(new))
            raise _unreadable(f"Line {number} is longer than {LONGEST} characters.")
        lines += new
        characters += len(block)
        full = len(lines) if characters > _STRETCH_CHARACTERS else len(lines) - len(lines) % size
        if full:
            for at in range(0, full, size):
                yield lines[at : min(at + size, full)]
            del lines[:full]
            read += full
            characters = 0
    if rest:
        lines.append(rest)
    for at in range(0, len(lines), size):
        yield lines[at : at + size]


@dataclass(slots=True)
class _Stretch:
    """Records read from physical lines; ``rest`` are lines of a record that is not complete yet."""

    numbers: Sequence[int]
    rows: Sequence[Sequence[str]]
    following: int
    bad: list[BadLine] = field(default_factory=list)
    raw: dict[int, str] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    def chunk(self, columns: Columns) -> Chunk:
        cells = text_frame(columns.header, list(zip(*self.rows, strict=True)))
        return Chunk(np.array(self.numbers, np.int64), cells, self.bad, self.raw)


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


class _Reader:
    """Turns physical lines into records, by one header."""

    def __init__(self, head: CsvHead) -> None:
        self.head = head
        self.columns = head.columns
        self.width = len(head.columns.header)
        self.well_quoted = _well_quoted(head.delimiter)

    def read(self, lines: list[str], first: int, *, final: bool) -> _Stretch:
        """Read ``lines``, the first of which has the number ``first``; ``final`` if no more will come."""
        if first <= self.head.line:
            above = min(self.head.line + 1 - first, len(lines))
            lines, first = lines[above:], first + above
        return self._at_once(lines, first) or self._one_by_one(lines, first, final=final)

    def _at_once(self, lines: list[str], first: int) -> _Stretch | None:
        """The usual case, in which each physical line is a record or blank; ``None`` if this is another."""
        try:
            rows = list(self._records(lines))
        except csv.Error:
            return None
        if len(rows) != len(lines):
            return None
        stretch = _Stretch(range(first, first + len(rows)), rows, first + len(rows))
        if set(map(len, rows)) <= {self.width} and not any('"' in line for line in lines):
            return stretch
        keep = [bool(row) for row in rows]
        for at, row in enumerate(rows):
            if row and (fault := self._fault(row, lines[at], first + at)):
                keep[at] = False
                _reject(stretch, fault, lines[at])
        stretch.numbers = list(compress(stretch.numbers, keep))
        stretch.rows = list(compress(rows, keep))
        return stretch

    def _one_by_one(self, lines: list[str], first: int, *, final: bool) -> _Stretch:
        """Records that may span physical lines or be faulty."""
        numbers, rows = list[int](), list[list[str]]()
        stretch = _Stretch(numbers, rows, first)
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
                _reject(stretch, fault, lines[at])
                at += 1
        stretch.following, stretch.rest = first + at, lines[at:]
        return stretch

    def _records(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self.head.delimiter, strict=True)

    def _fault(self, row: list[str], text: str, number: int) -> BadLine | None:
        """What is wrong with the record that ``text`` was read as."""
        joined = "".join(row)
        # csv takes a quotation mark inside an unquoted cell as it stands, but it is more likely half of a pair.
        if '"' in joined and not self.well_quoted(text):
            return _quoting(number, text)
        if len(row) != self.width:
            message = Code.FIELD_COUNT.message(value=len(row), expected=self.width)
            return BadLine(number, Code.FIELD_COUNT, message, None, shown(_first_line(text)))
        if "\n" in joined or "\r" in joined:
            return self._broken(row, number)
        return None

    def _broken(self, row: list[str], number: int) -> BadLine | None:
        """A line break in a cell is fine in a column that is ignored; in ours it means an open quotation mark."""
        for column, at in self.columns.positions.items():
            if "\n" in row[at] or "\r" in row[at]:
                name = DISPLAY[column]
                message = Code.CONTROL_CHARACTER.message(field=name, value=quoted(row[at]))
                return BadLine(number, Code.CONTROL_CHARACTER, message, name, shown(row[at]))
        return None


def _reject(stretch: _Stretch, bad: BadLine, line: str) -> None:
    stretch.bad.append(bad)
    stretch.raw[bad.line] = line.rstrip(_BREAKS)


def _quoting(number: int, text: str) -> BadLine:
    line = _first_line(text)
    return BadLine(number, Code.QUOTING, Code.QUOTING.message(value=quoted(line)), None, shown(line))


def _first_line(text: str) -> str:
    return _BREAK.split(text, maxsplit=1)[0]


def _header(text: str, delimiter: str) -> list[str] | None:
    """The header's names by this delimiter, ``None`` if its quotation marks make no sense."""
    try:
        [row] = csv.reader([text], delimiter=delimiter, strict=True)
    except csv.Error:
        return None
    return row if _well_quoted(delimiter)(text) else None


def _well_quoted(delimiter: str) -> Callable[[str], re.Match[str] | None]:
    """Whether a record's cells are each quoted as a whole or not at all."""
    each = re.escape(delimiter)
    cell = rf'(?:"(?:[^"]|"")*+"|[^"{each}\r\n]*+)'
    return re.compile(rf"{cell}(?:{each}{cell})*+(?:\r\n|\r|\n)?").fullmatch


def _unreadable(reason: str) -> Unreadable:
    return Unreadable(Code.NOT_READABLE, Code.NOT_READABLE.message(reason=reason))
