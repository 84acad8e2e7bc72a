"""Judges one delivery inside one transaction: reads its bytes, checks the text, lets the ledger decide."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
from sqlalchemy import Connection

from clawback.beginnings import adds_no_line, begun_with, replace
from clawback.sidecars import consume, judge_sidecar, let_go, takes_up
from processing import brakes, deliveries, proofs
from processing.apply import Application
from processing.catalog import Terms
from processing.codes import Code, Verdict
from processing.deliveries import Arrival, DeliveryState
from processing.errors import Braked, Unreadable
from processing.explain import ANSWER
from processing.instants import micros
from processing.intent import FileShape
from processing.match import NOBODY, match
from processing.model import Trailer
from processing.tally import Tally
from schemas.check import Checked, check
from schemas.chunk import Chunk
from schemas.containers import MOST_BYTES
from schemas.document import Document
from schemas.observed import CHANNELS
from schemas.sidecar import described


@dataclass(frozen=True, slots=True)
class Case:
    """One delivery before the ledger: what arrived, its bytes, and whose terms judge it."""

    arrival: Arrival
    content: Path
    terms: Terms
    most_bytes: int = MOST_BYTES

    @property
    def wants_trailer(self) -> bool:
        """Whether a CSV has to end with a trailer: if the account says so, and it is no file that we write."""
        return self.terms.trailer is Trailer.REQUIRED and not is_written_here(self.arrival.channel)

    def open(self) -> Document:
        """The delivery's file, understood; raises Unreadable."""
        arrival = self.arrival
        return Document.open(
            self.content,
            arrival.name,
            declared_encoding=arrival.encoding,
            ignore=arrival.ignore_columns,
            most_bytes=self.most_bytes,
            proven=arrival.proven,
        )

    def checked(self, document: Document) -> Iterator[Checked]:
        """The file's lines, their text judged, chunk by chunk; raises Unreadable."""
        for chunk in document.chunks():
            yield self.check(document, chunk)

    def check(self, document: Document, chunk: Chunk) -> Checked:
        """Lines of the file, their text judged."""
        reversals = document.kind == "reversals"
        return check(chunk, document.columns, reversals=reversals, event_type=self.arrival.event_type)


def is_written_here(channel: str) -> bool:
    """Whether we write the files of a channel, so that nothing that is agreed about a brand's own concerns them."""
    return channel == deliveries.API or channel.startswith(CHANNELS)


def judge(
    db: Connection,
    case: Case,
    *,
    at: datetime,
    released: str | None = None,
    proven: bool = False,
    weighed: bool = False,
) -> None:
    """Register the delivery and bring it to its end; ``proven`` skips the hold of half files.

    ``released`` skips all holds, or that one only if it still is to be ``weighed``; it is the message of a delivery
    that is applied because of that.

    Raises Unreadable when the file as a whole is wrong and Braked when sound lines have to be held, possibly after
    lines were written, and LedgerConflict when the ledger moved meanwhile: then nothing of the transaction is to be
    kept. (A savepoint inside would let SQLite copy every page that a large delivery touches.)
    """
    account_id, arrival = case.terms.account_id, case.arrival
    if described(arrival.name):
        judge_sidecar(db, account_id, arrival, case.content, at=at)
        return
    number, first = deliveries.register(db, account_id, arrival)
    proven = is_taken_up = proven or released is not None
    # That no byte was lost on the way does not say that its export was whole, as a trailer or a sidecar would.
    if not proven and (consume(db, account_id, arrival, at=at) or (arrival.proven and not case.wants_trailer)):
        # Sent again on purpose it would be no duplicate; but the first was not applied yet, and came before.
        proven, first = True, first or proofs.held_with_digest(db, account_id, arrival.sha256)
    if first is not None:
        _settle_beginnings(db, case, at)
        _repeat(db, number, first, at, proven=proven)
        return
    document = case.open()
    doubt = None if proven else _doubt(case, document)
    same = _settle_beginnings(db, case, at, None if is_taken_up else document)
    if same is not None:
        _repeat(db, number, same, at, proven=doubt is None)
    elif doubt is not None:
        _hold_incomplete(db, number, case, document, doubt, at)
    else:
        _weigh(db, number, case, document, at=at, released=released, weighed=weighed or released is None)


def turn_away(db: Connection, case: Case, because: Unreadable, *, at: datetime) -> None:
    """Register the delivery as rejected as a whole, after ``judge`` found it unreadable."""
    number, _ = deliveries.register(db, case.terms.account_id, case.arrival)
    let_go(db, case.terms.account_id, case.arrival, at=at)
    deliveries.finish(db, number, DeliveryState.REJECTED, at=at, code=because.code, message=str(because))


def hold(db: Connection, case: Case, because: Braked, *, at: datetime, released: str | None = None) -> None:
    """Register the delivery as held, after ``judge`` found that it would do unusual harm; faults of its text stand.

    Its receipt tells the money that it would move, and what ``released`` says of a hold before.
    """
    number, _ = deliveries.register(db, case.terms.account_id, case.arrival)
    let_go(db, case.terms.account_id, case.arrival, at=at)
    _settle_beginnings(db, case, at)
    document = case.open()
    applied = application(db, number, case, document)
    for checked in case.checked(document):
        applied.reject(_rejected(checked))
        applied.tally.count(Verdict.HELD, len(checked.good))
    would = {part: because.would[part] for part in ("money", "partners", "nearest_lock")}
    summary = applied.tally.told(case.terms.partners) | would
    message = _held_anew(released, because)
    deliveries.finish(db, number, DeliveryState.HELD, at=at, summary=summary, code=because.code, message=message)


def named_actions(db: Connection, case: Case) -> set[int]:
    """The row ids of the actions that a delivery names, whatever it asks; raises Unreadable."""
    found: set[int] = set()
    for checked in case.checked(case.open()):
        matched = match(db, case.terms.account_id, checked.good)
        found.update(matched.actions.id[matched.row[matched.row != NOBODY]].tolist())
    return found


def application(
    db: Connection, number: int, case: Case, document: Document, *, resumed_at: datetime | None = None
) -> Application:
    """What applies a delivery's lines, ``resumed_at`` an instant when some were judged before."""
    shape = FileShape(
        has_amount=document.has_amount,
        has_other=document.has_status or document.has_currency,
        reversals_only=document.kind == "reversals",
    )
    resumed = None if resumed_at is None else micros(resumed_at)
    return Application(db, case.terms, number, micros(case.arrival.received_at), shape, resumed_at=resumed)


def record(applied: Application, checked: Checked) -> None:
    """Give checked lines their verdicts; raises LedgerConflict."""
    applied.reject(_rejected(checked))
    applied.apply(checked.good)


def _weigh(  # noqa: PLR0913 - those of judge
    db: Connection, number: int, case: Case, document: Document, *, at: datetime, released: str | None, weighed: bool
) -> None:
    """Apply a delivery that is whole, and end it as done or held; raises Braked."""
    tally, sound = _apply(db, number, case, document)
    if not weighed:
        tally.decide()
    end = partial(deliveries.finish, db, number, at=at, summary=tally.told(case.terms.partners))
    try:
        if weighed:
            brakes.check(db, case.terms, tally)
    except Braked as because:
        if sound:
            raise
        # Faults of its text stand, and there is nothing else: it is what ``hold`` would make of it once more.
        end(DeliveryState.HELD, code=because.code, message=_held_anew(released, because))
    else:
        end(DeliveryState.DONE, message=released)


def _apply(db: Connection, number: int, case: Case, document: Document) -> tuple[Tally, int]:
    """What became of the lines, and how many of them had no fault in their text."""
    applied, sound = application(db, number, case, document), 0
    for checked in case.checked(document):
        record(applied, checked)
        sound += len(checked.good)
    return applied.tally, sound


def _held_anew(released: str | None, because: Braked) -> str:
    return str(because) if released is None else f"{released} {because}"


def _doubt(case: Case, document: Document) -> str | None:
    """Why the file may have been cut off, ``None`` if nothing says so."""
    if document.terminated is not None and case.wants_trailer:
        # A line break alone would not do.
        return "The file does not end with a trailer, so it may have been cut off. Send it again with its trailer."
    if document.terminated is False and not case.arrival.proven:
        return Code.MAYBE_INCOMPLETE.message()
    return None


def _repeat(db: Connection, number: int, first: int, at: datetime, *, proven: bool) -> None:
    """End a delivery of what came before. If it is proven to be whole, so is the first, which may lack that."""
    found, end = deliveries.by_id(db, first), partial(deliveries.finish, db, number, DeliveryState.DUPLICATE, at=at)
    if proven and takes_up(found):
        message = f"It proves that delivery {found.delivery} is whole, which was held as it might have been cut off."
        end(duplicate_of=first, summary={"about": found.delivery}, message=message)
    else:
        end(duplicate_of=first)


def _settle_beginnings(db: Connection, case: Case, at: datetime, document: Document | None = None) -> int | None:
    """Give up the held deliveries that this one begins with: they were cut off, and this one is not, or later.

    But for the first whose lines are those of its ``document``: gives that one's row id.
    """
    same = None
    for one in begun_with(db, case.terms.account_id, case.arrival, case.content):
        if same is None and document is not None and adds_no_line(document, one):
            same = int(one.id)
        else:
            replace(db, one, case.arrival.delivery, at)
    return same


def _hold_incomplete(db: Connection, number: int, case: Case, document: Document, doubt: str, at: datetime) -> None:
    tally = Tally()
    for chunk in document.chunks():
        tally.count(Verdict.HELD, len(chunk.lines) + len(chunk.bad))
    code = Code.MAYBE_INCOMPLETE
    summary = tally.told(case.terms.partners)
    deliveries.finish(db, number, DeliveryState.HELD, at=at, summary=summary, code=code, message=doubt)


def _rejected(checked: Checked) -> pa.Table:
    bad = checked.bad
    return pa.table(
        {
            "line": pa.array([one.line for one in bad], pa.int64()),
            "verdict": pa.array([Verdict.REJECTED.value] * len(bad), pa.string()),
            "code": pa.array([one.code.value for one in bad], pa.string()),
            "message": pa.array([one.message for one in bad], pa.string()),
            "action_id": pa.nulls(len(bad), pa.int64()),
        },
        schema=ANSWER,
    )
