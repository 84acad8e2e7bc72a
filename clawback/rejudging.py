"""Judges lines of a finished delivery again: those whose action was loaded meanwhile, or all that did not get through.

Each delivery is one transaction; what it leaves behind is a receipt that nobody has been given yet. Lines that waited
and would do unusual harm are held until a person decides.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Row

from clawback.cases import judged_case
from clawback.judging import Case, application, record
from clawback.wiring import Desk
from processing import brakes, catalog, deliveries, revisions, waiting
from processing.codes import Code, Verdict
from processing.columns import Ints
from processing.errors import Braked, LedgerConflict, SpoolBroken, Unusable
from processing.instants import told
from processing.revisions import Taken
from processing.store import claim_account
from processing.tally import Tally
from schemas.check import Checked
from schemas.document import Document

_log = logging.getLogger(__name__)

TRIES: Final = 3
LOADED: Final = "actions were loaded"
WAITED: Final = "the lines that waited for their actions"
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
    taken = Taken(np.zeros(0, dtype=np.int64), {})

    def take(db: Connection, delivery_id: int) -> Taken:
        nonlocal taken
        taken = revisions.take_ready(db, delivery_id)
        return taken

    for _ in range(TRIES):
        try:
            if rejudge(desk, delivery, take, at=at, because=LOADED, weighed=WAITED):
                settled.revised.append(delivery)
        except Braked as because:
            if not _hold(desk, delivery, because, taken.lines, at=at):
                continue
            settled.held.append(delivery)
        return
    raise LedgerConflict(f"Lines of delivery {delivery} became ready while they were weighed. Judge them again.")


def rejudge(desk: Desk, delivery: str, take: Take, *, at: datetime, because: str, weighed: str | None) -> bool:
    """Judge the lines that ``take`` takes back with the terms of now and the delivery's own arrival.

    Gives whether there were any; raises SpoolBroken when the bytes are not what arrived, and Braked when they have to
    be held. ``weighed`` says which lines they are; None if a person has decided that they are not to be held.
    """
    desk.spool.verify(delivery)
    for left in reversed(range(TRIES)):
        try:
            with desk.store.write() as db:
                return rejudge_in(db, desk, delivery, take, at=at, because=because, weighed=weighed)
        except LedgerConflict:
            if not left:
                raise
    raise AssertionError


def rejudge_in(  # noqa: PLR0913 - those of rejudge
    db: Connection, desk: Desk, delivery: str, take: Take, *, at: datetime, because: str, weighed: str | None
) -> bool:
    """The same inside the caller's transaction, of which nothing is to be kept when Braked is raised."""
    claim_account(db, deliveries.find(db, delivery).sid)
    found = deliveries.find(db, delivery)
    taken = take(db, found.id)
    if len(taken.lines) == 0:
        return False
    case, tally = judged_case(db, desk, found), _tally(found)
    bad_before = tally.bad
    tally.take_back(taken.verdicts)
    document = case.open()
    applied = application(db, found.id, case, document, resumed_at=at)
    for checked in _checked(case, document, taken.lines):
        record(applied, checked)
    anew = applied.tally
    if anew.read != len(taken.lines):
        raise SpoolBroken(f"Delivery {delivery} has not the lines it was judged by. Restore its folder from a backup.")
    tally.add_up(anew)
    if weighed is None:
        tally.decide()
    else:
        brakes.check_again(db, case.terms, tally, anew, bad_before=bad_before, lines=weighed)
        if weighed == WAITED and deliveries.holds_lines(found):
            brakes.pull_again(Code(found.code), case.terms, anew)
    became = {verdict: anew.verdicts[verdict] for verdict in Verdict}
    summary, lines = tally.told(case.terms.partners), taken.lines.tolist()
    revisions.revise(db, found, summary, at=at, because=because, became=became, lines=lines)
    return True


def release(desk: Desk, delivery: str, *, by: str, at: datetime) -> None:
    """Apply the lines of a delivery that are held since their actions were loaded.

    Raises Unusable if none is, or if more are than its receipt says.
    """

    def take(db: Connection, delivery_id: int) -> Taken:
        found = _holding(db, delivery)
        revisions.say(db, delivery_id, f"{by} released its lines that waited. {found.message}")
        taken = revisions.take_held(db, delivery_id)
        if len(taken.lines) == 0:
            raise _holds_none(delivery)
        return taken

    rejudge(desk, delivery, take, at=at, because=f"{by} released the lines that waited", weighed=None)


def reject(desk: Desk, delivery: str, *, by: str, at: datetime) -> None:
    """Refuse the lines of a delivery that are held since their actions were loaded; raises Unusable as ``release``."""
    with desk.store.write() as db:
        claim_account(db, deliveries.find(db, delivery).sid)
        found = _holding(db, delivery)
        revisions.say(db, found.id, f"{by} rejected its lines that waited. {found.message}")
        tally = _tally(found)
        became = tally.refuse(waiting.reject(db, found.id, by))
        tally.decide()
        _revise(db, found, tally, became, at=at, because=f"{by} rejected the lines that waited")


def more_is_held(delivery: str) -> Unusable:
    """Why nothing can be decided about the held lines of a delivery as yet."""
    return Unusable(
        f"More lines of delivery {delivery} became ready than its receipt said; they are held with the others. "
        f"Look at it again with `clawback deliveries show {delivery}`, and then decide about all of them."
    )


def _expire(desk: Desk, delivery: str, at: datetime) -> bool:
    with desk.store.write() as db:
        claim_account(db, deliveries.find(db, delivery).sid)
        found = deliveries.find(db, delivery)
        if found.waits_until is None:
            return False
        refused = waiting.expire(db, found.id, told(found.waits_until, catalog.read_terms(db, found.sid).zone))
        if refused:
            tally = _tally(found)
            became = tally.refuse(refused)
            _revise(db, found, tally, became, at=at, because="the lines waited for their actions in vain")
    return bool(refused)


def _hold(desk: Desk, delivery: str, because: Braked, weighed: Ints, *, at: datetime) -> bool:
    """Keep the ready lines of a delivery for a person; what judged them was rolled back.

    False if they are not those that were ``weighed``: more became ready, or somebody was faster.
    """
    with desk.store.write() as db:
        claim_account(db, deliveries.find(db, delivery).sid)
        found = deliveries.find(db, delivery)
        # What was said of it before, such as who had released it, stays; but not why fewer lines were held.
        before = (found.message or "").removesuffix(waiting.why_held(db, found.id)).strip()
        held = waiting.hold(db, found.id, weighed, because.code, str(because))
        if held is None:
            return False
        tally = _tally(found)
        tally.take_back({Verdict.WAITING: held})
        tally.count(Verdict.HELD, held)
        tally.add_up(Tally.resumed({"nearest_lock": because.would["nearest_lock"]}))
        tally.held_money = because.would["money"]
        revisions.say(db, found.id, f"{before} {because}".strip(), because.code)
        because_of = f"{LOADED}, and the lines that waited are held"
        _revise(db, found, tally, {Verdict.HELD: held}, at=at, because=because_of)
    _log.info("held_lines delivery=%s account=%s code=%s", delivery, found.sid, because.code)
    return True


def _holds_none(delivery: str) -> Unusable:
    return Unusable(f"Delivery {delivery} holds no lines; there is nothing to release or reject.")


def _holding(db: Connection, delivery: str) -> Row[Any]:
    found = deliveries.find(db, delivery)
    if not deliveries.holds_lines(found):
        raise _holds_none(delivery)
    if waiting.untold(db, found.id):
        raise more_is_held(delivery)
    return found


def _revise(
    db: Connection, found: Row[Any], tally: Tally, became: Mapping[Verdict, int], *, at: datetime, because: str
) -> None:
    """Let the receipt of a delivery say what its lines have become that were not judged."""
    summary = tally.told(catalog.read_terms(db, found.sid).partners)
    revisions.revise(db, found, summary, at=at, because=because, became=became)


def _tally(found: Row[Any]) -> Tally:
    return Tally.resumed(json.loads(found.summary))


def _checked(case: Case, document: Document, lines: Ints) -> Iterator[Checked]:
    """The chosen lines (ascending), judged as text; chunks without any are read and passed over."""
    for chunk in document.chunks():
        part = chunk.only(lines)
        if len(part.lines) or part.bad:
            yield case.check(document, part)
