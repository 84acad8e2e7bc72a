"""Judges one delivery inside one transaction: reads its bytes, checks the text, lets the ledger decide."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from sqlalchemy import Connection

from processing import deliveries
from processing.apply import Application
from processing.catalog import Terms
from processing.codes import Code, Verdict
from processing.deliveries import Arrival, DeliveryState
from processing.errors import Unreadable
from processing.explain import ANSWER
from processing.instants import micros
from processing.intent import FileShape
from processing.match import NOBODY, match
from processing.tally import Tally
from schemas.check import Checked, check
from schemas.document import Document


@dataclass(frozen=True, slots=True)
class Case:
    """One delivery before the ledger: what arrived, its bytes, and whose terms judge it."""

    arrival: Arrival
    content: Path
    terms: Terms

    def open(self) -> Document:
        """The delivery's file, understood; raises Unreadable."""
        arrival = self.arrival
        return Document.open(
            self.content, arrival.name, declared_encoding=arrival.encoding, ignore=arrival.ignore_columns
        )

    def checked(self, document: Document) -> Iterator[Checked]:
        """The file's lines, their text judged, chunk by chunk; raises Unreadable."""
        reversals = document.kind == "reversals"
        for chunk in document.chunks():
            yield check(chunk, document.columns, reversals=reversals, event_type=self.arrival.event_type)


def judge(db: Connection, case: Case, *, at: datetime, released: bool = False) -> None:
    """Register the delivery and bring it to its end; ``released`` skips the holds.

    Raises Unreadable when the file as a whole is wrong, possibly after lines were written, and LedgerConflict when the
    ledger moved meanwhile: then nothing of the transaction is to be kept. (A savepoint inside would let SQLite copy
    every page that a large delivery touches.)
    """
    number, first = deliveries.register(db, case.terms.account_id, case.arrival)
    if first is not None:
        deliveries.finish(db, number, DeliveryState.DUPLICATE, at=at, duplicate_of=first)
        return
    document = case.open()
    if document.terminated is False and case.arrival.proven is None and not released:
        _hold(db, number, case, document, at)
        return
    tally = _apply(db, number, case, document)
    deliveries.finish(db, number, DeliveryState.DONE, at=at, summary=tally.told(case.terms.partners))


def turn_away(db: Connection, case: Case, because: Unreadable, *, at: datetime) -> None:
    """Register the delivery as rejected as a whole, after ``judge`` found it unreadable."""
    number, _ = deliveries.register(db, case.terms.account_id, case.arrival)
    deliveries.finish(db, number, DeliveryState.REJECTED, at=at, code=because.code, message=str(because))


def named_actions(db: Connection, case: Case) -> set[int]:
    """The row ids of the actions that a delivery names, whatever it asks; raises Unreadable."""
    found: set[int] = set()
    for checked in case.checked(case.open()):
        matched = match(db, case.terms.account_id, checked.good)
        found.update(matched.actions.id[matched.row[matched.row != NOBODY]].tolist())
    return found


def _apply(db: Connection, number: int, case: Case, document: Document) -> Tally:
    shape = FileShape(
        has_amount=document.has_amount,
        has_other=document.has_status or document.has_currency,
        reversals_only=document.kind == "reversals",
    )
    application = Application(db, case.terms, number, micros(case.arrival.received_at), shape)
    for checked in case.checked(document):
        application.reject(_rejected(checked))
        application.apply(checked.good)
    return application.tally


def _hold(db: Connection, number: int, case: Case, document: Document, at: datetime) -> None:
    tally = Tally()
    for chunk in document.chunks():
        tally.count(Verdict.HELD, len(chunk.lines) + len(chunk.bad))
    code = Code.MAYBE_INCOMPLETE
    summary = tally.told(case.terms.partners)
    deliveries.finish(db, number, DeliveryState.HELD, at=at, summary=summary, code=code, message=code.message())


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
