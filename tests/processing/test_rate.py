from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from processing.catalog import StoredContract
from processing.rate import Rates
from processing.terms import Period
from tests.worlds import PROGRAM, SUMMIT, TRAIL, terms

PERIOD = Period(0, 27, "month")


def contract(
    number: int, effective: date, ppm: int | None, fixed: int | None = None, partner: int = TRAIL
) -> StoredContract:
    """A contract of program 1000."""
    return StoredContract(number, PROGRAM, partner, effective, PERIOD, PERIOD, ppm, fixed)


TERMS = terms(
    contracts={
        one.id: one
        for one in (
            contract(1, date(2026, 1, 1), 50_000),
            contract(2, date(2027, 2, 1), None, 1_200),
            contract(3, date(2027, 1, 1), 100_000),
            contract(4, date(2027, 2, 1), 20_000, partner=SUMMIT),
        )
    }
)
IDS = np.array([1, 2, 3, 4])


@pytest.mark.parametrize(
    ("day", "payouts", "fixed"),
    [
        (date(2025, 12, 31), [50, 1_200, 100, 20], [False, True, False, False]),
        (date(2026, 1, 1), [50, 50, 50, 20], [False, False, False, False]),
        (date(2026, 12, 31), [50, 50, 50, 20], [False, False, False, False]),
        (date(2027, 1, 1), [100, 100, 100, 20], [False, False, False, False]),
        (date(2027, 2, 1), [1_200, 1_200, 1_200, 20], [True, True, True, False]),
    ],
)
def test_the_contract_in_force_rates(day: date, payouts: list[int], fixed: list[bool]) -> None:
    """The partner's newest contract that is effective on the day, or the action's own where there is none."""
    rates = Rates.on(day, TERMS)
    assert rates.payouts(IDS, np.full(4, 1_000)).tolist() == payouts
    assert rates.fixed(IDS).tolist() == fixed


def test_the_contract_an_action_was_tracked_with_rates_it_first() -> None:
    """What comes later does not matter then."""
    assert Rates.tracked(TERMS).payouts(IDS, np.full(4, 1_000)).tolist() == [50, 1_200, 100, 20]


@pytest.mark.parametrize(("amount", "payout"), [(0, 0), (9, 0), (10, 1), (29, 1), (30, 2), (99_999_999, 5_000_000)])
def test_a_percentage_is_rounded_half_up(amount: int, payout: int) -> None:
    """5 percent of 10 cents is half a cent, which is paid."""
    assert Rates.tracked(TERMS).payouts(np.array([1]), np.array([amount])).tolist() == [payout]


def test_no_actions_have_no_payouts() -> None:
    """An empty column is rated."""
    none = np.zeros(0, dtype=np.int64)
    assert (Rates.tracked(TERMS).payouts(none, none).tolist(), Rates.tracked(TERMS).fixed(none).tolist()) == ([], [])


def test_items_are_rated_by_their_category() -> None:
    """Each is rounded by itself; one without a rate of its own gets the contract's, and a fixed sum is paid once."""
    known = {
        1: replace(TERMS.contracts[1], categories={"Shoes": 80_000, "Free": 0}),
        2: TERMS.contracts[2],
    }
    payouts = Rates(known).of_items(
        np.array([1, 2, 1, 1]),
        owner=np.array([0, 0, 0, 1, 1, 2, 2]),
        category=np.array(["Shoes", "Hats", None, "Shoes", None, "Free", "shoes"], dtype=np.object_),
        amount=np.array([1_000, 10, 10, 1_000, 10, 1_000, 1_000]),
    )
    assert payouts.tolist() == [80 + 1 + 1, 1_200, 0 + 50, 0]
