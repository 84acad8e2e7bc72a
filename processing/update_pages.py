"""The changelog of actions as programs read it: one update for each tracked action, and one for each entry.

An update's serial number is the version it gave its action: 0 when it was tracked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Label,
    Row,
    Select,
    case,
    exists,
    func,
    literal,
    null,
    select,
    tuple_,
    union_all,
)

from processing.action_pages import Wanted
from processing.errors import NotFound
from processing.judgings import SAME_LINE, judged_at
from processing.model import State
from processing.pages import Cut, Keys, Page, Place, cut, length
from processing.tables import action, delivery, entry, item, item_entry, judged_later

TRACKED: Final = "track"
# An update's number tells the delivery and line that made it, or else the action that was tracked, below 0. Lines and
# deliveries (2^31) stay far below; 18 digits hold them all.
_MOST_LINES: Final = 2**28
_TRACKED_BELOW: Final = 2**59


@dataclass(frozen=True, slots=True)
class _Source:
    """Some of the updates, and the columns by which an index has them in the order of the list."""

    query: Select[Any]
    keys: Sequence[ColumnElement[int]]


def one(db: Connection, account_id: int, action_id: str, version: int) -> Row[Any]:
    """An update of an action; raises NotFound."""
    mine = (action.c.account_id == account_id, action.c.action_id == action_id)
    query = _tracked().where(*mine) if version == 0 else _changed(judged_at()).where(*mine, entry.c.version == version)
    found = db.execute(query).one_or_none()
    if found is None:
        raise NotFound(f"There is no update {action_id}.{version}.")
    return found


def page(db: Connection, account_id: int, wanted: Wanted, place: Place) -> Page:
    """A page of updates, newest first; of those that one judging of a delivery made, its last line's first."""
    tracked, *changed = sources = _sources(account_id, wanted)
    total = length(db, union_all(*(one.query.with_only_columns(action.c.id) for one in sources)), place)
    part = cut(place, total)
    rows = _inside(db, changed, part) if part.start is not None else []
    if len(rows) < part.count:
        rows += _beyond(db, tracked, changed, replace(part, count=part.count - len(rows)))
    return Page(rows[::-1] if part.up else rows, total)


def _sources(account_id: int, wanted: Wanted) -> list[_Source]:
    """What was tracked, what was changed as its delivery was finished, and what was changed later."""
    first = _changed(delivery.c.finished_at).join(delivery, delivery.c.id == entry.c.delivery_id)
    first = first.where(
        delivery.c.account_id == account_id, delivery.c.finished_at.is_not(None), ~exists().where(SAME_LINE)
    )
    later = _changed(judged_later.c.judged_at).join(judged_later, SAME_LINE)
    later = later.where(judged_later.c.account_id == account_id)
    mine = [action.c.account_id == account_id, action.c.program_id == wanted.program_id]
    for column, span in ((action.c.event_at, wanted.event), (action.c.locks_at, wanted.locks)):
        if span is not None:
            mine.append(column.between(*span))
    sources = (
        (_tracked(), action.c.created_at, action.c.id),
        (first, delivery.c.finished_at, delivery.c.id, entry.c.line),
        (later, judged_later.c.judged_at, judged_later.c.delivery_id, judged_later.c.line),
    )
    return [_Source(_narrowed(query.where(*mine), wanted), keys) for query, *keys in sources]


def _narrowed(query: Select[Any], wanted: Wanted) -> Select[Any]:
    told = query.selected_columns
    if wanted.updated is not None:
        query = query.where(told.updated_at.between(*wanted.updated))
    if wanted.state is not None:
        query = query.where(told.state_after == wanted.state.value)
    return query


def _inside(db: Connection, changed: Sequence[_Source], part: Cut) -> list[Row[Any]]:
    """What else of the list the delivery has in which a page begins: nothing stands between its updates."""
    assert part.start is not None  # noqa: S101 - a page that begins behind an update
    updated_at, number = part.start
    if number < 0:
        return []
    delivery_id, line = divmod(number, _MOST_LINES)
    rows: list[Row[Any]] = []
    for source in changed:
        at, of_delivery, of_line = source.keys
        beyond = of_line > line if part.up else of_line < line
        query = source.query.where(at == updated_at, of_delivery == delivery_id, beyond)
        rows += db.execute(_sorted((of_line,), query, part))
    # Lines may have been judged later, though in the instant at which the delivery was finished.
    return sorted(rows, key=attrgetter("number"), reverse=not part.up)[: part.count]


def _beyond(db: Connection, tracked: _Source, changed: Sequence[_Source], part: Cut) -> list[Row[Any]]:
    """What was tracked, and what other deliveries changed; each is read by its index, no further than wanted."""
    starts: list[Keys | None] = [None, None, None]
    if part.start is not None:
        updated_at, number = part.start
        # Of one instant, all that was tracked follows what was changed.
        ends = (updated_at, 0) if number < 0 else (updated_at, number // _MOST_LINES)
        action_id = number + _TRACKED_BELOW if number < 0 else _TRACKED_BELOW
        starts = [(updated_at, action_id), ends, ends]
    thirds = []
    for source, start in zip((tracked, *changed), starts, strict=True):
        query = source.query if start is None else source.query.where(_past(source.keys[:2], start, up=part.up))
        thirds.append(select(_sorted(source.keys, query, part).subquery()))
    every = union_all(*thirds).subquery()
    query = _sorted((every.c.updated_at, every.c.number), select(every), part)
    return list(db.execute(query.limit(part.count).offset(part.skip)))


def _past(keys: Sequence[ColumnElement[int]], start: Keys, *, up: bool) -> ColumnElement[bool]:
    return tuple_(*keys) > start if up else tuple_(*keys) < start


def _sorted(keys: Sequence[ColumnElement[int]], query: Select[Any], part: Cut) -> Select[Any]:
    return query.order_by(*(key if part.up else key.desc() for key in keys)).limit(part.skip + part.count)


def of_lines(db: Connection, delivery_id: int, lines: Sequence[int]) -> list[Row[Any]]:
    """The updates that lines of a delivery (its row id) made, in their order."""
    mine = (entry.c.delivery_id == delivery_id, entry.c.line.in_(lines))
    return list(db.execute(_changed(judged_at()).where(*mine).order_by(entry.c.line)))


def _tracked() -> Select[Any]:
    return select(
        action,
        action.c.created_at.label("updated_at"),
        (action.c.id - _TRACKED_BELOW).label("number"),
        literal(0).label("serial"),
        literal(TRACKED).label("change"),
        null().label("reason"),
        literal(State.PENDING.value).label("state_after"),
        action.c.tracked_amount.label("amount_moved"),
        action.c.tracked_payout.label("payout_moved"),
        action.c.tracked_status.label("status_after"),
        *_item(select(item).where(item.c.action_id == action.c.id), item.c.tracked_quantity),
    )


def _changed(updated_at: ColumnElement[int]) -> Select[Any]:
    same = (item_entry.c.delivery_id == entry.c.delivery_id, item_entry.c.line == entry.c.line)
    known = (item.c.action_id == item_entry.c.action_id) & (item.c.sku == item_entry.c.sku)
    touched = _item(select(item).join(item_entry, known).where(*same), item_entry.c.quantity_after)
    # A reversal returns all items without an entry for each.
    reversal = (entry.c.state_after == State.REVERSED.value, ~exists().where(*same).correlate(entry))
    gone = _item(select(item).where(item.c.action_id == action.c.id, *reversal), literal(0))
    return select(
        action,
        updated_at.label("updated_at"),
        (entry.c.delivery_id * _MOST_LINES + entry.c.line).label("number"),
        entry.c.version.label("serial"),
        entry.c.change,
        entry.c.reason,
        entry.c.state_after,
        (entry.c.amount_after - entry.c.amount_before).label("amount_moved"),
        (entry.c.payout_after - entry.c.payout_before).label("payout_moved"),
        entry.c.status_after,
        *(func.coalesce(one, other).label(one.name) for one, other in zip(touched, gone, strict=True)),
    ).join_from(action, entry, entry.c.action_id == action.c.id)


def _item(found: Select[Any], quantity: ColumnElement[int]) -> list[Label[Any]]:
    """The item of an update, if it is about one alone: its SKU, its category and what is left of it."""
    return [
        found.with_only_columns(case((func.count() == 1, func.min(column)))).scalar_subquery().label(name)
        for name, column in (("sku", item.c.sku), ("category", item.c.category), ("quantity", quantity))
    ]
