"""Puts each decision into the words the brand reads: one message per line that was not simply applied."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from processing import bulk
from processing.catalog import Terms
from processing.codes import Code, Verdict
from processing.columns import Bools, Objects, blank, missing, pick, texts
from processing.decide import MOST_CHANGES, Decided
from processing.instants import told
from processing.intent import Asked
from processing.match import NOBODY, Matched
from processing.reasons import FOR_REVERSALS_ONLY

# A line's answer as the store keeps it; action_id is the action's row id.
_ANSWER: Final[dict[str, pa.DataType]] = {
    "line": pa.int64(),
    "verdict": pa.string(),
    "code": pa.string(),
    "message": pa.string(),
    "action_id": pa.int64(),
}
ANSWER: Final = pa.schema(_ANSWER)
SHOWN: Final = 80


def shown(value: object) -> str:
    """A brand's value as messages show it: quoted, with odd characters escaped, and cut at 80 characters."""
    text = str(value)
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def answers(
    lines: pd.DataFrame, asked: Asked, matched: Matched, decided: Decided, terms: Terms, received_at: int
) -> pa.Table:
    """Every line that has no entry or carries a notice, as rows of ``ANSWER``.

    ``lines``: as ``intent.ask`` takes them, with action_id, order_id and amount_text beside.
    """
    speaker = _Speaker.of(lines, matched, terms, received_at)
    code, message = decided.code.copy(), blank(len(asked))
    for at in np.flatnonzero(~missing(decided.code)).tolist():
        message[at] = speaker.says(decided.code[at], at)
    noticed = _add_notices(code, message, asked, matched, decided)
    verdict = blank(len(asked))
    verdict[decided.applied], verdict[decided.unchanged] = Verdict.APPLIED.value, Verdict.UNCHANGED.value
    for one in set(decided.code[~missing(decided.code)]):
        verdict[decided.code == one] = one.meaning.verdict.value
    kept = ~decided.applied | noticed
    action_id = pick(matched.actions.id, asked.row, NOBODY)[kept]
    return bulk.frame(
        {
            "line": asked.line[kept],
            "verdict": verdict[kept],
            "code": code[kept],
            "message": message[kept],
            "action_id": pa.array(action_id, pa.int64(), mask=action_id == NOBODY),
        }
    )


def _add_notices(code: Objects, message: Objects, asked: Asked, matched: Matched, decided: Decided) -> Bools:
    """Give a line without a code its first notice, and every line the sentences of its notices."""
    noticed = np.zeros(len(code), dtype=np.bool_)
    for notice, carries in decided.notices.items():
        noticed |= carries
        for at in np.flatnonzero(carries).tolist():
            sentence = notice.message(count=matched.candidates[at], currency=asked.currency[at])
            code[at] = code[at] or notice
            message[at] = f"{message[at]} {sentence}" if message[at] else sentence
    return noticed


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Fills a code's sentence with the values of one line."""

    cells: Mapping[str, Objects]
    matched: Matched
    terms: Terms
    received_at: int
    wait: Mapping[str, str]

    @classmethod
    def of(cls, lines: pd.DataFrame, matched: Matched, terms: Terms, received_at: int) -> "_Speaker":
        names = ("action_id", "order_id", "event_type", "amount_text", "currency", "reason")
        until = told(terms.waits_until(received_at), terms.zone)
        wait = {"until": until, "received_at": told(received_at, terms.zone)}
        return cls({name: texts(lines[name]) for name in names}, matched, terms, received_at, wait)

    def says(self, code: Code, at: int) -> str:
        return code.message(**self._values(code, at))

    def _values(self, code: Code, at: int) -> dict[str, object]:
        cell = {name: column[at] for name, column in self.cells.items()}
        known = {
            Code.EVENT_TYPE_UNKNOWN: {"value": cell["event_type"]},
            Code.REASON_UNKNOWN: {"value": shown(cell["reason"])},
            Code.REASON_MISPLACED: {
                "value": shown(cell["reason"]),
                "change": "modification" if cell["reason"] in FOR_REVERSALS_ONLY else "reversal",
            },
            Code.AMBIGUOUS_ORDER: {"value": shown(cell["order_id"]), "count": self.matched.candidates[at]},
            Code.TOO_MANY_CHANGES: {"value": MOST_CHANGES},
        }
        if code is Code.UNKNOWN_ACTION:
            field = "Oid" if cell["action_id"] is None else "ActionId"
            return {"field": field, "value": shown(cell["action_id"] or cell["order_id"]), **self.wait}
        if code in {Code.AMOUNT_MALFORMED, Code.AMOUNT_TOO_LARGE}:
            return {"value": shown(cell["amount_text"]), "currency": self._currency(at)}
        if code in {Code.ACTION_LOCKED, Code.NO_EXCHANGE_RATE, Code.SUPERSEDED}:
            return self._of_action(at)
        return known.get(code, {})

    def _currency(self, at: int) -> str:
        row = self.matched.row[at]
        own = self.terms.currency if row == NOBODY else self.matched.actions.currency[row]
        return str(self.cells["currency"][at] or own)

    def _of_action(self, at: int) -> dict[str, object]:
        row, actions, zone = self.matched.row[at], self.matched.actions, self.terms.zone
        return {
            "locks_at": told(int(actions.locks_at[row]), zone),
            "received_at": told(self.received_at, zone),
            "changed_at": told(int(actions.changed_at[row]), zone),
            "currency": actions.currency[row],
            "value": self.cells["currency"][at] or self.terms.currency,
            "day": told(int(actions.event_at[row]), zone)[:10],
        }
