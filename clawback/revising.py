"""What a person does to a finished delivery: replay it after a fix of the catalogue, or undo it."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from clawback import pipeline
from clawback.cases import case_of
from clawback.pipeline import WITHOUT_BYTES, Receipt
from clawback.preview import rehearsed
from clawback.rejudging import rejudge, rejudge_in
from clawback.wiring import Desk
from processing import adjustments, catalog, deliveries, revisions, waiting
from processing.catalog import Terms
from processing.codes import Verdict
from processing.deliveries import PERSON, UNDO, Arrival, DeliveryState
from processing.errors import Braked, Unusable
from processing.instants import micros
from processing.revisions import Taken
from processing.store import claim_account
from processing.tally import Tally
from processing.undo import Undoing, mark

REASON: Final = "OTHER"
MOST_SHOWN: Final = 10
WEIGHED: Final = "the lines of this replay"


def replay(desk: Desk, delivery: str, *, at: datetime, by: str | None = None) -> Receipt:
    """Judge again what a delivery did not get through, with the terms of now and its own arrival; gives its receipt.

    One that would do unusual harm with that needs a person (``by``) who has looked at it, whom the receipt then names.

    Lines that were applied or needed nothing stay as they are, and so do those that are held since their actions were
    loaded, or that a person rejected then; a delivery that was rejected as a whole is judged anew, holds included.
    Raises NotFound, and Unusable where there is nothing to replay, or a person is needed.
    """
    with desk.store.read() as db:
        found = _replayable(db, delivery)
    pipeline.collect(desk, at=at, account=found.sid)
    if found.state == DeliveryState.REJECTED:
        pipeline.judge_anew(desk, desk.spool.find(delivery), at, state=DeliveryState.REJECTED)
    else:
        _replay_lines(desk, delivery, at=at, by=by)
    pipeline.answer(desk, delivery, at)
    return pipeline.receipt(desk, delivery)


def preview_replay(desk: Desk, delivery: str, *, at: datetime, by: str | None = None) -> Receipt:
    """The receipt that ``replay`` would give, nothing written.

    Of one that needs a person it tells what it would do once that is named, and why one is needed, as if it were held.
    """
    with desk.store.read() as db:
        found = _replayable(db, delivery)
    if found.state == DeliveryState.REJECTED:
        envelope = desk.spool.find(delivery)
        return rehearsed(desk, found.sid, lambda db: case_of(db, desk, envelope), at=at)
    try:
        return _rehearsed_lines(desk, delivery, at=at, because=_because(by), weighed=_weighed(by))
    except Braked as braked:
        held = {"state": DeliveryState.HELD.value, "code": braked.code.value, "message": _by_whom(delivery, braked)}
        return _rehearsed_lines(desk, delivery, at=at, because=_because(by), weighed=None) | held


def _replay_lines(desk: Desk, delivery: str, *, at: datetime, by: str | None) -> None:
    try:
        judged = rejudge(desk, delivery, _take, at=at, because=_because(by), weighed=_weighed(by))
    except Braked as braked:
        raise Unusable(_by_whom(delivery, braked)) from braked
    if not judged:
        with desk.store.read() as db:
            raise _nothing_open(deliveries.find(db, delivery))


def _rehearsed_lines(desk: Desk, delivery: str, *, at: datetime, because: str, weighed: str | None) -> Receipt:
    with desk.store.rehearse() as db:
        if not rejudge_in(db, desk, delivery, _take, at=at, because=because, weighed=weighed):
            raise _nothing_open(deliveries.find(db, delivery))
        return deliveries.receipt(db, delivery)


def _because(by: str | None) -> str:
    return f"{by} replayed it" if by else "it was replayed"


def _weighed(by: str | None) -> str | None:
    return None if by else WEIGHED


def _by_whom(delivery: str, braked: Braked) -> str:
    return (
        f"The replay of delivery {delivery} needs a person who has looked at it. {braked.reason} If that is right, "
        f"say who: `clawback deliveries replay {delivery} --by NAME`."
    )


def undo(
    desk: Desk, delivery: str, *, by: str, reason: str | None, at: datetime, most_lines: int | None = None
) -> Receipt:
    """Return each action that a delivery changed, and nobody since, to what it was; gives the receipt of the undo.

    The account's files that arrived before go first. Raises NotFound, and Unusable where there is nothing to undo:
    of a container it is its files that are undone.
    """
    with desk.store.read() as db:
        sid = _undoable(db, delivery).sid
    pipeline.collect(desk, at=at, account=sid)
    with desk.store.write() as db:
        number, revised = _undo(db, delivery, by=by, reason=reason, at=at)
    for one in (number, *revised):
        pipeline.answer(desk, one, at)
    return pipeline.receipt(desk, number, most_lines)


def preview_undo(
    desk: Desk, delivery: str, *, by: str, reason: str | None, at: datetime, most_lines: int | None = None
) -> Receipt:
    """The receipt that ``undo`` would give, nothing written."""
    with desk.store.rehearse() as db:
        number, _ = _undo(db, delivery, by=by, reason=reason, at=at)
        return deliveries.receipt(db, number, most_lines)


def _undo(db: Connection, delivery: str, *, by: str, reason: str | None, at: datetime) -> tuple[str, list[str]]:
    """Gives the numbers of the undo, and of the deliveries whose receipts it changes."""
    claim_account(db, deliveries.find(db, delivery).sid)
    found = _undoable(db, delivery)
    terms = catalog.read_terms(db, found.sid)
    arrival = _undo_arrival(found, by, reason, at)
    number, _ = deliveries.register(db, terms.account_id, arrival)
    undoing = Undoing(db, terms, number, found.id, micros(at), reason or REASON)
    proposes = adjustments.speaks_of(db, found)
    if not (undoing.find() or proposes) and found.waits_until is None:
        raise _nothing_to_undo(found)
    tally = undoing.write()
    closed = waiting.close(db, found.id)
    revised = mark(db, found.id, number) if tally.verdicts[Verdict.APPLIED] or closed or proposes else []
    because = f"{by} undid delivery {delivery}" + (f": {reason}" if reason else ".")
    deliveries.finish(db, number, DeliveryState.DONE, at=at, summary=tally.told(terms.partners), message=because)
    if deliveries.holds_lines(found):
        revisions.say(db, found.id, f"{by} undid it. {found.message}")
    told = []
    for one, undone in revised:
        row = deliveries.by_id(db, one)
        says = f"delivery {arrival.delivery} undid it" if undone else "its undo was undone"
        _revise(db, row, terms, at=at, because=says, closed=closed if one == found.id else {})
        if row.channel != PERSON:
            told.append(row.delivery)
    return arrival.delivery, told


def _revise(
    db: Connection, found: Row[Any], terms: Terms, *, at: datetime, because: str, closed: Mapping[Verdict, int]
) -> None:
    """Let a receipt say that its delivery was undone, or is in force again; ``closed`` lines wait no longer."""
    tally = Tally.resumed(json.loads(found.summary))
    became = tally.refuse(closed)
    revisions.revise(db, found, tally.told(terms.partners), at=at, because=because, became=became)


def _undo_arrival(found: Row[Any], by: str, reason: str | None, at: datetime) -> Arrival:
    said = json.dumps({"undoes": found.delivery, "by": by, "reason": reason, "at": at.isoformat()}).encode()
    return Arrival(
        delivery=f"{at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}",
        channel=UNDO,
        name=f"undo of {found.name}",
        sha256=hashlib.sha256(said).hexdigest(),
        size_bytes=len(said),
        received_at=at,
        sent_by=by,
    )


def _take(db: Connection, delivery_id: int) -> Taken:
    """What a replay judges again; raises Unusable when somebody undid the delivery meanwhile."""
    _replayable(db, deliveries.by_id(db, delivery_id).delivery)
    return revisions.take_open(db, delivery_id)


def _replayable(db: Connection, delivery: str) -> Row[Any]:
    found = deliveries.find(db, delivery)
    why_not = {
        DeliveryState.HELD: "is held; release or reject it instead.",
        DeliveryState.BROKEN: "is broken; it is tried again with every round, and by `clawback ingest`.",
        DeliveryState.DUPLICATE: f"is a duplicate of {found.first}; replay that one.",
        DeliveryState.UNPACKED: f"is a container. Replay the deliveries of its files: {_files(found)}.",
    }.get(DeliveryState(found.state))
    if found.channel in WITHOUT_BYTES:
        why_not = "is no file of a brand; do again what was refused."
    elif found.undone_by is not None:
        why_not = f"was undone by {found.undone_by_delivery}; undo that first, or send the file again."
    if why_not is not None:
        raise Unusable(f"Delivery {delivery} {why_not}")
    return found


def _undoable(db: Connection, delivery: str) -> Row[Any]:
    found = deliveries.find(db, delivery)
    if found.state == DeliveryState.UNPACKED:
        how = f"Undo the deliveries of its files one by one, the last one first: {_files(found)}."
        raise Unusable(f"Delivery {delivery} is a container. {how}")
    if found.state != DeliveryState.DONE:
        raise Unusable(f"Delivery {delivery} is {found.state}: nothing of it was applied, so there is nothing to undo.")
    return found


def _files(container: Row[Any]) -> str:
    files = [file["delivery"] for file in json.loads(container.summary).get("files", [])]
    more = f" and {len(files) - MOST_SHOWN} more, as its receipt tells" if len(files) > MOST_SHOWN else ""
    return f"{', '.join(files[:MOST_SHOWN])}{more}"


def _nothing_open(found: Row[Any]) -> Unusable:
    if deliveries.holds_lines(found):
        return Unusable(f"The open lines of delivery {found.delivery} are held; release or reject them instead.")
    return Unusable(f"Every line of delivery {found.delivery} got what it asked for; there is nothing to replay.")


def _nothing_to_undo(found: Row[Any]) -> Unusable:
    if found.undone_by is None:
        return Unusable(f"Delivery {found.delivery} changed no action and proposes nothing; there is nothing to undo.")
    return Unusable(f"Delivery {found.delivery} was undone already, by {found.undone_by_delivery}.")
