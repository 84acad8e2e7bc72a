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
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final

from sqlalchemy import Connection, Row

from clawback import answers
from clawback.judging import Case, judge, turn_away
from clawback.wiring import Desk
from connectors.spool import Envelope
from processing import catalog, deliveries
from processing.apply import Application
from processing.deliveries import Arrival, DeliveryState
from processing.errors import ClawbackError, LedgerConflict, SpoolBroken, Unreadable, Unusable
from processing.instants import micros
from processing.intent import FileShape
from processing.person import Wish, grant
from processing.store import claim_account

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
        if (older.received_at, older.delivery) < (envelope.received_at, envelope.delivery):
            _finish_unless_broken(desk, older, at)
    return _finish(desk, envelope, at)


def collect(desk: Desk, *, at: datetime, account: str | None = None) -> Collected:
    """Bring everything that waits in the spool to its end, oldest first.

    A delivery that breaks does not stop the others; one that could not be tried holds back the later ones of its
    account, since files are applied in the order of their arrival.
    """
    collected, held_back = Collected(), set[str]()
    for envelope in desk.spool.pending(account):
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


def preview(desk: Desk, arrival: Arrival, sid: str, content: Path) -> Receipt:
    """What a file would do if it arrived: its receipt with lines, decided by the same code, nothing written."""
    at = arrival.received_at

    def told(end: Callable[[Connection, Case], None]) -> Receipt:
        with desk.store.rehearse() as db:
            claim_account(db, sid)
            terms = catalog.read_terms(db, sid)
            read = replace(arrival, encoding=terms.encoding, ignore_columns=terms.ignore_columns)
            end(db, Case(read, content, terms))
            return _receipt(db, arrival.delivery)

    try:
        return told(lambda db, case: judge(db, case, at=at))
    except Unreadable as error:
        because = error
    return told(lambda db, case: turn_away(db, case, because, at=at))


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


def receipt(desk: Desk, delivery: str) -> Receipt:
    """A delivery's receipt with its lines."""
    with desk.store.read() as db:
        return _receipt(db, delivery)


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
        return _receipt(db, arrival.delivery)


def case_of(db: Connection, desk: Desk, envelope: Envelope) -> Case:
    """A landed delivery and the terms that judge it."""
    terms = catalog.read_terms(db, envelope.account)
    arrival = replace(_arrival(envelope), encoding=terms.encoding, ignore_columns=terms.ignore_columns)
    return Case(arrival, desk.spool.content(envelope.delivery), terms)


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


def _receipt(db: Connection, delivery: str) -> Receipt:
    found = deliveries.find(db, delivery)
    return {**deliveries.head(found), "lines": list(deliveries.lines(db, found.id))}


def _finish_unless_broken(desk: Desk, envelope: Envelope, at: datetime) -> None:
    try:
        _finish(desk, envelope, at)
    except Exception as error:
        if isinstance(error, ClawbackError) and error.retryable:
            raise
        _log.exception("failed delivery=%s account=%s", envelope.delivery, envelope.account)


def _finish(desk: Desk, envelope: Envelope, at: datetime) -> Receipt:
    with desk.store.read() as db:
        state = deliveries.state_of(db, envelope.delivery)
    if state is None or state is DeliveryState.BROKEN:
        with recording_breakage(desk, envelope, at):
            _judge(desk, envelope, at)
    return _answer(desk, envelope, at)


def _judge(desk: Desk, envelope: Envelope, at: datetime, *, released: bool = False) -> None:
    desk.spool.verify(envelope.delivery)
    for left in reversed(range(TRIES)):
        try:
            _end(desk, envelope, lambda db, case: judge(db, case, at=at, released=released), released=released)
        except Unreadable as error:
            because = error
            break
        except LedgerConflict:
            if not left:
                raise
        else:
            return
    _end(desk, envelope, lambda db, case: turn_away(db, case, because, at=at), released=released)


def _end(desk: Desk, envelope: Envelope, end: Callable[[Connection, Case], None], *, released: bool) -> None:
    """One transaction that ends a delivery, unless somebody else ended it while this one waited for the claim."""
    with desk.store.write() as db:
        claim_account(db, envelope.account)
        state = deliveries.state_of(db, envelope.delivery)
        open_states = {DeliveryState.HELD} if released else {None, DeliveryState.BROKEN}
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


def _held(desk: Desk, delivery: str) -> Envelope:
    with desk.store.read() as db:
        _still_held(db, delivery)
    return desk.spool.find(delivery)


def _still_held(db: Connection, delivery: str) -> Row[Any]:
    found = deliveries.find(db, delivery)
    if found.state != DeliveryState.HELD:
        raise Unusable(f"Delivery {delivery} is {found.state}, not held; there is nothing to release or reject.")
    return found
