from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from processing.catalog import StoredContract, StoredEventType
from processing.codes import Code
from processing.columns import NONE
from processing.decide import MOST_CHANGES, Decided, decide
from processing.instants import micros
from processing.intent import Asked
from processing.match import Actions, Matched
from processing.model import Basis, Change, Level, SameOrder
from processing.rate import Rates
from processing.terms import Period
from tests.worlds import ARRIVED, CLICK, LEAD, LOCK, MICROSECOND, PROGRAM, SALE, TRAIL, actions, terms

NOW = micros(ARRIVED)
JUST_BEFORE, AT_THE_LOCK = micros(LOCK - MICROSECOND), micros(LOCK)
REVERSED = {"state": "REVERSED", "amount": 0, "payout": 0, "prior_amount": 8_000, "prior_payout": 400}
APPROVED = {"state": "APPROVED"}
MODIFIED = {"amount": 4_000, "payout": 200, "customer_status": "NEW"}


@dataclass(frozen=True)
class Ask:
    """What one line asks of one action."""

    change: Change | None
    row: int = 0
    amount: int = NONE
    status: str | None = None
    foreign: bool = False
    code: Code | None = None


def asked(lines: Sequence[Ask]) -> Asked:
    """The lines as columns."""
    return Asked(
        line=np.arange(2, len(lines) + 2),
        row=np.array([one.row for one in lines], dtype=np.int64),
        change=np.array([one.change for one in lines], dtype=np.object_),
        amount=np.array([one.amount for one in lines], dtype=np.int64),
        customer_status=np.array([one.status for one in lines], dtype=np.object_),
        reason=np.array(["OTHER"] * len(lines), dtype=np.object_),
        currency=np.array(["USD"] * len(lines), dtype=np.object_),
        foreign=np.array([one.foreign for one in lines], dtype=np.bool_),
        converted=np.zeros(len(lines), dtype=np.bool_),
        code=np.array([one.code for one in lines], dtype=np.object_),
    )


def decided(there: Actions, *lines: Ask, at: int = NOW, candidates: int = 1, **of_terms: Any) -> Decided:  # noqa: ANN401
    """Decide lines on actions, which move."""
    known = terms(**of_terms)
    matched = Matched(there, np.array([one.row for one in lines]), np.full(len(lines), candidates))
    return decide(asked(lines), matched, known, Rates.on(ARRIVED.date(), known), at)


def fates(result: Decided) -> list[str]:
    """Each line's verdict or code."""
    return [
        code or ("applied" if applied else "unchanged")
        for code, applied in zip(result.code.tolist(), result.applied.tolist(), strict=True)
    ]


def values(there: Actions, row: int = 0) -> tuple[Any, ...]:
    """What a change can move."""
    return there.state[row], int(there.amount[row]), int(there.payout[row]), there.customer_status[row]


@pytest.mark.parametrize(
    ("case", "ask", "action", "fate", "after"),
    [
        ("new total", Ask(Change.MODIFY, amount=4_000), {}, "applied", ("PENDING", 4_000, 200, None)),
        ("half a cent up", Ask(Change.MODIFY, amount=4_010), {}, "applied", ("PENDING", 4_010, 201, None)),
        ("less than half", Ask(Change.MODIFY, amount=4_009), {}, "applied", ("PENDING", 4_009, 200, None)),
        ("new status", Ask(Change.MODIFY, status="NEW"), {}, "applied", ("PENDING", 10_000, 500, "NEW")),
        ("to nothing", Ask(Change.MODIFY, amount=0), {}, "applied", ("PENDING", 0, 0, None)),
        ("same total", Ask(Change.MODIFY, amount=10_000), {}, "unchanged", ("PENDING", 10_000, 500, None)),
        (
            "no re-rating alone",
            Ask(Change.MODIFY, amount=10_000),
            {"payout": 1},
            "unchanged",
            ("PENDING", 10_000, 1, None),
        ),
        ("approved stays so", Ask(Change.MODIFY, amount=1_000), APPROVED, "applied", ("APPROVED", 1_000, 50, None)),
        ("of a reversed one", Ask(Change.MODIFY, amount=1), REVERSED, Code.ACTION_REVERSED, ("REVERSED", 0, 0, None)),
        ("fixed payout", Ask(Change.MODIFY, amount=1), {"contract_id": 2}, "applied", ("PENDING", 1, 1_200, None)),
        ("reverse", Ask(Change.REVERSE), MODIFIED, "applied", ("REVERSED", 0, 0, "NEW")),
        ("reverse an approved one", Ask(Change.REVERSE), APPROVED, "applied", ("REVERSED", 0, 0, None)),
        ("reverse twice", Ask(Change.REVERSE), REVERSED, "unchanged", ("REVERSED", 0, 0, None)),
        ("approve", Ask(Change.APPROVE), MODIFIED, "applied", ("APPROVED", 4_000, 200, "NEW")),
        ("approve twice", Ask(Change.APPROVE), APPROVED, "unchanged", ("APPROVED", 10_000, 500, None)),
        ("approve a reversed one", Ask(Change.APPROVE), REVERSED, "applied", ("PENDING", 8_000, 400, None)),
        ("restore", Ask(Change.RESTORE), REVERSED, "applied", ("PENDING", 8_000, 400, None)),
        ("restore what is there", Ask(Change.RESTORE), {}, "unchanged", ("PENDING", 10_000, 500, None)),
        ("restore what is approved", Ask(Change.RESTORE), APPROVED, "unchanged", ("APPROVED", 10_000, 500, None)),
        ("reset", Ask(Change.RESET), MODIFIED, "applied", ("PENDING", 10_000, 500, None)),
        ("reset an approved one", Ask(Change.RESET), APPROVED, "applied", ("PENDING", 10_000, 500, None)),
        ("reset a reversed one", Ask(Change.RESET), REVERSED, "applied", ("PENDING", 10_000, 500, None)),
        ("reset the payout alone", Ask(Change.RESET), {"payout": 1}, "applied", ("PENDING", 10_000, 500, None)),
        ("reset as tracked", Ask(Change.RESET), {}, "unchanged", ("PENDING", 10_000, 500, None)),
        (
            "reset to the tracked status",
            Ask(Change.RESET),
            {"tracked_status": "NEW"},
            "applied",
            ("PENDING", 10_000, 500, "NEW"),
        ),
    ],
)
def test_each_change_does_what_the_design_says(
    case: str, ask: Ask, action: dict[str, Any], fate: str, after: tuple[Any, ...]
) -> None:
    """Each row is one rule of the ledger."""
    there = actions(action)
    assert (fates(decided(there, ask)), values(there)) == ([fate], after), case


LATE = Ask(Change.MODIFY, amount=1)


@pytest.mark.parametrize(
    ("case", "ask", "action", "at", "fate"),
    [
        ("in time", LATE, {}, JUST_BEFORE, "applied"),
        ("at the lock", LATE, {}, AT_THE_LOCK, Code.ACTION_LOCKED),
        ("swept early", LATE, {"locked_at": NOW}, NOW, Code.ACTION_LOCKED),
        ("nothing to do after the lock", Ask(Change.MODIFY, amount=10_000), {}, AT_THE_LOCK, "unchanged"),
        ("reversed already, after the lock", Ask(Change.REVERSE), REVERSED, AT_THE_LOCK, "unchanged"),
        ("reversed and locked", LATE, REVERSED, AT_THE_LOCK, Code.ACTION_LOCKED),
        ("foreign and locked", Ask(Change.MODIFY, amount=1, foreign=True), {}, AT_THE_LOCK, Code.ACTION_LOCKED),
        ("foreign", Ask(Change.MODIFY, amount=1, foreign=True), {}, NOW, Code.NO_EXCHANGE_RATE),
        ("foreign, same number", Ask(Change.MODIFY, amount=10_000, foreign=True), {}, NOW, Code.NO_EXCHANGE_RATE),
        ("foreign reversal", Ask(Change.REVERSE, amount=0, foreign=True), {}, NOW, "applied"),
        ("foreign and reversed", Ask(Change.MODIFY, foreign=True), REVERSED, NOW, Code.ACTION_REVERSED),
        ("changed by a later delivery", LATE, {"changed_at": NOW + 1}, NOW, Code.SUPERSEDED),
        ("before a line of its delivery", LATE, {"last_line": 9}, NOW, Code.SUPERSEDED),
        ("changed at the same instant", LATE, {"changed_at": NOW}, NOW, "applied"),
        ("later, but nothing to do", Ask(Change.MODIFY, amount=10_000), {"changed_at": NOW + 1}, NOW, "unchanged"),
        ("reversed later", LATE, {**REVERSED, "changed_at": NOW + 1}, NOW, Code.SUPERSEDED),
        ("later and locked", LATE, {"changed_at": NOW + 1}, AT_THE_LOCK, Code.ACTION_LOCKED),
        ("last change", LATE, {"changes": MOST_CHANGES - 1}, NOW, "applied"),
        ("one too many", LATE, {"changes": MOST_CHANGES}, NOW, Code.TOO_MANY_CHANGES),
        ("a reversal too many", Ask(Change.REVERSE), {"changes": MOST_CHANGES}, NOW, "applied"),
        ("an approval too many", Ask(Change.APPROVE), {"changes": MOST_CHANGES}, NOW, "applied"),
        ("a reset too many", Ask(Change.RESET), {"changes": MOST_CHANGES, "amount": 1}, NOW, "applied"),
        ("none too many", Ask(Change.RESET), {"changes": MOST_CHANGES}, NOW, "unchanged"),
        ("too many and locked", LATE, {"changes": MOST_CHANGES}, AT_THE_LOCK, Code.ACTION_LOCKED),
        ("click", LATE, {"event_type_id": CLICK}, NOW, Code.CLICKS_NOT_REVERSIBLE),
        ("click after the lock", LATE, {"event_type_id": CLICK}, AT_THE_LOCK, Code.CLICKS_NOT_REVERSIBLE),
        ("rejected before", Ask(None, code=Code.AMOUNT_BLANK), {}, NOW, Code.AMOUNT_BLANK),
        ("unknown", Ask(Change.REVERSE, row=NONE), {}, NOW, Code.UNKNOWN_ACTION),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_first_reason(
    case: str, ask: Ask, action: dict[str, Any], at: int, fate: str
) -> None:
    """A refused line moves nothing, and its code is the first that holds."""
    there = actions(action)
    before = values(there)
    result = decided(there, ask, at=at)
    assert fates(result) == [fate], case
    assert (values(there) == before) is (fate != "applied")
    assert len(result.entries) == (fate == "applied")


def test_lines_for_one_action_are_applied_in_line_order() -> None:
    """Each line meets the action as the line before left it, and entries carry its versions."""
    there = actions({}, {})
    result = decided(
        there,
        Ask(Change.MODIFY, amount=2_000),
        Ask(Change.REVERSE, row=1),
        Ask(Change.REVERSE),
        Ask(Change.MODIFY, amount=3_000),
        Ask(Change.APPROVE),
        Ask(Change.MODIFY, row=1, amount=1),
        Ask(Change.APPROVE),
    )
    assert fates(result) == [
        *("applied", "applied", "applied", Code.ACTION_REVERSED, "applied", Code.ACTION_REVERSED, "applied"),
    ]
    assert result.entries.position.tolist() == [0, 1, 2, 4, 6]
    assert result.entries.version.tolist() == [1, 1, 2, 3, 4]
    assert result.entries.state_before.tolist() == ["PENDING", "PENDING", "PENDING", "REVERSED", "PENDING"]
    assert result.entries.state_after.tolist() == ["PENDING", "REVERSED", "REVERSED", "PENDING", "APPROVED"]
    assert result.entries.amount_after.tolist() == [2_000, 0, 0, 2_000, 2_000]
    assert result.entries.payout_after.tolist() == [100, 0, 0, 100, 100]
    assert values(there) == ("APPROVED", 2_000, 100, None)
    assert (there.changes.tolist(), there.version.tolist()) == ([4, 1], [4, 1])


@pytest.mark.parametrize(
    ("case", "event_type", "candidates", "fate", "noticed"),
    [
        ("one of its order", SALE, 1, "applied", False),
        ("the newest of several", SALE, 2, "applied", True),
        ("one of a type that holds", LEAD, 1, "applied", False),
        ("several of a type that holds", LEAD, 2, Code.AMBIGUOUS_ORDER, False),
    ],
)
def test_an_order_of_several_actions_is_noticed_or_held(
    case: str, event_type: int, candidates: int, fate: str, *, noticed: bool
) -> None:
    """The newest is taken with a notice, unless the event type wants such lines held."""
    result = decided(actions({"event_type_id": event_type}), Ask(Change.REVERSE), candidates=candidates)
    assert (fates(result), result.notices[Code.NEWEST_OF_MANY].tolist()) == ([fate], [noticed]), case


@pytest.mark.parametrize(("amount", "raised"), [(10_001, True), (9_999, False)])
def test_a_higher_amount_is_noticed(amount: int, *, raised: bool) -> None:
    """Only a modification that raises the amount carries the notice."""
    result = decided(actions({}), Ask(Change.MODIFY, amount=amount))
    assert result.notices[Code.AMOUNT_RAISED].tolist() == [raised]
    assert not decided(actions(REVERSED), Ask(Change.RESET)).notices[Code.AMOUNT_RAISED].any()


def test_where_no_type_holds_the_newest_is_taken() -> None:
    """Holding lines is something that a brand asks for."""
    plain = {SALE: terms().event_types[SALE]}
    assert fates(decided(actions({}), Ask(Change.REVERSE), candidates=2, event_types=plain)) == ["applied"]


def test_lines_that_all_name_unknown_actions_wait_where_a_type_holds() -> None:
    """With no action at hand nothing is ambiguous."""
    holding = {LEAD: StoredEventType("Newsletter", PROGRAM, Level.ORDER, Basis.LEAD, SameOrder.HOLD)}
    result = decided(actions(), Ask(Change.REVERSE, row=NONE), candidates=0, event_types=holding)
    assert (fates(result), len(result.entries)) == ([Code.UNKNOWN_ACTION], 0)


@pytest.mark.parametrize(
    ("case", "ask", "currency", "fate", "payout"),
    [
        ("home currency", Ask(Change.MODIFY, amount=1), "USD", "applied", 1_200),
        ("another currency", Ask(Change.MODIFY, amount=1), "KWD", Code.NO_EXCHANGE_RATE, 500),
        ("another currency, nothing to do", Ask(Change.MODIFY, amount=10_000), "KWD", "unchanged", 500),
        ("another currency, reversal", Ask(Change.REVERSE), "KWD", "applied", 0),
    ],
)
def test_a_fixed_sum_is_never_taken_for_another_currency(
    case: str, ask: Ask, currency: str, fate: str, payout: int
) -> None:
    """A contract that has come to pay a fixed sum of dollars cannot re-rate an action in dinars."""
    old = terms().contracts[1]
    new = StoredContract(
        3, PROGRAM, TRAIL, ARRIVED.date(), Period.parse("27 days after month"), old.payment, None, 1_200
    )
    there = actions({"currency": currency})
    assert fates(decided(there, ask, contracts={1: old, 3: new})) == [fate], case
    assert there.payout.tolist() == [payout]
