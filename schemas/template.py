"""Templates: files for a brand to fill in and send, which our own readers find no fault with.

A template has one line for each change; a line of an item names its action, too, so that lines can be deleted freely.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import BinaryIO, Final, Literal, get_args

from processing.errors import Unusable
from schemas.result import FORMULA
from schemas.xlsx_write import write_rows

Kind = Literal["order-csv", "item-csv", "order-xml", "item-xml"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

COLUMNS: Final = {
    "order": ("ActionId", "Oid", "ActionTrackerId", "Amount", "Reason"),
    "item": ("ActionId", "Oid", "ActionTrackerId", "Reason", "Sku", "Category", "Quantity", "Amount"),
}
"""The cells of a row, by level."""

MOST_SHEET_ROWS: Final = 1_048_576
"""What a sheet of a spreadsheet can hold, its header included."""

Row = Sequence[str]

_ID, _ORDER = "1000.4636.158133", "ORDER-20931"
_MONTH: Final = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?)"
)
# 12-5 and MAR1 are days to a spreadsheet, 10:30 is a time, and TRUE is no text.
_NUMBER_OR_DAY: Final = re.compile(
    r"[0-9]+(\.[0-9]*)?(e[0-9]+)?%?|\.[0-9]+|[$€£¥][0-9.,]+|[0-9]{1,3}([,.][0-9]{3})+|[0-9]+,[0-9]+|\([0-9.,]+\)"
    r"|true|false|[0-9]{1,4}:[0-9]{2}(:[0-9]{2})?( ?[ap]m)?"
    r"|[0-9]{1,2}[/-][0-9]{1,4}|[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{1,4}"
    r"|[0-9]{4}[/-][0-9]{1,2}(-[0-9]{1,2})?|(19|20)[0-9]{2}[/.][0-9]{1,2}[/.][0-9]{1,2}"
    rf"|([0-9]{{1,2}}[ /.-]?)?{_MONTH}[ /.-]?[0-9]{{1,4}}|[0-9]{{1,2}}[ /.-]?{_MONTH}([ /.-]?[0-9]{{2,4}})?",
    re.IGNORECASE,
)


def examples(kind: Kind, event_type: int = 16027) -> list[Row]:
    """Lines that show what can be asked for."""
    number = str(event_type)
    if _level(kind) == "order":
        return [
            (_ID, "", "", "0", "ITEM_RETURNED"),
            ("", _ORDER, number, "79.90", "ORDER_UPDATE"),
            ("", "ORDER-20932", number, "", "RESET"),
        ]
    return [
        (_ID, "", "", "ITEM_RETURNED", "SHOE-42", "Shoes", "1", "39.90"),
        (_ID, "", "", "ITEM_RETURNED", "HAT-3", "Hats", "0", "0"),
        ("", _ORDER, number, "ORDER_UPDATE", "SOCK-7", "", "2", "12.00"),
    ]


def write_examples(kind: Kind, rows: Iterable[Row], out: BinaryIO) -> int:
    """Write a template of examples, as plain as a file can be; gives the number of rows."""
    if is_xml(kind):
        return _write_xml(kind, rows, out)
    return _write_csv(kind, rows, out, quoting=csv.QUOTE_MINIMAL)


def write_filled(kind: Kind, rows: Iterable[Row], out: BinaryIO) -> int:
    """Write a template that holds a brand's own ids; gives the number of rows.

    CSV begins with a UTF-8 mark and quotes every cell: programs that can leave quoted cells alone do, and nothing that
    our reader would take for a part of the id is put into a cell. A spreadsheet still turns what looks like a number
    into one (``looks_like_a_number``); an xlsx (``write_sheet``) does not.
    """
    if is_xml(kind):
        return _write_xml(kind, rows, out)
    out.write(b"\xef\xbb\xbf")
    return _write_csv(kind, rows, out, quoting=csv.QUOTE_ALL)


def write_sheet(kind: Kind, rows: Iterable[Row], out: BinaryIO) -> int:
    """Write a template as an xlsx whose cells are all texts, and stay so when they are edited; gives how many rows.

    Raises Unusable if they are more than a sheet can hold.
    """
    return write_rows(COLUMNS[_level(kind)], _numbered(rows), out)


def is_xml(kind: Kind) -> bool:
    """Whether a template of this kind is XML."""
    return kind.endswith("-xml")


def harmless(text: str | None) -> str:
    """An order id or a category, which a line can do without: none where a spreadsheet would run it as a formula."""
    return "" if text is None or re.match(FORMULA, text) else text


def looks_like_a_number(identifier: str) -> bool:
    """Whether a spreadsheet that opens a CSV takes this id for a number or a day, and writes it differently."""
    return _NUMBER_OR_DAY.fullmatch(identifier) is not None


def _level(kind: Kind) -> str:
    return kind.partition("-")[0]


def _write_csv(kind: Kind, rows: Iterable[Row], out: BinaryIO, *, quoting: Literal[0, 1]) -> int:
    writer = csv.writer(_Encoded(out), quoting=quoting, lineterminator="\n")
    writer.writerow(COLUMNS[_level(kind)])
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
        writer.writerow(row)
    return count


@dataclass(frozen=True, slots=True)
class _Encoded:
    """What csv writes texts to, without holding or closing the file."""

    out: BinaryIO

    def write(self, text: str) -> int:
        return self.out.write(text.encode())


def _write_xml(kind: Kind, rows: Iterable[Row], out: BinaryIO) -> int:
    record = "ModificationRequest" if _level(kind) == "order" else "ItemModificationRequest"
    out.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<{record}s>\n'.encode())
    shared = COLUMNS["item"].index("Sku")
    count = 0
    # Lines of one action and one reason are one record with several items.
    for _, group in groupby(rows, lambda row: row if kind == "order-xml" else row[:shared]):
        of_record = list(group)
        count += len(of_record)
        inside = _elements(COLUMNS["order"], of_record[0]) if kind == "order-xml" else _with_items(of_record, shared)
        out.write(f"  <{record}>\n{inside}  </{record}>\n".encode())
    out.write(f"</{record}s>\n".encode())
    return count


def _with_items(rows: Sequence[Row], shared: int) -> str:
    names = COLUMNS["item"]
    items = "".join(f"      <Item>\n{_elements(names[shared:], row[shared:], 8)}      </Item>\n" for row in rows)
    return f"{_elements(names[:shared], rows[0][:shared])}    <Items>\n{items}    </Items>\n"


def _elements(names: Sequence[str], cells: Row, indent: int = 4) -> str:
    """The cells as elements; blank ones are left out, but for the reason, which is there to be filled in."""
    given = [(name, cell) for name, cell in zip(names, cells, strict=True) if cell or name == "Reason"]
    return "".join(f"{' ' * indent}<{name}>{escape(cell, quote=False)}</{name}>\n" for name, cell in given)


def _numbered(rows: Iterable[Row]) -> Iterator[tuple[int, Row]]:
    for number, row in enumerate(rows, 2):
        if number > MOST_SHEET_ROWS:
            raise Unusable(
                f"A sheet holds {MOST_SHEET_ROWS:,} rows and there are more; name one event type, or write a CSV."
            )
        yield number, row
