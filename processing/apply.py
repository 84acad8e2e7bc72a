"""Applies a delivery, chunk by chunk, inside the caller's one transaction.

Every written action is guarded by the version, state and lock it was decided on; a chunk of which one action moved
meanwhile raises LedgerConflict, and the whole transaction with it.
"""

from dataclasses import dataclass, field, fields

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, literal, update

from processing import bulk
from processing.catalog import Terms
from processing.codes import Verdict
from processing.columns import NONE, Ints, Objects
from processing.decide import Decided, Entries, decide
from processing.errors import LedgerConflict
from processing.explain import ANSWER, answers
from processing.instants import instant
from processing.intent import Asked, FileShape, ask
from processing.match import Actions, Matched, match
from processing.rate import Rates
from processing.tables import action, entry, line, staged_change
from processing.tally import Tally


@dataclass(slots=True)
class Application:
    """One delivery being applied: feed it chunks in file order, then read its ``tally``."""

    db: Connection
    terms: Terms
    delivery_id: int
    received_at: int
    shape: FileShape
    tally: Tally = field(default_factory=Tally)
    rates: Rates = field(init=False)

    def __post_init__(self) -> None:
        day = instant(self.received_at).astimezone(self.terms.zone).date()
        self.rates = Rates.on(day, self.terms)

    def apply(self, lines: pd.DataFrame) -> None:
        """Match, judge, decide and write a chunk of checked lines.

        ``lines``: index line (int64); columns action_id, order_id, amount_text, currency, customer_status, reason
        (text or NA), event_type and amount_scaled (Int64). Raises LedgerConflict.
        """
        if len(lines) == 0:
            return
        matched = match(self.db, self.terms.account_id, lines)
        asked = ask(lines, matched, self.terms, self.shape)
        self._write(lines, asked, matched, decide(asked, matched, self.terms, self.rates, self.received_at))

    def apply_asked(self, lines: pd.DataFrame, asked: Asked, matched: Matched) -> None:
        """Decide and write changes whose intent is known, as a person's is. Raises LedgerConflict."""
        self._write(lines, asked, matched, decide(asked, matched, self.terms, self.rates, self.received_at))

    def reject(self, rejected: pa.Table) -> None:
        """Record lines that broke the file's contract: rows of ``ANSWER``."""
        self.tally.count(Verdict.REJECTED, rejected.num_rows)
        self._answer(rejected)

    def _write(self, lines: pd.DataFrame, asked: Asked, matched: Matched, decided: Decided) -> None:
        entries, actions = decided.entries, matched.actions
        _, first = np.unique(entries.row, return_index=True)
        self.tally.add(decided, matched, self.received_at, self.delivery_id, first)
        self._move(entries, actions, first)
        bulk.insert(self.db, entry, self._entry_rows(entries, asked, actions))
        self._answer(answers(lines, asked, matched, decided, self.terms, self.received_at))

    def _move(self, entries: Entries, actions: Actions, first: Ints) -> None:
        """Give every changed action its values after the chunk, in one guarded statement."""
        if len(first) == 0:
            return
        row = entries.row[first]
        bulk.stage(
            self.db, staged_change, _staged(actions, row, entries.version[first] - 1, entries.state_before[first])
        )
        bulk.know_sizes(self.db, staged_change, len(row))
        names = ("version", "state", "amount", "payout", "customer_status", "prior_amount", "prior_payout", "changes")
        moved = self.db.execute(
            update(action)
            .values({**{name: staged_change.c[name] for name in names}, "changed_by": literal(self.delivery_id)})
            .where(
                action.c.id == staged_change.c.id,
                action.c.version == staged_change.c.version_before,
                action.c.state == staged_change.c.state_before,
                action.c.locked_at.is_(None),
                action.c.locks_at > self.received_at,
            )
        )
        if moved.rowcount != len(row):
            raise LedgerConflict(
                f"{len(row) - moved.rowcount} of {len(row)} actions changed while delivery {self.delivery_id} was "
                "decided; nothing was written. Decide again."
            )

    def _entry_rows(self, entries: Entries, asked: Asked, actions: Actions) -> pa.Table:
        at = entries.position
        same = [one.name for one in fields(Entries) if one.name not in {"position", "row"}]
        return bulk.frame(
            {
                "delivery_id": np.full(len(at), self.delivery_id, dtype=np.int64),
                "line": asked.line[at],
                "action_id": actions.id[entries.row],
                "change": asked.change[at],
                "reason": asked.reason[at],
                **{name: getattr(entries, name) for name in same},
            }
        )

    def _answer(self, rows: pa.Table) -> None:
        numbers = pa.array(np.full(rows.num_rows, self.delivery_id, dtype=np.int64))
        bulk.insert(self.db, line, rows.select(ANSWER.names).append_column("delivery_id", numbers))


def _staged(actions: Actions, row: Ints, version_before: Ints, state_before: Objects) -> pa.Table:
    same = ("id", "version", "state", "amount", "payout", "customer_status", "changes")
    prior = {name: getattr(actions, name)[row] for name in ("prior_amount", "prior_payout")}
    return bulk.frame(
        {
            "version_before": version_before,
            "state_before": state_before,
            **{name: getattr(actions, name)[row] for name in same},
            **{name: pa.array(column, mask=column == NONE) for name, column in prior.items()},
        }
    )
