"""The brakes: a delivery that does unusual harm is held for a second pair of eyes (design, section 4.7).

They are pulled after everything was decided, inside the transaction that would apply it, so that what is said about the
delivery is exactly what it would have done. Its lines that waited for their actions are weighed once more, by
themselves, when they are judged: on its arrival nobody could know what they do.
"""

import json
from collections.abc import Mapping
from statistics import median
from typing import Final, NoReturn

from sqlalchemy import Connection, func, select

from processing.catalog import Terms
from processing.codes import Code
from processing.deliveries import DeliveryState
from processing.errors import Braked
from processing.instants import told
from processing.model import Brakes
from processing.money import to_text
from processing.tables import action, delivery
from processing.tally import Harm, Tally

USUAL: Final = 10
"""How many earlier deliveries tell what is usual."""
FEWEST_USUAL: Final = 3
"""Fewer say nothing yet."""

# How many rows are added up first; if they do not settle it, as many as should, and so on.
_SAMPLE: Final = 10_000
_EVERY_ROW: Final = 2**62
_LOOKED_AT: Final = 1_000


def check(db: Connection, terms: Terms, tally: Tally) -> None:
    """Raise Braked with the reason if the delivery that was just applied in this transaction must be held instead."""
    if tally.read < terms.brakes.lines:
        return
    _weigh(db, terms, tally.harm, tally.nearest_lock)
    reason = _is_large(db, terms.account_id, tally.read, terms.brakes)
    if reason is not None:
        _pull(Code.OUTLIER, reason, terms, tally.nearest_lock)


def check_waited(db: Connection, terms: Terms, waited: Harm, nearest_lock: int | None) -> None:
    """Raise Braked if the lines of a delivery that waited, and were applied in this transaction, must be held instead.

    ``waited`` is all that lines of it did that had waited, whenever their actions were loaded; ``nearest_lock`` (in
    microseconds) is that of the lines of this transaction.
    """
    if waited.lines >= terms.brakes.lines:
        _weigh(db, terms, waited, nearest_lock, lines=" that waited for their actions")


def _weigh(db: Connection, terms: Terms, harm: Harm, nearest_lock: int | None, lines: str = "") -> None:
    if harm.bad * 100 > harm.lines * terms.brakes.bad_percent:
        reason = f"{harm.bad:,} of its {harm.lines:,} lines{lines} would be rejected or refused."
        _pull(Code.MOSTLY_BAD, reason, terms, nearest_lock)
    if much := _reverses_much(db, terms, harm.reversed):
        subject = f"Its lines{lines} reverse" if lines else "It reverses"
        _pull(Code.OUTLIER, f"{subject} {much}", terms, nearest_lock)


def _pull(code: Code, reason: str, terms: Terms, nearest: int | None) -> NoReturn:
    until = "" if nearest is None else f" The first of its actions locks at {told(nearest, terms.zone)}."
    raise Braked(code, code.message(reason=reason + until), nearest)


def _reverses_much(db: Connection, terms: Terms, taken: Mapping[str, int]) -> str | None:
    for currency, reversed_ in sorted(taken.items()):
        percent = terms.brakes.reversed_percent
        # What is open now, and what was open before: the same without what this delivery took away.
        left = _open_payout(db, terms.account_id, currency, enough=reversed_ * 100 // max(percent, 1))
        if reversed_ * 100 > percent * (left + reversed_):
            before = left + reversed_
            amounts = f"{to_text(reversed_, currency)} of the {to_text(before, currency)} {currency}"
            return f"{amounts} of payout that is open, {reversed_ * 100 // before} %."
    return None


def _open_payout(db: Connection, account_id: int, currency: str, enough: int) -> int:
    """The payout of an account's open actions in a currency, or some of it if that is ``enough``."""
    mine = (action.c.account_id == account_id, action.c.locked_at.is_(None), action.c.currency == currency)
    rows = _SAMPLE
    while True:
        some = select(action.c.payout).where(*mine).limit(rows).subquery()
        count, total = map(int, db.execute(select(func.count(), func.coalesce(func.sum(some.c.payout), 0))).one())
        if count < rows or total >= enough:
            return total
        rows = min(max(4 * rows, 2 * rows * enough // max(total, 1)), _EVERY_ROW)


def _is_large(db: Connection, account_id: int, read: int, brakes: Brakes) -> str | None:
    if read < brakes.large_lines:
        return None
    mine = (delivery.c.account_id == account_id, delivery.c.state == DeliveryState.DONE.value)
    newest = (delivery.c.received_at.desc(), delivery.c.id.desc())
    newest_first = select(delivery.c.summary).where(*mine).order_by(*newest).limit(_LOOKED_AT)
    usual: list[int] = []
    for summary in db.execute(newest_first).scalars():
        lines = json.loads(summary).get("rows", {}).get("read", 0)
        # Single lines come by other ways than files and say nothing about them.
        usual += [lines] if lines >= brakes.lines else []
        if len(usual) == USUAL:
            break
    if len(usual) < FEWEST_USUAL or read <= brakes.times_usual * median(usual):
        return None
    return f"It has {read:,} lines; the median of the {len(usual)} before it is {median(usual):,.0f}."
