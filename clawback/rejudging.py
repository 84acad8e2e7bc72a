"""Judges lines of a finished delivery again: those whose action was loaded meanwhile, or all that did not get through.

Each delivery is one transaction; what it leaves behind is a receipt that nobody has been given yet. Lines that waited
and would do unusual harm are held: they stay as they are until a person decides.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from clawback.cases import judged_case
from clawback.judging import Case, application, record
from clawback.wiring import Desk
from processing import brakes, catalog, deliveries, revisions, waiting
from processing.codes import Verdict
from processing.columns import Ints
from processing.errors import Braked, LedgerConflict, SpoolBroken, Unusable
from processing.instants import told
from processing.revisions import Taken
from processing.store import claim_account
from processing.tally import Harm, Tally
from schemas.check import Checked
from schemas.document import Document

_log = logging.getLogger(__name__)

TRIES: Final = 3
LOADED: Final = "actions were loaded"
Take = Callable[[Connection, int], Taken]


@dataclass(slots=True)
class Settled:
    """The deliveries whose waiting lines got a verdict, those that hold them, and why others could not be read."""

    revised: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)


def settle(desk: Desk, *, at: datetime, account: str | None = None) -> Settled:
    """Judge waiting lines whose action was loaded, in the order of their arrival; refuse those that waited too long.

    A delivery that cannot be read, or has its lines held, does not stop the others; they stay ready, and locks wait for
    them.
    """
    settled = Settled()
    with desk.store.read() as db:
        ready, overdue = waiting.ready(db, account), waiting.overdue(db, at, account)
    for one in ready:
        try:
            _settle(desk, one.delivery, settled, at)
        except Exception as error:  # noqa: BLE001 - told to the caller; the other deliveries go on
            _log.exception("not_settled delivery=%s account=%s", one.delivery, one.sid)
            settled.failures[one.delivery] = error
    settled.revised += [one.delivery for one in overdue if _expire(desk, one.delivery, at)]
    return settled


def _settle(desk: Desk, delivery: str, settled: Settled, at: datetime) -> None:
    try:
        if rejudge(desk, delivery, revisions.take_ready, at=at, because=LOADED, brakes_on=True):
            settled.revised.append(delivery)
    except Braked as because:
        if _hold(desk, delivery, because, at=at):
            settled.held.append(delivery)


def rejudge(desk: Desk, delivery: str, take: Take, *, at: datetime, because: str, brakes_on: bool = False) -> bool:
    """Judge the lines that ``take`` takes back with the terms of now and the delivery's own arrival.

    Gives whether there were any; raises SpoolBroken when the bytes are not what arrived, and with ``brakes_on``, which
    is for lines that waited, Braked when they have to be held.
    """
    desk.spool.verify(delivery)
    for left in reversed(range(TRIES)):
        try:
            with desk.store.write() as db:
                return rejudge_in(db, desk, delivery, take, at=at, because=because, brakes_on=brakes_on)
        except LedgerConflict:
            if not left:
                raise
    raise AssertionError


def rejudge_in(  # noqa: PLR0913 - those of rejudge
    db: Connection, desk: Desk, delivery: str, take: Take, *, at: datetime, because: str, brakes_on: bool = False
) -> bool:
    """The same inside the caller's transaction, of which nothing is to be kept when Braked is raised."""
    claim_account(db, deliveries.find(db, delivery).sid)
    found = deliveries.find(db, delivery)
    taken = take(db, found.id)
    if len(taken.lines) == 0:
        return False
    case, tally = judged_case(db, desk, found), _tally(found, taken.verdicts)
    document = case.open()
    applied = application(db, found.id, case, document, resumed=True)
    for checked in _checked(case, document, taken.lines):
        record(applied, checked)
    anew = applied.tally
    if anew.read != len(taken.lines):
        raise SpoolBroken(f"Delivery {delivery} has not the lines it was judged by. Restore its folder from a backup.")
    if brakes_on:
        tally.waited += anew.harm
        brakes.check_waited(db, case.terms, tally.waited, anew.nearest_lock)
    tally.add_up(anew)
    became = {verdict: anew.verdicts[verdict] for verdict in Verdict}
    summary, lines = tally.told(case.terms.partners), taken.lines.tolist()
    revisions.revise(db, found, summary, at=at, because=because, became=became, lines=lines)
    return True


def release(desk: Desk, delivery: str, *, by: str, at: datetime) -> None:
    """Apply the lines of a delivery that are held since their actions were loaded; raises Unusable if none is."""

    def take(db: Connection, delivery_id: int) -> Taken:
        found = _holding(db, delivery)
        revisions.say(db, delivery_id, f"{by} released its lines that waited. {found.message}")
        return revisions.take_ready(db, delivery_id)

    rejudge(desk, delivery, take, at=at, because=f"{by} released the lines that waited")


def reject(desk: Desk, delivery: str, *, by: str, at: datetime) -> None:
    """Refuse the lines of a delivery that are held since their actions were loaded; raises Unusable if none is."""
    with desk.store.write() as db:
        claim_account(db, deliveries.find(db, delivery).sid)
        found = _holding(db, delivery)
        revisions.say(db, found.id, f"{by} rejected its lines that waited. {found.message}")
        _refused(db, found, waiting.reject(db, found.id, by), at=at, because=f"{by} rejected the lines that waited")


def _expire(desk: Desk, delivery: str, at: datetime) -> bool:
    with desk.store.write() as db:
        claim_account(db, deliveries.find(db, delivery).sid)
        found = deliveries.find(db, delivery)
        if found.waits_until is None:
            return False
        refused = waiting.expire(db, found.id, told(found.waits_until, catalog.read_terms(db, found.sid).zone))
        if refused:
            _refused(db, found, refused, at=at, because="the lines waited for their actions in vain")
    return bool(refused)


def _hold(desk: Desk, delivery: str, because: Braked, *, at: datetime) -> bool:
    """Keep the lines of a delivery for a person, unless somebody was faster; what judged them was rolled back."""
    with desk.store.write() as db:
        claim_account(db, deliveries.find(db, delivery).sid)
        found = deliveries.find(db, delivery)
        if found.id not in {one.id for one in waiting.ready(db, found.sid)}:
            return False
        tally = _tally(found, {})
        tally.add_up(Tally(nearest_lock=because.nearest_lock))
        # Once a person has looked at all this, what comes later is weighed by itself.
        tally.waited = Harm()
        # What was said of it before, such as who had released it, stays.
        revisions.say(db, found.id, " ".join(filter(None, (found.message, str(because)))), because.code)
        summary = tally.told(catalog.read_terms(db, found.sid).partners)
        revisions.revise(db, found, summary, at=at, because=f"{LOADED}, and the lines that waited are held", became={})
    _log.info("held_lines delivery=%s account=%s code=%s", delivery, found.sid, because.code)
    return True


def _holding(db: Connection, delivery: str) -> Row[Any]:
    found = deliveries.find(db, delivery)
    if not deliveries.holds_lines(found):
        raise Unusable(f"Delivery {delivery} holds no lines; there is nothing to release or reject.")
    return found


def _refused(db: Connection, found: Row[Any], count: int, *, at: datetime, because: str) -> None:
    """Let the receipt of a delivery say that so many of its lines wait no longer."""
    tally = _tally(found, {Verdict.WAITING: count})
    tally.count(Verdict.REFUSED, count)
    summary = tally.told(catalog.read_terms(db, found.sid).partners)
    revisions.revise(db, found, summary, at=at, because=because, became={Verdict.REFUSED: count})


def _tally(found: Row[Any], taken: Mapping[Verdict, int]) -> Tally:
    tally = Tally.resumed(json.loads(found.summary))
    tally.take_back(taken)
    return tally


def _checked(case: Case, document: Document, lines: Ints) -> Iterator[Checked]:
    """The chosen lines (ascending), judged as text; chunks without any are read and passed over."""
    for chunk in document.chunks():
        part = chunk.only(lines)
        if len(part.lines) or part.bad:
            yield case.check(document, part)
