"""What happens to a delivery, as plain functions; remove Prefect and it still runs.

A delivery is judged in one transaction and answered from what that transaction wrote, so that, whatever dies in
between, calling ``ingest`` again finishes the rest and repeats nothing.
"""

import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final

from sqlalchemy import Connection, Row

from clawback import answers, mailroom
from clawback.judging import Case, hold, judge, turn_away
from clawback.sidecars import proven_by
from clawback.unpacking import close_container, unpack
from clawback.wiring import Desk
from connectors.spool import Envelope
from processing import catalog, deliveries, messages
from processing.apply import Application
from processing.deliveries import Arrival, DeliveryState
from processing.errors import Braked, ClawbackError, LedgerConflict, SpoolBroken, Unreadable, Unusable
from processing.instants import micros
from processing.intent import FileShape
from processing.messages import MessageState
from processing.person import Wish, grant
from processing.store import claim_account
from schemas.sidecar import described

_log = logging.getLogger(__name__)

TRIES: Final = 3
PERSON: Final = "person"
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
    return _finish(desk, envelope, at)


def collect(desk: Desk, *, at: datetime, account: str | None = None) -> Collected:
    """Bring everything that waits in the spool to its end, oldest first.

    A delivery that breaks does not stop the others; one that could not be tried holds back the later ones of its
    account, since files are applied in the order of their arrival.
    """
    collected, held_back = Collected(), set[str]()
    for envelope in sorted([*desk.spool.pending(account), *mailroom.released(desk, account)], key=_order):
        if envelope.account in held_back:
            continue
        try:
            collected.receipts.append(_finish(desk, envelope, at))
        except Exception as error:  # noqa: BLE001 - told to the caller; the other brands' files go on
            _log.exception("failed delivery=%s account=%s", envelope.delivery, envelope.account)
            collected.failures[envelope.delivery] = error
            if isinstance(error, ClawbackError) and error.retryable:
                held_back.add(envelope.account)
    return collected


def release(desk: Desk, delivery: str, *, at: datetime) -> Receipt:
    """Apply a held delivery after all; its own arrival still counts against the locks."""
    envelope = _held(desk, delivery)
    _judge(desk, envelope, at, released=True)
    return _answer(desk, envelope, at)


def reject(desk: Desk, delivery: str, *, by: str, at: datetime) -> Receipt:
    """Give up a held delivery: nothing of it is applied, and locks no longer wait for it."""
    envelope = _held(desk, delivery)
    with desk.store.write() as db:
        claim_account(db, envelope.account)
        found = _still_held(db, delivery)
        message = f"{by} rejected it. {found.message}"
        deliveries.finish(db, found.id, DeliveryState.REJECTED, at=at, code=found.code, message=message)
    return _answer(desk, envelope, at)


def release_message(desk: Desk, message: str, *, by: str, at: datetime) -> Receipt:
    """Apply a quarantined e-mail message after all; its own arrival still counts against the locks."""
    envelope = desk.spool.find(message)
    with desk.store.write() as db:
        claim_account(db, envelope.account)
        messages.decide(db, message, MessageState.ACCEPTED, by=by, at=at)
    return _finish(desk, envelope, at)


def receipt(desk: Desk, delivery: str) -> Receipt:
    """A delivery's receipt with its lines."""
    with desk.store.read() as db:
        return deliveries.receipt(db, delivery)


def receipt_with_files(desk: Desk, delivery: str) -> Receipt:
    """A delivery's receipt with its lines, that of a container with the receipts of its files as ``files``."""
    with desk.store.read() as db:
        found = deliveries.receipt(db, delivery)
        if "files" in found:
            found["files"] = [deliveries.receipt(db, file["delivery"]) for file in found["files"]]
        return found


@contextmanager
def answer_file(desk: Desk, delivery: str, which: str) -> Iterator[BinaryIO | None]:
    """The receipt, result or fix file of a delivery as the brand got it; None if it has no such file."""
    with desk.store.read() as db, TemporaryFile() as out:
        found = deliveries.find(db, delivery)
        # A person's change has no file; its receipt is all there is.
        case = None if found.channel == PERSON else _judged_case(db, desk, desk.spool.find(delivery), found)
        written = answers.files(db, found, case)
        write = {pattern.split("_", 1)[0]: write for pattern, write in written.items()}.get(which)
        if write is None:
            yield None
            return
        write(out)
        out.seek(0)
        yield out


def change(desk: Desk, sid: str, wish: Wish, *, by: str, at: datetime) -> Receipt:
    """A person's change of one action, decided like a line that arrived at ``at``; raises NotFound and Unusable.

    What the account's files asked for before goes first.
    """
    collect(desk, at=at, account=sid)
    said = json.dumps({**asdict(wish), "by": by, "at": at.isoformat()}).encode()
    arrival = Arrival(
        delivery=f"{at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}",
        channel=PERSON,
        name=f"{wish.change} {wish.action_id}",
        sha256=hashlib.sha256(said).hexdigest(),
        size_bytes=len(said),
        received_at=at,
        sent_by=by,
    )
    with desk.store.write() as db:
        claim_account(db, sid)
        terms = catalog.read_terms(db, sid)
        number, _ = deliveries.register(db, terms.account_id, arrival)
        application = Application(db, terms, number, micros(at), FileShape(has_amount=False, has_other=False))
        grant(application, wish)
        summary = application.tally.told(terms.partners)
        deliveries.finish(db, number, DeliveryState.DONE, at=at, summary=summary)
        # Whoever asked for it is told at once.
        deliveries.answered(db, arrival.delivery, at)
        return deliveries.receipt(db, arrival.delivery)


def case_of(db: Connection, desk: Desk, envelope: Envelope) -> Case:
    """A landed delivery and the terms that judge it."""
    terms = catalog.read_terms(db, envelope.account)
    arrival = replace(_arrival(envelope), encoding=terms.encoding, ignore_columns=terms.ignore_columns)
    return Case(arrival, desk.spool.content(envelope.delivery), terms, desk.most_bytes)


def _judged_case(db: Connection, desk: Desk, envelope: Envelope, found: Row[Any]) -> Case:
    """The same as it was when it was judged: the catalogue may say something else by now."""
    case, reading = case_of(db, desk, envelope), json.loads(found.reading)
    return replace(
        case, arrival=replace(case.arrival, **{**reading, "ignore_columns": tuple(reading["ignore_columns"])})
    )


def _arrival(envelope: Envelope) -> Arrival:
    return Arrival(
        delivery=envelope.delivery,
        channel=envelope.channel,
        name=envelope.name,
        sha256=envelope.sha256,
        size_bytes=envelope.size_bytes,
        received_at=envelope.received_at,
        event_type=envelope.event_type,
        again=envelope.again,
        proven=envelope.proven,
    )


def _finish_unless_broken(desk: Desk, envelope: Envelope, at: datetime) -> None:
    try:
        _finish(desk, envelope, at)
    except Exception as error:
        if isinstance(error, ClawbackError) and error.retryable:
            raise
        _log.exception("failed delivery=%s account=%s", envelope.delivery, envelope.account)


def _finish(desk: Desk, envelope: Envelope, at: datetime) -> Receipt:
    if envelope.trace is not None:
        return mailroom.finish_message(desk, envelope, partial(_finish, desk, at=at), at=at)
    if _state(desk, envelope) in {None, DeliveryState.BROKEN}:
        with recording_breakage(desk, envelope, at):
            _judge(desk, envelope, at)
    state = _state(desk, envelope)
    if state is DeliveryState.DONE and described(envelope.name):
        _release_proven(desk, envelope, at)
    if state is DeliveryState.UNPACKED:
        # Before anything that arrived later: its files arrived when it did.
        for part in desk.spool.pending(envelope.account):
            if part.part_of == envelope.delivery:
                _finish_unless_broken(desk, part, at)
    _tell_anew(desk, envelope, at)
    return _answer(desk, envelope, at)


def _tell_anew(desk: Desk, envelope: Envelope, at: datetime) -> None:
    """Answer the deliveries that another one brought to a new end, such as those that it replaced.

    What cannot be answered now is tried again with the account's next delivery, and stops none.
    """
    with desk.store.read() as db:
        numbers = deliveries.unanswered(db, envelope.account)
    if numbers != [envelope.delivery]:
        # Those that wait in the spool have their turn.
        waiting = {one.delivery for one in desk.spool.pending(envelope.account)}
        for number in numbers:
            if number not in waiting | {envelope.delivery}:
                with _logging_failure(number):
                    _answer(desk, desk.spool.find(number), at)


@contextmanager
def _logging_failure(delivery: str) -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - its own answer, not that of the delivery in hand
        _log.exception("unanswered delivery=%s", delivery)


def _release_proven(desk: Desk, sidecar: Envelope, at: datetime) -> None:
    """Apply the delivery that a sidecar has proven to be whole, if it is held."""
    with desk.store.read() as db:
        held = proven_by(db, sidecar.delivery)
    if held is not None:
        _judge(desk, desk.spool.find(held), at, proven=True)


def _state(desk: Desk, envelope: Envelope) -> DeliveryState | None:
    with desk.store.read() as db:
        return deliveries.state_of(db, envelope.delivery)


def _judge(desk: Desk, envelope: Envelope, at: datetime, *, released: bool = False, proven: bool = False) -> None:
    desk.spool.verify(envelope.delivery)
    end = partial(_end, desk, envelope, was_held=released or proven)
    try:
        came = unpack(desk, envelope)
        if came is not None:
            end(lambda db, case: close_container(db, case, came, at=at))
            return
        for left in reversed(range(TRIES)):
            try:
                end(lambda db, case: judge(db, case, at=at, released=released, proven=proven))
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
        end(lambda db, case: hold(db, case, braked, at=at))


def _end(desk: Desk, envelope: Envelope, end: Callable[[Connection, Case], None], *, was_held: bool) -> None:
    """One transaction that ends a delivery, unless somebody else ended it while this one waited for the claim."""
    with desk.store.write() as db:
        claim_account(db, envelope.account)
        state = deliveries.state_of(db, envelope.delivery)
        open_states = {DeliveryState.HELD} if was_held else {None, DeliveryState.BROKEN}
        if state in open_states:
            end(db, case_of(db, desk, envelope))


def _answer(desk: Desk, envelope: Envelope, at: datetime) -> Receipt:
    """Tell the brand, then let the spool forget: both may be done twice."""
    try:
        head = _publish(desk, envelope)
    except (FileNotFoundError, SpoolBroken):
        # Another worker may have acknowledged it while this one read: the bytes have moved, once and for all.
        head = _publish(desk, envelope)
    with desk.store.write() as db:
        mailroom.tell_again(desk, db, envelope, at=at)
        deliveries.answered(db, envelope.delivery, at)
    desk.spool.acknowledge(envelope.delivery)
    _log.info(
        "finished delivery=%s account=%s state=%s rows=%s",
        envelope.delivery,
        envelope.account,
        head["state"],
        head["rows"],
    )
    return head


def _publish(desk: Desk, envelope: Envelope) -> Receipt:
    with desk.store.read() as db:
        found = deliveries.find(db, envelope.delivery)
        answers.publish(desk, db, found, _judged_case(db, desk, envelope, found))
    return deliveries.head(found)


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
            number, _ = deliveries.register(db, account_id, _arrival(envelope))
            message = f"Processing failed ({type(error).__name__}); it is tried again with every round."
            deliveries.finish(db, number, DeliveryState.BROKEN, at=at, message=message)
        raise


def _order(envelope: Envelope) -> tuple[datetime, str]:
    return envelope.received_at, envelope.delivery


def _held(desk: Desk, delivery: str) -> Envelope:
    with desk.store.read() as db:
        _still_held(db, delivery)
    return desk.spool.find(delivery)


def _still_held(db: Connection, delivery: str) -> Row[Any]:
    found = deliveries.find(db, delivery)
    if found.state != DeliveryState.HELD:
        raise Unusable(f"Delivery {delivery} is {found.state}, not held; there is nothing to release or reject.")
    return found
