"""The trailer of a CSV file, ``#TRAILER,<lines>,<sum of Amount>``: its last line, which proves that none is missing.

It stands in the file's own delimiter or in commas. Lines are those below the header that are not blank, whatever is
wrong with them. A record that spans several lines, and cannot be read, is one of the brand's lines or several. The sum
is that of the amounts as they are written, a blank one being 0; in a file of items, of all their amounts. It is not
compared if a line cannot be read or an amount is no decimal number: that line is rejected for itself, and nobody knows
what the brand's sum says of it. A file without an Amount column may leave it out.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal
from pathlib import Path
from typing import Final

import numpy as np

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import Chunk, quoted
from schemas.columns import Columns
from schemas.decode import Encoding
from schemas.item_columns import amount_positions

MARK: Final = "#TRAILER"

_BEGINNINGS: Final = (MARK, f'"{MARK}"')
_LINES: Final = re.compile(r"[0-9]{1,12}")
_AMOUNT: Final = re.compile(r"-?0*[0-9]{1,30}(?:\.[0-9]{1,10})?")
# Wide enough that no sum of such amounts is ever rounded.
_EXACT: Final = Context(prec=80)
_TAIL_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Trailer:
    """The trailer as sent, without its line break, and its cells behind the mark.

    ``is_ended``: it was not cut off itself; a line break ended it, or the whole file was proven to be complete.
    """

    text: str
    cells: tuple[str, ...]
    is_ended: bool


@dataclass(slots=True)
class Count:
    """What the trailer of a file has to say: its lines and the sum of their amounts, if each ``is_readable``.

    ``spare`` of the lines may go on with the record of the damaged line before.
    """

    columns: Columns
    lines: int = 0
    spare: int = 0
    amount: Decimal = field(default_factory=Decimal)
    is_readable: bool = True
    # How many damaged lines came since one left a quotation mark open; None if none is open.
    _since_open: int | None = None

    def add(self, chunk: Chunk) -> None:
        """Add the lines of a chunk."""
        self.lines += len(chunk.lines) + len(chunk.bad)
        self.is_readable = self.is_readable and not chunk.bad
        self._add_spare(chunk)
        for at in amount_positions(self.columns):
            texts: list[str] = chunk.cells.iloc[:, at].tolist()
            for text in filter(None, texts):
                if _AMOUNT.fullmatch(text):
                    self.amount = _EXACT.add(self.amount, Decimal(text))
                else:
                    self.is_readable = False

    def _add_spare(self, chunk: Chunk) -> None:
        """Find damaged lines that close the quotation mark of one before, no line between them being readable."""
        good = np.searchsorted(chunk.lines, [bad.line for bad in chunk.bad]).tolist()
        for before, until, text in zip([0, *good], good, chunk.raw.values(), strict=False):
            if until > before:
                self._since_open = None
            closes_or_opens = text.count('"') % 2 == 1
            if self._since_open is None:
                self._since_open = 0 if closes_or_opens else None
            elif closes_or_opens:
                self.spare += self._since_open + 1
                self._since_open = None
            else:
                self._since_open += 1
        if len(chunk.lines) > (good[-1] if good else 0):
            self._since_open = None

    def text(self, delimiter: str) -> str:
        """The trailer that says so."""
        return delimiter.join((MARK, str(self.lines), f"{self.amount:f}"))

    def check(self, trailer: Trailer) -> None:
        """Raise ``Unreadable`` (TRAILER_MISMATCH) unless the trailer says the same."""
        told = trailer.cells
        if len(told) == 1 and not amount_positions(self.columns):
            told = (*told, "0")
        if len(told) != 2 or not _LINES.fullmatch(told[0]) or not _AMOUNT.fullmatch(told[1]):
            raise mismatch(f"The trailer {quoted(trailer.text)} is not {MARK},<lines>,<sum of Amount>.")
        # A sum that is not compared must be known not to have been cut off itself.
        is_compared = self.is_readable or not trailer.is_ended
        is_counted = self.lines - self.spare <= int(told[0]) <= self.lines
        if not is_counted or (is_compared and Decimal(told[1]) != self.amount):
            says = f"The trailer says {told[0]} lines and amounts of {told[1]} in all"
            raise mismatch(f"{says}; the file has {self.lines} lines and {self.amount}.")


def mismatch(reason: str) -> Unreadable:
    """The error for a file that its trailer does not fit."""
    return Unreadable(Code.TRAILER_MISMATCH, Code.TRAILER_MISMATCH.message(reason=reason))


def trailer_in(line: str, delimiter: str) -> Trailer | None:
    """The trailer that a physical line is, with its line break if it has one; ``None`` if it is none."""
    if not line.startswith(_BEGINNINGS):
        return None
    text = line.rstrip("\r\n")
    for each in (delimiter, ","):
        cells = _cells(text, each)
        if cells[0] == MARK:
            while not cells[-1]:
                # A spreadsheet gives every line as many cells as the header has.
                cells.pop()
            return Trailer(text, tuple(cells[1:]), text != line)
    return None


def trailer_of(path: Path, encoding: Encoding, delimiter: str) -> Trailer | None:
    """The trailer that a file ends with, blank lines aside; ``None`` if it ends otherwise."""
    tail = _tail(path, encoding)
    lines = tail.rstrip("\r\n")
    return trailer_in(re.split(r"[\r\n]", lines)[-1] + tail[len(lines) :], delimiter)


def _tail(path: Path, encoding: Encoding) -> str:
    """The end of a file, from before its last line that is not blank."""
    begin, start = len(encoding.mark), path.stat().st_size
    with path.open("rb") as file:
        blank = True
        while blank and start > begin:
            end, start = start, max(start - _TAIL_BYTES, begin)
            file.seek(start)
            # The first character may be half a one; a line break is a byte of its own in every encoding that we read.
            blank = not file.read(end - start).decode(encoding.name, "replace").strip("\r\n")
        file.seek(max(start - _TAIL_BYTES, begin))
        return file.read(2 * _TAIL_BYTES).decode(encoding.name, "replace")


def until_trailer(stretches: Iterator[list[str]], delimiter: str) -> Iterator[list[str]]:
    """The physical lines above the trailer; raises ``Unreadable`` (TRAILER_MISMATCH) if any stand below it."""
    ended = False
    for lines in stretches:
        below = lines
        if not ended:
            # Asking each line takes longer than reading it does.
            some = lines if MARK in "".join(lines) else []
            likely = (at for at, line in enumerate(some) if line.startswith(_BEGINNINGS))
            at = next((at for at in likely if trailer_in(lines[at], delimiter)), None)
            yield lines[:at]
            ended = at is not None
            below = lines[at + 1 :] if at is not None else []
        if any(line.strip("\r\n") for line in below):
            raise mismatch("Lines stand below the trailer, which has to be the last.")


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        [cells] = csv.reader([text], delimiter=delimiter, strict=True)
    except csv.Error:
        return [text]
    return cells
