"""What became of observed changes in the ledger: the verdicts of the lines that they have become."""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from processing.codes import Code, Verdict
from processing.deliveries import DeliveryState
from processing.parts import parts
from processing.record_tables import observation, observed_batch
from processing.tables import delivery, entry, line


class Fate(StrEnum):
    """What became of a change.

    The ledger has it; or it may have it yet, for its lines are held, wait or have not landed; or its lines waited in
    vain for their action; or the ledger has it not, whatever the reason.
    """

    DONE = "done"
    PENDING = "pending"
    UNMET = "unmet"
    IN_VAIN = "in vain"


class _Lines(NamedTuple):
    """The lines of a delivery (row id) that a change has become."""

    delivery: int
    numbers: range

    def each(self) -> list[tuple[int, int]]:
        return [(self.delivery, number) for number in self.numbers]


def fates(db: Connection, source: str, mapping: str, orders: Mapping[str, str]) -> dict[str, Fate]:
    """The fates of the newest changes of records, given with their orders, that became lines about these orders."""
    changes = dict[str, list[Row[Any]]]()
    for some in parts(orders):
        query = (
            select(observation, observed_batch.c.deliveries)
            .outerjoin(observed_batch, observed_batch.c.id == observation.c.batch)
            .where(
                observation.c.source == source,
                observation.c.mapping == mapping,
                observation.c.record.in_(some),
                observation.c.held.is_(None),
            )
        )
        for one in db.execute(query.order_by(observation.c.id)):
            if one.order_id == orders[one.record]:
                changes.setdefault(one.record, []).append(one)
    heads = _heads(db, {number for its in changes.values() for one in its if (number := _delivery(one))})
    found, judged = dict[str, Fate](), dict[str, _Lines]()
    for name, its in changes.items():
        newest, head = its[-1], heads.get(_delivery(its[-1]) or "")
        found[name] = _of_delivery(head)
        # Whatever is undone since then is no more what the newest change began from.
        undone = (heads[number].undone_at for one in its if (number := _delivery(one)) in heads)
        if any(at is not None and at >= newest.observed_at for at in undone):
            found[name] = Fate.IN_VAIN
        elif head is not None and found[name] is Fate.DONE:
            judged[name] = _Lines(head.id, range(newest.line, newest.line + len(json.loads(newest.lines))))
    return found | _of_lines(db, judged)


def _delivery(one: Row[Any]) -> str | None:
    """The delivery in which the lines of a change stand, None before it has landed."""
    number = json.loads(one.deliveries or "{}").get(one.file)
    return None if number is None else str(number)


def _heads(db: Connection, numbers: Iterable[str]) -> dict[str, Row[Any]]:
    """Row id and state of deliveries, and when they were undone (microseconds)."""
    undo, found = delivery.alias("undo"), dict[str, Row[Any]]()
    query = select(delivery.c.id, delivery.c.delivery, delivery.c.state, undo.c.received_at.label("undone_at"))
    query = query.outerjoin(undo, undo.c.id == delivery.c.undone_by)
    for some in parts(numbers):
        found |= {one.delivery: one for one in db.execute(query.where(delivery.c.delivery.in_(some)))}
    return found


def _of_delivery(head: Row[Any] | None) -> Fate:
    """The fate of all lines of a delivery; DONE if each has its own."""
    if head is None or head.state in {DeliveryState.BROKEN, DeliveryState.HELD, DeliveryState.WAITING}:
        return Fate.PENDING
    return Fate.DONE if head.state == DeliveryState.DONE else Fate.IN_VAIN


def _of_lines(db: Connection, judged: Mapping[str, _Lines]) -> dict[str, Fate]:
    of_line = dict[tuple[int, int], Fate]()
    numbers = dict[int, list[int]]()
    for lines in judged.values():
        numbers.setdefault(lines.delivery, []).extend(lines.numbers)
    # By delivery: a list of pairs would have SQLite read the whole table, and what is no plain list is never cached.
    for delivery_id, its in numbers.items():
        for some in parts(its):
            answered = select(line.c.line, line.c.verdict, line.c.code)
            for one in db.execute(answered.where(line.c.delivery_id == delivery_id, line.c.line.in_(some))):
                of_line[delivery_id, one.line] = _of_verdict(one.verdict, one.code)
            applied = select(entry.c.line).where(entry.c.delivery_id == delivery_id, entry.c.line.in_(some))
            of_line |= {(delivery_id, number): Fate.DONE for number in db.execute(applied).scalars()}
    found = dict[str, Fate]()
    for name, lines in judged.items():
        each = {of_line.get(place, Fate.IN_VAIN) for place in lines.each()}
        found[name] = next(fate for fate in (Fate.PENDING, Fate.UNMET, Fate.IN_VAIN, Fate.DONE) if fate in each)
    return found


def _of_verdict(verdict: str, code: str | None) -> Fate:
    if verdict in {Verdict.WAITING, Verdict.HELD}:
        return Fate.PENDING
    # What came too late is proposed, each line after those before it, as if the ledger had them.
    if verdict == Verdict.UNCHANGED or code == Code.ACTION_LOCKED:
        return Fate.DONE
    return Fate.UNMET if code == Code.UNKNOWN_ACTION else Fate.IN_VAIN
