"""What a file would do if it arrived: decided by the same code, nothing written."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from clawback.judging import Case, judge, turn_away
from clawback.unnamed import unnamed
from clawback.unpacking import close_container, rehearse, unpacked
from clawback.wiring import Desk
from processing import catalog, deliveries
from processing.deliveries import Arrival, DeliveryState
from processing.errors import Braked, Unreadable
from processing.store import claim_account
from schemas.containers import Container, open_container

Receipt = dict[str, Any]


def preview(desk: Desk, arrival: Arrival, sid: str, content: Path, most_lines: int | None = None) -> Receipt:
    """What a file would do if it arrived: its receipt with lines, decided by the same code, nothing written.

    Of one that would be held it tells what it would do once released. That of a container has the receipts of its files
    as ``files``, each decided after those before it; ``most_lines`` is for all of them together.
    """

    def arrived(db: Connection) -> Case:
        terms = catalog.read_terms(db, sid)
        read = replace(arrival, encoding=terms.encoding, ignore_columns=terms.ignore_columns)
        return Case(read, content, terms, desk.most_bytes)

    return rehearsed(desk, sid, arrived, at=arrival.received_at, most_lines=most_lines)


def rehearsed(
    desk: Desk, sid: str, case_in: Callable[[Connection], Case], *, at: datetime, most_lines: int | None = None
) -> Receipt:
    """What judging a case would say, as ``preview`` tells it."""

    def told(end: Callable[[Connection, Case], object]) -> Receipt:
        with desk.store.rehearse() as db:
            claim_account(db, sid)
            case = case_in(db)
            end(db, case)
            return deliveries.receipt(db, case.arrival.delivery, most_lines)

    files = list[Receipt]()
    try:
        receipt = told(lambda db, case: files.extend(_judged(db, case, at, desk.most_bytes, most_lines)))
    except Unreadable as error:
        because = error
        return told(lambda db, case: turn_away(db, case, because, at=at))
    except Braked as error:
        why = str(error)
        return told(lambda db, case: judge(db, case, at=at, released=why)) | _held_by(error)
    return {**receipt, "files": files} if files else receipt


def _judged(db: Connection, case: Case, at: datetime, most_bytes: int, most_lines: int | None) -> Iterator[Receipt]:
    """Judge a case; gives the receipts of its files if it is a container."""
    container = open_container(case.content, case.arrival.name, most_bytes)
    if container is None:
        judge(db, case, at=at)
    else:
        yield from _rehearsed(db, case, container, at, most_lines)


def _rehearsed(
    db: Connection, case: Case, container: Container, at: datetime, most_lines: int | None
) -> Iterator[Receipt]:
    announced = close_container(db, case, unpacked(container, case.arrival.delivery), at=at)
    with unnamed() as place:
        for file in rehearse(container, case, *place, announced=announced):
            held: Receipt = {}
            try:
                with db.begin_nested():
                    judge(db, file, at=at)
            except Unreadable as error:
                turn_away(db, file, error, at=at)
            except Braked as error:
                judge(db, file, at=at, released=str(error))
                held = _held_by(error)
            receipt = deliveries.receipt(db, file.arrival.delivery, most_lines) | held
            most_lines = None if most_lines is None else most_lines - len(receipt["lines"])
            yield receipt


def _held_by(brake: Braked) -> Receipt:
    return {"state": DeliveryState.HELD.value, "code": brake.code.value, "message": str(brake)}
