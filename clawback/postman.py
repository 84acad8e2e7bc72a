"""Sends what is due in the outbox: writes each message from the store and the spool, and hands it to the relay."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from io import SEEK_END
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from clawback import mailroom, pipeline, replies
from clawback.replies import DONE, SHOWN_LINES, File, Frame, Receipt
from clawback.wiring import Desk
from connectors import results
from connectors.smtp_relay import RefusedForEver, Relay, RelayUnavailable
from processing import deliveries, messages, outbox
from processing.errors import ClawbackError
from processing.outbox import Entry

_log = logging.getLogger(__name__)

_PATTERNS: Final = {"receipt": results.RECEIPT, "result": results.RESULT, "fix": results.FIX}


@dataclass(slots=True)
class Round:
    """What one round through the outbox did."""

    sent: int = 0
    put_off: int = 0
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """A message, and the deliveries that it tells of with the revisions of their receipts."""

    message: EmailMessage
    told: Mapping[str, int]


def send_due(desk: Desk, *, clock: Callable[[], datetime]) -> Round:
    """Send all that is due; without a relay nothing is sent, and everything waits.

    ``clock`` is asked for each message: a round may last for hours, and a claim counts from when it was made.
    """
    done = Round()
    relay = _relay(desk)
    while relay is not None and (entry := _claimed(desk, clock())) is not None:
        try:
            written = _written(desk, entry)
            if written is not None:
                relay.hand_over(written.message, entry.recipient)
        except RefusedForEver as error:
            _fail(desk, entry, error, clock(), done)
        except RelayUnavailable as error:
            _fail(desk, entry, error, clock(), done)
            # It is not asked once more for each message.
            break
        except Exception as error:  # noqa: BLE001 - it is tried again; the others go on
            _fail(desk, entry, error, clock(), done)
        else:
            _end(desk, entry, written, clock(), done)
    return done


def _relay(desk: Desk) -> Relay | None:
    relay = desk.mail.relay
    if not relay.host:
        return None
    return Relay(relay.host, relay.port, relay.tls, relay.user, relay.password, desk.mail.folder)


def _claimed(desk: Desk, at: datetime) -> Entry | None:
    # Most looks find nothing, and are not to wait for whoever writes.
    with desk.store.read() as db:
        if not outbox.is_due(db, mailroom.KINDS, at=at):
            return None
    with desk.store.write() as db:
        return outbox.claim_due(db, mailroom.KINDS, at=at)


def _end(desk: Desk, entry: Entry, written: Written | None, at: datetime, done: Round) -> None:
    """Record what was told, in the transaction that says it was sent, so that nobody tells it again."""
    with desk.store.write() as db:
        if written is None:
            outbox.overtaken(db, entry, at=at)
        else:
            outbox.sent(db, entry, at=at)
            deliveries.mailed(db, written.told)
    done.sent += written is not None
    event = "overtaken" if written is None else "sent"
    _log.info("%s kind=%r delivery=%s", event, entry.kind, entry.delivery)


def _fail(desk: Desk, entry: Entry, error: Exception, at: datetime, done: Round) -> None:
    ours = isinstance(error, ClawbackError)
    told = str(error) if ours else f"The message could not be written ({type(error).__name__})."
    with desk.store.write() as db:
        over = outbox.failed(db, entry, told, at=at, for_ever=isinstance(error, RefusedForEver))
    done.given_up += over
    done.put_off += not over
    told_log = "%s kind=%r delivery=%s because=%r"
    event = "given_up" if over else "put_off"
    _log.error(told_log, event, entry.kind, entry.delivery, told, exc_info=None if ours else error)


def _written(desk: Desk, entry: Entry) -> Written | None:
    """The message of an entry, about what is so now; None when all of it was told before."""
    if entry.kind == mailroom.NOTICE:
        with desk.store.read() as db:
            found = messages.find(db, entry.delivery)
        return Written(replies.notice(_frame(desk, entry, 0), messages.told(found)), {})
    while True:
        with desk.store.read() as db:
            told, before = _revisions(db, entry, "revision"), _revisions(db, entry, "mailed_revision")
        if entry.revision and before[entry.delivery] >= entry.revision:
            return None
        message = _reply(desk, entry, told)
        with desk.store.read() as db:
            if _revisions(db, entry, "revision") == told:
                return Written(message, told)


def _revisions(db: Connection, entry: Entry, which: str) -> dict[str, int]:
    return {one: getattr(deliveries.find(db, one), which) for one in deliveries.of_message(db, entry.delivery)}


def _frame(desk: Desk, entry: Entry, state: int) -> Frame:
    """``state`` is a number that grows with what the message tells: another content is another message."""
    sender = desk.mail.relay.sender or f"returns@{desk.mail.domain}"
    return Frame(sender, entry.recipient, f"{entry.delivery}.{entry.id}.{state}", entry.made_at)


def _reply(desk: Desk, entry: Entry, told: Mapping[str, int]) -> EmailMessage:
    number = mailroom.message_in(entry.delivery)
    with desk.store.read() as db:
        found = messages.find(db, number)
        receipts = [_receipt(db, one) for one in told]
    remarks = mailroom.remarks(mailroom.read(desk, desk.spool.find(number))) if entry.delivery == number else []
    frame = _frame(desk, entry, sum(told.values()))
    message = replies.reply(frame, found.subject, found.thread, receipts, remarks)
    at_most = desk.mail.relay.max_message_bytes
    replies.attach(message, _files(desk, receipts, at_most), at_most_bytes=at_most)
    return message


def _receipt(db: Connection, number: str) -> Receipt:
    """A receipt with the first of the lines that were not applied: there may be a million."""
    found = deliveries.find(db, number)
    with closing(deliveries.lines(db, found.id)) as lines:
        problems = (one for one in lines if one["verdict"] not in DONE)
        return {**deliveries.head(found), "lines": list(islice(problems, SHOWN_LINES))}


def _files(desk: Desk, receipts: list[Receipt], at_most_bytes: int) -> Iterator[File]:
    """The files that answer the deliveries, without what is too large; a name that comes again gets a number."""
    used = set[str]()
    for receipt in receipts:
        for which, pattern in _PATTERNS.items():
            with pipeline.answer_file(desk, receipt["delivery"], which) as answer:
                if answer is None:
                    continue
                size_bytes = answer.seek(0, SEEK_END)
                answer.seek(0)
                content = answer.read() if size_bytes <= at_most_bytes else None
            name = pattern.format(results.safe_name(receipt["name"]))
            if name in used:
                stem, dot, extension = name.rpartition(".")
                name = f"{stem}.{receipt['delivery']}{dot}{extension}"
            used.add(name)
            yield name, content
