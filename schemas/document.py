"""A delivery's file on disk, opened: what it is, and its lines in chunks, as often as wanted."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final, Literal

from processing.codes import Code
from processing.errors import Unreadable
from schemas import csv_lines, xlsx_lines, xml_lines
from schemas.chunk import BadLine, Chunk, quoted
from schemas.columns import Columns
from schemas.containers import MOST_BYTES, kind_of, too_large
from schemas.csv_lines import CsvHead
from schemas.decode import Encoding, find_encoding, is_terminated, read_text
from schemas.item_columns import has_values
from schemas.trailer import trailer_of
from schemas.xlsx_lines import XlsxHead
from schemas.xml_lines import XmlHead

__all__ = ["CHUNK_LINES", "BadLine", "Chunk", "Document", "Kind"]

CHUNK_LINES: Final = 50_000

Kind = Literal["lines", "modifications", "reversals"]


@dataclass(frozen=True, slots=True)
class Document:
    """A delivery whose encoding, format and header were understood.

    It holds no open file: ``chunks`` reads from the start each time. ``name`` is what the brand called it; the format
    goes by the content. ``terminated`` is whether the last line ends with a line break, ``None`` where the format
    proves its own end or a trailer does.
    """

    path: Path
    name: str
    encoding: Encoding
    head: CsvHead | XmlHead | XlsxHead
    ignore: tuple[str, ...]
    terminated: bool | None

    @classmethod
    def open(
        cls,
        path: Path,
        name: str,
        *,
        declared_encoding: str | None = None,
        ignore: Collection[str] = (),
        most_bytes: int = MOST_BYTES,
        proven: bool = False,
    ) -> "Document":
        """Find out what the file is; ``proven``: it is known from elsewhere that no byte is missing.

        Raises ``Unreadable`` with the code of what is wrong with the file as a whole, and ``Unusable`` for an unknown
        ``declared_encoding``. Whoever opens a container hands on its files, so one that comes here was in another.
        """
        if path.stat().st_size > most_bytes:
            raise too_large(most_bytes)
        container = kind_of(path)
        if container == "xlsx":
            return cls(
                path, name, Encoding("utf-8"), xlsx_lines.read_head(path, most_bytes, ignore), tuple(ignore), None
            )
        if container is not None:
            reason = f"{quoted(name)} is an archive inside an archive."
            raise Unreadable(Code.NOT_READABLE, Code.NOT_READABLE.message(reason=reason))
        encoding = find_encoding(path, declared_encoding)
        if _is_xml(path, encoding):
            head: CsvHead | XmlHead = xml_lines.read_head(read_text(path, encoding), ignore)
            return cls(path, name, encoding, head, tuple(ignore), None)
        head = csv_lines.read_head(read_text(path, encoding), ignore)
        if trailer := trailer_of(path, encoding, head.delimiter):
            trailer = replace(trailer, is_ended=trailer.is_ended or proven)
            return cls(path, name, encoding, replace(head, trailer=trailer), tuple(ignore), None)
        return cls(path, name, encoding, head, tuple(ignore), is_terminated(path, encoding))

    @property
    def format(self) -> Literal["csv", "xlsx", "xml"]:
        """How the lines are written."""
        if isinstance(self.head, XmlHead):
            return "xml"
        return "csv" if isinstance(self.head, CsvHead) else "xlsx"

    @property
    def kind(self) -> Kind:
        """What the file as a whole is: lines that each say what they want, or one kind of requests."""
        if not isinstance(self.head, XmlHead):
            return "lines"
        return "reversals" if self.head.kind == "reversals" else "modifications"

    @property
    def delimiter(self) -> str | None:
        """What stands between two cells, ``None`` where it is no character."""
        return self.head.delimiter if isinstance(self.head, CsvHead) else None

    @property
    def columns(self) -> Columns:
        """Header and positions of the known columns in the cells of each chunk."""
        return xml_lines.COLUMNS if isinstance(self.head, XmlHead) else self.head.columns

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns of each chunk."""
        return self.columns.header

    @property
    def has_amount(self) -> bool:
        """Whether the file can give an amount: always true of modifications, never of reversals.

        In a file of items, whether it can give a quantity or an amount of an item.
        """
        return self._has("amount") or (self.kind != "reversals" and has_values(self.columns))

    @property
    def has_status(self) -> bool:
        """Whether the file can give a customer status, as ``has_amount``."""
        return self._has("customer_status")

    @property
    def has_currency(self) -> bool:
        """Whether the file can give a currency, as ``has_amount``."""
        return self._has("currency")

    def chunks(self, size: int = CHUNK_LINES) -> Iterator[Chunk]:
        """The lines in order, at most ``size`` or a little more at a time; memory does not grow with the file.

        Raises ``Unreadable``, possibly after chunks were handed out: then nothing of them may be applied.
        """
        if isinstance(self.head, XlsxHead):
            return xlsx_lines.read_lines(self.path, self.head, size)
        blocks = read_text(self.path, self.encoding)
        if isinstance(self.head, CsvHead):
            return csv_lines.read_lines(blocks, self.head, size)
        return xml_lines.read_lines(blocks, self.ignore, size)

    def _has(self, column: str) -> bool:
        return self.kind != "reversals" and column in self.columns


def _is_xml(path: Path, encoding: Encoding) -> bool:
    for character in chain.from_iterable(read_text(path, encoding)):
        if not character.isspace():
            return character == "<"
    raise Unreadable(Code.NO_LINES, Code.NO_LINES.message())
