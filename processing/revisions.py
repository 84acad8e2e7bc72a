"""Revises what became of a finished delivery: lines are taken back to be judged again, and the receipt balances."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, case, delete, exists, func, null, select, update

from processing import bulk, deliveries, waiting
from processing.adjustment_tables import adjustment, adjustment_item
from processing.codes import Code, Verdict
from processing.columns import Ints
from processing.instants import micros
from processing.tables import delivery, line, waiting_line

# A line that was applied or needed nothing got what it asked for.
_OPEN = (Verdict.REJECTED, Verdict.REFUSED, Verdict.WAITING, Verdict.HELD)


@dataclass(frozen=True, slots=True)
class Taken:
    """Lines (numbers, ascending) that have no verdict any more, and how many had which."""

    lines: Ints
    verdicts: Mapping[Verdict, int]


def take_ready(db: Connection, delivery_id: int) -> Taken:
    """Take back the lines of a delivery whose action was loaded meanwhile, those that are held among them.

    None if all of them are held: these are a person's to decide.
    """
    if not waiting.untold(db, delivery_id):
        return Taken(np.zeros(0, dtype=np.int64), {})
    return _take_waiting(db, delivery_id, waiting_line.c.ready)


def take_held(db: Connection, delivery_id: int) -> Taken:
    """Take back the lines of a delivery that are held since their action was loaded."""
    return _take_waiting(db, delivery_id, waiting_line.c.held)


def take_open(db: Connection, delivery_id: int) -> Taken:
    """Take back the lines of a delivery that did not get what they asked for.

    Not those that are judged by themselves since their action was loaded, nor those that a person rejected.
    """
    mine = waiting_line.c.delivery_id == delivery_id
    is_open = line.c.verdict.in_([one.value for one in _OPEN])
    undecided = line.c.code.is_distinct_from(Code.NOT_RELEASED.value)
    unready = line.c.line.not_in(select(waiting_line.c.line).where(mine, waiting_line.c.ready))
    return _take(db, delivery_id, is_open & undecided & unready, mine & ~waiting_line.c.ready)


def say(db: Connection, delivery_id: int, message: str, code: Code | None = None) -> None:
    """Let a finished delivery say why its lines that waited are held (``code``), or who decided about them."""
    db.execute(update(delivery).values(code=code, message=message).where(delivery.c.id == delivery_id))


def revise(  # noqa: PLR0913 - the columns of a revision
    db: Connection,
    found: Row[Any],
    summary: Mapping[str, Any],
    *,
    at: datetime,
    because: str,
    became: Mapping[Verdict, int],
    lines: Sequence[int] = (),
) -> None:
    """Record what a delivery's receipt says from now on, and that it is to be sent again.

    ``summary`` is what ``Tally.told`` gives; ``became`` is what the ``lines`` that were judged anew have become;
    of those that were not judged the ledger has nothing new.
    """
    rows = {verdict.value: count for verdict, count in became.items() if count}
    revision = {"at": at.isoformat(), "because": because, "lines": sum(rows.values()), "rows": rows}
    told = {**summary, "revisions": [*json.loads(found.summary).get("revisions", []), revision]}
    waits = exists().where(waiting_line.c.delivery_id == delivery.c.id)
    db.execute(
        update(delivery)
        .values(
            summary=json.dumps(told),
            revision=delivery.c.revision + 1,
            answered_at=None,
            changed_at=micros(at),
            waits_until=case((waits, delivery.c.waits_until), else_=null()),
        )
        .where(delivery.c.id == found.id)
    )
    deliveries.tell_programs(db, found.id, at=at, lines=lines)


def _take_waiting(db: Connection, delivery_id: int, which: ColumnElement[bool]) -> Taken:
    chosen = (waiting_line.c.delivery_id == delivery_id) & which
    return _take(db, delivery_id, line.c.line.in_(select(waiting_line.c.line).where(chosen)), chosen)


def _take(db: Connection, delivery_id: int, chosen: ColumnElement[bool], waited: ColumnElement[bool]) -> Taken:
    mine = (line.c.delivery_id == delivery_id) & chosen
    lines = bulk.fetch(db, select(line.c.line).where(mine).order_by(line.c.line), {"line": int})["line"]
    counted = db.execute(select(line.c.verdict, func.count()).where(mine).group_by(line.c.verdict))
    verdicts = Counter({Verdict(verdict): count for verdict, count in counted})
    # What a late line proposes is part of its verdict.
    for proposed in (adjustment, adjustment_item):
        of_these = proposed.c.line.in_(select(line.c.line).where(mine))
        db.execute(delete(proposed).where(proposed.c.delivery_id == delivery_id, of_these))
    db.execute(delete(line).where(mine))
    db.execute(delete(waiting_line).where(waited))
    return Taken(lines, verdicts)
