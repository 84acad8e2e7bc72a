"""What a person decides: to release or reject what is held, and to change one action."""

import hashlib
import json
import secrets
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from clawback import pipeline, rejudging
from clawback.pipeline import Receipt
from clawback.wiring import Desk
from connectors.envelope import Envelope
from processing import catalog, deliveries, messages
from processing.apply import Application
from processing.deliveries import Arrival, DeliveryState
from processing.errors import Unusable
from processing.instants import micros
from processing.intent import FileShape
from processing.messages import MessageState
from processing.person import Wish, grant
from processing.store import claim_account


def release(desk: Desk, delivery: str, *, by: str, at: datetime) -> Receipt:
    """Apply a held delivery, or the held lines of one, after all; its own arrival still counts against the locks."""
    if sid := _holder(desk, delivery):
        # What waits in older deliveries goes first.
        _settle_others(desk, sid, delivery, at)
        rejudging.release(desk, delivery, by=by, at=at)
        return pipeline.answer(desk, delivery, at)
    envelope = _held(desk, delivery)
    pipeline.judge_anew(desk, envelope, at, state=DeliveryState.HELD, by=by)
    return pipeline.answer(desk, delivery, at)


def reject(desk: Desk, delivery: str, *, by: str, at: datetime) -> Receipt:
    """Give up a held delivery, or the held lines of one: they are not applied, and locks no longer wait for them."""
    if sid := _holder(desk, delivery):
        _settle_others(desk, sid, delivery, at)
        rejudging.reject(desk, delivery, by=by, at=at)
        return pipeline.answer(desk, delivery, at)
    envelope = _held(desk, delivery)
    with desk.store.write() as db:
        claim_account(db, envelope.account)
        found = _still_held(db, delivery)
        message = f"{by} rejected it. {found.message}"
        # Its lines stay as they are listed, and so do their counts; what it would have done is no more.
        told = json.loads(found.summary) | {"money": {}, "partners": []}
        deliveries.finish(db, found.id, DeliveryState.REJECTED, at=at, summary=told, code=found.code, message=message)
    return pipeline.answer(desk, delivery, at)


def release_message(desk: Desk, message: str, *, by: str, at: datetime) -> Receipt:
    """Apply a quarantined e-mail message after all; its own arrival still counts against the locks."""
    envelope = desk.spool.find(message)
    with desk.store.write() as db:
        claim_account(db, envelope.account)
        messages.decide(db, message, MessageState.ACCEPTED, by=by, at=at)
    return pipeline.finish(desk, envelope, at)


def change(desk: Desk, sid: str, wish: Wish, *, by: str, at: datetime) -> Receipt:
    """A person's change of one action, decided like a line that arrived at ``at``; raises NotFound and Unusable.

    What the account's files asked for before goes first.
    """
    pipeline.collect(desk, at=at, account=sid)
    said = json.dumps({**asdict(wish), "by": by, "at": at.isoformat()}).encode()
    arrival = Arrival(
        delivery=f"{at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}",
        channel=deliveries.PERSON,
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
        return deliveries.receipt(db, arrival.delivery)


def _settle_others(desk: Desk, sid: str, delivery: str, at: datetime) -> None:
    """Judge what waits in other deliveries; raises Unusable if it made this one hold more than a person has seen."""
    if delivery in pipeline.settle_waiting(desk, account=sid, at=at).held:
        raise rejudging.more_is_held(delivery)


def _holder(desk: Desk, delivery: str) -> str | None:
    """The account of a delivery that holds lines which waited, None for any other delivery."""
    with desk.store.read() as db:
        found = deliveries.find(db, delivery)
        return str(found.sid) if deliveries.holds_lines(found) else None


def _held(desk: Desk, delivery: str) -> Envelope:
    with desk.store.read() as db:
        _still_held(db, delivery)
    return desk.spool.find(delivery)


def _still_held(db: Connection, delivery: str) -> Row[Any]:
    found = deliveries.find(db, delivery)
    if found.state != DeliveryState.HELD:
        raise Unusable(f"Delivery {delivery} is {found.state}, not held; there is nothing to release or reject.")
    return found
