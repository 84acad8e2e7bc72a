"""What a person decides: to release or reject what is held, and to change one action."""

import hashlib
import json
import secrets
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row

from clawback import pipeline, rejudging
from clawback.cases import arrival_of
from clawback.pipeline import Receipt
from clawback.sidecars import let_go
from clawback.wiring import Desk
from connectors.envelope import Envelope
from processing import catalog, deliveries, messages, open_actions
from processing.apply import Application
from processing.deliveries import Arrival, DeliveryState
from processing.errors import Unusable
from processing.instants import micros
from processing.intent import FileShape
from processing.messages import MessageState
from processing.person import Wish, grant
from processing.store import claim_account

# The clock's smallest step.
_TICK: Final = timedelta(microseconds=1)
_IN_TIME: Final = "It counts as received just before the lock, which waits for what a record said by then."
_REJECTABLE: Final = frozenset({DeliveryState.HELD, DeliveryState.BROKEN})


def release(desk: Desk, delivery: str, *, by: str, at: datetime) -> Receipt:
    """Apply a held delivery, or the held lines of one, after all; its own arrival still counts against the locks."""
    if sid := _holder(desk, delivery):
        # What waits in older deliveries goes first.
        _settle_others(desk, sid, delivery, at)
        rejudging.release(desk, delivery, by=by, at=at)
        return pipeline.answer(desk, delivery, at)
    envelope = _undecided(desk, delivery, {DeliveryState.HELD})
    pipeline.judge_anew(desk, envelope, at, state=DeliveryState.HELD, by=by)
    return pipeline.answer(desk, delivery, at)


def reject(desk: Desk, delivery: str, *, by: str, at: datetime) -> Receipt:
    """Give up a held or broken delivery, or the held lines of one: nothing of it is applied, and no lock waits."""
    if sid := _holder(desk, delivery):
        _settle_others(desk, sid, delivery, at)
        rejudging.reject(desk, delivery, by=by, at=at)
        return pipeline.answer(desk, delivery, at)
    envelope = _undecided(desk, delivery, _REJECTABLE)
    with desk.store.write() as db:
        claim_account(db, envelope.account)
        found = _still_in(db, delivery, _REJECTABLE)
        message = f"{by} rejected it. {found.message}"
        if found.state == DeliveryState.BROKEN:
            let_go(db, found.account_id, arrival_of(envelope), at=at)
            message = f"{by} rejected it, as it could not be processed."
        told = _given_up(json.loads(found.summary))
        deliveries.finish(db, found.id, DeliveryState.REJECTED, at=at, summary=told, code=found.code, message=message)
    return pipeline.answer(desk, delivery, at)


def release_message(desk: Desk, message: str, *, by: str, at: datetime) -> Receipt:
    """Apply a quarantined e-mail message after all; its own arrival still counts against the locks."""
    envelope = desk.spool.find(message)
    with desk.store.write() as db:
        claim_account(db, envelope.account)
        messages.decide(db, message, MessageState.ACCEPTED, by=by, at=at)
    return pipeline.finish(desk, envelope, at)


def change(desk: Desk, sid: str, wish: Wish, *, by: str, at: datetime, sources: Collection[str] = ()) -> Receipt:
    """A person's change of one action, decided like a line that arrived at ``at``; raises NotFound and Unusable.

    What the account's files asked for before goes first. Where the action's lock has passed and waits for a person, as
    a record of the account's ``sources`` is held that said something before, it counts as received just before it.
    """
    pipeline.collect(desk, at=at, account=sid)
    said = json.dumps({**asdict(wish), "by": by, "at": at.isoformat()}).encode()
    with desk.store.write() as db:
        claim_account(db, sid)
        lock = open_actions.waits_for_held(db, sid, wish.action_id, sources, at)
        received_at = at if lock is None else lock - _TICK
        arrival = Arrival(
            delivery=f"{at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}",
            channel=deliveries.PERSON,
            name=f"{wish.change} {wish.action_id}",
            sha256=hashlib.sha256(said).hexdigest(),
            size_bytes=len(said),
            received_at=received_at,
            sent_by=by,
        )
        terms = catalog.read_terms(db, sid)
        number, _ = deliveries.register(db, terms.account_id, arrival)
        application = Application(db, terms, number, micros(received_at), FileShape(has_amount=False, has_other=False))
        grant(application, wish)
        summary, message = application.tally.told(terms.partners), None if lock is None else _IN_TIME
        deliveries.finish(db, number, DeliveryState.DONE, at=at, summary=summary, message=message)
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


def _given_up(summary: dict[str, Any]) -> dict[str, Any]:
    """What is told of a delivery that is rejected: it does nothing any more, and the lines held with it are refused."""
    told = summary | {"money": {}, "partners": []}
    if rows := summary.get("rows"):
        told["rows"] = rows | {"refused": rows["refused"] + rows["held"], "held": 0}
    return told


def _undecided(desk: Desk, delivery: str, states: Collection[DeliveryState]) -> Envelope:
    with desk.store.read() as db:
        _still_in(db, delivery, states)
    return desk.spool.find(delivery)


def _still_in(db: Connection, delivery: str, states: Collection[DeliveryState]) -> Row[Any]:
    """A delivery's row; raises Unusable if it is in none of these states."""
    found = deliveries.find(db, delivery)
    if found.state in states:
        return found
    why = "there is nothing to release or reject."
    if found.state == DeliveryState.BROKEN:
        why = f"it is tried again with every round, and `clawback deliveries reject {delivery}` gives it up."
    raise Unusable(f"Delivery {delivery} is {found.state}, not held; {why}")
