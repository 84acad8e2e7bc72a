"""Reads the first sheet of an xlsx as a stream: cells as they are shown, each row under its own number.

A text stays a text, whatever it looks like. A number is shown as its format has it; a formula by the value that was
kept with it, and nothing is ever computed. A row without a value is no line.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import BadLine, Chunk, quoted, shown, text_frame
from schemas.columns import ORDER_LEVEL, Columns, Vocabulary, map_header
from schemas.containers import unzipping
from schemas.item_columns import widened
from schemas.xlsx_numbers import GENERAL
from schemas.xlsx_numbers import shown as shown_number
from schemas.xlsx_parts import (
    LONGEST,
    Attributes,
    Parts,
    Sheet,
    Texts,
    damaged,
    first_sheet,
    read_texts,
    unescaped,
    unreadable,
)

BETWEEN: Final = "\t"
"""What stands between the cells of a row that could not be read."""

_LONGEST_ROW: Final = 256 * 1024
_CHUNK_CHARACTERS: Final = 8 * 1024 * 1024
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6})")
_MOST_COLUMNS: Final = 16_384
_MOST_ROWS: Final = 1_048_576
_A: Final = ord("A") - 1


@dataclass(frozen=True, slots=True)
class XlsxHead:
    """What the header tells about a sheet: its columns, the header's row, and how much may come out of the file."""

    columns: Columns
    line: int
    most_bytes: int


@dataclass(slots=True)
class _Row:
    number: int
    cells: dict[int, str] = field(default_factory=dict)
    characters: int = 0

    def texts(self, width: int) -> list[str]:
        return [self.cells.get(at, "") for at in range(width)]


def read_head(
    path: Path, most_bytes: int, ignore: Collection[str] = (), vocabulary: Vocabulary = ORDER_LEVEL
) -> XlsxHead:
    """Understand the header, which is the first row that is not empty.

    Raises ``Unreadable``: NO_LINES if there is none, NOT_READABLE if it is no workbook, and all of ``map_header``.
    """
    for row in _rows(path, most_bytes):
        header = row.texts(max(row.cells) + 1)
        meant = widened(vocabulary, header, ignore)
        return XlsxHead(map_header(header, ignore, meant), row.number, most_bytes)
    raise Unreadable(Code.NO_LINES, Code.NO_LINES.message())


def read_lines(path: Path, head: XlsxHead, size: int) -> Iterator[Chunk]:
    """The rows below the header, ``size`` at a time, fewer if they are long.

    Raises ``Unreadable``: NOT_READABLE for a workbook that is damaged further down, TOO_LARGE, and NO_LINES after the
    last row if there was none.
    """
    waiting, characters, empty = list[_Row](), 0, True
    for row in _rows(path, head.most_bytes):
        if row.number > head.line:
            waiting.append(row)
            characters += row.characters
            empty = False
        if len(waiting) == size or characters > _CHUNK_CHARACTERS:
            yield _chunk(waiting, head.columns)
            waiting, characters = [], 0
    if waiting:
        yield _chunk(waiting, head.columns)
    if empty:
        raise Unreadable(Code.NO_LINES, Code.NO_LINES.message())


def _chunk(rows: list[_Row], columns: Columns) -> Chunk:
    width = len(columns.header)
    good, bad, raw = list[_Row](), list[BadLine](), dict[int, str]()
    for row in rows:
        last = max(row.cells) + 1
        if last <= width:
            good.append(row)
            continue
        raw[row.number] = BETWEEN.join(row.texts(last))
        beyond, end = _letters(last), _letters(width)
        message = f"The row has a value in column {beyond}; the header ends with column {end}. Clear it."
        bad.append(BadLine(row.number, Code.FIELD_COUNT, message, None, shown(raw[row.number])))
    cells = [pa.array([row.cells.get(at, "") for row in good], pa.string()) for at in range(width)]
    numbers = np.array([row.number for row in good], np.int64)
    return Chunk(numbers, text_frame(columns.header, cells), bad, raw)


def _rows(path: Path, most_bytes: int) -> Iterator[_Row]:
    """The rows of the first sheet that hold something."""
    with unzipping(path) as archive:
        parts = Parts(archive, most_bytes)
        sheet = first_sheet(parts)
        reader = _Reader(parts, sheet, read_texts(parts, sheet))
        for _ in parts.parse(sheet.part, reader.start, reader.end, reader.text):
            yield from reader.done
            reader.done.clear()


class _Reader:
    """What the parser of a sheet calls; ``done`` are the rows since it was last emptied."""

    def __init__(self, parts: Parts, sheet: Sheet, texts: Texts) -> None:
        self.done: list[_Row] = []
        self._parts = parts
        self._sheet = sheet
        self._texts = texts
        self._row = _Row(0)
        self._at = -1
        self._kind = "n"
        self._style = 0
        self._formula = False
        self._value = False
        self._inside: list[str] = []
        self._pieces: list[str] = []
        self._length = 0

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins."""
        self._inside.append(name)
        if name == "c":
            self._begin_cell(attributes)
        elif name == "row":
            number = int(attributes.get("r", self._row.number + 1))
            if not self._row.number < number <= _MOST_ROWS:
                raise damaged(f"Row {number} stands behind row {self._row.number}")
            self._row, self._at = _Row(number), -1
        elif name == "f":
            self._formula = True
        elif name == "v":
            self._value = True

    def end(self, name: str) -> None:
        """An element ends."""
        self._inside.pop()
        if name == "c":
            if self._formula and not self._value:
                where = f"row {self._row.number}, column {self._at + 1}"
                reason = f"The cell in {where} holds a formula without its value. Open and save it in a spreadsheet."
                raise unreadable(reason)
            if text := self._text():
                self._row.cells[self._at] = text
                self._row.characters += len(text)
                if self._row.characters > _LONGEST_ROW:
                    raise damaged(f"Row {self._row.number} is longer than {_LONGEST_ROW} characters")
        elif name == "row" and self._row.cells:
            self.done.append(self._row)

    def text(self, piece: str) -> None:
        """Characters."""
        inside = self._inside[-1]
        if inside == "v" or (inside == "t" and "is" in self._inside and "rPh" not in self._inside):
            self._length += len(piece)
            if self._length > LONGEST:
                raise damaged(f"A cell in row {self._row.number} is longer than {LONGEST} characters")
            self._pieces.append(piece)

    def _begin_cell(self, attributes: Attributes) -> None:
        at = self._at + 1
        if reference := attributes.get("r"):
            found = _REFERENCE.fullmatch(reference)
            if found is None or int(found[2]) != self._row.number:
                raise damaged(f"Cell {quoted(reference)} stands in row {self._row.number}")
            at = _column(found[1])
        if not self._at < at < _MOST_COLUMNS:
            raise damaged(f"The cells of row {self._row.number} are not in order")
        self._at = at
        self._kind = attributes.get("t", "n")
        self._style = int(attributes.get("s", 0))
        self._formula = self._value = False
        self._pieces.clear()
        self._length = 0

    def _text(self) -> str:
        """What the cell shows."""
        raw = "".join(self._pieces)
        if not raw:
            return ""
        if self._kind == "s":
            text = self._texts[int(raw)]
            self._parts.count(len(text))
            return text
        if self._kind == "n":
            formats = self._sheet.formats
            code = formats[self._style] if self._style < len(formats) else GENERAL
            return shown_number(raw.strip(), code, since_1904=self._sheet.since_1904)
        if self._kind == "b":
            return "TRUE" if raw.strip() == "1" else "FALSE"
        return unescaped(raw)


def _column(letters: str) -> int:
    """The position of a column, counted from 0."""
    at = 0
    for letter in letters:
        at = at * 26 + ord(letter) - _A
    return at - 1


def _letters(number: int) -> str:
    """What a spreadsheet calls the column of this number, from 1."""
    before, at = divmod(number - 1, 26)
    return (_letters(before) if before else "") + chr(_A + 1 + at)
