"""What happens to a delivery, as plain functions; remove Prefect and it still runs.

A delivery is judged in one transaction and answered from what that transaction wrote, so that, whatever dies in
between, calling ``ingest`` again finishes the rest and repeats nothing.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final

from sqlalchemy import Connection, Row

from clawback import answers, mailroom
from clawback.cases import arrival_of, case_of, judged_case
from clawback.judging import Case, hold, judge, turn_away
from clawback.rejudging import Settled, settle
from clawback.sidecars import proven_by
from clawback.unpacking import close_container, unpack
from clawback.wiring import Desk
from connectors.envelope import Envelope
from processing import deliveries, waiting
from processing.codes import Code
from processing.deliveries import DeliveryState
from processing.errors import Braked, ClawbackError, LedgerConflict, SpoolBroken, Unreadable
from processing.store import claim_account
from schemas.sidecar import described

_log = logging.getLogger(__name__)

TRIES: Final = 3
WITHOUT_BYTES: Final = frozenset({deliveries.PERSON, deliveries.UNDO})
Receipt = dict[str, Any]


@dataclass(slots=True)
class Collected:
    """What one round through the spool did: the receipts' heads, and the deliveries that could not be finished."""

    receipts: list[Receipt] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)


def ingest(desk: Desk, delivery: str, *, at: datetime) -> Receipt:
    """Bring a landed delivery to its end and answer it; gives its receipt's head.

    Older deliveries of the same account go first: files are applied in the order of their arrival. ``at`` is the
    instant of processing. Whatever is raised, the delivery stays in the spool and can be ingested again.
    """
    envelope = desk.spool.find(delivery)
    for older in desk.spool.pending(envelope.account):
        if _order(older) < _order(envelope):
            _finish_unless_broken(desk, older, at)
    return finish(desk, envelope, at)


def collect(desk: Desk, *, at: datetime, account: str | None = None) -> Collected:
    """Bring everything that waits in the spool to its end, oldest first.

    A delivery that breaks does not stop the others; one that could not be tried holds back the later ones of its
    account, since files are applied in the order of their arrival.
    """
    collected, held_back = Collected(), set[str]()
    collected.failures |= settle_waiting(desk, account=account, at=at).failures
    for envelope in sorted([*desk.spool.pending(account), *mailroom.released(desk, account)], key=_order):
        if envelope.account in held_back:
            continue
        try:
            collected.receipts.append(finish(desk, envelope, at))
        except Exception as error:  # noqa: BLE001 - told to the caller; the other brands' files go on
            _log.exception("failed delivery=%s account=%s", envelope.delivery, envelope.account)
            collected.failures[envelope.delivery] = error
            if isinstance(error, ClawbackError) and error.retryable:
                held_back.add(envelope.account)
    collected.failures |= _answer_the_rest(desk, account, at)
    return collected


def settle_waiting(desk: Desk, *, at: datetime, account: str | None = None) -> Settled:
    """Judge or hold the waiting lines whose action was loaded, refuse those that waited too long; tell their brands."""
    settled = settle(desk, account=account, at=at)
    for delivery in (*settled.revised, *settled.held):
        try:
            answer(desk, delivery, at)
        except Exception as error:  # noqa: BLE001 - told to the caller; the next round tries again
            _log.exception("unanswered delivery=%s", delivery)
            settled.failures[delivery] = error
    return settled


def receipt(desk: Desk, delivery: str, most_lines: int | None = None) -> Receipt:
    """A delivery's receipt with its lines, or the first of them."""
    with desk.store.read() as db:
        return deliveries.receipt(db, delivery, most_lines)


def receipt_with_files(desk: Desk, delivery: str, most_lines: int | None = None) -> Receipt:
    """A delivery's receipt, that of a container with the receipts of its files as ``files``."""
    with desk.store.read() as db:
        found = deliveries.receipt(db, delivery, most_lines)
        if "files" in found:
            found["files"] = [deliveries.receipt(db, file["delivery"], most_lines) for file in found["files"]]
        return found


@contextmanager
def answer_file(desk: Desk, delivery: str, which: str) -> Iterator[BinaryIO | None]:
    """The receipt, result or fix file of a delivery as the brand got it; None if it has no such file."""
    with desk.store.read() as db, TemporaryFile() as out:
        found = deliveries.find(db, delivery)
        written = answers.files(db, found, _answered_case(db, desk, found))
        write = {pattern.split("_", 1)[0]: write for pattern, write in written.items()}.get(which)
        if write is None:
            yield None
            return
        write(out)
        out.seek(0)
        yield out


def _finish_unless_broken(desk: Desk, envelope: Envelope, at: datetime) -> None:
    try:
        finish(desk, envelope, at)
    except Exception as error:
        if isinstance(error, ClawbackError) and error.retryable:
            raise
        _log.exception("failed delivery=%s account=%s", envelope.delivery, envelope.account)


def finish(desk: Desk, envelope: Envelope, at: datetime) -> Receipt:
    """Bring one delivery or message, with the files that are in it, to its end and answer it."""
    if envelope.trace is not None:
        return mailroom.finish_message(desk, envelope, partial(finish, desk, at=at), at=at)
    if _state(desk, envelope) in {None, DeliveryState.BROKEN}:
        with recording_breakage(desk, envelope, at):
            judge_anew(desk, envelope, at)
    state = _state(desk, envelope)
    if state is DeliveryState.DUPLICATE or (state is DeliveryState.DONE and described(envelope.name)):
        _release_proven(desk, envelope, at)
    if state is DeliveryState.UNPACKED:
        _finish_files(desk, envelope, at)
    _answer_others(desk, envelope, at)
    return answer(desk, envelope.delivery, at)


def _finish_files(desk: Desk, container: Envelope, at: datetime) -> None:
    """Bring the files of a container to their ends before anything that arrived later: they arrived when it did."""
    for part in desk.spool.pending(container.account):
        if part.part_of == container.delivery:
            _finish_unless_broken(desk, part, at)


def _release_proven(desk: Desk, proof: Envelope, at: datetime) -> None:
    """Apply what a sidecar or the same bytes proved to be whole, if it is held or was rejected for it."""
    with desk.store.read() as db:
        proven = proven_by(db, proof.delivery)
    for found in proven:
        envelope = desk.spool.find(found.delivery)
        judge_anew(desk, envelope, at, state=DeliveryState(found.state), proven=True)
        # A container that was rejected has its files only now.
        _finish_files(desk, envelope, at)


def _state(desk: Desk, envelope: Envelope) -> DeliveryState | None:
    with desk.store.read() as db:
        return deliveries.state_of(db, envelope.delivery)


def judge_anew(
    desk: Desk,
    envelope: Envelope,
    at: datetime,
    *,
    state: DeliveryState | None = None,
    by: str | None = None,
    proven: bool = False,
) -> None:
    """Bring a delivery that is not at its end, or is in this ``state``, to its end.

    One that is held is released: the hold of half files is skipped if it was ``proven`` to be whole, and the hold that
    a person has seen if one did it (``by``), which is recorded. Waiting lines of older deliveries go first.
    """
    desk.spool.verify(envelope.delivery)
    end = partial(_end, desk, envelope, states={None, DeliveryState.BROKEN} if state is None else {state})
    try:
        came = unpack(desk, envelope)
        if came is not None:
            end(lambda db, case: close_container(db, case, came, at=at))
            return
        for left in reversed(range(TRIES)):
            stuck = settle_waiting(desk, account=envelope.account, at=at).failures
            try:
                end(partial(_judge, stuck=stuck, at=at, by=by, proven=proven))
            except LedgerConflict:
                if not left:
                    raise
            else:
                return
    except Unreadable as error:
        unreadable = error
        end(lambda db, case: turn_away(db, case, unreadable, at=at))
    except Braked as error:
        braked = error
        end(lambda db, case: hold(db, case, braked, at=at, released=_released(db, case, by)))


def _judge(db: Connection, case: Case, *, stuck: Collection[str], at: datetime, by: str | None, proven: bool) -> None:
    if any(one.delivery not in stuck for one in waiting.ready(db, case.terms.sid)):
        raise LedgerConflict(f"Actions were loaded that lines older than {case.arrival.delivery} wait for.")
    found = None if by is None else deliveries.find(db, case.arrival.delivery)
    # Half files are held before anybody can say what they would do.
    weighed = found is not None and found.code == Code.MAYBE_INCOMPLETE
    judge(db, case, at=at, released=_released(db, case, by), proven=proven, weighed=weighed)


def _released(db: Connection, case: Case, by: str | None) -> str | None:
    """What is said of a delivery that a person released, and why it had been held."""
    return None if by is None else f"{by} released it. {deliveries.find(db, case.arrival.delivery).message}"


def _end(
    desk: Desk, envelope: Envelope, end: Callable[[Connection, Case], object], states: Collection[DeliveryState | None]
) -> None:
    """One transaction that ends a delivery, unless somebody else ended it while this one waited for the claim."""
    with desk.store.write() as db:
        claim_account(db, envelope.account)
        if deliveries.state_of(db, envelope.delivery) in states:
            end(db, case_of(db, desk, envelope))


def answer(desk: Desk, delivery: str, at: datetime) -> Receipt:
    """Tell the brand what became of a delivery, then let the spool forget: both may be done twice.

    Told once more when its receipt changed meanwhile, so that the newest stays.
    """
    told = False
    while not told:
        try:
            found = _publish(desk, delivery)
        except (FileNotFoundError, SpoolBroken):
            # Another worker may have acknowledged it while this one read: the bytes have moved, once and for all.
            found = _publish(desk, delivery)
        with desk.store.write() as db:
            if found.channel not in WITHOUT_BYTES:
                mailroom.tell_again(desk, db, desk.spool.find(delivery), at=at)
            told = deliveries.answered(db, delivery, found.revision, at)
    if found.channel not in WITHOUT_BYTES:
        desk.spool.acknowledge(delivery)
    head = deliveries.head(found)
    _log.info("finished delivery=%s account=%s state=%s rows=%s", delivery, found.sid, found.state, head["rows"])
    return head


def _answer_others(desk: Desk, envelope: Envelope, at: datetime) -> None:
    """Answer the deliveries that this one brought to a new end, such as those that it replaced."""
    with desk.store.read() as db:
        alone = deliveries.unanswered(db, envelope.account) in ([], [envelope.delivery])
    if not alone:
        _answer_the_rest(desk, envelope.account, at)


def _answer_the_rest(desk: Desk, account: str | None, at: datetime) -> dict[str, Exception]:
    """Tell of what was revised by somebody who died before telling; what is in the spool is its next worker's."""
    failures: dict[str, Exception] = {}
    pending = {envelope.delivery for envelope in desk.spool.pending(account)}
    with desk.store.read() as db:
        untold = [one for one in deliveries.unanswered(db, account) if one not in pending]
    for delivery in untold:
        try:
            answer(desk, delivery, at)
        except Exception as error:  # noqa: BLE001 - told to the caller; the next round tries again
            _log.exception("unanswered delivery=%s", delivery)
            failures[delivery] = error
    return failures


def _publish(desk: Desk, delivery: str) -> Row[Any]:
    with desk.store.read() as db:
        found = deliveries.find(db, delivery)
        answers.publish(desk, db, found, _answered_case(db, desk, found))
    return found


def _answered_case(db: Connection, desk: Desk, found: Row[Any]) -> answers.Bytes | None:
    return None if found.channel in WITHOUT_BYTES else partial(judged_case, db, desk, found)


@contextmanager
def recording_breakage(desk: Desk, envelope: Envelope, at: datetime) -> Iterator[None]:
    """Whatever we could not foresee leaves a trace that operators and the lock sweep see.

    Unless the delivery is at its end: then another worker was faster, and this one stumbled over its doing.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ClawbackError) and error.retryable:
            raise
        with desk.store.write() as db:
            account_id = claim_account(db, envelope.account)
            if deliveries.state_of(db, envelope.delivery) not in {None, DeliveryState.BROKEN}:
                return
            number, _ = deliveries.register(db, account_id, arrival_of(envelope))
            message = f"Processing failed ({type(error).__name__}); it is tried again with every round."
            deliveries.finish(db, number, DeliveryState.BROKEN, at=at, message=message)
        raise


def _order(envelope: Envelope) -> tuple[datetime, str]:
    return envelope.received_at, envelope.delivery
