"""Writes what goes back to the brand in its own format: all lines with their verdicts, or those it can repair.

Both read the delivery again from its file and ask for the verdicts of a chunk at a time, so that memory stays flat.
"""

import codecs
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from html import escape
from itertools import compress
from typing import BinaryIO, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from processing.codes import Code, Verdict
from schemas.chunk import TEXT, Chunk
from schemas.csv_lines import CsvHead
from schemas.decode import Encoding, read_text
from schemas.document import Document
from schemas.trailer import Count
from schemas.xlsx_lines import BETWEEN, XlsxHead
from schemas.xlsx_write import write_rows
from schemas.xml_lines import XmlHead, XmlRecord, read_records

EXTRA: Final = {
    "verdict": "Verdict",
    "code": "Code",
    "message": "Message",
    "action_id": "ActionId",
    "locks_at": "LocksAt",
}
"""The columns of a verdict frame, and what they are called in a result file."""

REPAIRABLE: Final = frozenset(
    {
        *(Code.AMBIGUOUS_ORDER, Code.NO_EXCHANGE_RATE, Code.NOT_ITEM_LEVEL, Code.ITEM_UNKNOWN),
        *(Code.ITEM_LINES_NEEDED, Code.QUANTITY_NEEDED, Code.UNKNOWN_ACTION),
    }
)
"""Codes of lines that are not rejected and that the brand can put right in the file itself, once they do not wait."""

Verdicts = Callable[[npt.NDArray[np.int64]], pd.DataFrame]
"""The verdicts of some lines: given ascending line numbers (int64, at least one), a row for each, in that order.

Columns verdict, code, message, action_id, locks_at: texts, missing or "" where there is none.
"""

Lines = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Choice = Callable[[pd.DataFrame], Mask]
Piece = tuple[str, int]
Text: TypeAlias = "pa.Array[pa.StringScalar]"

_UTF8: Final = Encoding("utf-8", codecs.BOM_UTF8)
_MARKED: Final = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
FORMULA: Final = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""How a text begins that a spreadsheet would run; formulas may begin in full width, too."""

_NUMBER: Final = r"^[+-]?[0-9]+([.,][0-9]+)*$"


def write_result(document: Document, verdicts: Verdicts, out: BinaryIO) -> None:
    """Write every line as sent, followed by its verdict; ``out`` can be sought and cut.

    CSV: the brand's columns, delimiter, line break and encoding (UTF-8 with a mark if its encoding cannot express
    something); a line that could not be read stands as raw text in the first column; cells that a spreadsheet would run
    as formulas begin with an apostrophe. XML: the root, records and elements as sent, each record with the elements
    ``Line`` and those of ``EXTRA``, in UTF-8. xlsx: each row in its place, all cells as text. Raises ``Unreadable`` as
    the document does.
    """
    head = document.head
    if isinstance(head, XlsxHead):
        write_rows([*head.columns.header, *EXTRA.values()], _xlsx_result(document, verdicts), out)
    elif isinstance(head, CsvHead):
        _write(lambda: _csv_result(document, head, verdicts), document.encoding, out)
    else:
        _write(lambda: _xml_result(document, head, verdicts), Encoding("utf-8"), out)


def write_fix(
    document: Document,
    verdicts: Verdicts,
    out: BinaryIO,
    repairable: Collection[Code] = REPAIRABLE,
    *,
    with_trailer: bool = False,
) -> int:
    """Write the lines that the brand can repair and send again: all rejected ones and those with a ``repairable`` code.

    None of them waits. Format as that of ``write_result``, with the brand's columns only; ``with_trailer`` ends a CSV
    with one. Sent back it is read as the same text: its encoding is never one that has to be guessed. Returns how many
    lines were written.
    """

    def chosen(frame: pd.DataFrame) -> Mask:
        told = frame["code"].isin(list(repairable)) & (frame["verdict"] != Verdict.WAITING)
        return ((frame["verdict"] == Verdict.REJECTED) | told).to_numpy(np.bool_)

    head = document.head
    if isinstance(head, XlsxHead):
        return write_rows(head.columns.header, _xlsx_fix(document, verdicts, chosen), out)
    if isinstance(head, CsvHead):
        pieces = partial(_csv_fix, document, head, verdicts, chosen, with_trailer=with_trailer)
        return _write(pieces, _sendable(document.encoding), out)
    return _write(lambda: _xml_fix(document, head, verdicts, chosen), Encoding("utf-8"), out)


def _sendable(encoding: Encoding) -> Encoding:
    """A file's encoding for some of its lines, which have to tell it by themselves."""
    if encoding.is_guessed:
        return _UTF8
    return Encoding(encoding.name, encoding.mark or _MARKED.get(encoding.name, b""))


def _write(pieces: Callable[[], Iterator[Piece]], encoding: Encoding, out: BinaryIO) -> int:
    start = out.tell()
    try:
        return _encoded(pieces(), encoding, out)
    except UnicodeError:
        out.seek(start)
        out.truncate()
        return _encoded(pieces(), _UTF8, out)


def _encoded(pieces: Iterator[Piece], encoding: Encoding, out: BinaryIO) -> int:
    """Write the pieces; raises ``UnicodeError`` if the encoding lacks a character, or UTF-8 would read other ones."""
    out.write(encoding.mark)
    lines, is_ascii, is_clear = 0, True, encoding.name.startswith("utf")
    for text, count in pieces:
        data = text.encode(encoding.name)
        is_clear = is_clear or not _is_utf8(data)
        is_ascii = is_ascii and data.isascii()
        out.write(data)
        lines += count
    if not (is_clear or is_ascii):
        raise UnicodeError
    return lines


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _csv_result(document: Document, head: CsvHead, verdicts: Verdicts) -> Iterator[Piece]:
    names = pa.array([*head.columns.header, *EXTRA.values()], pa.string())
    yield _header(_harmless(names), head), 0
    padding = head.delimiter * (len(head.columns.header) - 1)
    for chunk in document.chunks():
        raw = _cells(_harmless(pa.array(chunk.raw.values(), pa.string())), head.delimiter)
        own = [_cells(_harmless(column), head.delimiter) for column in _columns(chunk.cells)]
        lines, texts = _in_order(chunk, _joined(own, head.delimiter), _joined([raw, _repeated("", raw)], padding))
        frame = _asked(verdicts, lines)
        extra = [_cells(_harmless(column), head.delimiter) for column in _columns(frame[list(EXTRA)])]
        yield _text(_joined([texts, *extra], head.delimiter), head.line_break), len(lines)
    if head.trailer:
        yield head.trailer.text + head.line_break, 0


def _csv_fix(
    document: Document, head: CsvHead, verdicts: Verdicts, chosen: Choice, *, with_trailer: bool
) -> Iterator[Piece]:
    names, count = pa.array(head.columns.header, pa.string()), Count(head.columns)
    yield _header(names, head), 0
    for chunk in document.chunks():
        # Cells stay as sent: an apostrophe before a formula would come back as part of the value.
        own = [_cells(column, head.delimiter) for column in _columns(chunk.cells)]
        raw = pa.array(chunk.raw.values(), pa.string())
        lines, texts = _in_order(chunk, _joined(own, head.delimiter), raw)
        mask = chosen(_asked(verdicts, lines))
        if with_trailer:
            count.add(chunk.only(lines[mask]))
        yield _text(texts.filter(pa.array(mask)), head.line_break), int(mask.sum())
    if with_trailer:
        yield count.text(head.delimiter) + head.line_break, 0


def _xlsx_result(document: Document, verdicts: Verdicts) -> Iterator[tuple[int, list[str]]]:
    padding = [""] * (len(document.header) - 1)
    for chunk in document.chunks():
        own = dict(zip(chunk.lines.tolist(), zip(*_lists(chunk.cells), strict=True), strict=True))
        lines = np.array(sorted([*own, *chunk.raw]), np.int64)
        extra = zip(*_lists(_asked(verdicts, lines)[list(EXTRA)]), strict=True)
        for line, answer in zip(lines.tolist(), extra, strict=True):
            yield line, [*(own.get(line) or [chunk.raw[line], *padding]), *answer]


def _xlsx_fix(document: Document, verdicts: Verdicts, chosen: Choice) -> Iterator[tuple[int, list[str]]]:
    row = 1
    for chunk in document.chunks():
        own = dict(zip(chunk.lines.tolist(), zip(*_lists(chunk.cells), strict=True), strict=True))
        lines = np.array(sorted([*own, *chunk.raw]), np.int64)
        for line in lines[chosen(_asked(verdicts, lines))].tolist():
            row += 1
            yield row, list(own.get(line) or chunk.raw[line].split(BETWEEN))


def _lists(frame: pd.DataFrame) -> list[list[str]]:
    return [list(map(str, column.to_pylist())) for column in _columns(frame)]


def _header(names: Text, head: CsvHead) -> str:
    return head.delimiter.join(map(str, _cells(names, head.delimiter).to_pylist())) + head.line_break


def _asked(verdicts: Verdicts, lines: Lines) -> pd.DataFrame:
    frame = verdicts(lines) if len(lines) else pd.DataFrame({column: [] for column in EXTRA}, dtype=TEXT)
    assert len(frame) == len(lines)  # noqa: S101 - each line has one verdict
    return frame


def _in_order(chunk: Chunk, good: Text, raw: Text) -> tuple[Lines, Text]:
    """The texts of all lines of a chunk in the order of the lines."""
    if not chunk.bad:
        return chunk.lines, good
    lines = np.concatenate([chunk.lines, np.fromiter(chunk.raw, np.int64, len(chunk.raw))])
    order = np.argsort(lines)
    return lines[order], pa.concat_arrays([good, raw]).take(order)


def _whole(texts: "Text | pa.ChunkedArray[pa.StringScalar]") -> Text:
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _columns(frame: pd.DataFrame) -> list[Text]:
    arrays = [_whole(pa.array(frame.iloc[:, at], pa.string(), from_pandas=True)) for at in range(frame.shape[1])]
    return [pc.fill_null(array, _repeated("", array)) if array.null_count else array for array in arrays]


def _harmless(texts: Text) -> Text:
    """Texts of which a spreadsheet runs none as a formula; plain numbers stay."""
    formula = pc.match_substring_regex(texts, FORMULA)
    if not pc.any(formula).as_py():
        return texts
    formula = pc.and_not(formula, pc.match_substring_regex(texts, _NUMBER))
    harmless: Text = pc.if_else(formula, _joined([_repeated("'", texts), texts], ""), texts)
    return harmless


def _cells(texts: Text, delimiter: str) -> Text:
    """Texts as cells of a CSV, in quotation marks where they need them."""
    data = b"".join(bytes(each) for each in texts.buffers()[2:] if each is not None)
    if not any(each.encode() in data for each in ('"', "\r", "\n", delimiter)):
        return texts
    mark = _repeated('"', texts)
    inside = pc.replace_substring(texts, '"', '""')
    needs = pc.match_substring_regex(texts, f'["\r\n{re.escape(delimiter)}]')
    cells: Text = pc.if_else(needs, _joined([mark, inside, mark], ""), texts)
    return cells


def _repeated(text: str, like: Text) -> Text:
    return pa.repeat(pa.scalar(text, pa.string()), len(like))


def _joined(columns: Sequence[Text], separator: str) -> Text:
    return pc.binary_join_element_wise(*columns, _repeated(separator, columns[0]))


def _text(lines: Text, line_break: str) -> str:
    """The lines below one another."""
    ended = _joined([lines, _repeated("", lines)], line_break)
    _, offsets, data = ended.buffers()
    if not len(ended) or offsets is None or data is None:
        return ""
    end = int(np.frombuffer(memoryview(offsets), np.int32)[len(ended)])
    return str(memoryview(data)[:end], "utf-8")


def _xml_result(document: Document, head: XmlHead, verdicts: Verdicts) -> Iterator[Piece]:
    yield _opening(head), 0
    for records, frame in _xml_verdicts(document, verdicts):
        answers = zip(*(column.to_pylist() for column in _columns(frame[list(EXTRA)])), strict=True)
        names = ("Line", *EXTRA.values())
        texts = [
            _record(head, record, list(zip(names, (str(record.line), *answer), strict=True)))
            for record, answer in zip(records, answers, strict=True)
        ]
        yield "".join(texts), len(texts)
    yield f"</{head.root}>\n", 0


def _xml_fix(document: Document, head: XmlHead, verdicts: Verdicts, chosen: Choice) -> Iterator[Piece]:
    yield _opening(head), 0
    for records, frame in _xml_verdicts(document, verdicts):
        texts = [_record(head, record) for record in compress(records, chosen(frame).tolist())]
        yield "".join(texts), len(texts)
    yield f"</{head.root}>\n", 0


def _xml_verdicts(document: Document, verdicts: Verdicts) -> Iterator[tuple[list[XmlRecord], pd.DataFrame]]:
    for records in read_records(read_text(document.path, document.encoding), document.ignore):
        yield records, _asked(verdicts, np.fromiter((record.line for record in records), np.int64, len(records)))


def _opening(head: XmlHead) -> str:
    namespace = f' xmlns="{head.namespace}"' if head.namespace else ""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{head.root}{namespace}>\n'


def _record(head: XmlHead, record: XmlRecord, more: Sequence[tuple[str, str]] = ()) -> str:
    """A record as it was sent, with more elements below."""
    inside = ""
    for (name, text), column in zip(record.fields, record.columns, strict=True):
        inside += _items(record) if column == "items" else _element(name, text, 4)
    inside += "".join(_element(name, text, 4) for name, text in more)
    return f"  <{head.record}>\n{inside}  </{head.record}>\n"


def _items(record: XmlRecord) -> str:
    items = ("".join(_element(name, text, 8) for name, text in item.fields) for item in record.items)
    inside = "".join(f"      <Item>\n{item}      </Item>\n" for item in items)
    return f"    <Items>\n{inside}    </Items>\n"


def _element(name: str, text: str, blanks: int) -> str:
    return f"{' ' * blanks}<{name}>{_escaped(text)}</{name}>\n"


def _escaped(text: str) -> str:
    # A carriage return as such would be read as a line feed.
    return escape(text, quote=False).replace("\r", "&#13;")
