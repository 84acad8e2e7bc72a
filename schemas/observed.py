"""The deliveries that observed changes of records become: two kinds of file, with the evidence beside the lines."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# How the names of their channels begin.
CHANNELS: Final = "salesforce:"
# Read by nobody but people; judging ignores them.
EVIDENCE: Final = ("RecordId", "SystemModstamp", "StatusBefore", "StatusAfter", "Observation")
_CHANGES: Final = ("Oid", "ActionTrackerId", "Amount", "CurrencyCode", "Reason", *EVIDENCE)
# A file of ids and reasons: without a column to change anything its lines are reversals, whatever an action's amount.
_REVERSALS: Final = ("Oid", "ActionTrackerId", "Reason", *EVIDENCE)


@dataclass(frozen=True, slots=True)
class ObservedLine:
    """A line with the change of a record that it comes from; ``what`` are the columns of ``asking.Line``."""

    order_id: str
    event_type: int
    what: Mapping[str, Any]
    evidence: tuple[object, ...]


def files(lines: Iterable[ObservedLine]) -> dict[str, bytes]:
    """The files of these lines by their kind, ``changes`` and ``reversals``; one without lines is left out."""
    given = list(lines)
    reversals = [
        (one.order_id, one.event_type, one.what["reason"], *one.evidence) for one in given if one.what["reversal"]
    ]
    changes = [
        (one.order_id, one.event_type, one.what["amount"], one.what["currency"], one.what["reason"], *one.evidence)
        for one in given
        if not one.what["reversal"]
    ]
    kinds = {"changes": (_CHANGES, changes), "reversals": (_REVERSALS, reversals)}
    return {kind: _written(header, rows) for kind, (header, rows) in kinds.items() if rows}


def _written(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()
