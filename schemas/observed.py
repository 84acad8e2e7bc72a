"""The deliveries that observed changes of records become: two kinds of file, with the evidence beside the lines."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.chunk import shown
from schemas.contract import CONTROL

# How the names of their channels begin.
CHANNELS: Final = "salesforce:"
# The number of a file's first line, behind its header.
FIRST_LINE: Final = 2
# Read by nobody but people; judging ignores them. They stand first: what begins with a record's id is no trailer,
# whatever an org has for an order number.
EVIDENCE: Final = ("RecordId", "SystemModstamp", "StatusBefore", "StatusAfter", "Observation")
_CHANGES: Final = (*EVIDENCE, "Oid", "ActionTrackerId", "Amount", "CurrencyCode", "Reason")
# A file of ids and reasons: without a column to change anything its lines are reversals, whatever an action's amount.
_REVERSALS: Final = (*EVIDENCE, "Oid", "ActionTrackerId", "Reason")
_CONTROL: Final = re.compile(f"{CONTROL}+")


@dataclass(frozen=True, slots=True)
class ObservedLine:
    """A line with the change of a record that it comes from; ``what`` are the columns of ``asking.Line``."""

    order_id: str
    event_type: int
    what: Mapping[str, Any]
    evidence: tuple[object, ...]


def files(lines: Iterable[ObservedLine]) -> dict[str, bytes]:
    """The files of these lines by their kind, ``changes`` and ``reversals``; one without lines is left out.

    Raises ValueError for a control character in a column that judging reads: behind a line break another line begins.
    """
    given = list(lines)
    reversals = [_row(one, "reason") for one in given if kind_of(one.what) == "reversals"]
    changes = [_row(one, "amount", "currency", "reason") for one in given if kind_of(one.what) == "changes"]
    kinds = {"changes": (_CHANGES, changes), "reversals": (_REVERSALS, reversals)}
    return {kind: _written(header, rows) for kind, (header, rows) in kinds.items() if rows}


def kind_of(what: Mapping[str, Any]) -> str:
    """The file in which a line stands, given its columns."""
    return "reversals" if what["reversal"] else "changes"


def _row(one: ObservedLine, *columns: str) -> tuple[object, ...]:
    needed = (one.order_id, one.event_type, *(one.what[name] for name in columns))
    if any(isinstance(cell, str) and _CONTROL.search(cell) for cell in needed):
        raise ValueError("a column that is judged holds a control character")
    return *(shown(_CONTROL.sub(" ", cell)) if isinstance(cell, str) else cell for cell in one.evidence), *needed


def _written(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()
