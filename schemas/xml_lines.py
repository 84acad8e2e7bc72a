"""Reads XML as a stream: ``ModificationRequests/ModificationRequest`` and ``ReversalRequests/ReversalRequest``.

The children of a record are named like the columns of the CSV; the number of a line is the record's ordinal. The same
with ``Item`` before the name are records that hold ``Items/Item`` in place of an amount of their own. There is
no DTD and so no entity of one's own. A document is complete when its root is closed: one that is cut or ill-formed
raises after some of its records were handed out, and whoever took them undoes what they did with them.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeAlias
from xml.parsers.expat import ExpatError, ParserCreate
from xml.parsers.expat.errors import messages

import numpy as np
import pandas as pd
import pyarrow as pa

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import BadLine, Chunk, quoted, text_frame
from schemas.columns import DISPLAY, ORDER_LEVEL, Columns, map_header
from schemas.item_columns import FIELDS, ITEM, WITH_ITEMS, item_frame

NAMESPACE: Final = "http://ws.impactradius.com/ws/definitions"
COLUMNS: Final[Columns] = map_header(tuple(DISPLAY.values()))
"""What a chunk of XML holds: all known columns, whichever elements a record has."""

_KIND_OF: Final = {
    "ModificationRequests": "modifications",
    "ReversalRequests": "reversals",
    "ItemModificationRequests": "modifications",
    "ItemReversalRequests": "reversals",
}
_ITEMS: Final = "Items"
_MOST_ITEMS: Final = 1000
_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance "
_Item: TypeAlias = tuple[int, int, dict[str, str]]
_MOST_FIELDS: Final = 1000
_LONGEST: Final = 64 * 1024
_PIECE: Final = 64 * 1024
_UNFINISHED: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class XmlHead:
    """The root of a document: its element, that of its records, its namespace ("" for none), its kind.

    ``by_item``: whether its records hold items.
    """

    root: str
    record: str
    namespace: str
    kind: str
    by_item: bool = False


@dataclass(frozen=True, slots=True)
class XmlRecord:
    """A record: its ordinal, its elements' names and texts in order, and the column of each, ``None`` if ignored.

    ``items``: the elements of each item in the same way; they stand where ``fields`` has ``Items``.
    """

    line: int
    fields: list[tuple[str, str]]
    columns: list[str | None]
    items: list["XmlRecord"] = field(default_factory=list)


def read_head(blocks: Iterator[str], ignore: Collection[str] = ()) -> XmlHead:
    """Read up to the root's start tag; raises ``Unreadable`` as ``read_records`` does."""
    reader = _Reader(ignore)
    for _ in reader.pieces(blocks):
        if reader.head is not None:
            return reader.head
    raise AssertionError  # Without a root the document is not well-formed, which pieces() has raised.


def read_records(blocks: Iterator[str], ignore: Collection[str] = ()) -> Iterator[list[XmlRecord]]:
    """The records, some at a time.

    Raises ``Unreadable``: NOT_READABLE with line and column for what is no such document, COLUMN_UNKNOWN, and NO_LINES
    after a complete document without records.
    """
    return _records(_Reader(ignore), blocks)


def _records(reader: "_Reader", blocks: Iterator[str]) -> Iterator[list[XmlRecord]]:
    for _ in reader.pieces(blocks):
        if reader.done:
            yield reader.done
            reader.done = []
    if not reader.count:
        raise Unreadable(Code.NO_LINES, Code.NO_LINES.message())


def read_lines(blocks: Iterator[str], ignore: Collection[str], size: int) -> Iterator[Chunk]:
    """The records as chunks of ``size``; raises as ``read_records`` does."""
    waiting, by_item = list[XmlRecord](), False
    reader = _Reader(ignore)
    for records in _records(reader, blocks):
        by_item = reader.head is not None and reader.head.by_item
        waiting += records
        for _ in range(len(waiting) // size):
            yield _chunk(waiting[:size], by_item=by_item)
            del waiting[:size]
    if waiting:
        yield _chunk(waiting, by_item=by_item)


class _Reader:
    """Expat's handlers and what they have found; ``done`` are the records since it was last emptied."""

    def __init__(self, ignore: Collection[str]) -> None:
        self.ignore = ignore
        self.head: XmlHead | None = None
        self.done: list[XmlRecord] = []
        self.count = 0
        self._depth = 0
        # Where the elements with text are: 3 in a record, 5 in an item of it.
        self._deepest = 3
        self._columns: dict[tuple[int, str], str | None] = {}
        self._local: dict[str, str] = {}
        self._name = ""
        self._text: list[str] = []
        self._length = 0
        self._record = XmlRecord(0, [], [])
        # The text is decoded already, whatever the document says of its encoding.
        self._expat = ParserCreate("utf-8", " ")
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters
        self._expat.StartDoctypeDeclHandler = self._doctype

    def pieces(self, blocks: Iterator[str]) -> Iterator[None]:
        """Parse, pausing now and then so that what was found can be taken."""
        fed = 0
        try:
            for block in blocks:
                for at in range(0, len(block), _PIECE):
                    piece = block[at : at + _PIECE].encode()
                    fed += len(piece)
                    self._expat.Parse(piece, False)
                    # Expat keeps a tag or comment that does not end; one that long is an attack on our memory.
                    if fed - self._expat.CurrentByteIndex > _UNFINISHED:
                        self._refuse(f"A tag or comment is longer than {_UNFINISHED} bytes")
                    yield
            self._expat.Parse(b"", True)
        except ExpatError as error:
            reason = messages[error.code]
            self._refuse(f"The XML is cut off or not well-formed ({reason})", error.lineno, error.offset)
        yield

    def _refuse(self, what: str, line: int | None = None, column: int | None = None) -> NoReturn:
        line = self._expat.CurrentLineNumber if line is None else line
        column = self._expat.CurrentColumnNumber if column is None else column
        reason = f"{what}, at line {line}, column {column + 1}."
        raise Unreadable(Code.NOT_READABLE, Code.NOT_READABLE.message(reason=reason))

    def _start(self, full: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        name = self._local.get(full) or self._local_name(full)
        for attribute in attributes:
            if not attribute.startswith(_INSTANCE):
                self._refuse(f"Element {name} has an attribute, {quoted(attribute)}, and there are none")
        if self._depth == self._deepest:
            self._field(name)
        elif self._depth == 2:
            self._begin(name)
        elif self._depth == 1:
            self._root(full, name)
        elif self._depth == 4 and self._deepest == 5:
            self._begin_item(name)
        else:
            self._refuse(f"Element {name} stands inside {self._name}, which holds text only")

    def _field(self, name: str) -> None:
        """An element with text begins, or the one that holds items."""
        if self._depth == 3 and name == _ITEMS and self.head is not None and self.head.by_item:
            self._deepest = 5
            self._record.fields.append((name, ""))
            self._record.columns.append("items")
            return
        key = self._depth, name
        if key not in self._columns:
            order_level = WITH_ITEMS if self.head is not None and self.head.by_item else ORDER_LEVEL
            self._columns[key] = (ITEM if self._depth == 5 else order_level).column(name, self.ignore)
        self._name = name
        self._text, self._length = [], 0

    def _begin_item(self, name: str) -> None:
        if name != "Item":
            self._refuse(f"Element {name} stands where only Item can")
        if len(self._record.items) == _MOST_ITEMS:
            self._refuse(f"A record has more than {_MOST_ITEMS} items")
        self._record.items.append(XmlRecord(len(self._record.items) + 1, [], []))

    def _local_name(self, full: str) -> str:
        namespace, _, name = full.rpartition(" ")
        if namespace not in ("", NAMESPACE):
            self._refuse(f"Element {name} is in the namespace {quoted(namespace)}; use {NAMESPACE} or none")
        self._local[full] = name
        return name

    def _root(self, full: str, name: str) -> None:
        if name not in _KIND_OF:
            self._refuse(f"The root element is {name}; it must be {', '.join(_KIND_OF)}".replace(", Item", " or Item"))
        record, by_item = name.removesuffix("s"), name.startswith("Item")
        self.head = XmlHead(name, record, full.rpartition(" ")[0], _KIND_OF[name], by_item)

    def _begin(self, name: str) -> None:
        if self.head is not None and name != self.head.record:
            self._refuse(f"Element {name} stands where only {self.head.record} can")
        self.count += 1
        self._record = XmlRecord(self.count, [], [])

    def _end(self, _full: str) -> None:
        if self._depth == self._deepest:
            record = self._record if self._depth == 3 else self._record.items[-1]
            if len(record.fields) == _MOST_FIELDS:
                self._refuse(f"A record has more than {_MOST_FIELDS} elements")
            record.fields.append((self._name, "".join(self._text)))
            record.columns.append(self._columns[self._depth, self._name])
        elif self._depth == 3:
            self._deepest = 3
        elif self._depth == 2:
            self.done.append(self._record)
        self._depth -= 1

    def _characters(self, text: str) -> None:
        if self._depth == self._deepest:
            self._length += len(text)
            if self._length > _LONGEST:
                self._refuse(f"The text of {self._name} is longer than {_LONGEST} characters")
            self._text.append(text)
        elif text.strip():
            self._refuse(f"The text {quoted(text.strip())} stands outside the elements of a record")

    def _doctype(self, *_: object) -> None:
        self._refuse("A document type declaration is not allowed")


def _chunk(records: Sequence[XmlRecord], *, by_item: bool) -> Chunk:
    lines, bad, items = list[int](), list[BadLine](), list[_Item]()
    cells: dict[str, list[str]] = {column: [] for column in DISPLAY}
    for record in records:
        if twice := _twice(record):
            bad.append(twice)
            continue
        found = _cells(record)
        items += [(len(lines), one.line, _cells(one)) for one in record.items]
        lines.append(record.line)
        for column, texts in cells.items():
            texts.append(found.get(column, ""))
    columns = [pa.array(texts, pa.string()) for texts in cells.values()]
    frame = _items([one for one in items if any(one[2].values())]) if by_item else None
    return Chunk(np.array(lines, np.int64), text_frame(COLUMNS.header, columns), bad, {}, frame)


def _items(items: Sequence[_Item]) -> pd.DataFrame:
    """Items (the row of their record, their number in it, their cells) as ``item_texts`` gives them."""
    row, number = (np.array([one[at] for one in items], np.int64) for at in (0, 1))
    texts = {column: pa.array([cells.get(column, "") for _, _, cells in items], pa.string()) for column in FIELDS}
    return item_frame(row, number, texts)


def _cells(record: XmlRecord) -> dict[str, str]:
    return {column: text for column, (_, text) in zip(record.columns, record.fields, strict=True) if column}


def _twice(record: XmlRecord) -> BadLine | None:
    """A record that gives a column twice, or in one item, cannot be read: nobody knows which of the two is meant."""
    for one, where in [(record, "The record"), *((item, f"Item {item.line} of the record") for item in record.items)]:
        given = [column for column in one.columns if column]
        if len(set(given)) < len(given):
            column = next(column for at, column in enumerate(given) if column in given[:at])
            names = zip(one.columns, one.fields, strict=True)
            name, values = "", list[str]()
            for each, (name_, text) in names:
                if each == column:
                    name = name or DISPLAY.get(column, name_)
                    values.append(quoted(text))
            told = "" if column == "items" else f": {' and '.join(values)}"
            message = f"{where} has {name} more than once{told}. Keep one of them."
            return BadLine(record.line, Code.FIELD_COUNT, message, name, None)
    return None
