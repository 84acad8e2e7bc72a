from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback.wiring import Desk
from processing import adjustments
from tests.conftest import Clock
from tests.worlds import LOCK, OTHER_SID, SID, Sale, codes, ingest, lines, load, values

SALES = [
    Sale("A-1", "O-1"),
    Sale("A-2", "=1+1"),
    Sale("A-3"),
    Sale("A-1", "O-1", "5000", "JPY", event_type=26027, program=2000),
]


@pytest.fixture
def late(desk: Desk, tmp_path: Path, clock: Clock) -> Desk:
    """Some actions after their lock; A-3 was reversed in time."""
    load(desk, tmp_path, SALES)
    ingest(desk, lines("ActionId,Reason", "A-3,OTHER"))
    clock.now = LOCK + timedelta(hours=1)
    return desk


def proposed(desk: Desk, sid: str | None = None) -> list[dict[str, Any]]:
    """All proposed adjustments."""
    with desk.store.read() as db:
        return list(adjustments.listing(db, sid))


def test_a_late_line_is_proposed_for_the_next_cycle(late: Desk) -> None:
    """It touches nothing; what it would have done is kept with all that settling it takes."""
    receipt = ingest(late, lines("ActionId,Amount,Reason", "A-1,40.00,ORDER_UPDATE", "A-2,0,ITEM_RETURNED"))
    assert codes(receipt) == [(2, "refused", "ACTION_LOCKED"), (3, "refused", "ACTION_LOCKED")]
    assert values(late.store, "A-1") == ("PENDING", "100.00", "5.00")
    first, second = proposed(late)
    assert first == {
        "account": SID,
        "delivery": receipt["delivery"],
        "line": 2,
        "action_id": "A-1",
        "order_id": "O-1",
        "partner": 501,
        "partner_name": "Trail Blog",
        "change": "modify",
        "reason": "ORDER_UPDATE",
        "currency": "USD",
        "amount_before": "100.00",
        "amount_after": "40.00",
        "payout_before": "5.00",
        "payout_after": "2.00",
        "payout_difference": "-3.00",
        "locks_at": "2027-02-28T05:00:00+00:00",
        "received_at": "2027-02-28T06:00:00+00:00",
    }
    assert (second["change"], second["amount_after"], second["payout_difference"]) == ("reverse", "0.00", "-5.00")


@pytest.mark.parametrize(
    ("case", "header", "line"),
    [
        ("nothing to change", "ActionId,Amount,Reason", "A-1,100.00,OTHER"),
        ("reversed already", "ActionId,Amount,Reason", "A-3,0,OTHER"),
        ("a reversed action modified", "ActionId,Amount,Reason", "A-3,10.00,OTHER"),
        ("an amount that nobody can convert", "ActionId,Amount,currencyCode,Reason", "A-1,10.00,EUR,OTHER"),
        ("rejected", "ActionId,Amount,Reason", "A-1,-1,OTHER"),
    ],
)
def test_what_only_the_lock_refuses_is_proposed(case: str, header: str, line: str, late: Desk) -> None:
    """A line that could not have been applied in time either proposes nothing."""
    ingest(late, lines(header, line))
    assert proposed(late) == [], case


def test_accounts_see_their_own(late: Desk) -> None:
    """And nothing of the others."""
    ingest(late, lines("ActionId,Reason", "A-1,OTHER"))
    assert (len(proposed(late, SID)), proposed(late, OTHER_SID)) == (1, [])
