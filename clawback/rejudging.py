"""Judges lines of a finished delivery again: those whose action was loaded meanwhile, or all that did not get through.

Each delivery is one transaction; what it leaves behind is a receipt that nobody has been given yet.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from clawback.cases import judged_case
from clawback.judging import Case, application, record
from clawback.wiring import Desk
from processing import catalog, deliveries, revisions, waiting
from processing.codes import Verdict
from processing.columns import Ints
from processing.errors import LedgerConflict, SpoolBroken
from processing.instants import told
from processing.revisions import Taken
from processing.store import claim_account
from processing.tally import Tally
from schemas.check import Checked
from schemas.document import Document

_log = logging.getLogger(__name__)

TRIES: Final = 3
Take = Callable[[Connection, int], Taken]


@dataclass(slots=True)
class Settled:
    """The deliveries whose waiting lines got a verdict, and why others could not be read."""

    revised: list[str] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)


def settle(desk: Desk, *, at: datetime, account: str | None = None) -> Settled:
    """Judge waiting lines whose action was loaded, in the order of their arrival; refuse those that waited too long.

    A delivery that cannot be read does not stop the others; its lines stay ready, and locks wait for them.
    """
    settled = Settled()
    with desk.store.read() as db:
        ready, overdue = waiting.ready(db, account), waiting.overdue(db, at, account)
    for one in ready:
        try:
            if rejudge(desk, one.delivery, revisions.take_ready, at=at, because="actions were loaded"):
                settled.revised.append(one.delivery)
        except Exception as error:  # noqa: BLE001 - told to the caller; the other deliveries go on
            _log.exception("not_settled delivery=%s account=%s", one.delivery, one.sid)
            settled.failures[one.delivery] = error
    settled.revised += [one.delivery for one in overdue if _expire(desk, one.delivery, at)]
    return settled


def rejudge(desk: Desk, delivery: str, take: Take, *, at: datetime, because: str) -> bool:
    """Judge the lines that ``take`` takes back with the terms of now and the delivery's own arrival.

    Gives whether there were any; raises SpoolBroken when the bytes are not what arrived.
    """
    desk.spool.verify(delivery)
    for left in reversed(range(TRIES)):
        try:
            with desk.store.write() as db:
                return rejudge_in(db, desk, delivery, take, at=at, because=because)
        except LedgerConflict:
            if not left:
                raise
    raise AssertionError


def rejudge_in(db: Connection, desk: Desk, delivery: str, take: Take, *, at: datetime, because: str) -> bool:
    """The same inside the caller's transaction."""
    claim_account(db, deliveries.find(db, delivery).sid)
    found = deliveries.find(db, delivery)
    taken = take(db, found.id)
    if len(taken.lines) == 0:
        return False
    case, tally = judged_case(db, desk, found), _tally(found, taken)
    before = tally.verdicts.copy()
    document = case.open()
    applied = application(db, found.id, case, document, tally)
    judged = 0
    for checked in _checked(case, document, taken.lines):
        record(applied, checked)
        judged += len(checked.good) + len(checked.bad)
    if judged != len(taken.lines):
        raise SpoolBroken(f"Delivery {delivery} has not the lines it was judged by. Restore its folder from a backup.")
    became = {verdict: tally.verdicts[verdict] - before[verdict] for verdict in Verdict}
    summary, lines = tally.told(case.terms.partners), taken.lines.tolist()
    revisions.revise(db, found, summary, at=at, because=because, became=became, lines=lines)
    return True


def _expire(desk: Desk, delivery: str, at: datetime) -> bool:
    with desk.store.write() as db:
        claim_account(db, deliveries.find(db, delivery).sid)
        found = deliveries.find(db, delivery)
        if found.waits_until is None:
            return False
        terms = catalog.read_terms(db, found.sid)
        refused = waiting.expire(db, found.id, told(found.waits_until, terms.zone))
        if refused:
            tally = Tally.resumed(json.loads(found.summary))
            tally.take_back({Verdict.WAITING: refused})
            tally.count(Verdict.REFUSED, refused)
            became = {Verdict.REFUSED: refused}
            because = "the lines waited for their actions in vain"
            revisions.revise(db, found, tally.told(terms.partners), at=at, because=because, became=became)
    return bool(refused)


def _tally(found: Row[Any], taken: Taken) -> Tally:
    tally = Tally.resumed(json.loads(found.summary))
    tally.take_back(taken.verdicts)
    return tally


def _checked(case: Case, document: Document, lines: Ints) -> Iterator[Checked]:
    """The chosen lines (ascending), judged as text; chunks without any are read and passed over."""
    for chunk in document.chunks():
        part = chunk.only(lines)
        if len(part.lines) or part.bad:
            yield case.check(document, part)
