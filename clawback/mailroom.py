"""E-mail before the ledger: whether a landed message is believed, and its attachments as deliveries.

Nothing here is decided twice: what was decided stands in the store, and unpacking a message again finds each of its
files landed already.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row

from clawback.wiring import Desk
from connectors import mail_parts
from connectors.envelope import Envelope, part_number
from connectors.mail_evidence import DnsUnavailable, Evidence
from connectors.mail_parts import ACCEPTED, Attachment, Letter
from processing import deliveries, messages, outbox
from processing.errors import ClawbackError
from processing.messages import Arrived, MessageState
from processing.store import claim_account

_log = logging.getLogger(__name__)

REPLY: Final = "reply"
NOTICE: Final = "quarantine notice"
KINDS: Final = (REPLY, NOTICE)
# As long a message waits for name servers that do not answer; then a person decides.
PATIENCE: Final = timedelta(hours=4)
ASK_AGAIN: Final = timedelta(minutes=2)
UNDECIDED: Final = (None, MessageState.UNDECIDED)


@dataclass(frozen=True, slots=True)
class Opened:
    """A message about which something was decided, and its deliveries, oldest first."""

    state: MessageState
    deliveries: tuple[Envelope, ...] = ()


def open_message(desk: Desk, envelope: Envelope, *, at: datetime) -> Opened:
    """Decide about a message, if nobody did, and land its files; raises DnsUnavailable while nobody can decide."""
    letter = read(desk, envelope)
    with desk.store.read() as db:
        state = messages.state_of(db, envelope.delivery)
        tried_at = messages.undecided_since(db, envelope.delivery)
    if tried_at is not None and at - tried_at < ASK_AGAIN:
        # Whoever can make name servers silent must not slow the account's other files down.
        raise DnsUnavailable(f"Nobody can tell yet who sent message {envelope.delivery}. It is tried again.")
    if state in UNDECIDED:
        desk.spool.verify(envelope.delivery)
        state = _decide(desk, envelope, letter, at)
    assert state is not None  # noqa: S101 - it was decided above
    if state is not MessageState.ACCEPTED:
        return Opened(state)
    return Opened(state, tuple(_unpacked(desk, envelope, letter)))


def finish_message(
    desk: Desk, envelope: Envelope, finish: Callable[[Envelope], object], *, at: datetime
) -> dict[str, Any]:
    """Bring a message's files to their ends by ``finish`` and queue its reply; gives what they have together.

    One that breaks does not stop the others, but the message then stays in the spool.
    """
    opened = open_message(desk, envelope, at=at)
    broken = []
    for delivery in _unfinished(desk, envelope, opened):
        try:
            finish(delivery)
        except Exception as error:
            if isinstance(error, ClawbackError) and error.retryable:
                raise
            broken.append(error)
    if broken:
        raise broken[0]
    close_message(desk, envelope, at=at)
    with desk.store.read() as db:
        found = [deliveries.find(db, number) for number in deliveries.of_message(db, envelope.delivery)]
    heads = [deliveries.head(one) for one in found]
    rows = {verdict: sum(head["rows"][verdict] for head in heads) for verdict in deliveries.NO_ROWS}
    return {"delivery": envelope.delivery, "account": envelope.account, "state": opened.state.value, "rows": rows}


def released(desk: Desk, account: str | None) -> list[Envelope]:
    """Messages that a person released, whose end somebody did not reach."""
    with desk.store.read() as db:
        numbers = messages.released(db, account)
    return [desk.spool.find(number) for number in numbers]


def may_name_more(desk: Desk, db: Connection, envelope: Envelope) -> bool:
    """Whether a message may yet bring deliveries: undecided, or accepted and not unpacked to its end.

    Those that it has brought speak for themselves.
    """
    state = messages.state_of(db, envelope.delivery)
    if state is not MessageState.ACCEPTED:
        return state in UNDECIDED
    return any(
        not desk.spool.has(part_number(envelope.delivery, position)) for position, _ in _usable(read(desk, envelope))
    )


def close_message(desk: Desk, envelope: Envelope, *, at: datetime) -> None:
    """All of its deliveries are answered: queue the reply, and let the spool forget the message."""
    with desk.store.write() as db:
        found = messages.find(db, envelope.delivery)
        if found.state == MessageState.ACCEPTED and found.answered_at is None:
            messages.answered(db, envelope.delivery, at)
            _queue_reply(desk, db, found, envelope.delivery, at)
    desk.spool.acknowledge(envelope.delivery)
    _log.info("message message=%s account=%s state=%s", envelope.delivery, envelope.account, found.state)


def tell_again(desk: Desk, db: Connection, envelope: Envelope, *, at: datetime) -> None:
    """Queue a reply about a delivery that came to an end nobody was told of after its message was answered.

    The number of its receipt's revision makes each of its ends one reply.
    """
    if envelope.part_of is None or messages.state_of(db, message_of(envelope)) is None:
        return
    found, delivery = messages.find(db, message_of(envelope)), deliveries.find(db, envelope.delivery)
    if found.answered_at is not None and delivery.answered_at is None:
        _queue_reply(desk, db, found, envelope.delivery, at, revision=delivery.revision)


def message_of(envelope: Envelope) -> str:
    """The number of the message that a delivery came in, directly or in a container."""
    return message_in(envelope.delivery)


def message_in(number: str) -> str:
    """The number of the message in that of anything that came in it."""
    return "-".join(number.split("-")[:2])


def read(desk: Desk, envelope: Envelope) -> Letter:
    """A landed message, understood."""
    trace = envelope.trace or {}
    raw = desk.spool.content(envelope.delivery).read_bytes()
    return mail_parts.read(raw, mail_from=trace["mail_from"], recipient=trace["recipient"])


def remarks(letter: Letter) -> list[str]:
    """What its sender should know of a message beside its deliveries' receipts."""
    if letter.refused:
        return [f"{letter.refused} Nothing of it was applied; put the files into one zip, and send that."]
    if letter.cut_off:
        return ["The message arrived cut off: its end is missing. Nothing of it was applied; send it again."]
    damaged = [one.name for one in letter.attachments if one.damaged]
    told = [f"{name} arrived damaged and was not applied; send it again." for name in damaged]
    if not letter.attachments:
        told.append(f"The message has no file that can be applied. Attach {ACCEPTED}.")
    return told


def _unfinished(desk: Desk, envelope: Envelope, opened: Opened) -> Iterator[Envelope]:
    """Its attachments; when they are done, the files of theirs that are not: the reply waits for those, too."""
    yield from opened.deliveries
    containers = {one.delivery for one in opened.deliveries}
    yield from (one for one in desk.spool.pending(envelope.account) if one.part_of in containers)


def _decide(desk: Desk, envelope: Envelope, letter: Letter, at: datetime) -> MessageState:
    if letter.is_report:
        return _record(desk, envelope, letter, MessageState.IGNORED, "It is a report about a message.", at)
    try:
        evidence = _evidence(desk, envelope, letter)
    except DnsUnavailable as error:
        if at - envelope.received_at < PATIENCE:
            _record(desk, envelope, letter, MessageState.UNDECIDED, str(error), at)
            raise
        evidence = Evidence(proven=False, told=str(error))
    state = MessageState.ACCEPTED if evidence.proven else MessageState.QUARANTINED
    return _record(desk, envelope, letter, state, evidence.told, at)


def _record(
    desk: Desk, envelope: Envelope, letter: Letter, state: MessageState, reason: str, at: datetime
) -> MessageState:
    """Write the decision down, unless somebody else decided meanwhile: then that counts."""
    contact = desk.mail.book.senders(envelope.account).contact
    with desk.store.write() as db:
        account_id = claim_account(db, envelope.account)
        known = messages.state_of(db, envelope.delivery)
        if known not in UNDECIDED:
            assert known is not None  # noqa: S101 - None is undecided
            return known
        state = messages.record(db, account_id, _arrived(envelope, letter), state, reason, at=at)
        if state is MessageState.QUARANTINED and contact:
            _queue(desk, db, NOTICE, contact, envelope.delivery, at)
    _log.info("decided message=%s account=%s state=%s", envelope.delivery, envelope.account, state)
    return state


def _queue_reply(desk: Desk, db: Connection, found: Row[Any], number: str, at: datetime, *, revision: int = 0) -> None:
    # One that a person released may name nobody.
    if found.sender and not found.unanswered:
        _queue(desk, db, REPLY, found.sender, number, at, revision=revision)


def _queue(  # noqa: PLR0913 - those of outbox.enqueue
    desk: Desk, db: Connection, kind: str, recipient: str, number: str, at: datetime, *, revision: int = 0
) -> None:
    # Without a relay it would wait, and surprise somebody a year later when there is one.
    if desk.mail.relay.host:
        outbox.enqueue(db, kind, recipient, number, at=at, revision=revision, thread=message_in(number))


def _evidence(desk: Desk, envelope: Envelope, letter: Letter) -> Evidence:
    if not letter.sender:
        return Evidence(proven=False, told="The message has not exactly one sender.")
    if not desk.mail.book.senders(envelope.account).allow(letter.sender):
        return Evidence(proven=False, told=f"{letter.sender} is not among the account's senders.")
    raw = desk.spool.content(envelope.delivery).read_bytes()
    return desk.mail.verify(raw, letter.sender, envelope.trace or {})


def _arrived(envelope: Envelope, letter: Letter) -> Arrived:
    own = (letter.message_id,) if letter.message_id else ()
    return Arrived(
        message=envelope.delivery,
        recipient=(envelope.trace or {})["recipient"],
        sender=letter.sender,
        subject=letter.subject,
        thread=(*letter.references, *own),
        identity=letter.identity,
        unanswered=letter.unanswered,
        received_at=envelope.received_at,
    )


def _usable(letter: Letter) -> list[tuple[int, Attachment]]:
    """The files that are whole, each with its place in the message."""
    attachments = () if letter.cut_off else letter.attachments
    return [(position, one) for position, one in enumerate(attachments, 1) if not one.damaged]


def _unpacked(desk: Desk, envelope: Envelope, letter: Letter) -> list[Envelope]:
    """Its files, landed: their numbers and arrival are those of the message and of their places in it."""
    landed = []
    for position, attachment in _usable(letter):
        upload = desk.spool.receive_part(envelope, position, attachment.name)
        if upload is None:
            landed.append(desk.spool.find(part_number(envelope.delivery, position)))
            continue
        with upload:
            upload.write(attachment.content)
            landed.append(upload.land(proven=True))
    return landed
