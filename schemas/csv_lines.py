"""Reads CSV as a stream: cells exactly as sent, each record under the number of its first physical line.

A physical line ends with LF, CRLF or CR; a blank one is no line.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from processing.codes import Code
from processing.errors import Unreadable, Unusable
from schemas.chunk import Chunk, quoted, text_frame
from schemas.columns import ORDER_LEVEL, Columns, Vocabulary, map_header
from schemas.csv_records import BREAKS, LONGEST, RecordReader, Stretch, well_quoted
from schemas.decode import Encoding, find_encoding, is_terminated, read_text
from schemas.item_columns import widened
from schemas.trailer import Count, Trailer, trailer_of, until_trailer

DELIMITERS: Final = (",", ";", "\t", "|")

# Rows that stay in the processor's cache are read twice as fast; a chunk is put together from several such stretches.
_AT_ONCE: Final = 5_000
_STRETCH_CHARACTERS: Final = 4 * 1024 * 1024
_NOTHING: Final = pa.array([], pa.string())
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class CsvHead:
    """What is known of a CSV file before its lines are read.

    Its delimiter, line break and columns, the header's physical line, and the trailer that it ends with.
    """

    delimiter: str
    line_break: str
    columns: Columns
    line: int
    trailer: Trailer | None = None


def read_head(blocks: Iterator[str], ignore: Collection[str] = (), vocabulary: Vocabulary = ORDER_LEVEL) -> CsvHead:
    """Understand the header, which is the first line that is not blank.

    The delimiter is the one by which most of the header's names are known; among equals the first of ``DELIMITERS``.
    Raises ``Unreadable``: NO_LINES if there is no header, NOT_READABLE if it is no CSV, and all of ``map_header``.
    """
    number = 0
    for lines in _stretches(blocks, 1):
        number += 1
        if text := lines[0].rstrip(BREAKS):
            break
    else:
        raise Unreadable(Code.NO_LINES, Code.NO_LINES.message())
    if _CONTROL.search(text):
        raise _unreadable(f"Line {number} holds control characters; this is not a CSV or XML file.")
    headers = {each: header for each in DELIMITERS if (header := _header(text, each)) is not None}
    if not headers:
        raise _unreadable(f"The header, line {number}, has a quotation mark that is not closed: {quoted(text)}.")
    meant = {each: widened(vocabulary, header, ignore) for each, header in headers.items()}
    delimiter = max(headers, key=lambda each: meant[each].known(headers[each], ignore))
    line_break = lines[0][len(text) :] or "\n"
    return CsvHead(delimiter, line_break, map_header(headers[delimiter], ignore, meant[delimiter]), number)


def read_whole_head(path: Path, vocabulary: Vocabulary) -> tuple[Encoding, CsvHead]:
    """The encoding and head of a file that is used at once, nobody being there to release it: it has to be whole.

    Raises ``Unreadable``, as ``read_head`` does, and ``Unusable`` if the file neither ends its last line nor has a
    trailer.
    """
    encoding = find_encoding(path)
    head = read_head(read_text(path, encoding), vocabulary=vocabulary)
    head = replace(head, trailer=trailer_of(path, encoding, head.delimiter))
    if head.trailer is None and not is_terminated(path, encoding):
        number = sum(map(len, _stretches(read_text(path, encoding), _AT_ONCE)))
        raise Unusable(
            f"{path.name}: line {number} does not end with a line break, so the file may have been cut off. Have "
            "it exported again; if nothing is missing, end its last line."
        )
    return encoding, head


def read_lines(blocks: Iterator[str], head: CsvHead, size: int) -> Iterator[Chunk]:
    """The lines below the header, at most about ``size`` at a time.

    Raises ``Unreadable``: NOT_READABLE for a physical line of more than ``LONGEST`` characters, TRAILER_MISMATCH, and
    NO_LINES after the last chunk if there was no line.
    """
    empty, count = True, Count(head.columns)
    for chunk in _chunks(_read(blocks, head, min(size, _AT_ONCE)), head.columns, size):
        empty = empty and not len(chunk.lines) and not chunk.bad
        if head.trailer:
            count.add(chunk)
        yield chunk
    if head.trailer:
        count.check(head.trailer)
    if empty:
        raise Unreadable(Code.NO_LINES, Code.NO_LINES.message())


def _chunks(stretches: Iterator[Stretch], columns: Columns, size: int) -> Iterator[Chunk]:
    waiting, lines = list[Stretch](), 0
    for stretch in stretches:
        waiting.append(stretch)
        lines += len(stretch.numbers) + len(stretch.bad)
        if lines >= size:
            yield _chunk(waiting, columns)
            waiting, lines = [], 0
    if waiting:
        yield _chunk(waiting, columns)


def _chunk(stretches: Sequence[Stretch], columns: Columns) -> Chunk:
    numbers = np.concatenate([np.array(each.numbers, np.int64) for each in stretches])
    pieces = [each.columns for each in stretches if each.columns] or [[_NOTHING] * len(columns.header)]
    cells = [pa.concat_arrays(column) for column in zip(*pieces, strict=True)]
    bad = list(chain.from_iterable(each.bad for each in stretches))
    raw = dict(chain.from_iterable(each.raw.items() for each in stretches))
    return Chunk(numbers, text_frame(columns.header, cells), bad, raw)


def _read(blocks: Iterator[str], head: CsvHead, size: int) -> Iterator[Stretch]:
    reader, first, rest = RecordReader(head.delimiter, head.columns), 1, list[str]()
    for lines in until_trailer(_stretches(blocks, size), head.delimiter):
        above = min(max(head.line + 1 - first, 0), len(lines))
        stretch = reader.read([*rest, *lines[above:]], first + above, final=False)
        rest, first = stretch.rest, stretch.following
        yield stretch
    if rest:
        yield reader.read(rest, first, final=True)


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


def _header(text: str, delimiter: str) -> list[str] | None:
    """The header's names by this delimiter, ``None`` if its quotation marks make no sense."""
    try:
        [row] = csv.reader([text], delimiter=delimiter, strict=True)
    except csv.Error:
        return None
    return row if well_quoted(delimiter)(text) else None


def _unreadable(reason: str) -> Unreadable:
    return Unreadable(Code.NOT_READABLE, Code.NOT_READABLE.message(reason=reason))
