"""A change that a person makes to one action: the same rules, decided and written like a line of a delivery."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from processing.apply import Application
from processing.codes import Code
from processing.columns import NONE, blank
from processing.intent import LARGEST_MINOR, Asked
from processing.match import match
from processing.model import Change


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants done with an action; ``amount_minor`` only for a modification."""

    action_id: str
    change: Change
    reason: str
    amount_minor: int | None = None


def grant(application: Application, wish: Wish) -> None:
    """Decide and write a person's wish as line 1 of its delivery. Raises LedgerConflict."""
    lines = pd.DataFrame(
        {
            "action_id": [wish.action_id],
            "order_id": [None],
            "event_type": pd.array([None], dtype="Int64"),
            "amount_text": [None],
            "currency": [None],
            "reason": [wish.reason],
        },
        index=pd.Index([1], name="line"),
    )
    matched = match(application.db, application.terms.account_id, lines)
    amount = NONE if wish.amount_minor is None else wish.amount_minor
    asked = Asked(
        line=np.array([1], dtype=np.int64),
        row=matched.row,
        change=np.array([wish.change], dtype=np.object_),
        amount=np.array([amount], dtype=np.int64),
        customer_status=blank(1),
        reason=np.array([wish.reason], dtype=np.object_),
        foreign=np.zeros(1, dtype=np.bool_),
        code=np.array([Code.AMOUNT_TOO_LARGE if amount > LARGEST_MINOR else None], dtype=np.object_),
    )
    application.apply_asked(lines, asked, matched)
