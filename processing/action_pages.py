"""Actions as programs read them: one, or a page of those that were changed, tracked or lock within some time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, union

from processing.errors import NotFound
from processing.judgings import SAME_LINE, judged_at
from processing.model import State
from processing.pages import Page, Place, read
from processing.tables import action, delivery, entry, judged_later

# Up to so many actions are gathered first and then sorted; of more, the newest are looked through in their order.
_FEW: Final = 100_000

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which actions of a program are wanted; spans are microseconds, both ends included.

    ``updated``: when they were last modified, reversed, approved or reset, or else tracked. A lock is no update.
    """

    program_id: int
    state: State | None = None
    updated: Span | None = None
    event: Span | None = None
    locks: Span | None = None


def one(db: Connection, account_id: int, action_id: str) -> Row[Any]:
    """An action of an account with its last change; raises NotFound."""
    mine = (action.c.account_id == account_id, action.c.action_id == action_id)
    found = db.execute(_query().where(*mine)).one_or_none()
    if found is None:
        raise NotFound(f"There is no action {action_id}.")
    return found


def page(db: Connection, account_id: int, wanted: Wanted, place: Place) -> Page:
    """A page of actions, newest tracked first."""
    query = _query().where(action.c.account_id == account_id, action.c.program_id == wanted.program_id)
    if wanted.state is not None:
        query = query.where(action.c.state == wanted.state.value)
    for column, span in ((action.c.event_at, wanted.event), (action.c.locks_at, wanted.locks)):
        if span is not None:
            query = query.where(column.between(*span))
    if wanted.updated is not None:
        query = query.where(_updated(db, account_id, wanted.program_id, wanted.updated))
    return read(db, query, (action.c.created_at, action.c.id), place)


def _query() -> Select[Any]:
    """Actions, each with what its last change added to amount and payout (null if it was never changed)."""
    return select(
        action,
        (entry.c.amount_after - entry.c.amount_before).label("amount_moved"),
        (entry.c.payout_after - entry.c.payout_before).label("payout_moved"),
    ).outerjoin(entry, (entry.c.action_id == action.c.id) & (entry.c.version == action.c.version))


def _updated(db: Connection, account_id: int, program_id: int, span: Span) -> ColumnElement[bool]:
    """The condition that an action was last changed within the span, or tracked then and never changed."""
    last = func.coalesce(judged_at(), action.c.created_at).between(*span)
    finished = select(delivery.c.id).where(delivery.c.account_id == account_id, delivery.c.finished_at.between(*span))
    tracked = (action.c.program_id == program_id, action.c.created_at.between(*span))
    later = (judged_later.c.account_id == account_id, judged_later.c.judged_at.between(*span))
    some = (
        select(action.c.id).where(*tracked),
        select(entry.c.action_id).where(entry.c.delivery_id.in_(finished)),
        select(entry.c.action_id).join(judged_later, SAME_LINE).where(*later),
    )
    if _about(db, some) > _FEW:
        # Nothing is changed before it is tracked: what was tracked later need not be looked at.
        return (action.c.created_at <= span[1]) & last
    return action.c.id.in_(union(*some).subquery().select()) & last


def _about(db: Connection, some: Sequence[Select[Any]]) -> int:
    """How many actions there are to gather, at most; counted no further than it matters."""
    counted = (select(func.count()).select_from(one.limit(_FEW + 1).subquery()) for one in some)
    return sum(int(db.execute(query).scalar_one()) for query in counted)
