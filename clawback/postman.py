"""Sends what is due in the outbox: writes each message from the store and the spool, and hands it to the relay."""

import logging
from collections.abc import Iterator
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


def send_due(desk: Desk, *, at: datetime) -> Round:
    """Send all that is due; without a relay nothing is sent, and everything waits."""
    done = Round()
    relay = _relay(desk)
    while relay is not None and (entry := _claimed(desk, at)) is not None:
        try:
            relay.hand_over(_written(desk, entry), entry.recipient)
        except RefusedForEver as error:
            _fail(desk, entry, error, at, done)
        except RelayUnavailable as error:
            _fail(desk, entry, error, at, done)
            # It is not asked once more for each message.
            break
        except Exception as error:  # noqa: BLE001 - it is tried again; the others go on
            _fail(desk, entry, error, at, done)
        else:
            with desk.store.write() as db:
                outbox.sent(db, entry, at=at)
            done.sent += 1
            _log.info("sent kind=%r delivery=%s", entry.kind, entry.delivery)
    return done


def _relay(desk: Desk) -> Relay | None:
    relay = desk.mail.relay
    if not relay.host:
        return None
    return Relay(relay.host, relay.port, relay.tls, relay.user, relay.password, desk.mail.folder)


def _claimed(desk: Desk, at: datetime) -> Entry | None:
    with desk.store.write() as db:
        return outbox.claim_due(db, mailroom.KINDS, at=at)


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


def _written(desk: Desk, entry: Entry) -> EmailMessage:
    sender = desk.mail.relay.sender or f"returns@{desk.mail.domain}"
    frame = Frame(sender, entry.recipient, f"{entry.delivery}.{entry.id}", entry.made_at)
    number = "-".join(entry.delivery.split("-")[:2])
    with desk.store.read() as db:
        found = messages.find(db, number)
        receipts = [_receipt(db, one) for one in deliveries.of_message(db, entry.delivery)]
    if entry.kind == mailroom.NOTICE:
        return replies.notice(frame, messages.told(found))
    remarks = mailroom.remarks(mailroom.read(desk, desk.spool.find(number))) if entry.delivery == number else []
    message = replies.reply(frame, found.subject, found.thread, receipts, remarks)
    at_most = desk.mail.relay.max_message_bytes
    replies.attach(message, _files(desk, receipts, at_most), at_most_bytes=at_most)
    return message


def _receipt(db: Connection, number: str) -> Receipt:
    """A receipt with the first of the lines that were not applied: there may be a million."""
    found = deliveries.find(db, number)
    problems = (one for one in deliveries.lines(db, found.id) if one["verdict"] not in DONE)
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
