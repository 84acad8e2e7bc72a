"""Who had the last word on an action: a line that is judged after later ones is not to overtake them.

A change tells by itself which delivery made it. A line that found nothing to change leaves nothing but its verdict.
"""

from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Connection, select

from processing import bulk
from processing.codes import Verdict
from processing.columns import Ints
from processing.deliveries import DeliveryState
from processing.tables import delivery, line

Words = tuple[Ints, Ints]
"""Actions (row ids), any number of times, and beside each how late a line had its say on it."""

_KINDS: Final[dict[str, bulk.Kind]] = {"action": int, "late": int}


def of_delivery(db: Connection, delivery_id: int) -> Words:
    """The actions on which lines of a delivery found nothing to change, with those lines."""
    query = select(line.c.action_id, line.c.line).where(line.c.delivery_id == delivery_id, _unchanged())
    return _fetched(db, query)


def of_later(db: Connection, account_id: int, received_at: int) -> Words:
    """Those on which lines of deliveries that arrived later did, with the arrivals in microseconds."""
    query = (
        select(line.c.action_id, delivery.c.received_at)
        .join(line, line.c.delivery_id == delivery.c.id)
        .where(
            delivery.c.account_id == account_id,
            delivery.c.received_at > received_at,
            delivery.c.state == DeliveryState.DONE.value,
            delivery.c.undone_by.is_(None),
            _unchanged(),
        )
    )
    return _fetched(db, query)


def heed(words: Words, actions: Ints, latest: Ints, until: Ints | None = None) -> None:
    """Raise ``latest``, which stands beside sorted row ids of actions, to the last word on each of them.

    What is as late as ``until`` had no say: a line that arrives after the lock finds nothing to change, too.
    """
    known = np.isin(words[0], actions)
    at, late = np.searchsorted(actions, words[0][known]), words[1][known]
    if until is not None:
        in_time = late < until[at]
        at, late = at[in_time], late[in_time]
    np.maximum.at(latest, at, late)


def _unchanged() -> ColumnElement[bool]:
    return (line.c.verdict == Verdict.UNCHANGED.value) & line.c.action_id.is_not(None)


def _fetched(db: Connection, query: Any) -> Words:  # noqa: ANN401 - a select of two integers
    found = bulk.fetch(db, query, _KINDS)
    return found["action"], found["late"]
