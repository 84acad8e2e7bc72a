"""Applies a delivery, chunk by chunk, inside the caller's one transaction.

Every written action is guarded by the version, state and lock it was decided on; a chunk of which one action moved
meanwhile raises LedgerConflict, and the whole transaction with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, FromClause, case, exists, func, select, update
from sqlalchemy.exc import IntegrityError

from processing import adjustments, bulk, item_store, item_words, judgings, last_word, waiting
from processing.catalog import Terms
from processing.codes import Code, Verdict
from processing.decide import Decided, Entries, decide
from processing.errors import LedgerConflict
from processing.exchange import exchange
from processing.explain import ANSWER, answers
from processing.instants import instant
from processing.intent import Asked, FileShape, ask
from processing.match import NOBODY, Actions, Matched, match, recall
from processing.model import Change, State
from processing.rate import Rates
from processing.tables import action, entry, line
from processing.tally import Tally

# Changes that bring back what was once there.
_REMEMBERING: Final = (Change.RESET, Change.APPROVE, Change.RESTORE)


@dataclass(slots=True)
class Application:
    """One delivery being applied: feed it chunks in file order, then read its ``tally``.

    ``resumed_at`` (microseconds) when lines of it were judged before, which ``tally`` does not count.
    """

    db: Connection
    terms: Terms
    delivery_id: int
    received_at: int
    shape: FileShape
    tally: Tally = field(default_factory=Tally)
    resumed_at: int | None = None
    rates: Rates = field(init=False)
    _later: last_word.Words = field(init=False)
    _mine: last_word.Words | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._later = last_word.of_later(self.db, self.terms, self.received_at)
        if self.resumed_at is not None:
            self._mine = last_word.of_delivery(self.db, self.delivery_id)
        day = instant(self.received_at).astimezone(self.terms.zone).date()
        self.rates = Rates.on(day, self.terms)

    def apply(self, lines: pd.DataFrame) -> None:
        """Match, judge, decide and write a chunk of checked lines.

        ``lines``: index line (int64); columns action_id, order_id, amount_text, currency, customer_status, reason
        (text or NA), event_type and amount_scaled (Int64); in a file of items also items. Raises LedgerConflict.
        """
        if len(lines) == 0:
            return
        matched = match(self.db, self.terms.account_id, lines)
        actions = matched.actions
        changed = last_word.changed_later(self.db, self.terms, self.received_at, actions.id)
        for words in (self._later, changed):
            last_word.heed(words, actions.id, actions.changed_at, until=actions.locks_at)
        if self._mine is not None:
            self._recognise(actions)
            last_word.heed(self._mine, actions.id, actions.last_line)
        self.apply_asked(lines, ask(lines, matched, self.terms, self.shape), matched)

    def apply_asked(self, lines: pd.DataFrame, asked: Asked, matched: Matched) -> None:
        """Decide and write changes whose intent is known, as a person's is. Raises LedgerConflict."""
        remembers = np.isin(asked.change, _REMEMBERING) | asked.foreign
        recall(self.db, matched.actions, np.unique(asked.row[remembers & (asked.row != NOBODY)]))
        exchange(self.db, asked, matched.actions, self.terms)
        basket, actions = item_store.gather(self.db, asked, matched, self.terms), matched.actions
        if basket is not None:
            mine = (self.terms.account_id, self.delivery_id, self.received_at)
            item_words.heed(self.db, *mine, asked, actions, basket)
        decided = decide(asked, matched, self.terms, self.rates, self.received_at, basket)
        self._write(lines, asked, matched, decided)
        if basket is not None and decided.items is not None:
            item_store.record(self.db, self.delivery_id, asked, basket.items, actions, decided.items)
            item_words.record(self.db, self.delivery_id, asked, actions, basket, decided)

    def reject(self, rejected: pa.Table) -> None:
        """Record lines that broke the file's contract: rows of ``ANSWER``."""
        self.tally.count(Verdict.REJECTED, rejected.num_rows)
        self._answer(rejected)

    def _write(self, lines: pd.DataFrame, asked: Asked, matched: Matched, decided: Decided) -> None:
        entries, actions = decided.entries, matched.actions
        _, first = np.unique(entries.row, return_index=True)
        self.tally.add(decided, matched, self.received_at, self.delivery_id, first)
        self._record(self._entry_rows(entries, asked, actions))
        self._move(entries, asked, len(first))
        adjustments.record(self.db, self.delivery_id, decided.late, asked, actions)
        self._answer(answers(lines, asked, matched, decided, self.terms, self.received_at))
        waits = decided.code == Code.UNKNOWN_ACTION
        waiting.wait(self.db, self.terms, self.delivery_id, self.received_at, lines[waits])

    def _recognise(self, actions: Actions) -> None:
        """Mark the actions that this delivery changed already, whoever changed them since, and by which line last."""
        if len(actions.id) == 0:
            return
        wanted = bulk.listed(self.db, actions.id.tolist())
        mine = (entry.c.action_id == wanted.c.value) & (entry.c.delivery_id == self.delivery_id)
        last = select(wanted.c.position, func.max(entry.c.line)).join(entry, mine).group_by(wanted.c.position)
        found = bulk.fetch(self.db, last, {"position": int, "line": int})
        actions.changed_by[found["position"]] = self.delivery_id
        actions.last_line[found["position"]] = found["line"]

    def _record(self, rows: Mapping[str, Any]) -> None:
        """Add a chunk's entries; each carries the version it makes, and a version exists once."""
        try:
            bulk.insert(self.db, entry, rows)
        except IntegrityError as error:
            raise _moved_meanwhile("Actions", self.delivery_id) from error
        if self.resumed_at is not None:
            judgings.record_later(self.db, self.terms.account_id, self.delivery_id, rows["line"], self.resumed_at)

    def _move(self, entries: Entries, asked: Asked, actions: int) -> None:
        """Bring every changed action to its last entry of the chunk, in one guarded statement."""
        if actions == 0:
            return
        lines = asked.line[entries.position]
        first: FromClause = entry
        follower, several = entry.alias("follower"), []
        if actions < len(entries):
            first = entry.alias("first")
            follows = (follower.c.action_id == entry.c.action_id) & (follower.c.version == entry.c.version + 1)
            several = [first.c.action_id == entry.c.action_id, ~exists().where(follows)]
        gone = entry.c.state_after == State.REVERSED.value
        moved = self.db.execute(
            update(action)
            .values(
                version=entry.c.version,
                state=entry.c.state_after,
                amount=entry.c.amount_after,
                payout=entry.c.payout_after,
                customer_status=entry.c.status_after,
                # A reversed action takes no further entry but the one that brings it back.
                prior_amount=case((gone, entry.c.amount_before)),
                prior_payout=case((gone, entry.c.payout_before)),
                changes=action.c.changes + entry.c.version - action.c.version,
                changed_by=entry.c.delivery_id,
            )
            .where(
                entry.c.delivery_id == self.delivery_id,
                entry.c.line.between(int(lines[0]), int(lines[-1])),
                action.c.id == entry.c.action_id,
                *several,
                first.c.version == action.c.version + 1,
                first.c.state_before == action.c.state,
                action.c.locked_at.is_(None),
                action.c.locks_at > self.received_at,
            )
        )
        if moved.rowcount != actions:
            raise _moved_meanwhile(f"{actions - moved.rowcount} of {actions} actions", self.delivery_id)

    def _entry_rows(self, entries: Entries, asked: Asked, actions: Actions) -> dict[str, Any]:
        at = entries.position
        same = [one.name for one in fields(Entries) if one.name not in {"position", "row"}]
        return {
            "delivery_id": np.full(len(at), self.delivery_id, dtype=np.int64),
            "line": asked.line[at],
            "action_id": actions.id[entries.row],
            "change": pa.array(asked.change[at], pa.string()),
            "reason": asked.reason[at],
            **{name: getattr(entries, name) for name in same},
        }

    def _answer(self, rows: pa.Table) -> None:
        numbers = pa.array(np.full(rows.num_rows, self.delivery_id, dtype=np.int64))
        bulk.insert(self.db, line, rows.select(ANSWER.names).append_column("delivery_id", numbers))


def _moved_meanwhile(what: str, delivery_id: int) -> LedgerConflict:
    return LedgerConflict(
        f"{what} changed while delivery {delivery_id} was decided; nothing was written. Decide again."
    )
