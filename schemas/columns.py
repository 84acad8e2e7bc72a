"""The columns of a delivery and the names that brands give them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import quoted

_DROPPED: Final = str.maketrans("", "", " _-")


def plain(name: str) -> str:
    """A column's name without what may differ: case, spaces, ``_`` and ``-``."""
    return name.translate(_DROPPED).lower()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The columns of one kind of file and each one's names, of which the first is the one our messages use.

    ``total``: whether the amount of a whole order may stand beside those of its items.
    """

    names: Mapping[str, tuple[str, ...]]
    total: bool = False
    display: Mapping[str, str] = field(init=False)
    column_of: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "display", {column: names[0] for column, names in self.names.items()})
        column_of = {plain(name): column for column, names in self.names.items() for name in names}
        object.__setattr__(self, "column_of", column_of)

    def column(self, name: str, ignore: Collection[str] = (), present: Collection[str] = ()) -> str | None:
        """The column that a name means, ``None`` if it is to be ignored.

        A name in ``ignore`` that means a column is that column: nobody can ignore an amount. ``present`` are the
        columns that need not be suggested. Raises ``Unreadable`` (COLUMN_UNKNOWN).
        """
        column = self.column_of.get(plain(name))
        if column is None and plain(name) not in {plain(each) for each in ignore}:
            raise self._unknown(name, present)
        return column

    def known(self, header: Sequence[str], ignore: Collection[str] = ()) -> int:
        """How many names of a header mean something."""
        names = self.column_of.keys() | {plain(each) for each in ignore}
        return sum(plain(name) in names for name in header)

    def _unknown(self, name: str, present: Collection[str]) -> Unreadable:
        missing = {each: self.display[column] for each, column in self.column_of.items() if column not in present}
        close = get_close_matches(plain(name), missing, n=1)
        suggestion = f" Did you mean {missing[close[0]]}?" if close else ""
        message = Code.COLUMN_UNKNOWN.message(value=quoted(name), suggestion=suggestion)
        return Unreadable(Code.COLUMN_UNKNOWN, message)


ORDER_LEVEL: Final = Vocabulary(
    {
        "action_id": ("ActionId",),
        "order_id": ("Oid", "OrderId"),
        "event_type": ("ActionTrackerId", "EventTypeId"),
        "amount": ("Amount",),
        "currency": ("CurrencyCode", "Currency"),
        "customer_status": ("CustomerStatus",),
        "reason": ("Reason", "DispositionCode"),
    }
)
"""The columns of modifications and reversals of whole orders."""

DISPLAY: Final = ORDER_LEVEL.display


@dataclass(frozen=True, slots=True)
class Columns:
    """A header that was understood: its names as sent, where each column stands, and which are ignored."""

    header: tuple[str, ...]
    positions: Mapping[str, int]
    ignored: frozenset[int]
    vocabulary: Vocabulary = ORDER_LEVEL

    def __contains__(self, column: str) -> bool:
        return column in self.positions


def map_header(header: Sequence[str], ignore: Collection[str] = (), vocabulary: Vocabulary = ORDER_LEVEL) -> Columns:
    """Find the columns of a header.

    Raises ``Unreadable``: NOT_READABLE for a column without a name, COLUMN_UNKNOWN, COLUMN_TWICE.
    """
    positions: dict[str, int] = {}
    ignored = set()
    present = {column for name in header if (column := vocabulary.column_of.get(plain(name)))}
    for at, name in enumerate(header):
        if not plain(name):
            reason = f"Column {at + 1} of the header has no name."
            raise Unreadable(Code.NOT_READABLE, Code.NOT_READABLE.message(reason=reason))
        column = vocabulary.column(name, ignore, present)
        if column is None:
            ignored.add(at)
        elif column in positions:
            both = f"{quoted(header[positions[column]])} and {quoted(name)}"
            message = Code.COLUMN_TWICE.message(value=both, field=vocabulary.display[column])
            raise Unreadable(Code.COLUMN_TWICE, message)
        else:
            positions[column] = at
    return Columns(tuple(header), positions, frozenset(ignored), vocabulary)
