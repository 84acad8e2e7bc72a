"""The columns of an order-level delivery and the names that brands give them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import quoted

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "action_id": ("ActionId",),
    "order_id": ("Oid", "OrderId"),
    "event_type": ("ActionTrackerId", "EventTypeId"),
    "amount": ("Amount",),
    "currency": ("CurrencyCode", "Currency"),
    "customer_status": ("CustomerStatus",),
    "reason": ("Reason", "DispositionCode"),
}
"""Each column's names; the first is the one our messages use."""

DISPLAY: Final[Mapping[str, str]] = {column: names[0] for column, names in NAMES.items()}

_DROPPED: Final = str.maketrans("", "", " _-")


def plain(name: str) -> str:
    """A column's name without what may differ: case, spaces, ``_`` and ``-``."""
    return name.translate(_DROPPED).lower()


_COLUMN_OF: Final = {plain(name): column for column, names in NAMES.items() for name in names}


@dataclass(frozen=True, slots=True)
class Columns:
    """A header that was understood: its names as sent, where each known column stands, and which are ignored."""

    header: tuple[str, ...]
    positions: Mapping[str, int]
    ignored: frozenset[int]

    def __contains__(self, column: str) -> bool:
        return column in self.positions


def column_of(name: str, ignore: Collection[str] = (), present: Collection[str] = ()) -> str | None:
    """The known column that a name means, ``None`` if it is to be ignored.

    A name in ``ignore`` that means a known column is that column: nobody can ignore an amount. ``present`` are the
    columns that need not be suggested. Raises ``Unreadable`` (COLUMN_UNKNOWN).
    """
    column = _COLUMN_OF.get(plain(name))
    if column is None and plain(name) not in {plain(each) for each in ignore}:
        raise _unknown(name, present)
    return column


def known(header: Sequence[str], ignore: Collection[str]) -> int:
    """How many names of a header mean something."""
    names = _COLUMN_OF.keys() | {plain(each) for each in ignore}
    return sum(plain(name) in names for name in header)


def map_header(header: Sequence[str], ignore: Collection[str]) -> Columns:
    """Find the known columns of a header.

    Raises ``Unreadable``: NOT_READABLE for a column without a name, COLUMN_UNKNOWN, COLUMN_TWICE.
    """
    positions: dict[str, int] = {}
    ignored = set()
    present = {column for name in header if (column := _COLUMN_OF.get(plain(name)))}
    for at, name in enumerate(header):
        if not plain(name):
            reason = f"Column {at + 1} of the header has no name."
            raise Unreadable(Code.NOT_READABLE, Code.NOT_READABLE.message(reason=reason))
        column = column_of(name, ignore, present)
        if column is None:
            ignored.add(at)
        elif column in positions:
            both = f"{quoted(header[positions[column]])} and {quoted(name)}"
            message = Code.COLUMN_TWICE.message(value=both, field=DISPLAY[column])
            raise Unreadable(Code.COLUMN_TWICE, message)
        else:
            positions[column] = at
    return Columns(tuple(header), positions, frozenset(ignored))


def _unknown(name: str, present: Collection[str]) -> Unreadable:
    missing = {each: DISPLAY[column] for each, column in _COLUMN_OF.items() if column not in present}
    close = get_close_matches(plain(name), missing, n=1)
    suggestion = f" Did you mean {missing[close[0]]}?" if close else ""
    message = Code.COLUMN_UNKNOWN.message(value=quoted(name), suggestion=suggestion)
    return Unreadable(Code.COLUMN_UNKNOWN, message)
