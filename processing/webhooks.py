"""Webhooks: where programs of an account want to be told, what they are told of, and what is still to be told.

An event is recorded in the transaction that makes it true, and queued in the outbox for each webhook that wants it. Its
name, ``<delivery>.<serial>``, is the same however often it is sent.
"""

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Row, delete, func, insert, select

from processing import bulk, outbox
from processing.columns import Ints
from processing.errors import NotFound
from processing.instants import instant, micros
from processing.tables import account, delivery, entry
from processing.webhook_tables import webhook, webhook_event

OUTBOX: Final = "webhook"
"""The kind of what is queued here; its recipient is a webhook, and its delivery an event."""

CHANGES_IN_ONE: Final = 500
_ID_BYTES: Final = 8


class EventKind(StrEnum):
    """What a program can be told of."""

    FINISHED = "delivery.finished"
    HELD = "delivery.held"
    CHANGED = "action.changed"


def add(db: Connection, account_id: int, url: str, kinds: Collection[EventKind], *, at: datetime) -> str:
    """Tell a URL of what happens from now on; gives the webhook's name."""
    name = f"wh_{secrets.token_hex(_ID_BYTES)}"
    values = {"webhook": name, "account_id": account_id, "url": url, "made_at": micros(at)}
    db.execute(insert(webhook).values(**values, kinds=json.dumps([one.value for one in EventKind if one in kinds])))
    return name


def find(db: Connection, name: str) -> Row[Any]:
    """A webhook with its account's SID; raises NotFound."""
    query = select(webhook, account.c.sid).join(account).where(webhook.c.webhook == name)
    found = db.execute(query).one_or_none()
    if found is None:
        raise NotFound(f"There is no webhook {name}; `clawback webhooks list` shows those there are.")
    return found


def listing(db: Connection, sid: str | None = None) -> list[dict[str, Any]]:
    """The webhooks of an account, or of all, with what is unsent and why."""
    query = select(webhook, account.c.sid).join(account).order_by(account.c.sid, webhook.c.id)
    found = list(db.execute(query if sid is None else query.where(account.c.sid == sid)))
    return [
        {
            "webhook": one.webhook,
            "account": one.sid,
            "url": one.url,
            "events": json.loads(one.kinds),
            "made_at": instant(one.made_at).isoformat(),
            **outbox.standing(db, OUTBOX, one.webhook),
        }
        for one in found
    ]


def remove(db: Connection, name: str) -> None:
    """Tell a webhook nothing more, not even what is queued; raises NotFound."""
    find(db, name)
    outbox.forget(db, OUTBOX, name)
    db.execute(delete(webhook).where(webhook.c.webhook == name))


def wanted(db: Connection, delivery_id: int) -> set[EventKind]:
    """The kinds of events that some webhook of a delivery's account wants."""
    query = select(webhook.c.kinds).join(delivery, delivery.c.account_id == webhook.c.account_id)
    found = db.execute(query.where(delivery.c.id == delivery_id)).scalars()
    return {EventKind(one) for kinds in found for one in json.loads(kinds)}


def tell_of_delivery(
    db: Connection, found: Row[Any], kind: EventKind, head: Mapping[str, Any], *, at: datetime
) -> None:
    """Record that a delivery (its row) was finished or held, as its receipt's head says."""
    _record(db, found, [(kind, json.dumps(head))], at)


def tell_of_changes(db: Connection, found: Row[Any], lines: Sequence[int] | None, *, at: datetime) -> None:
    """Record the changes that lines of a delivery made, by default all of them; large ones in several events."""
    query = select(entry.c.line).where(entry.c.delivery_id == found.id).order_by(entry.c.line)
    changing: Ints = bulk.fetch(db, query, {"line": int})["line"]
    if lines is not None:
        changing = changing[np.isin(changing, np.array(lines, dtype=np.int64))]
    parts = [changing[start : start + CHANGES_IN_ONE] for start in range(0, len(changing), CHANGES_IN_ONE)]
    _record(db, found, [(EventKind.CHANGED, json.dumps(_runs(part))) for part in parts], at)


def event(db: Connection, name: str) -> Row[Any]:
    """A recorded event with its delivery's number and its account's SID; raises NotFound."""
    query = (
        select(webhook_event, delivery.c.delivery, account.c.sid)
        .join(delivery, delivery.c.id == webhook_event.c.delivery_id)
        .join(account, account.c.id == webhook_event.c.account_id)
        .where(webhook_event.c.event == name)
    )
    found = db.execute(query).one_or_none()
    if found is None:
        raise NotFound(f"There is no event {name}.")
    return found


def receipt_of(found: Row[Any]) -> dict[str, Any]:
    """The receipt's head that an event about a delivery tells, as it was when that happened."""
    told: dict[str, Any] = json.loads(found.about)
    return told


def lines_of(found: Row[Any]) -> list[int]:
    """The lines that an event about changes means."""
    return [line for first, last in json.loads(found.about) for line in range(first, last + 1)]


def replay(
    db: Connection, name: str, *, at: datetime, delivery: str | None = None, since: datetime | None = None
) -> int:
    """Tell a webhook once more what it wants of a delivery, or of all since an instant, in order; gives how many.

    Raises NotFound for a webhook that is none.
    """
    hook = find(db, name)
    query = select(webhook_event).where(
        webhook_event.c.account_id == hook.account_id, webhook_event.c.kind.in_(json.loads(hook.kinds))
    )
    if delivery is not None:
        query = query.where(webhook_event.c.event.startswith(f"{delivery}.", autoescape=True))
    if since is not None:
        query = query.where(webhook_event.c.made_at >= micros(since))
    events = list(db.execute(query.order_by(webhook_event.c.id)))
    # Queued anew all together: a thread goes by the order in which its entries came in.
    outbox.withdraw(db, OUTBOX, name, [one.event for one in events])
    for one in events:
        outbox.enqueue(db, OUTBOX, name, one.event, at=at, thread=_thread(one.event))
    return len(events)


def _record(db: Connection, found: Row[Any], events: Sequence[tuple[EventKind, str]], at: datetime) -> None:
    told = select(func.count()).where(webhook_event.c.delivery_id == found.id)
    serial = db.execute(told).scalar_one()
    hooks = list(db.execute(select(webhook).where(webhook.c.account_id == found.account_id).order_by(webhook.c.id)))
    mine = {"account_id": found.account_id, "delivery_id": found.id, "made_at": micros(at)}
    for number, (kind, about) in enumerate(events, serial + 1):
        name = f"{found.delivery}.{number}"
        db.execute(insert(webhook_event).values(event=name, kind=kind.value, about=about, **mine))
        for one in hooks:
            if kind.value in json.loads(one.kinds):
                outbox.enqueue(db, OUTBOX, one.webhook, name, at=at, thread=_thread(name))


def _thread(event: str) -> str:
    """Events of one delivery are told in their order."""
    return event.rpartition(".")[0]


def _runs(lines: Ints) -> list[tuple[int, int]]:
    """Ascending numbers as ranges, first and last."""
    cuts = np.flatnonzero(np.diff(lines) != 1)
    first, last = np.r_[0, cuts + 1], np.r_[cuts, len(lines) - 1]
    return list(zip(lines[first].tolist(), lines[last].tolist(), strict=True))
