"""What a file would do if it arrived: decided by the same code, nothing written."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from clawback.cases import case_of
from clawback.judging import Case, judge, turn_away
from clawback.sidecars import proven_by
from clawback.unnamed import unnamed
from clawback.unpacking import close_container, rehearse, unpacked
from clawback.wiring import Desk
from processing import catalog, deliveries
from processing.deliveries import Arrival, DeliveryState
from processing.errors import Braked, Unreadable
from processing.store import claim_account
from schemas.containers import Container, open_container

Receipt = dict[str, Any]
# What a receipt tells of the lines of its delivery.
_TOLD: Final = ("rows", "money", "partners", "nearest_lock", "time_left", "lines", "more_lines")


def preview(desk: Desk, arrival: Arrival, sid: str, content: Path, most_lines: int | None = None) -> Receipt:
    """What a file would do if it arrived: its receipt with lines, decided by the same code, nothing written.

    Of one that would be held it tells what it would do once released, and of one that proves a held delivery to be
    whole what that would do. That of a container has the receipts of its files as ``files``, each decided after those
    before it; ``most_lines`` is for all of them together.
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
            return _receipt(db, desk, case, at, most_lines)

    files = list[Receipt]()
    try:
        receipt = told(lambda db, case: files.extend(_judged(db, desk, case, at, most_lines)))
    except Unreadable as error:
        because = error
        return told(lambda db, case: turn_away(db, case, because, at=at))
    except Braked as error:
        why = str(error)
        return told(lambda db, case: judge(db, case, at=at, released=why)) | _held_by(error)
    return {**receipt, "files": files} if files else receipt


def _judged(db: Connection, desk: Desk, case: Case, at: datetime, most_lines: int | None) -> Iterator[Receipt]:
    """Judge a case; gives the receipts of its files if it is a container."""
    container = open_container(case.content, case.arrival.name, desk.most_bytes)
    if container is None:
        judge(db, case, at=at)
    else:
        yield from _rehearsed(db, desk, case, container, at, most_lines)


def _rehearsed(
    db: Connection, desk: Desk, case: Case, container: Container, at: datetime, most_lines: int | None
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
            receipt = _receipt(db, desk, file, at, most_lines) | held
            most_lines = None if most_lines is None else most_lines - len(receipt["lines"])
            yield receipt


def _receipt(db: Connection, desk: Desk, case: Case, at: datetime, most_lines: int | None) -> Receipt:
    """The receipt of a case that was judged, with what the one delivery would do that it proves to be whole."""
    receipt = deliveries.receipt(db, case.arrival.delivery, most_lines)
    proven = proven_by(db, case.arrival.delivery)
    if len(proven) != 1:
        return receipt
    number = proven[0].delivery
    envelope = desk.spool.find(number)
    if open_container(desk.spool.content(number), envelope.name, desk.most_bytes) is not None:
        return receipt
    held, more = case_of(db, desk, envelope), ""
    try:
        with db.begin_nested():
            judge(db, held, at=at, proven=True)
    except Unreadable as error:
        turn_away(db, held, error, at=at)
        more = f" {error}"
    except Braked as error:
        judge(db, held, at=at, released=str(error))
        more = f" {error}"
    would = deliveries.receipt(db, number, most_lines)
    says = {"message": f"{receipt['message']}{more}"}
    return receipt | says | {part: would[part] for part in _TOLD if part in would}


def _held_by(brake: Braked) -> Receipt:
    return {"state": DeliveryState.HELD.value, "code": brake.code.value, "message": str(brake)}
