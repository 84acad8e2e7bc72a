"""A change that a person makes to one action: the same rules, decided and written like a line of a delivery."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from processing.apply import Application
from processing.codes import Code
from processing.columns import NONE, blank
from processing.errors import NotFound, Unusable
from processing.intent import LARGEST_MINOR, Asked, is_reason
from processing.match import NOBODY, match
from processing.model import Change
from processing.money import to_minor


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants done with an action; ``amount`` is the new total as text, for a modification alone."""

    action_id: str
    change: Change
    reason: str
    amount: str | None = None


def grant(application: Application, wish: Wish) -> None:
    """Decide and write a person's wish as line 1 of its delivery.

    Raises NotFound for an unknown action, Unusable for an amount or a reason that is none, LedgerConflict.
    """
    terms = application.terms
    lines = _as_line(wish)
    matched = match(application.db, terms.account_id, lines)
    if matched.row[0] == NOBODY:
        raise NotFound(f"Account {terms.sid} has no action {wish.action_id}.")
    if not is_reason(wish.reason, int(matched.actions.event_type_id[0]), terms):
        raise Unusable(Code.REASON_UNKNOWN.message(value=wish.reason))
    amount = NONE if wish.amount is None else _minor(wish.amount, str(matched.actions.currency[0]))
    # As in a file, an amount of 0 reverses, unless 0 is what was tracked.
    reverses = wish.change is Change.MODIFY and amount == 0 and matched.actions.tracked_amount[0] != 0
    change = Change.REVERSE if reverses else wish.change
    asked = Asked(
        line=np.array([1], dtype=np.int64),
        row=matched.row,
        change=np.array([change], dtype=np.object_),
        amount=np.array([amount], dtype=np.int64),
        customer_status=blank(1),
        reason=np.array([wish.reason], dtype=np.object_),
        currency=matched.actions.currency[matched.row],
        foreign=np.zeros(1, dtype=np.bool_),
        converted=np.zeros(1, dtype=np.bool_),
        code=blank(1),
    )
    application.apply_asked(lines, asked, matched)


def _as_line(wish: Wish) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "action_id": [wish.action_id],
            "order_id": [None],
            "event_type": pd.array([None], dtype="Int64"),
            "amount_text": [wish.amount],
            "currency": [None],
            "reason": [wish.reason],
        },
        index=pd.Index([1], name="line"),
    )


def _minor(amount: str, currency: str) -> int:
    minor = to_minor(amount, currency)
    if minor < 0:
        raise Unusable(Code.AMOUNT_NEGATIVE.message(value=repr(amount)))
    if minor > LARGEST_MINOR:
        raise Unusable(Code.AMOUNT_TOO_LARGE.message(value=repr(amount)))
    return minor
