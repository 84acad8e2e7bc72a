"""Judges sidecars: whether a delivery has the digest that its brand announced, before it or behind it.

A sidecar waits until a delivery of its account has its digest. That one is proven to be whole. Another one of its name
and channel is rejected, and the sidecar goes on waiting for the right one; the newest sidecar of a name counts. One
that contradicts what was applied before it, and has no sidecar yet, is rejected itself and rejects nothing later.
"""

import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from connectors.envelope import Envelope
from processing import deliveries
from processing.codes import Code
from processing.deliveries import Arrival, DeliveryState
from processing.errors import Unreadable
from schemas.sidecar import described, read_digest


def judge_sidecar(db: Connection, account_id: int, arrival: Arrival, content: Path, *, at: datetime) -> None:
    """Register a sidecar and bring it to its end, or let it wait; raises Unreadable if it is none.

    A held delivery that it is about is rejected here if it has another digest. If it has the same, the sidecar is done
    and the delivery can be released; so can one that another sidecar rejected.
    """
    digest, name = read_digest(content), described(arrival.name)
    number, _ = deliveries.register(db, account_id, arrival)
    for older in _waiting(db, account_id, arrival.channel, name):
        message = f"A newer sidecar of the name came, delivery {arrival.delivery}."
        deliveries.finish(db, older.id, DeliveryState.REJECTED, at=at, message=message)
    newest = deliveries.newest_named(db, account_id, arrival.channel, name, arrival.received_at)
    same = deliveries.with_digest(db, account_id, digest)
    if same is None and newest is not None and newest.sha256 == digest and takes_up(newest):
        same = newest.delivery
    if same is not None:
        _prove(db, number, same, digest, at)
        return
    if newest is not None and _is_unproven(db, newest):
        code, summary = Code.DIGEST_MISMATCH, {"digest": digest, "about": newest.delivery}
        message = _contradiction(newest, digest)
        deliveries.finish(db, number, DeliveryState.REJECTED, at=at, summary=summary, code=code, message=message)
        return
    for held in deliveries.maybe_incomplete(db, account_id, arrival.received_at):
        if (held.channel, held.name) == (arrival.channel, name):
            code, message = Code.DIGEST_MISMATCH, _mismatch(held.sha256, arrival.delivery, digest)
            deliveries.finish(db, held.id, DeliveryState.REJECTED, at=at, code=code, message=message)
    message = "No delivery has this digest yet; the sidecar waits for one."
    deliveries.finish(db, number, DeliveryState.WAITING, at=at, summary={"digest": digest}, message=message)


def compare(db: Connection, account_id: int, sent: Arrival | Envelope) -> Row[Any] | None:
    """The sidecar that proves a delivery to be whole, ``None`` if none came for it.

    Raises Unreadable (DIGEST_MISMATCH) if the newest of its name says another digest.
    """
    waiting = _waiting(db, account_id, sent.channel, sent.name)
    if not waiting:
        # There may be very many single lines, and no sidecar announces one.
        return None if sent.channel == deliveries.API else _ended(db, account_id, sent)
    digest = json.loads(waiting[-1].summary)["digest"]
    if digest != sent.sha256:
        raise Unreadable(Code.DIGEST_MISMATCH, _mismatch(sent.sha256, waiting[-1].delivery, digest))
    return waiting[-1]


def consume(db: Connection, account_id: int, arrival: Arrival, *, at: datetime) -> bool:
    """Whether a sidecar proves a delivery to be whole; it waits no longer. Raises Unreadable as ``compare`` does."""
    sidecar = compare(db, account_id, arrival)
    if sidecar is None:
        return False
    if sidecar.state == DeliveryState.DONE:
        return True
    _prove(db, sidecar.id, arrival.delivery, arrival.sha256, at)
    return True


def let_go(db: Connection, account_id: int, arrival: Arrival, *, at: datetime) -> None:
    """Let the sidecar of a delivery that came, and was not applied, wait for no other."""
    with suppress(Unreadable):
        consume(db, account_id, arrival, at=at)


def proven_by(db: Connection, number: str) -> Row[Any] | None:
    """The delivery that a sidecar or the same bytes proved to be whole, ``None`` if it is taken up or there is none."""
    about = json.loads(deliveries.find(db, number).summary).get("about")
    if about is None:
        return None
    found = deliveries.find(db, about)
    return found if takes_up(found) else None


def takes_up(found: Row[Any]) -> bool:
    """Whether nothing but the lack of a fitting sidecar keeps a delivery from being applied."""
    return (found.state, found.code) in {
        (DeliveryState.HELD, Code.MAYBE_INCOMPLETE),
        (DeliveryState.REJECTED, Code.DIGEST_MISMATCH),
    }


def _is_unproven(db: Connection, found: Row[Any]) -> bool:
    """Whether a delivery was applied, was not undone since, and has no sidecar, be it one that contradicts it."""
    if found.state not in {DeliveryState.DONE, DeliveryState.UNPACKED} or found.undone_by is not None:
        return False
    # The spool may have moved its arrival behind the instant at which it was judged, to keep the order.
    words, since = (found.delivery, found.sha256), min(found.received_at, found.finished_at)
    ended = (
        one
        for state in (DeliveryState.DONE, DeliveryState.REJECTED)
        for one in deliveries.telling_of(db, found.account_id, state, *words, since=since)
    )
    return not any((one.channel, described(one.name)) == (found.channel, found.name) for one in ended)


def _ended(db: Connection, account_id: int, sent: Arrival | Envelope) -> Row[Any] | None:
    """The sidecar with this digest that may have announced this delivery, though it waits no longer.

    It was rejected for what came before; or it is done, by this very delivery, which is judged anew.
    """
    ended = deliveries.telling_of(db, account_id, DeliveryState.REJECTED, sent.sha256)
    if since := deliveries.judged_since(db, sent.delivery):
        # Of all that were ever done, few were since then.
        ended += deliveries.telling_of(db, account_id, DeliveryState.DONE, sent.sha256, since=since)
    fitting = [one for one in ended if (one.channel, described(one.name)) == (sent.channel, sent.name)]
    return fitting[-1] if fitting else None


def _waiting(db: Connection, account_id: int, channel: str, name: str | None) -> list[Row[Any]]:
    """The sidecars of a file that wait, the newest last."""
    waiting = deliveries.in_state(db, account_id, DeliveryState.WAITING)
    return [one for one in waiting if (one.channel, described(one.name)) == (channel, name)]


def _prove(db: Connection, sidecar_id: int, about: str, digest: str, at: datetime) -> None:
    summary, message = {"digest": digest, "about": about}, f"Delivery {about} has this digest."
    deliveries.finish(db, sidecar_id, DeliveryState.DONE, at=at, summary=summary, message=message)


def _mismatch(has: str, sidecar: str, says: str) -> str:
    return Code.DIGEST_MISMATCH.message(value=has, count=sidecar, expected=says)


def _contradiction(applied: Row[Any], says: str) -> str:
    became, what = (
        ("unpacked", "its files") if applied.state == DeliveryState.UNPACKED else ("applied", "that delivery")
    )
    return (
        f"It says the digest {says}, but the file before it, delivery {applied.delivery}, has the digest "
        f"{applied.sha256} and was {became}. Have {what} undone, and send the file again."
    )
