from typing import Any

import numpy as np
import pandas as pd
import pytest

from processing.catalog import StoredEventType
from processing.codes import Code
from processing.columns import NONE
from processing.intent import FileShape, ask, is_reason
from processing.match import NOBODY, Matched
from processing.model import Basis, Change, Level, SameOrder
from tests.worlds import LEAD, PROGRAM, SALE, actions, terms

PLAIN = FileShape(has_amount=False, has_other=False)
AMOUNTS = FileShape(has_amount=True, has_other=False)
OTHERS = FileShape(has_amount=False, has_other=True)
BOTH = FileShape(has_amount=True, has_other=True)
REVERSALS = FileShape(has_amount=False, has_other=False, reversals_only=True)
KNOWN: dict[str, Any] = {}
TRACKED_ZERO = {"amount": 700, "tracked_amount": 0}
UNKNOWN = None


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """Checked lines; by default a reason and nothing else."""
    blank = {"event_type": None, "amount_scaled": None, "currency": None, "customer_status": None, "reason": "OTHER"}
    table = pd.DataFrame([{**blank, **row} for row in rows], index=pd.RangeIndex(2, len(rows) + 2))
    return table.astype({"event_type": "Int64", "amount_scaled": "Int64"})


def outcome(line: dict[str, Any], shape: FileShape, action: dict[str, Any] | None) -> object:
    """The change that one line asks for, or the code of why it asks for none."""
    there = actions() if action is None else actions(action)
    row = np.array([NOBODY if action is None else 0])
    asked = ask(frame(line), Matched(there, row, row + 1), terms(), shape)
    return asked.code[0] or asked.change[0]


MISPLACED = Code.REASON_MISPLACED


@pytest.mark.parametrize(
    ("case", "line", "shape", "action", "expected"),
    [
        ("own outcome", {"reason": "VALIDATED"}, PLAIN, KNOWN, Change.APPROVE),
        (
            "own outcome before the amount",
            {"reason": "RETURNED", "amount_scaled": 50_000},
            AMOUNTS,
            KNOWN,
            Change.REVERSE,
        ),
        ("own outcome in a file of ids", {"reason": "UNDO"}, PLAIN, KNOWN, Change.RESET),
        ("own modify to zero", {"reason": "REPRICED", "amount_scaled": 0}, AMOUNTS, KNOWN, Change.MODIFY),
        ("own modify, no value", {"reason": "REPRICED"}, PLAIN, KNOWN, Code.NOTHING_TO_CHANGE),
        ("own modify, blank amount", {"reason": "REPRICED"}, AMOUNTS, KNOWN, Code.AMOUNT_BLANK),
        ("reset", {"reason": "RESET", "amount_scaled": 50_000}, AMOUNTS, KNOWN, Change.RESET),
        ("zero", {"amount_scaled": 0}, AMOUNTS, KNOWN, Change.REVERSE),
        ("zero of a tracked zero", {"amount_scaled": 0}, AMOUNTS, TRACKED_ZERO, Change.MODIFY),
        ("zero of an unknown action", {"amount_scaled": 0}, AMOUNTS, UNKNOWN, Change.REVERSE),
        ("more than zero", {"amount_scaled": 100}, AMOUNTS, KNOWN, Change.MODIFY),
        ("ids and reasons", {}, PLAIN, KNOWN, Change.REVERSE),
        ("a document of reversals", {"amount_scaled": 0}, REVERSALS, TRACKED_ZERO, Change.REVERSE),
        ("a reversal with an own outcome", {"reason": "VALIDATED"}, REVERSALS, KNOWN, Change.APPROVE),
        ("status", {"customer_status": "NEW"}, OTHERS, KNOWN, Change.MODIFY),
        ("status beside a blank amount", {"customer_status": "NEW"}, BOTH, KNOWN, Change.MODIFY),
        ("currency", {"currency": "USD"}, OTHERS, KNOWN, Change.MODIFY),
        ("blank amount", {}, AMOUNTS, KNOWN, Code.AMOUNT_BLANK),
        ("blank amount and blank status", {}, BOTH, KNOWN, Code.AMOUNT_BLANK),
        ("blank status", {}, OTHERS, KNOWN, Code.NOTHING_TO_CHANGE),
        ("reason of nobody", {"reason": "validated"}, PLAIN, KNOWN, Code.REASON_UNKNOWN),
        ("reason of another type", {"reason": "RETURNED"}, PLAIN, {"event_type_id": LEAD}, Code.REASON_UNKNOWN),
        ("own reason of an unknown action", {"reason": "RETURNED"}, PLAIN, UNKNOWN, Change.REVERSE),
        ("no reason of an unknown action", {"reason": "NOBODYS"}, PLAIN, UNKNOWN, Code.REASON_UNKNOWN),
        ("unknown action, type given", {"reason": "RETURNED", "event_type": LEAD}, PLAIN, UNKNOWN, Code.REASON_UNKNOWN),
        ("a reversal's reason for less", {"reason": "REJECTED", "amount_scaled": 100}, AMOUNTS, KNOWN, MISPLACED),
        ("a reversal's reason for nothing", {"reason": "REJECTED", "amount_scaled": 0}, AMOUNTS, KNOWN, Change.REVERSE),
        ("an update's reason alone", {"reason": "ORDER_UPDATE"}, PLAIN, KNOWN, MISPLACED),
        ("an update's reason, reversal", {"reason": "ORDER_UPDATE"}, REVERSALS, KNOWN, MISPLACED),
        (
            "an update's reason, reversal of 0",
            {"reason": "ORDER_UPDATE", "amount_scaled": 0},
            REVERSALS,
            KNOWN,
            Change.REVERSE,
        ),
        (
            "own modify, reversal of 0",
            {"reason": "REPRICED", "amount_scaled": 0},
            REVERSALS,
            KNOWN,
            Code.NOTHING_TO_CHANGE,
        ),
        ("an update to nothing", {"reason": "ORDER_UPDATE", "amount_scaled": 0}, AMOUNTS, KNOWN, Change.REVERSE),
        ("an update's reason, nobody knows", {"reason": "ORDER_UPDATE"}, PLAIN, UNKNOWN, Change.REVERSE),
        ("event type of nobody", {"event_type": 7, "reason": "NOBODYS"}, PLAIN, KNOWN, Code.EVENT_TYPE_UNKNOWN),
        ("event type of another action", {"event_type": LEAD}, PLAIN, KNOWN, Change.REVERSE),
        ("decimals it has", {"amount_scaled": 123_400}, AMOUNTS, KNOWN, Change.MODIFY),
        ("decimals it has not", {"amount_scaled": 123_450}, AMOUNTS, {"currency": "JPY"}, Code.AMOUNT_MALFORMED),
        ("three decimals", {"amount_scaled": 123_450}, AMOUNTS, {"currency": "KWD"}, Change.MODIFY),
        (
            "decimals of the line's currency",
            {"amount_scaled": 123_450, "currency": "JPY"},
            BOTH,
            KNOWN,
            Code.AMOUNT_MALFORMED,
        ),
        ("eight digits", {"amount_scaled": 9_999_999_900}, AMOUNTS, KNOWN, Change.MODIFY),
        ("nine digits", {"amount_scaled": 10_000_000_000}, AMOUNTS, KNOWN, Code.AMOUNT_TOO_LARGE),
        ("eight digits of yen", {"amount_scaled": 999_999_990_000}, AMOUNTS, {"currency": "JPY"}, Change.MODIFY),
    ],
)
def test_each_line_asks_for_one_change_or_none(
    case: str, line: dict[str, Any], shape: FileShape, action: dict[str, Any] | None, expected: object
) -> None:
    """Each row is a rule of the design's section 4.2, read from top to bottom."""
    assert outcome(line, shape, action) == expected, case


@pytest.mark.parametrize(
    ("case", "line", "foreign"),
    [
        ("absent", {"amount_scaled": 10_000}, False),
        ("equal", {"amount_scaled": 10_000, "currency": "USD"}, False),
        ("other", {"amount_scaled": 10_000, "currency": "EUR"}, True),
        ("other without an amount", {"currency": "EUR"}, True),
    ],
)
def test_a_line_in_another_currency_is_marked(case: str, line: dict[str, Any], *, foreign: bool) -> None:
    """Whether or not it gives an amount: a new currency is a change that somebody has to be able to make."""
    asked = ask(frame(line), Matched(actions({}), np.array([0]), np.array([1])), terms(), BOTH)
    assert asked.foreign.tolist() == [foreign], case


def test_values_stand_beside_the_change() -> None:
    """Line numbers, minor units, statuses and reasons come out as columns; rejected lines ask nothing."""
    lines = frame({"amount_scaled": 123_400, "customer_status": "NEW"}, {"reason": "RETURNED"}, {"reason": "x"})
    asked = ask(lines, Matched(actions({}, {}), np.array([1, 0, 0]), np.array([1, 1, 1])), terms(), BOTH)
    assert asked.line.tolist() == [2, 3, 4]
    assert asked.row.tolist() == [1, 0, 0]
    assert asked.amount.tolist() == [1_234, NONE, NONE]
    assert asked.customer_status.tolist() == ["NEW", None, None]
    assert asked.reason.tolist() == ["OTHER", "RETURNED", "x"]
    assert asked.change.tolist() == [Change.MODIFY, Change.REVERSE, None]
    assert asked.code.tolist() == [None, None, Code.REASON_UNKNOWN]
    assert len(asked) == 3


def test_reasons_are_told_apart_by_event_types_with_very_large_numbers() -> None:
    """A catalogue may number its event types as it likes."""
    huge = 2**63 - 1
    types = {
        number: StoredEventType("Type", PROGRAM, Level.ORDER, Basis.SALE, SameOrder.NEWEST) for number in (SALE, huge)
    }
    known = terms(event_types=types, dispositions={SALE: {"A": Change.APPROVE}, huge: {"A": Change.RESET}})
    lines = frame({"reason": "OTHER"}, {"reason": "A"}, {"reason": "A"})
    there = actions({"event_type_id": huge}, {"event_type_id": SALE})
    asked = ask(lines, Matched(there, np.array([0, 0, 1]), np.array([1, 1, 1])), known, PLAIN)
    assert asked.change.tolist() == [Change.REVERSE, Change.RESET, Change.APPROVE]


@pytest.mark.parametrize(
    ("reason", "event_type", "known"),
    [("OTHER", SALE, True), ("RESET", LEAD, True), ("UNDO", SALE, True), ("UNDO", LEAD, False), ("undo", SALE, False)],
)
def test_is_reason(reason: str, event_type: int, *, known: bool) -> None:
    """Standard codes hold everywhere, disposition codes for their event type, both as they are spelt."""
    assert is_reason(reason, event_type, terms()) is known
