"""The brakes: a delivery that does unusual harm is held for a second pair of eyes (design, section 4.7).

They are pulled after everything was decided, inside the transaction that would apply it, so that what is said about the
delivery is exactly what it would have done. When lines of it are judged later, since they waited for their actions or
are replayed, it is weighed once more, with them: on its arrival nobody could know what they do.
"""

import json
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
    if _is_mostly_bad(tally.harm, terms.brakes):
        _pull(Code.MOSTLY_BAD, f"{_bad(tally)} would be rejected or refused.", terms, tally)
    if much := _reverses_much(db, terms, tally):
        _pull(Code.OUTLIER, f"It reverses {much}", terms, tally)
    reason = _is_large(db, terms.account_id, tally.read, terms.brakes)
    if reason is not None:
        _pull(Code.OUTLIER, reason, terms, tally)


def check_again(db: Connection, terms: Terms, tally: Tally, part: Tally, *, bad_before: int, lines: str) -> None:
    """Raise Braked if the ``part`` of a delivery that was judged later, in this transaction, must be held instead.

    ``tally`` is the whole delivery with that part, ``bad_before`` how many of its lines were in vain without it, and
    ``lines`` says which these are. That it is large was seen on its arrival.
    """
    if tally.read < terms.brakes.lines:
        return
    if tally.bad > bad_before and _is_mostly_bad(tally.harm, terms.brakes):
        _pull(Code.MOSTLY_BAD, f"With {lines}, {_bad(tally)} would be rejected or refused.", terms, part)
    if much := _reverses_much(db, terms, tally):
        _pull(Code.OUTLIER, f"With {lines}, it reverses {much}", terms, part)


def pull_again(code: Code, terms: Terms, part: Tally) -> NoReturn:
    """Raise Braked, for a ``part`` of which some lines are held already with this code, and no person has decided."""
    _pull(code, "Lines of it are held, and more of those that waited became known since.", terms, part)


def _is_mostly_bad(harm: Harm, brakes: Brakes) -> bool:
    return harm.lines >= brakes.lines and harm.bad * 100 > harm.lines * brakes.bad_percent


def _bad(tally: Tally) -> str:
    undecided = " that nobody has decided about" if tally.seen.lines else ""
    return f"{tally.harm.bad:,} of its {tally.harm.lines:,} lines{undecided}"


def _pull(code: Code, reason: str, terms: Terms, part: Tally) -> NoReturn:
    would, nearest = part.told(terms.partners), part.nearest_lock
    sides = would["money"].items()
    money = [f"{both['payout_before']} {one} before, {both['payout_after']} after" for one, both in sides]
    reason += f" Payout of what it changes: {'; '.join(money)}." if money else ""
    reason += "" if nearest is None else f" The first of its actions locks at {told(nearest, terms.zone)}."
    raise Braked(code, reason, would)


def _reverses_much(db: Connection, terms: Terms, tally: Tally) -> str | None:
    since = " since a person decided about it" if tally.seen.lines else ""
    for currency, reversed_ in sorted(tally.reversed.items()):
        percent = terms.brakes.reversed_percent
        # What is open now, and what was open before: the same without what this delivery took away.
        left = _open_payout(db, terms.account_id, currency, enough=reversed_ * 100 // max(percent, 1))
        if reversed_ * 100 > percent * (left + reversed_):
            before = left + reversed_
            amounts = f"{to_text(reversed_, currency)} of the {to_text(before, currency)} {currency}"
            return f"{amounts} of payout that is open, {reversed_ * 100 // before} %{since}."
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
