"""The parts of an xlsx: which sheet is the first, its shared texts and its number formats (ECMA-376 part 1).

Our own, because libraries turn numbers into floats before anyone can see their digits, keep the whole sheet in memory,
or both. Parts are parsed as a stream; the bytes that come out of the zip are counted, and a document type declaration,
without which there are no entities of one's own, is refused.
"""

import posixpath
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate
from zipfile import ZipFile

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import quoted
from schemas.containers import blocks, too_large
from schemas.xlsx_numbers import BUILT_IN, GENERAL

LONGEST: Final = 32_767
"""The most characters that a cell holds."""

_MAIN: Final = frozenset(
    {"http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://purl.oclc.org/ooxml/spreadsheetml/main"}
)
_RELATIONS: Final = frozenset(
    {
        "http://schemas.openxmlformats.org/package/2006/relationships",
        "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
        "http://purl.oclc.org/ooxml/officeDocument/relationships",
    }
)
_UNFINISHED: Final = 1024 * 1024
_PIECE: Final = 64 * 1024
_MOST_TEXT_BYTES: Final = 256 * 1024**2
_MOST_TEXTS: Final = 10_000_000
_MOST_STYLES: Final = 65_536
# Halves of characters are not among them: no text can hold one.
_ESCAPED: Final = re.compile(r"_x([0-9A-CE-Fa-ce-f][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2})_")

Attributes = dict[str, str]
Start = Callable[[str, Attributes], None]
Named = Callable[[str], object]


def _nothing(_: str) -> None:
    """What is not asked for."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Where the first sheet stands, and what its cells mean: format codes by style, and the year dates count from."""

    part: str
    texts_part: str | None
    formats: tuple[str, ...]
    since_1904: bool


class Texts:
    """The shared texts of a workbook, packed: a list of as many strings would take ten times the memory."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("L", [0])

    def add(self, text: str) -> None:
        """Append a text; raises Unreadable (TOO_LARGE) when they are too many."""
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))
        if len(self._bytes) > _MOST_TEXT_BYTES or len(self._ends) > _MOST_TEXTS:
            raise Unreadable(Code.TOO_LARGE, Code.TOO_LARGE.message(value="too many different texts"))

    def __getitem__(self, at: int) -> str:
        if not 0 <= at < len(self._ends) - 1:
            raise damaged(f"There is no shared text {at}")
        return self._bytes[self._ends[at] : self._ends[at + 1]].decode("utf-8", "surrogatepass")


@dataclass(slots=True)
class Parts:
    """The parts of an open xlsx; ``most_bytes`` is what may come out of all together.

    A shared text comes out as often as a cell refers to it.
    """

    archive: ZipFile
    most_bytes: int
    counted: int = field(default=0, init=False)

    def parse(self, part: str, start: Start, end: Named, text: Named) -> Iterator[None]:
        """Parse a part as a stream, pausing now and then; names of elements are those of spreadsheets, or ""."""
        try:
            info = self.archive.getinfo(part)
        except KeyError:
            raise damaged(f"Part {quoted(part)} is missing") from None
        parser = ParserCreate(None, " ")
        parser.buffer_text = True
        names: dict[str, str] = {}

        def local(full: str) -> str:
            if full not in names:
                namespace, _, name = full.rpartition(" ")
                names[full] = name if namespace in _MAIN | _RELATIONS else ""
            return names[full]

        def doctype(*_: object) -> NoReturn:
            raise damaged("A document type declaration is not allowed")

        parser.StartElementHandler = lambda full, attributes: start(local(full), attributes)
        parser.EndElementHandler = lambda full: end(local(full))
        parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = doctype
        try:
            fed = 0
            for block in blocks(self.archive, info):
                self.count(len(block))
                for at in range(0, len(block), _PIECE):
                    piece = block[at : at + _PIECE]
                    parser.Parse(piece, False)
                    fed += len(piece)
                    # Expat keeps a tag or comment that does not end; one that long is an attack on our memory.
                    if fed - parser.CurrentByteIndex > _UNFINISHED:
                        raise damaged("A tag or comment does not end")
                    yield
            parser.Parse(b"", True)
        except ExpatError as error:
            raise damaged(f"Part {quoted(part)} is not well-formed XML") from error
        yield

    def read(self, part: str, start: Start, end: Named = _nothing, text: Named = _nothing) -> None:
        """Parse a part to its end."""
        for _ in self.parse(part, start, end, text):
            pass

    def count(self, size_bytes: int) -> None:
        """Count what came out; raises Unreadable (TOO_LARGE)."""
        self.counted += size_bytes
        if self.counted > self.most_bytes:
            raise too_large(self.most_bytes)


def damaged(what: str) -> Unreadable:
    """The error for a workbook that is not what it should be."""
    return unreadable(f"{what}; the workbook is damaged.")


def unreadable(reason: str) -> Unreadable:
    """The error for a workbook that cannot be read."""
    return Unreadable(Code.NOT_READABLE, Code.NOT_READABLE.message(reason=reason))


def unescaped(text: str) -> str:
    """A text with the characters that XML cannot hold, which are written ``_x000D_``."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def first_sheet(parts: Parts) -> Sheet:
    """Find the first sheet that is shown; raises Unreadable (NOT_READABLE) if there is none."""
    [workbook] = _targets(parts, "", "officeDocument")[:1] or [""]
    if not workbook.endswith(".xml"):
        raise unreadable("The file is no xlsx workbook; save it as .xlsx or .csv.")
    sheets: list[str] = []
    dates: list[str] = []

    def start(name: str, attributes: Attributes) -> None:
        if name == "sheet" and attributes.get("state", "visible") == "visible":
            sheets.extend(value for key, value in attributes.items() if key.endswith("/relationships id"))
        elif name == "workbookPr":
            dates.append(attributes.get("date1904", "0"))

    parts.read(workbook, start)
    relations = dict(_relations(parts, workbook, "worksheet"))
    part = next((relations[sheet] for sheet in sheets if sheet in relations), None)
    if part is None:
        raise unreadable("The workbook shows no sheet with cells.")
    [texts, *_] = [*_targets(parts, workbook, "sharedStrings"), None]
    [styles, *_] = [*_targets(parts, workbook, "styles"), None]
    formats = _formats(parts, styles) if styles else ()
    return Sheet(part, texts, formats, since_1904=bool(dates) and dates[0] in {"1", "true"})


def read_texts(parts: Parts, sheet: Sheet) -> Texts:
    """The shared texts of a workbook, without the readings that are noted above Japanese ones."""
    texts = Texts()
    pieces: list[str] = []
    inside: list[str] = []
    length = 0

    def start(name: str, _: Attributes) -> None:
        inside.append(name)

    def end(name: str) -> None:
        nonlocal length
        inside.pop()
        if name == "si":
            texts.add(unescaped("".join(pieces)))
            pieces.clear()
            length = 0

    def text(piece: str) -> None:
        nonlocal length
        if inside[-1] == "t" and "rPh" not in inside:
            pieces.append(piece)
            length += len(piece)
            if length > LONGEST:
                raise damaged(f"A text is longer than {LONGEST} characters")

    if sheet.texts_part:
        parts.read(sheet.texts_part, start, end, text)
    return texts


def _formats(parts: Parts, styles: str) -> tuple[str, ...]:
    """The format code of each style of a cell."""
    own: dict[int, str] = {}
    numbers: list[int] = []
    inside: list[str] = []

    def start(name: str, attributes: Attributes) -> None:
        if name == "numFmt":
            own[int(attributes.get("numFmtId", 0))] = attributes.get("formatCode", GENERAL)
        elif name == "xf" and inside[-1:] == ["cellXfs"]:
            numbers.append(int(attributes.get("numFmtId", 0)))
        if len(numbers) > _MOST_STYLES or len(own) > _MOST_STYLES:
            raise damaged(f"There are more than {_MOST_STYLES} styles")
        inside.append(name)

    parts.read(styles, start, lambda _: inside.pop())
    return tuple((BUILT_IN | own).get(number, GENERAL) for number in numbers)


def _targets(parts: Parts, source: str, kind: str) -> list[str]:
    return [target for _, target in _relations(parts, source, kind)]


def _relations(parts: Parts, source: str, kind: str) -> list[tuple[str, str]]:
    """The ids and parts of one kind that a part refers to; "" is the package."""
    folder, name = posixpath.split(source)
    found: list[tuple[str, str]] = []

    def start(element: str, attributes: Attributes) -> None:
        if element == "Relationship" and attributes.get("Type", "").endswith(f"/{kind}"):
            target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", "")))
            found.append((attributes.get("Id", ""), target.lstrip("/")))

    parts.read(posixpath.join(folder, "_rels", f"{name}.rels"), start)
    return found
