"""Who had the last word on an action: a line that is judged after later ones is not to overtake them.

A change tells by itself which delivery made it. A line that found nothing to change leaves nothing but its verdict.
"""

from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Connection, Table, exists, select

from processing import bulk
from processing.catalog import Terms
from processing.codes import Verdict
from processing.columns import Ints
from processing.deliveries import DeliveryState
from processing.model import Level
from processing.tables import action, delivery, entry, line

Words = tuple[Ints, Ints]
"""Actions (row ids), any number of times, and beside each how late a line had its say on it."""

_KINDS: Final[dict[str, bulk.Kind]] = {"action": int, "late": int}


def of_delivery(db: Connection, delivery_id: int) -> Words:
    """The actions on which lines of a delivery found nothing to change, with those lines."""
    query = select(line.c.action_id, line.c.line).where(line.c.delivery_id == delivery_id, is_unchanged())
    return _fetched(db, query)


def of_later(db: Connection, terms: Terms, received_at: int) -> Words:
    """Those on which lines of deliveries that arrived later did, with the arrivals in microseconds."""
    query = (
        select(line.c.action_id, delivery.c.received_at)
        .join(line, line.c.delivery_id == delivery.c.id)
        .where(*_later(terms, received_at), delivery.c.undone_by.is_(None), is_unchanged())
        .where(delivery.c.state == DeliveryState.DONE.value)
    )
    return _fetched(db, query)


def changed_later(db: Connection, terms: Terms, received_at: int, actions: Ints) -> Words:
    """Those of these actions, if they have items, that deliveries changed that arrived later, with the arrivals.

    What changed an action last may have arrived before them.
    """
    kinds = [number for number, kind in terms.event_types.items() if kind.level is Level.ITEM]
    later = select(delivery.c.id).where(*_later(terms, received_at)).limit(1)
    if not kinds or len(actions) == 0 or db.execute(later).first() is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    wanted = bulk.listed(db, actions.tolist())
    query = (
        select(entry.c.action_id, delivery.c.received_at)
        .join(wanted, wanted.c.value == entry.c.action_id)
        .join(delivery, delivery.c.id == entry.c.delivery_id)
        .join(action, action.c.id == entry.c.action_id)
        .where(*_later(terms, received_at), action.c.event_type_id.in_(kinds), is_in_force(entry))
    )
    return _fetched(db, query)


def _later(terms: Terms, received_at: int) -> tuple[ColumnElement[bool], ...]:
    return delivery.c.account_id == terms.account_id, delivery.c.received_at > received_at


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


def is_unchanged() -> ColumnElement[bool]:
    """Whether a line found nothing to change."""
    return (line.c.verdict == Verdict.UNCHANGED.value) & line.c.action_id.is_not(None)


def is_in_force(said: Table) -> ColumnElement[bool]:
    """Whether what a delivery did to an action stands: it is no undo, and none that stands returned the action."""
    undoing, undo, own = entry.alias("undoing"), delivery.alias("undo"), delivery.alias("own")
    returned = (
        select(undoing.c.line)
        .join(undo, undo.c.id == undoing.c.delivery_id)
        .where(undoing.c.action_id == said.c.action_id, undo.c.undoes == said.c.delivery_id, undo.c.undone_by.is_(None))
        .correlate(said)
    )
    is_undo = exists().where(own.c.id == said.c.delivery_id, own.c.undoes.is_not(None)).correlate(said)
    return ~returned.exists() & ~is_undo


def _fetched(db: Connection, query: Any) -> Words:  # noqa: ANN401 - a select of two integers
    found = bulk.fetch(db, query, _KINDS)
    return found["action"], found["late"]
