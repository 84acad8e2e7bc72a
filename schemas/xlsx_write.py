"""Writes rows to an xlsx as a stream: every cell a text, so that no spreadsheet computes or rounds anything."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import BinaryIO, Final

# Answers are the same however often they are written, and the library would ask the clock.
_CREATED: Final = datetime(1980, 1, 1)  # noqa: DTZ001 - the library takes it as it stands
_OPTIONS: Final = {"constant_memory": True}


def write_rows(header: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]], out: BinaryIO) -> int:
    """Write a header and, below it, rows with their ascending numbers (the header's is 1); gives how many there were.

    Cells are formatted as text, too: a spreadsheet in which they are edited leaves ids as they are typed.
    """
    from xlsxwriter import Workbook  # noqa: PLC0415 - few files are xlsx, and it takes long to import

    count = 0
    with Workbook(out, _OPTIONS) as book:
        book.set_properties({"created": _CREATED})
        as_text = book.add_format({"num_format": "@"})
        sheet = book.add_worksheet()
        for at, name in enumerate(header):
            sheet.write_string(0, at, name, as_text)
        for number, cells in rows:
            for at, text in enumerate(cells):
                sheet.write_string(number - 1, at, text, as_text)
            count += 1
    return count
