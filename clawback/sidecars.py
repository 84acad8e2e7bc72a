"""Judges sidecars: whether a delivery has the digest that its brand announced, before it or behind it.

A sidecar waits until a delivery of its account has its digest. That one is proven to be whole. Another one of its name
and channel is rejected, and the sidecar goes on waiting for the right one; the newest sidecar of a name counts. One
that contradicts what was applied before it, and has no sidecar yet, is rejected itself and rejects nothing later. What
a brake holds may be whole, and a person decides about it: it is told of the contradiction, and stays held.

Files of each day may have one name. A sidecar is about those that come behind it, until one has its digest, and about
the newest that came before it, unless that has a sidecar of its own.
"""

import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from connectors.envelope import Envelope
from processing import catalog, deliveries, proofs
from processing.codes import Code
from processing.deliveries import Arrival, DeliveryState
from processing.errors import Unreadable
from processing.instants import micros
from processing.model import Trailer
from schemas.sidecar import described, read_digest


def judge_sidecar(db: Connection, account_id: int, arrival: Arrival, content: Path, *, at: datetime) -> None:
    """Register a sidecar and bring it to its end, or let it wait; raises Unreadable if it is none.

    A delivery of its name that has another digest is rejected here if it may have been cut off. If one has the same,
    the sidecar is done and the delivery can be released; so can one that another sidecar rejected.
    """
    digest, name = read_digest(content), described(arrival.name)
    number, _ = deliveries.register(db, account_id, arrival)
    for older in _waiting(db, account_id, arrival.channel, name):
        message = f"A newer sidecar of the name came, delivery {arrival.delivery}."
        deliveries.finish(db, older.id, DeliveryState.REJECTED, at=at, message=message)
    newest = proofs.newest_named(db, account_id, arrival.channel, name, micros(arrival.received_at))
    same = proofs.with_digest(db, account_id, digest)
    if same is None and newest is not None and newest.sha256 == digest:
        # Whatever became of it, it is what was announced.
        same = newest.delivery
    if same is not None:
        _prove(db, number, same, digest, at)
        return
    if newest is not None and _is_unproven(db, newest):
        code, summary = Code.DIGEST_MISMATCH, {"digest": digest, "about": newest.delivery}
        message = _contradiction(newest, digest)
        deliveries.finish(db, number, DeliveryState.REJECTED, at=at, summary=summary, code=code, message=message)
        return
    _reject_incomplete(db, account_id, arrival, digest, at)
    if newest is not None and _is_braked(newest) and not _has_sidecar(db, newest):
        _doubt(db, newest, arrival.delivery, digest, at)
    message = "No delivery has this digest yet; the sidecar waits for one."
    deliveries.finish(db, number, DeliveryState.WAITING, at=at, summary={"digest": digest}, message=message)


def compare(db: Connection, account_id: int, sent: Arrival | Envelope) -> Row[Any] | None:
    """The sidecar that proves a delivery to be whole, ``None`` if none came for it.

    Raises Unreadable (DIGEST_MISMATCH) if the newest of its name is about it and says another digest.
    """
    waiting = _waiting(db, account_id, sent.channel, sent.name)
    if waiting:
        digest = json.loads(waiting[-1].summary)["digest"]
        if digest == sent.sha256:
            return waiting[-1]
        if _is_about(db, waiting[-1], sent):
            raise Unreadable(Code.DIGEST_MISMATCH, _mismatch(sent.sha256, waiting[-1].delivery, digest))
    elif sent.channel == deliveries.API:
        # There may be very many single lines, and no sidecar announces one.
        return None
    return _ended(db, account_id, sent)


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


def proven_by(db: Connection, number: str) -> list[Row[Any]]:
    """The deliveries that a sidecar or the same bytes proved to be whole, and that are not taken up yet.

    Of a container they are its files that are held: with each of its bytes, each of theirs is there.
    """
    about = json.loads(deliveries.find(db, number).summary).get("about")
    if about is None:
        return []
    found = _first(db, about)
    if found.state != DeliveryState.UNPACKED:
        return [found] if takes_up(found) else []
    if catalog.read_terms(db, found.sid).trailer is Trailer.REQUIRED:
        # No byte was lost, but only a trailer, or a sidecar of its own, says that the export of a file was whole.
        return []
    files = (_first(db, one) for one in deliveries.of_message(db, about) if one != about)
    return [file for file in files if _is_incomplete(file)]


def _first(db: Connection, number: str) -> Row[Any]:
    """A delivery, or the one of which it is a duplicate: that one has all of its lines."""
    found = deliveries.find(db, number)
    if found.duplicate_of is None:
        return found
    return deliveries.find(db, deliveries.by_id(db, found.duplicate_of).delivery)


def takes_up(found: Row[Any]) -> bool:
    """Whether nothing but the lack of a fitting sidecar keeps a delivery from being applied."""
    return _is_incomplete(found) or (found.state, found.code) == (DeliveryState.REJECTED, Code.DIGEST_MISMATCH)


def _is_incomplete(found: Row[Any]) -> bool:
    """Whether a delivery is held as it may have been cut off."""
    return (found.state, found.code) == (DeliveryState.HELD, Code.MAYBE_INCOMPLETE)


def _reject_incomplete(db: Connection, account_id: int, sidecar: Arrival, digest: str, at: datetime) -> None:
    """Reject the deliveries of its name that a sidecar with another digest shows to be cut off."""
    for held in proofs.maybe_incomplete(db, account_id, sidecar.received_at):
        if _describes(sidecar, held.channel, held.name):
            code, message = Code.DIGEST_MISMATCH, _mismatch(held.sha256, sidecar.delivery, digest)
            deliveries.finish(db, held.id, DeliveryState.REJECTED, at=at, code=code, message=message)


def _is_braked(found: Row[Any]) -> bool:
    """Whether a delivery is held for what is in it, not for what may be missing."""
    return bool(found.state == DeliveryState.HELD and found.code != Code.MAYBE_INCOMPLETE)


def _doubt(db: Connection, held: Row[Any], sidecar: str, digest: str, at: datetime) -> None:
    """Tell who decides about a held delivery, and its brand, that a sidecar announces other bytes."""
    summary, message = json.loads(held.summary), f"{held.message} {_other_bytes(sidecar, digest)}"
    deliveries.finish(db, held.id, DeliveryState.HELD, at=at, summary=summary, code=held.code, message=message)


def _is_about(db: Connection, sidecar: Row[Any], sent: Arrival | Envelope) -> bool:
    """Whether a sidecar that waits is about a file of its name, which has another digest.

    A file that is judged anew came when it came first, and so did one that is sent again on purpose.
    """
    account_id = sidecar.account_id
    came = proofs.came_first(db, account_id, sent.delivery, sent.sha256, again=sent.again)
    if came is None or (sidecar.received_at, sidecar.id) < (came.received_at, came.id):
        return True
    newest = proofs.newest_named(db, account_id, sent.channel, sent.name, sidecar.received_at)
    return newest is not None and newest.id == came.id and not _has_sidecar(db, came)


def _is_unproven(db: Connection, found: Row[Any]) -> bool:
    """Whether a delivery was applied, was not undone since, and has no sidecar, be it one that contradicts it."""
    if found.state not in {DeliveryState.DONE, DeliveryState.UNPACKED} or found.undone_by is not None:
        return False
    return not _has_sidecar(db, found)


def _has_sidecar(db: Connection, found: Row[Any]) -> bool:
    """Whether a sidecar of its name was about a delivery that is at its end, be it one that contradicts it."""
    # The spool may have moved its arrival behind the instant at which it was judged, to keep the order.
    words, since = (found.delivery, found.sha256), min(found.received_at, found.finished_at)
    ended = (
        one
        for state in (DeliveryState.DONE, DeliveryState.REJECTED)
        for one in proofs.telling_of(db, found.account_id, state, *words, since=since)
    )
    return any(_describes(one, found.channel, found.name) for one in ended)


def _ended(db: Connection, account_id: int, sent: Arrival | Envelope) -> Row[Any] | None:
    """The sidecar with this digest that may have announced this delivery, though it waits no longer.

    It was rejected for what came before; or it is done, by this very delivery, which is judged anew.
    """
    ended = proofs.telling_of(db, account_id, DeliveryState.REJECTED, sent.sha256)
    if since := proofs.judged_since(db, sent.delivery):
        # Of all that were ever done, few were since then.
        ended += proofs.telling_of(db, account_id, DeliveryState.DONE, sent.sha256, since=since)
    fitting = [one for one in ended if _describes(one, sent.channel, sent.name)]
    return fitting[-1] if fitting else None


def _waiting(db: Connection, account_id: int, channel: str, name: str | None) -> list[Row[Any]]:
    """The sidecars of a file that wait, the newest last."""
    waiting = deliveries.in_state(db, account_id, DeliveryState.WAITING)
    return [one for one in waiting if _describes(one, channel, name)]


def _describes(sidecar: Arrival | Row[Any], channel: str, name: str | None) -> bool:
    """Whether a sidecar belongs to the files of this name."""
    return (sidecar.channel, described(sidecar.name)) == (channel, name)


def _prove(db: Connection, sidecar_id: int, about: str, digest: str, at: datetime) -> None:
    summary, message = {"digest": digest, "about": about}, f"Delivery {about} has this digest."
    deliveries.finish(db, sidecar_id, DeliveryState.DONE, at=at, summary=summary, message=message)


def _mismatch(has: str, sidecar: str, says: str) -> str:
    return Code.DIGEST_MISMATCH.message(value=has, count=sidecar, expected=says)


def _other_bytes(sidecar: str, digest: str) -> str:
    return (
        f"The sidecar {sidecar}, which came behind it, announces another digest, {digest}: of the next file of its "
        "name, or of what this one should be."
    )


def _contradiction(applied: Row[Any], says: str) -> str:
    became, what = (
        ("unpacked", "its files") if applied.state == DeliveryState.UNPACKED else ("applied", "that delivery")
    )
    return (
        f"It says the digest {says}, but the file before it, delivery {applied.delivery}, has the digest "
        f"{applied.sha256} and was {became}. Have {what} undone, and send the file again."
    )
