"""The store's record of e-mail messages: what was decided about each, and whether it was answered."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from processing.errors import NotFound, Unusable
from processing.instants import instant, micros
from processing.tables import account, message


class MessageState(StrEnum):
    """What became of a message."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"
    UNDECIDED = "undecided"


# What a person may decide.
OPEN: Final = frozenset({MessageState.QUARANTINED, MessageState.UNDECIDED})


@dataclass(frozen=True, slots=True)
class Arrived:
    """What is known of a message once it was read; ``thread`` are the Message-IDs that a reply names."""

    message: str
    recipient: str
    sender: str
    subject: str
    thread: tuple[str, ...]
    identity: str
    unanswered: str
    received_at: datetime


def record(
    db: Connection, account_id: int, arrived: Arrived, state: MessageState, reason: str, *, at: datetime
) -> MessageState:
    """Write down what was decided, if only that nobody can tell yet; the same as an accepted message is a duplicate.

    The caller holds the account's claim.
    """
    same = (message.c.account_id == account_id) & (message.c.identity == arrived.identity)
    first = db.execute(select(message.c.message).where(same)).scalar()
    if state is MessageState.ACCEPTED and first is not None:
        state, reason = MessageState.DUPLICATE, f"The same message as {first}."
    values = {
        "message": arrived.message,
        "account_id": account_id,
        "recipient": arrived.recipient,
        "sender": arrived.sender,
        "subject": arrived.subject,
        "thread": json.dumps(arrived.thread),
        "identity": arrived.identity if state is MessageState.ACCEPTED else None,
        "state": state.value,
        "reason": reason,
        "unanswered": arrived.unanswered,
        "received_at": micros(arrived.received_at),
        "decided_at": micros(at),
    }
    known = update(message).values(values).where(message.c.message == arrived.message)
    if not db.execute(known).rowcount:
        db.execute(message.insert().values(values))
    return state


def state_of(db: Connection, number: str) -> MessageState | None:
    """What was decided about a message, None if nobody looked at it yet."""
    found = db.execute(select(message.c.state).where(message.c.message == number)).scalar()
    return None if found is None else MessageState(found)


def undecided_since(db: Connection, number: str) -> datetime | None:
    """When it was last tried to decide about a message, None if that was never tried or is over."""
    undecided = (message.c.message == number) & (message.c.state == MessageState.UNDECIDED.value)
    found = db.execute(select(message.c.decided_at).where(undecided)).scalar()
    return None if found is None else instant(found)


def find(db: Connection, number: str) -> Row[Any]:
    """A message's row with its account's SID; raises NotFound."""
    found = db.execute(_query().where(message.c.message == number)).one_or_none()
    if found is None:
        raise NotFound(f"There is no message {number}; `clawback mail list` shows those there are.")
    return found


def decide(db: Connection, number: str, state: MessageState, *, by: str, at: datetime) -> None:
    """A person's decision about a message that was not believed, or not yet; raises NotFound and Unusable."""
    found = find(db, number)
    if found.state not in OPEN:
        raise Unusable(f"Message {number} is {found.state}, not quarantined; there is nothing to release or reject.")
    values = {"state": state.value, "decided_at": micros(at), "decided_by": by}
    db.execute(update(message).values(values).where(message.c.message == number))


def released(db: Connection, sid: str | None = None) -> list[str]:
    """The messages that a person released and that did not come to their end yet."""
    unfinished = (message.c.state == MessageState.ACCEPTED.value) & message.c.answered_at.is_(None)
    query = _query().where(unfinished, message.c.decided_by.is_not(None))
    return [found.message for found in db.execute(query if sid is None else query.where(account.c.sid == sid))]


def answered(db: Connection, number: str, at: datetime) -> None:
    """Record that all its deliveries came to their ends and its reply, if there is one, is in the outbox."""
    db.execute(update(message).values(answered_at=micros(at)).where(message.c.message == number))


def listing(
    db: Connection, sid: str | None = None, state: str | None = None, *, limit: int = 100
) -> list[dict[str, Any]]:
    """The newest messages first."""
    query = _query().order_by(message.c.received_at.desc(), message.c.id.desc()).limit(limit)
    if sid is not None:
        query = query.where(account.c.sid == sid)
    if state is not None:
        query = query.where(message.c.state == state)
    return [told(found) for found in db.execute(query)]


def told(found: Row[Any]) -> dict[str, Any]:
    """A message as JSON shows it."""
    return {
        "message": found.message,
        "account": found.sid,
        "recipient": found.recipient,
        "from": found.sender,
        "subject": found.subject,
        "received_at": instant(found.received_at).isoformat(),
        "state": found.state,
        "reason": found.reason,
        "not_answered_because": found.unanswered or None,
        "decided_by": found.decided_by,
        "answered_at": None if found.answered_at is None else instant(found.answered_at).isoformat(),
    }


def _query() -> Any:  # noqa: ANN401 - SQLAlchemy's type of a select with joined columns says nothing
    return select(message, account.c.sid).join(account, account.c.id == message.c.account_id)
