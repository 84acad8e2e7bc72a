"""The store's record of deliveries: registering one, finishing it, and reading what became of it."""

import json
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from itertools import islice
from typing import Any, Final

import numpy as np
from sqlalchemy import CompoundSelect, Connection, Row, Select, exists, func, literal, null, select, union_all, update

from processing import bulk, webhooks
from processing.codes import Code, Verdict
from processing.columns import blank
from processing.errors import NotFound
from processing.instants import instant, micros
from processing.tables import account, action, delivery, entry, line
from processing.undone import undone_entries
from processing.webhooks import EventKind

VERDICTS: Final[dict[str, bulk.Kind]] = {
    "line": int,
    "verdict": str,
    "code": str,
    "message": str,
    "action_id": str,
    "locks_at": int,
}
"""The verdicts of a delivery as result files need them; locks_at in microseconds, ``NONE`` for none."""

_UNDONE: Final = (Code.UNDONE_SINCE.value, Code.UNDONE_SINCE.message())

# The channel of single lines by Web Services.
API: Final = "api"
# The channels of what has no bytes: a person's change of one action, and the undoing of a delivery.
PERSON: Final = "person"
UNDO: Final = "undo"
NO_ROWS: Final = {"read": 0, **{verdict.value: 0 for verdict in Verdict}}
RULE: Final = "A line counts if its delivery arrived (received_at) before its action locks (locks_at)."


class DeliveryState(StrEnum):
    """How far a delivery has come."""

    BROKEN = "broken"
    DONE = "done"
    DUPLICATE = "duplicate"
    HELD = "held"
    REJECTED = "rejected"
    UNPACKED = "unpacked"
    WAITING = "waiting"


_IN_VAIN: Final = frozenset({DeliveryState.REJECTED, DeliveryState.BROKEN, DeliveryState.UNPACKED})


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a delivery before it is read; ``proven`` means that no byte of it is missing."""

    delivery: str
    channel: str
    name: str
    sha256: str
    size_bytes: int
    received_at: datetime
    event_type: int | None = None
    again: bool = False
    proven: bool = False
    sent_by: str | None = None
    encoding: str | None = None
    ignore_columns: tuple[str, ...] = ()


def state_of(db: Connection, number: str) -> DeliveryState | None:
    """How far a delivery has come, None for one the store has not seen."""
    found = db.execute(select(delivery.c.state).where(delivery.c.delivery == number)).scalar()
    return None if found is None else DeliveryState(found)


def register(db: Connection, account_id: int, arrival: Arrival) -> tuple[int, int | None]:
    """Give a delivery its row; the second number is that of the first delivery of the same bytes, if there is one."""
    identity = arrival.sha256
    first = _first(db, account_id, arrival)
    values = {
        "account_id": account_id,
        "channel": arrival.channel,
        "name": arrival.name,
        "sha256": arrival.sha256,
        "size_bytes": arrival.size_bytes,
        "received_at": micros(arrival.received_at),
        "event_type_id": arrival.event_type,
        "sent_by": arrival.sent_by,
        "reading": json.dumps({"encoding": arrival.encoding, "ignore_columns": arrival.ignore_columns}),
        "identity": identity if first is None else None,
        "state": DeliveryState.BROKEN.value,
    }
    known = db.execute(select(delivery.c.id).where(delivery.c.delivery == arrival.delivery)).scalar()
    if known is not None:
        # What was said of its lines while it was held is judged anew.
        db.execute(line.delete().where(line.c.delivery_id == known))
        db.execute(update(delivery).values(values).where(delivery.c.id == known))
        return int(known), None if arrival.again else first
    made = db.execute(delivery.insert().values(delivery=arrival.delivery, **values)).inserted_primary_key
    assert made is not None  # noqa: S101 - an insert of one row has a key
    return int(made[0]), None if arrival.again else first


def _first(db: Connection, account_id: int, arrival: Arrival) -> int | None:
    """The first delivery of the same bytes, or the one of which that is a duplicate for having the same lines.

    If nothing of the latter is in force, the bytes may be sent again.
    """
    same = (delivery.c.account_id == account_id) & (delivery.c.identity == arrival.sha256)
    found = db.execute(select(delivery).where(same, delivery.c.delivery != arrival.delivery)).one_or_none()
    if found is None or found.duplicate_of is None:
        return None if found is None else int(found.id)
    first = by_id(db, found.duplicate_of)
    if first.undone_by is None and first.state not in _IN_VAIN:
        return int(first.id)
    db.execute(update(delivery).values(identity=null()).where(delivery.c.id == found.id))
    return None


def finish(  # noqa: PLR0913 - the columns of an ending
    db: Connection,
    delivery_id: int,
    state: DeliveryState,
    *,
    at: datetime,
    summary: Mapping[str, Any] | None = None,
    code: Code | None = None,
    message: str | None = None,
    duplicate_of: int | None = None,
) -> None:
    """Record how a delivery ended; ``summary`` is what ``Tally.told`` gives, or the files of a container.

    One of which nothing was applied gives its identity up: the same bytes may succeed later. So does a container, whose
    files have identities of their own.
    """
    db.execute(
        update(delivery)
        .values(
            **({"identity": null()} if state in _IN_VAIN else {}),
            state=state.value,
            code=code,
            message=message,
            duplicate_of=duplicate_of,
            summary=json.dumps(summary or {}),
            finished_at=micros(at),
            changed_at=micros(at),
            answered_at=None,
            revision=delivery.c.revision + 1,
        )
        .where(delivery.c.id == delivery_id)
    )
    tell_programs(db, delivery_id, at=at)


def tell_programs(db: Connection, delivery_id: int, *, at: datetime, lines: Sequence[int] | None = None) -> None:
    """Let the account's webhooks be told what a delivery has come to, and what ``lines`` (by default all) changed."""
    wanted = webhooks.wanted(db, delivery_id)
    if not wanted:
        return
    found = by_id(db, delivery_id)
    if EventKind.CHANGED in wanted:
        webhooks.tell_of_changes(db, found, lines, at=at)
    is_held = found.state == DeliveryState.HELD or holds_lines(found)
    kind = EventKind.HELD if is_held else EventKind.FINISHED
    unfinished = found.state in {DeliveryState.BROKEN, DeliveryState.WAITING}
    if kind in wanted and not unfinished and found.channel != PERSON:
        webhooks.tell_of_delivery(db, found, kind, head(found), at=at)


def answered(db: Connection, number: str, revision: int, at: datetime) -> bool:
    """Record that the brand has a revision of its receipt; false when there is a newer one by now."""
    told = (delivery.c.delivery == number) & (delivery.c.revision == revision)
    return db.execute(update(delivery).values(answered_at=micros(at)).where(told)).rowcount == 1


def mailed(db: Connection, told: Mapping[str, int]) -> None:
    """Record which revisions of these deliveries' receipts a reply by e-mail told of."""
    for number, revision in told.items():
        newer = (delivery.c.delivery == number) & (delivery.c.mailed_revision < revision)
        db.execute(update(delivery).values(mailed_revision=revision).where(newer))


def unanswered(db: Connection, sid: str | None = None) -> list[str]:
    """Finished deliveries whose brand has not got the newest receipt, oldest first; a person's change has no answer."""
    query = (
        select(delivery.c.delivery)
        .join(account)
        .where(
            delivery.c.answered_at.is_(None),
            delivery.c.state != DeliveryState.BROKEN.value,
            delivery.c.channel != PERSON,
        )
        .order_by(delivery.c.received_at, delivery.c.id)
    )
    return list(db.execute(query if sid is None else query.where(account.c.sid == sid)).scalars())


def find(db: Connection, number: str) -> Row[Any]:
    """A delivery's row with its account's SID and the number of the delivery it repeats; raises NotFound."""
    found = db.execute(_query().where(delivery.c.delivery == number)).one_or_none()
    if found is None:
        raise NotFound(f"There is no delivery {number}; `clawback deliveries list` shows those there are.")
    return found


def by_id(db: Connection, delivery_id: int) -> Row[Any]:
    """The same of a row id, which exists."""
    found: Row[Any] = db.execute(_query().where(delivery.c.id == delivery_id)).one()
    return found


def listing(db: Connection, sid: str | None = None, *, limit: int = 100) -> list[dict[str, Any]]:
    """The newest deliveries first, each as its receipt's head."""
    query = _query().order_by(delivery.c.received_at.desc(), delivery.c.id.desc()).limit(limit)
    if sid is not None:
        query = query.where(account.c.sid == sid)
    return [head(found) for found in db.execute(query)]


def of_message(db: Connection, number: str) -> list[str]:
    """The numbers of a delivery and of all that came in it, if it is a message or a container, in their order there."""
    within = delivery.c.delivery.between(f"{number}-0001", f"{number}-9999-9999")
    query = select(delivery.c.delivery).where((delivery.c.delivery == number) | within)
    return sorted(found for found in db.execute(query).scalars() if found.startswith(number))


def newest_arrival(db: Connection, sid: str) -> datetime | None:
    """When the newest delivery of an account arrived; None if there is none."""
    query = select(func.max(delivery.c.received_at)).join_from(delivery, account).where(account.c.sid == sid)
    found = db.execute(query).scalar_one()
    return None if found is None else instant(found)


def in_state(db: Connection, account_id: int, state: DeliveryState) -> list[Row[Any]]:
    """The deliveries of an account in one state, oldest first."""
    query = select(delivery).where(delivery.c.account_id == account_id, delivery.c.state == state.value)
    return list(db.execute(query.order_by(delivery.c.received_at, delivery.c.id)))


def unfinished(db: Connection, sid: str) -> list[Row[Any]]:
    """The held and broken deliveries of an account, oldest first."""
    states = [DeliveryState.HELD.value, DeliveryState.BROKEN.value]
    query = _query().where(account.c.sid == sid, delivery.c.state.in_(states))
    return list(db.execute(query.order_by(delivery.c.received_at, delivery.c.id)))


def holds_lines(found: Row[Any]) -> bool:
    """Whether lines of a finished delivery that waited are held; its code and message then tell why."""
    return found.state == DeliveryState.DONE and found.code is not None


def head(found: Row[Any]) -> dict[str, Any]:
    """A receipt without its lines; that of a container lists its files with their deliveries, and what it left out.

    It has ``held_money`` if the delivery is done and lines of it are held.
    """
    summary = json.loads(found.summary)
    return {
        "delivery": found.delivery,
        "account": found.sid,
        "channel": found.channel,
        "name": found.name,
        "sha256": found.sha256,
        "bytes": found.size_bytes,
        "received_at": instant(found.received_at).isoformat(),
        "finished_at": None if found.finished_at is None else instant(found.finished_at).isoformat(),
        "state": found.state,
        "code": found.code,
        "message": found.message,
        "duplicate_of": found.first,
        "sent_by": found.sent_by,
        "undoes": found.undoes_delivery,
        "undone_by": found.undone_by_delivery,
        "waits_until": None if found.waits_until is None else instant(found.waits_until).isoformat(),
        "revisions": summary.get("revisions", []),
        "rows": summary.get("rows", NO_ROWS),
        "money": summary.get("money", {}),
        "partners": summary.get("partners", []),
        "nearest_lock": summary.get("nearest_lock"),
        "time_left": _time_left(found.received_at, summary.get("nearest_lock")),
        "rule": RULE,
        **({"held_money": summary.get("held_money", {})} if holds_lines(found) else {}),
        **{part: summary[part] for part in ("files", "ignored") if part in summary},
    }


def receipt(db: Connection, number: str, most_lines: int | None = None) -> dict[str, Any]:
    """A delivery's receipt with its lines; raises NotFound.

    With ``most_lines`` it has no more than these, and ``more_lines`` tells how many were left out: there may be a
    million.
    """
    found = find(db, number)
    if most_lines is None:
        return {**head(found), "lines": list(lines(db, found.id))}
    with closing(lines(db, found.id)) as all_of_them:
        first = list(islice(all_of_them, most_lines))
    count = db.execute(select(func.count()).select_from(_told(db, found.id).subquery())).scalar_one()
    return {**head(found), "lines": first, "more_lines": count - len(first)}


def lines(db: Connection, delivery_id: int) -> Generator[dict[str, Any]]:
    """The lines of a receipt: all that were not applied or carry a notice, in line order."""
    query = _told(db, delivery_id).order_by("line")
    # Who reads only the first of them closes the cursor by closing this generator.
    with db.execute(query, execution_options={"yield_per": 10_000}) as found:
        for number, verdict, code, message, action_id, locks_at in found:
            yield {
                "line": number,
                "verdict": verdict,
                "code": code,
                "message": message,
                "action_id": action_id,
                "locks_at": None if locks_at is None else instant(locks_at).isoformat(),
            }


def _told(db: Connection, delivery_id: int) -> Select[Any] | CompoundSelect[Any]:
    names = (action.c.action_id, action.c.locks_at)
    told = (
        select(line.c.line, line.c.verdict, line.c.code, line.c.message, *names)
        .outerjoin(action, action.c.id == line.c.action_id)
        .where(line.c.delivery_id == delivery_id)
    )
    undone = undone_entries(db, delivery_id)
    if undone is None:
        return told
    mine = (entry.c.delivery_id == delivery_id) & undone
    said = map(literal, (Verdict.APPLIED.value, *_UNDONE))
    taken_back = select(entry.c.line, *said, *names).join(action, action.c.id == entry.c.action_id)
    # PostgreSQL hashes no NOT IN of very many lines, but it joins against this.
    here = exists().where(mine, entry.c.line == line.c.line).correlate(line)
    return union_all(told.where(~here), taken_back.where(mine))


def has_repairable(db: Connection, delivery_id: int, codes: Collection[str]) -> bool:
    """Whether a delivery has rejected lines, or lines with one of these codes that do not wait."""
    told = line.c.code.in_(codes) & (line.c.verdict != Verdict.WAITING.value)
    wanted = (line.c.verdict == Verdict.REJECTED.value) | told
    return db.execute(select(line.c.line).where(line.c.delivery_id == delivery_id, wanted).limit(1)).first() is not None


def verdicts(db: Connection, delivery_id: int, low: int, high: int) -> dict[str, Any]:
    """The fate of each line from ``low`` to ``high``, as columns of ``VERDICTS`` in line order."""
    of_range = (line.c.delivery_id == delivery_id, line.c.line.between(low, high))
    told = select(line.c.line, line.c.verdict, line.c.code, line.c.message, action.c.action_id, action.c.locks_at)
    others = bulk.fetch(db, told.outerjoin(action, action.c.id == line.c.action_id).where(*of_range), VERDICTS)
    changed = (
        select(entry.c.line, action.c.action_id, action.c.locks_at)
        .join(action, action.c.id == entry.c.action_id)
        .where(entry.c.delivery_id == delivery_id, entry.c.line.between(low, high))
    )
    applied = bulk.fetch(db, changed, {name: VERDICTS[name] for name in ("line", "action_id", "locks_at")})
    count = len(applied["line"])
    applied |= {"verdict": np.full(count, "applied", dtype=np.object_), "code": blank(count), "message": blank(count)}
    plain = np.isin(applied["line"], others["line"], invert=True)
    found = {name: np.concatenate([applied[name][plain], others[name]]) for name in VERDICTS}
    if (undone := undone_entries(db, delivery_id)) is not None:
        back = select(entry.c.line).where(entry.c.delivery_id == delivery_id, entry.c.line.between(low, high), undone)
        taken_back = np.isin(found["line"], bulk.fetch(db, back, {"line": int})["line"])
        found["code"][taken_back], found["message"][taken_back] = _UNDONE
    order = np.argsort(found["line"], kind="stable")
    return {name: column[order] for name, column in found.items()}


@cache
def _query() -> Any:  # noqa: ANN401 - SQLAlchemy's type of a select with computed columns says nothing
    first, undone, undo = delivery.alias("first"), delivery.alias("undone"), delivery.alias("undo")
    return (
        select(
            delivery,
            account.c.sid,
            first.c.delivery.label("first"),
            undone.c.delivery.label("undoes_delivery"),
            undo.c.delivery.label("undone_by_delivery"),
        )
        .join(account, account.c.id == delivery.c.account_id)
        .outerjoin(first, first.c.id == delivery.c.duplicate_of)
        .outerjoin(undone, undone.c.id == delivery.c.undoes)
        .outerjoin(undo, undo.c.id == delivery.c.undone_by)
    )


def _time_left(received_at: int, nearest_lock: str | None) -> str | None:
    if nearest_lock is None:
        return None
    return str(datetime.fromisoformat(nearest_lock) - instant(received_at))
