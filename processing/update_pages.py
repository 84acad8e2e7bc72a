"""The changelog of actions as programs read it: one update for each tracked action, and one for each entry.

An update's serial number is the version it gave its action: 0 when it was tracked.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, literal, null, select, union_all

from processing.action_pages import Wanted
from processing.errors import NotFound
from processing.model import State
from processing.pages import Page, Place, read
from processing.tables import action, delivery, entry

TRACKED: Final = "track"
# Versions count from 0 and stay far below.
_MOST_VERSIONS: Final = 2**20


def one(db: Connection, account_id: int, action_id: str, version: int) -> Row[Any]:
    """An update of an action; raises NotFound."""
    mine = (action.c.account_id == account_id, action.c.action_id == action_id)
    query = _tracked(*mine) if version == 0 else _changed(*mine, entry.c.version == version)
    found = db.execute(query).one_or_none()
    if found is None:
        raise NotFound(f"There is no update {action_id}.{version}.")
    return found


def page(db: Connection, account_id: int, wanted: Wanted, place: Place) -> Page:
    """A page of updates, newest first."""
    mine: list[ColumnElement[bool]] = [
        action.c.account_id == account_id,
        action.c.program_id == wanted.program_id,
    ]
    for column, span in ((action.c.event_at, wanted.event), (action.c.locks_at, wanted.locks)):
        if span is not None:
            mine.append(column.between(*span))
    tracked, changed = _tracked(*mine), _changed(*mine, delivery.c.account_id == account_id)
    if wanted.updated is not None:
        tracked = tracked.where(action.c.created_at.between(*wanted.updated))
        changed = changed.where(delivery.c.changed_at.between(*wanted.updated))
    updates = union_all(tracked, changed).subquery()
    query = select(updates)
    if wanted.state is not None:
        query = query.where(updates.c.state_after == wanted.state.value)
    return read(db, query, (updates.c.updated_at, updates.c.number), place)


def of_lines(db: Connection, delivery_id: int, lines: Sequence[int]) -> list[Row[Any]]:
    """The updates that lines of a delivery (its row id) made, in their order."""
    mine = (entry.c.delivery_id == delivery_id, entry.c.line.in_(lines))
    return list(db.execute(_changed(*mine).order_by(entry.c.line)))


def _tracked(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(
        action,
        action.c.created_at.label("updated_at"),
        (action.c.id * _MOST_VERSIONS).label("number"),
        literal(0).label("serial"),
        literal(TRACKED).label("change"),
        null().label("reason"),
        literal(State.PENDING.value).label("state_after"),
        action.c.tracked_amount.label("amount_moved"),
        action.c.tracked_payout.label("payout_moved"),
        action.c.tracked_status.label("status_after"),
    ).where(*conditions)


def _changed(*conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            action,
            delivery.c.changed_at.label("updated_at"),
            (entry.c.action_id * _MOST_VERSIONS + entry.c.version).label("number"),
            entry.c.version.label("serial"),
            entry.c.change,
            entry.c.reason,
            entry.c.state_after,
            (entry.c.amount_after - entry.c.amount_before).label("amount_moved"),
            (entry.c.payout_after - entry.c.payout_before).label("payout_moved"),
            entry.c.status_after,
        )
        .join(entry, entry.c.action_id == action.c.id)
        .join(delivery, delivery.c.id == entry.c.delivery_id)
        .where(*conditions)
    )
