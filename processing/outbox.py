"""The outbox: what is to be sent outside (replies, notices), each once, tried again until it is taken or given up.

Entries of one thread go out in the order in which they came in, one at a time, so that the newest is told last. Whoever
sends claims an entry for a while. One that dies with it leaves it to the next when that while is over, so a recipient
may get something twice and never not at all; it carries an identity by which that can be told.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, null, select, update

from processing import bulk, upsert
from processing.errors import NotFound
from processing.instants import instant, micros
from processing.tables import outbox

# A relay that is down for a long weekend loses nothing: nearly five days in all.
WAITS: Final = tuple(timedelta(minutes=one) for one in (1, 5, 15, 60, 180, 360, 720, 1440, 1440, 1440, 1440))
CLAIMED: Final = timedelta(minutes=10)
_LONGEST_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that is due: what (``kind``), to whom, about which delivery or message, in which revision.

    It is the claimant's until ``until`` (microseconds), and nobody's word counts after somebody else has claimed it.
    """

    id: int
    kind: str
    recipient: str
    delivery: str
    revision: int
    attempts: int
    made_at: datetime
    until: int


def enqueue(  # noqa: PLR0913 - the columns of an entry
    db: Connection, kind: str, recipient: str, delivery: str, *, at: datetime, revision: int = 0, thread: str = ""
) -> None:
    """Have something sent as soon as possible; the same thing is queued once, whoever asks for it again.

    Without a ``thread`` it belongs to the delivery alone.
    """
    now = micros(at)
    values = {"kind": kind, "recipient": recipient, "delivery": delivery, "revision": revision}
    values |= {"thread": thread or delivery, "made_at": now, "due_at": now}
    upsert.add_missing(db, outbox, values)


def recipients(db: Connection, kind: str, *, at: datetime) -> list[str]:
    """To whom something of a kind is due."""
    due = (outbox.c.kind == kind) & (outbox.c.due_at <= micros(at))
    return list(db.execute(select(outbox.c.recipient).where(due).distinct().order_by(outbox.c.recipient)).scalars())


def claim_due(db: Connection, kinds: Collection[str], *, at: datetime, recipient: str | None = None) -> Entry | None:
    """Take what has been due longest, so that nobody else takes it for ten minutes; None if nothing is due.

    What has an older entry of its thread before it, to the same recipient, waits for that one's end.
    """
    due = _due(kinds, at)
    if recipient is not None:
        due &= outbox.c.recipient == recipient
    while found := db.execute(select(outbox).where(due).order_by(outbox.c.due_at, outbox.c.id).limit(1)).one_or_none():
        mine = (outbox.c.id == found.id) & (outbox.c.due_at == found.due_at)
        until = micros(at + CLAIMED)
        if db.execute(update(outbox).values(due_at=until).where(mine)).rowcount:
            made_at = instant(found.made_at)
            about = found.delivery, found.revision
            return Entry(found.id, found.kind, found.recipient, *about, found.attempts, made_at, until)
    return None


def is_due(db: Connection, kinds: Collection[str], *, at: datetime) -> bool:
    """Whether there is something to claim."""
    return db.execute(select(outbox.c.id).where(_due(kinds, at)).limit(1)).first() is not None


def sent(db: Connection, entry: Entry, *, at: datetime) -> None:
    """It was taken."""
    _end(db, entry, due_at=null(), done_at=micros(at), attempts=entry.attempts + 1, last_error=None)


def overtaken(db: Connection, entry: Entry, *, at: datetime) -> None:
    """It need not be sent any more: something that was sent since says it, or what came after it."""
    _end(db, entry, due_at=null(), overtaken_at=micros(at), last_error=None)


def failed(db: Connection, entry: Entry, error: str, *, at: datetime, for_ever: bool = False) -> bool:
    """It was not taken: try again later, or give it up when trying is over or cannot help; whether it was given up."""
    over = for_ever or entry.attempts >= len(WAITS)
    ended = _end(
        db,
        entry,
        due_at=null() if over else micros(at + WAITS[entry.attempts]),
        given_up_at=micros(at) if over else None,
        attempts=entry.attempts + 1,
        last_error=error[:_LONGEST_ERROR],
    )
    return over and ended


def withdraw(db: Connection, kind: str, recipient: str, deliveries: Sequence[str]) -> None:
    """Forget that something was sent, given up, or waits, so that it can be queued again."""
    chosen = outbox.c.delivery.in_(select(bulk.listed(db, deliveries).c.value))
    db.execute(delete(outbox).where(outbox.c.kind == kind, outbox.c.recipient == recipient, chosen))


def standing(db: Connection, kind: str, recipient: str) -> dict[str, Any]:
    """How much a recipient has been sent, waits for and was given up, and the newest error."""
    mine = (outbox.c.kind == kind) & (outbox.c.recipient == recipient)
    counts = select(
        func.count(outbox.c.done_at).label("sent"),
        func.count(outbox.c.due_at).label("waiting"),
        func.count(outbox.c.given_up_at).label("given_up"),
    )
    error = select(outbox.c.last_error).where(mine, outbox.c.last_error.is_not(None))
    newest = db.execute(error.order_by(outbox.c.id.desc()).limit(1)).scalar()
    return {**db.execute(counts.where(mine)).one()._asdict(), "last_error": newest}


def forget(db: Connection, kind: str, recipient: str) -> None:
    """Send a recipient nothing of a kind any more."""
    db.execute(delete(outbox).where(outbox.c.kind == kind, outbox.c.recipient == recipient))


def again(db: Connection, number: int, *, at: datetime) -> None:
    """Try something that waits or was given up now; raises NotFound."""
    tried = update(outbox).values(due_at=micros(at), given_up_at=None, attempts=0)
    unsent = outbox.c.done_at.is_(None) & outbox.c.overtaken_at.is_(None)
    if not db.execute(tried.where(outbox.c.id == number, unsent)).rowcount:
        raise NotFound(f"The outbox has nothing unsent with the number {number}; `clawback mail outbox` shows it.")


def listing(db: Connection, kinds: Collection[str], *, limit: int = 100) -> list[dict[str, Any]]:
    """What is not sent, and below it what was sent last."""
    over = outbox.c.done_at.is_not(None) | outbox.c.overtaken_at.is_not(None)
    order = (over, outbox.c.id.desc())
    return [
        _told(found)
        for found in db.execute(select(outbox).where(outbox.c.kind.in_(kinds)).order_by(*order).limit(limit))
    ]


def _end(db: Connection, entry: Entry, **values: object) -> bool:
    """End a claim; whether it was still ours: one that ran out may be another's, who tells what became of it."""
    ours = (outbox.c.id == entry.id) & (outbox.c.due_at == entry.until)
    return db.execute(update(outbox).values(values).where(ours)).rowcount > 0


def _due(kinds: Collection[str], at: datetime) -> ColumnElement[bool]:
    """What is due, and has nothing of its thread to the same recipient before it."""
    older = outbox.alias()
    before = (older.c.thread == outbox.c.thread) & older.c.due_at.is_not(None) & (older.c.id < outbox.c.id)
    alike = (older.c.kind == outbox.c.kind) & (older.c.recipient == outbox.c.recipient)
    return outbox.c.kind.in_(kinds) & (outbox.c.due_at <= micros(at)) & ~exists().where(before, alike)


def _told(found: Row[Any]) -> dict[str, Any]:
    states = {"sent": found.done_at, "given up": found.given_up_at, "overtaken": found.overtaken_at}
    instants = {name: _instant(found, name) for name in ("made_at", "due_at", "done_at", "given_up_at")}
    return {
        "id": found.id,
        "kind": found.kind,
        "recipient": found.recipient,
        "delivery": found.delivery,
        "state": next((state for state, at in states.items() if at is not None), "waiting"),
        "attempts": found.attempts,
        "last_error": found.last_error,
        **instants,
    }


def _instant(found: Row[Any], name: str) -> str | None:
    number = getattr(found, name)
    return None if number is None else instant(number).isoformat()
