"""What a record's state asks of the ledger, given what was asked for it before; pure.

The ledger's values follow from the record's present state alone, never from the way it took: whoever saw every state
and whoever saw the last one only end with the same action. So what leads away from an approval or a reversal begins
with a reset.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final

from connectors.salesforce_records import State
from connectors.salesforce_settings import Mapping_, Status
from schemas.contract import CONTROL

RESET: Final = "RESET"
# An approval's own reason says nothing of an amount.
AMOUNT_CHANGED: Final = "ORDER_UPDATE"
_CONTROL: Final = re.compile(CONTROL)
# What was asked for a record is not known any more: it came back to an order, or what it asked was held back.
UNKNOWN: Final = "unknown"
CHANGED: Final = frozenset({"approve", "modify", "reverse", UNKNOWN})


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for a record: the ledger has that outcome, unless it refused."""

    order_id: str
    outcome: str
    amount: str | None = None
    currency: str | None = None
    reason: str | None = None

    def told(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a delivery; ``reversal`` for one that stands in a file of ids and reasons."""

    reason: str
    amount: str | None = None
    currency: str | None = None
    reversal: bool = False

    def told(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a change of a record comes to: lines, a hold, or (neither) nothing; and what is asked from now on."""

    order_id: str | None
    lines: tuple[Line, ...] = ()
    held: str | None = None
    asked: Asked | None = None


def answers(before: Asked | None, after: State, mapping: Mapping_, *, returned: bool = False) -> Iterator[Answer]:
    """What a record's state comes to; two answers when it has moved to another order.

    ``returned``: it has come back to an order that it had before, from another or from none.
    """
    if before is not None and before.order_id != after.order_id:
        told = "none" if after.order_id is None else repr(after.order_id)
        yield Answer(before.order_id, held=f"The record was moved from order {before.order_id!r} to {told}.")
        before = None
    if before is None and returned and after.order_id is not None:
        before = Asked(after.order_id, UNKNOWN)
    if after.order_id is not None:
        answer = _answer(before, after, after.order_id, mapping)
        why = _spoiled(answer, mapping)
        yield answer if why is None else Answer(answer.order_id, held=why, asked=before)


def _answer(before: Asked | None, after: State, order_id: str, mapping: Mapping_) -> Answer:
    """Rules from top to bottom; the first that holds."""

    def held(why: str) -> Answer:
        return Answer(order_id, held=why, asked=before)

    if after.gone:
        return held("The record can no longer be seen: it is hidden from our user, or removed for good.")
    if after.follows is not None:
        why = _unfollowed(after, order_id, mapping)
        return Answer(order_id, asked=before) if why is None else held(why)
    if not after.matches:
        return _reopened(before, order_id, mapping, "no longer meets the filter")
    if after.deleted:
        reverse = mapping.on_deleted == "reverse"
        return _reversed(before, order_id, mapping.deleted_reason or "") if reverse else held("The record is deleted.")
    meaning = None if after.status is None else mapping.statuses.get(after.status)
    if meaning is None:
        return Answer(order_id, asked=before) if mapping.on_unmapped == "ignore" else held(_unmapped(after, mapping))
    return _meant(before, after, order_id, mapping, meaning)


def _meant(before: Asked | None, after: State, order_id: str, mapping: Mapping_, meaning: Status) -> Answer:
    if meaning.outcome == "none":
        return _reopened(before, order_id, mapping, f"is open again ({after.status})")
    if meaning.outcome == "reset":
        asked = Asked(order_id, "reset")
        return Answer(order_id, () if before == asked else (Line(RESET),), asked=asked)
    if meaning.outcome == "reverse":
        return _reversed(before, order_id, meaning.reason or "")
    applies = meaning.outcome == "modify" or (mapping.amount is not None and mapping.amount_applies == "on_change")
    if applies and (why := _unusable(after, mapping, meaning)):
        return Answer(order_id, held=why, asked=before)
    wanted = Asked(
        order_id,
        meaning.outcome,
        after.amount if applies else None,
        after.currency if applies else None,
        meaning.reason,
    )
    return _changed(before, wanted, mapping)


def _changed(before: Asked | None, wanted: Asked, mapping: Mapping_) -> Answer:
    """Lines that bring an action from what was asked for it to an amount, an approval, or both."""
    outcome, amount = wanted.outcome, wanted.amount
    if amount is not None and Decimal(amount) == 0:
        # An amount of nothing reverses; the ledger's own rule.
        outcome = "reverse"
    old = before.outcome if before is not None else "none"
    anew = (
        old == UNKNOWN
        or (old == "reverse" and outcome != "reverse")
        or (old == "approve" and outcome != "approve")
        or (old == "modify" and amount is None)
    )
    lines = [Line(RESET)] if anew and outcome != "reverse" else []
    if amount is not None and (anew or not _same_amount(before, wanted, mapping)):
        reason = AMOUNT_CHANGED if wanted.outcome == "approve" else wanted.reason or ""
        lines.append(Line(reason, amount, wanted.currency))
    if outcome == "approve" and (anew or old != "approve"):
        lines.append(Line(wanted.reason or ""))
    asked = Asked(wanted.order_id, outcome, amount, wanted.currency, wanted.reason)
    return Answer(wanted.order_id, tuple(lines), asked=asked if lines or before is None else before)


def _reversed(before: Asked | None, order_id: str, reason: str) -> Answer:
    asked = Asked(order_id, "reverse", reason=reason)
    same = before is not None and before.outcome == "reverse"
    return Answer(order_id, () if same else (Line(reason, reversal=True),), asked=before if same else asked)


def _reopened(before: Asked | None, order_id: str, mapping: Mapping_, what: str) -> Answer:
    if before is None or before.outcome not in CHANGED:
        return Answer(order_id, asked=before)
    if mapping.on_reopened == "hold":
        return Answer(order_id, held=f"The record {what}.", asked=before)
    return Answer(order_id, (Line(RESET),), asked=Asked(order_id, "reset"))


def _unfollowed(after: State, order_id: str, mapping: Mapping_) -> str | None:
    if mapping.on_converted == "hold":
        return f"The record became {after.follows}."
    if after.heirless:
        return f"The record became {after.follows}, and no record speaks for order {order_id!r} any more."
    return None


def _same_amount(before: Asked | None, wanted: Asked, mapping: Mapping_) -> bool:
    if before is None or before.amount is None or wanted.amount is None or before.currency != wanted.currency:
        return False
    return abs(Decimal(before.amount) - Decimal(wanted.amount)) <= mapping.tolerance


def _unusable(after: State, mapping: Mapping_, meaning: Status) -> str | None:
    if after.amount is None:
        return f"{mapping.amount} is empty."
    if Decimal(after.amount) < 0:
        return f"{mapping.amount} is negative."
    if Decimal(after.amount) == 0 and meaning.outcome == "approve":
        return f"{mapping.amount} is 0, and the status {after.status!r} approves."
    if mapping.currency is not None and after.currency is None:
        return f"{mapping.currency} is empty."
    return None


def _spoiled(answer: Answer, mapping: Mapping_) -> str | None:
    """Why its lines cannot be written: behind a line break another line would begin."""
    if answer.lines and _CONTROL.search(answer.order_id or ""):
        return f"The order number {answer.order_id!r} has a control character."
    for line in answer.lines:
        if _CONTROL.search(line.currency or ""):
            return f"{mapping.currency} {line.currency!r} has a control character."
    return None


def _unmapped(after: State, mapping: Mapping_) -> str:
    if after.status is None:
        return f"{mapping.status} is empty."
    return f"The status {after.status!r} is not mapped. Add it to statuses of the mapping {mapping.name}."
