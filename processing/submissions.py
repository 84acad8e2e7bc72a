"""Submissions as programs read them: an account's one-line deliveries, its files, and the lines that went wrong."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, select

from processing import bulk
from processing.codes import Verdict
from processing.deliveries import API, NO_ROWS, DeliveryState, holds_lines
from processing.errors import NotFound
from processing.pages import NOTHING, Keys, Page, Place, read
from processing.tables import action, delivery, entry, line

# The only line of a one-line delivery stands below its header.
ONE_LINE: Final = 2
_WRONG: Final = (Verdict.REJECTED.value, Verdict.REFUSED.value, Verdict.HELD.value, Verdict.WAITING.value)
_BY_THEMSELVES: Final = (Verdict.REJECTED.value, Verdict.WAITING.value)
_OPEN: Final = (DeliveryState.BROKEN.value, DeliveryState.HELD.value, DeliveryState.WAITING.value)
# What may be wrong with a file as a whole, and what that makes of it.
_AS_A_WHOLE: Final = {DeliveryState.REJECTED.value: Verdict.REJECTED, DeliveryState.HELD.value: Verdict.HELD}
# A delivery can have an event type of its own.
_TARGET: Final = (
    action.c.program_id,
    action.c.event_type_id.label("tracked_by"),
    action.c.partner_id,
    action.c.order_id,
)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which submissions are wanted: those of these channels, or of all but these; spans as for actions."""

    channels: Collection[str]
    others: bool = False
    received: Span | None = None
    finished: Span | None = None


@dataclass(frozen=True, slots=True)
class WholeFile:
    """What is wrong with a file as a whole, as if it were so with its first line."""

    delivery_id: int
    code: str | None
    message: str | None
    verdict: str
    line: int = 1
    program_id: None = None
    tracked_by: None = None
    partner_id: None = None
    order_id: None = None


def page(db: Connection, account_id: int, wanted: Wanted, place: Place, waiting: Mapping[Keys, Any] = NOTHING) -> Page:
    """A page of submissions, newest first; with what waits to be judged, by arrival and what tells it from others.

    A container is finished with the last of its files.
    """
    query = _query().where(delivery.c.account_id == account_id, _channel(wanted))
    for column, span in ((delivery.c.received_at, wanted.received), (delivery.c.changed_at, wanted.finished)):
        if span is not None:
            query = query.where(column.between(*span))
    if wanted.finished is not None:
        query = query.where(_complete(), delivery.c.state != DeliveryState.UNPACKED.value)
        waiting = {**waiting, **_containers(db, account_id, wanted, wanted.finished)}
    return read(db, query, (delivery.c.received_at, delivery.c.id), place, others=waiting)


def one(db: Connection, account_id: int, wanted: Wanted, number: str) -> Row[Any]:
    """A submission that has been judged; raises NotFound."""
    mine = (delivery.c.account_id == account_id, delivery.c.delivery == number)
    found = db.execute(_query().where(*mine, _channel(wanted))).one_or_none()
    if found is None:
        raise NotFound(f"There is no submission {number}.")
    return found


def known(db: Connection, numbers: Sequence[str]) -> set[str]:
    """Which of these deliveries the store has seen."""
    asked = bulk.listed(db, numbers)
    query = select(delivery.c.delivery).select_from(asked.outerjoin(delivery, delivery.c.delivery == asked.c.value))
    return set(db.execute(query).scalars()) - {None}


def files(db: Connection, found: Iterable[Row[Any]]) -> dict[str, list[Row[Any] | None]]:
    """The files of each container among submissions, by its number; None is a file that was not judged yet."""
    numbers = {one.delivery: _numbers(one) if one.state == DeliveryState.UNPACKED else [] for one in found}
    asked = bulk.listed(db, list(chain.from_iterable(numbers.values())))
    query = select(delivery).select_from(asked.outerjoin(delivery, delivery.c.delivery == asked.c.value))
    judged = {one.delivery: one for one in db.execute(query)}
    return {container: [judged.get(number) for number in its] for container, its in numbers.items()}


def completed_at(found: Row[Any], its_files: Sequence[Row[Any] | None]) -> int | None:
    """When a file came to its end, of a container the last of its files; None if something can become of it still."""
    judged = [one for one in (found, *its_files) if one is not None]
    if None in its_files or any(one.state in _OPEN or holds_lines(one) for one in judged):
        return None
    return max(int(one.changed_at) for one in judged)


def errors(found: Row[Any]) -> int:
    """How many errors ``list_errors`` has of a file."""
    counted, whole = rows(found), found.state in _AS_A_WHOLE
    # Lines that are held or refused as the whole file is have no verdict of their own.
    alone = _BY_THEMSELVES if whole else _WRONG
    return sum(counted[verdict] for verdict in alone) + int(whole)


def list_errors(db: Connection, found: Sequence[Row[Any]], place: Place) -> Page:
    """A page of the lines of files that were not applied, in order; before them why a file was rejected or is held."""
    ids = [one.id for one in found]
    wrong = (line.c.delivery_id == ids[0] if len(ids) == 1 else line.c.delivery_id.in_(ids), line.c.verdict.in_(_WRONG))
    query = select(line, *_TARGET).outerjoin(action, action.c.id == line.c.action_id).where(*wrong)
    whole = {
        (one.id, 0): WholeFile(one.id, one.code, one.message, verdict=_AS_A_WHOLE[one.state].value)
        for one in found
        if one.state in _AS_A_WHOLE
    }
    return read(db, query, (line.c.delivery_id, line.c.line), place, rising=True, others=whole)


def finished(found: Row[Any]) -> bool:
    """Whether nothing can become of a submission any more: its line, if it has one, does not wait either."""
    return found.state in {DeliveryState.DONE, DeliveryState.DUPLICATE, DeliveryState.REJECTED} and (
        found.verdict != Verdict.WAITING
    )


def rows(found: Row[Any]) -> dict[str, int]:
    """How many lines a submission has, and of each verdict."""
    counted: dict[str, int] = json.loads(found.summary).get("rows", NO_ROWS)
    return counted


def _containers(db: Connection, account_id: int, wanted: Wanted, span: Span) -> dict[Keys, Row[Any]]:
    """The containers that were finished within the span, by their place in the list."""
    mine = (delivery.c.account_id == account_id, delivery.c.changed_at.between(*span))
    unpacked = delivery.c.state == DeliveryState.UNPACKED.value
    # What came in something has a number with one dash more.
    inside = delivery.c.delivery.like("%-%-%")
    changed = db.execute(select(delivery.c.delivery).where(*mine, unpacked | inside)).scalars().all()
    numbers = {*changed, *(number.rpartition("-")[0] for number in changed)}
    asked = bulk.listed(db, sorted(numbers))
    query = _query().where(delivery.c.account_id == account_id, unpacked, _channel(wanted))
    if wanted.received is not None:
        query = query.where(delivery.c.received_at.between(*wanted.received))
    found = db.execute(query.where(delivery.c.delivery.in_(select(asked.c.value)))).all()
    of = files(db, found)
    ends = {one: completed_at(one, of[one.delivery]) for one in found}
    return {(one.received_at, one.id): one for one, at in ends.items() if at is not None and span[0] <= at <= span[1]}


def _numbers(container: Row[Any]) -> list[str]:
    return [file["delivery"] for file in json.loads(container.summary)["files"]]


def _channel(wanted: Wanted) -> Any:  # noqa: ANN401 - SQLAlchemy's type of a condition
    chosen = delivery.c.channel.in_(wanted.channels)
    return ~chosen if wanted.others else chosen


def _complete() -> Any:  # noqa: ANN401 - as above
    """Nothing can become of a submission any more; of a file's lines that wait there is a receipt already."""
    holds = (delivery.c.state == DeliveryState.DONE.value) & delivery.c.code.is_not(None)
    waits = (delivery.c.channel == API) & line.c.verdict.is_not_distinct_from(Verdict.WAITING.value)
    return delivery.c.state.not_in(_OPEN) & ~holds & ~waits


def _query() -> Select[Any]:
    """Deliveries; with what became of the only line of a one-line delivery, and the action it changed."""
    only = (line.c.delivery_id == delivery.c.id) & (line.c.line == ONE_LINE)
    changed = (entry.c.delivery_id == delivery.c.id) & (entry.c.line == ONE_LINE)
    return (
        select(delivery, line.c.verdict, line.c.code.label("line_code"), line.c.message.label("line_message"), *_TARGET)
        .outerjoin(line, only)
        .outerjoin(entry, changed)
        .outerjoin(action, action.c.id == func.coalesce(entry.c.action_id, line.c.action_id))
    )
