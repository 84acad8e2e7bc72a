from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding
from clawback.wiring import Desk
from processing import history
from processing.errors import NotFound
from processing.model import Change, State
from processing.person import Wish
from tests.worlds import OTHER_SID, SID, Sale, action, ingest, lines, load

SALES = [
    Sale("A-1", "O-1"),
    Sale("A-2", "O-1", locks_at="2027-02-01T00:00:00Z", status="NEW"),
    Sale("A-3", "O-3"),
    Sale("B-1", "O-1", "5000", "JPY", event_type=26027, program=2000),
]


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Actions of two accounts."""
    load(desk, tmp_path, SALES)
    return desk


def test_an_action_is_shown_with_its_history(loaded: Desk) -> None:
    """Every entry, oldest first: who, when, by which channel, what it was and what it became."""
    receipt = ingest(loaded, lines("ActionId,Amount,CustomerStatus,Reason", "A-1,40.10,NEW,ORDER_UPDATE"))
    at = datetime(2027, 1, 21, tzinfo=UTC)
    change = deciding.change(loaded, SID, Wish("A-1", Change.REVERSE, "OTHER"), by="ana", at=at)
    before = {"state": "PENDING", "amount": "100.00", "payout": "5.00", "customer_status": None}
    between = {"state": "PENDING", "amount": "40.10", "payout": "2.01", "customer_status": "NEW"}
    assert action(loaded.store, "A-1") == {
        "action_id": "A-1",
        "account": SID,
        "program": 1000,
        "event_type": 16027,
        "partner": {"id": 501, "name": "Trail Blog"},
        "order_id": "O-1",
        "state": "REVERSED",
        "locked": False,
        "amount": "0.00",
        "payout": "0.00",
        "currency": "USD",
        "customer_status": "NEW",
        "tracked": {"amount": "100.00", "payout": "5.00", "state": "PENDING"},
        "event_at": "2027-01-15T15:00:00+00:00",
        "locks_at": "2027-02-28T05:00:00+00:00",
        "clears_on": None,
        "locked_unread": [],
        "items": [],
        "history": [
            {
                "delivery": receipt["delivery"],
                "line": 2,
                "channel": "test",
                "by": None,
                "received_at": receipt["received_at"],
                "change": "modify",
                "reason": "ORDER_UPDATE",
                "before": before,
                "after": between,
                "items": [],
            },
            {
                "delivery": change["delivery"],
                "line": 1,
                "channel": "person",
                "by": "ana",
                "received_at": "2027-01-21T00:00:00+00:00",
                "change": "reverse",
                "reason": "OTHER",
                "before": between,
                "after": {**between, "state": "REVERSED", "amount": "0.00", "payout": "0.00"},
                "items": [],
            },
        ],
    }


@pytest.mark.parametrize(
    ("case", "sid", "wanted", "found"),
    [
        ("in the order they lock", SID, {}, ["A-2", "A-1", "A-3"]),
        ("of a state", SID, {"state": State.REVERSED}, ["A-3"]),
        ("of an order", SID, {"order_id": "O-1"}, ["A-2", "A-1"]),
        ("of both", SID, {"state": State.REVERSED, "order_id": "O-1"}, []),
        ("some", SID, {"limit": 1}, ["A-2"]),
        ("of another account", OTHER_SID, {}, ["B-1"]),
    ],
)
def test_listing(case: str, sid: str, wanted: dict[str, Any], found: list[str], loaded: Desk) -> None:
    """One account's actions, without their history."""
    ingest(loaded, lines("ActionId,Reason", "A-3,OTHER"))
    with loaded.store.read() as db:
        listed = history.listing(db, sid, **wanted)
    assert [one["action_id"] for one in listed] == found, case
    assert all("history" not in one for one in listed)


def test_another_accounts_action_is_not_shown(loaded: Desk) -> None:
    """It is unknown here."""
    with loaded.store.read() as db, pytest.raises(NotFound, match="Account IRacme1 has no action B-1"):
        history.show(db, SID, "B-1")


def test_totals_by_currency_and_state(loaded: Desk, tmp_path: Path) -> None:
    """One account's actions and what they are worth now; an account without any has none."""
    load(loaded, tmp_path, [Sale("A-4", amount="700", currency="JPY")])
    ingest(loaded, lines("ActionId,Amount,Reason", "A-3,0,OTHER", "A-1,40.10,OTHER"))
    with loaded.store.read() as db:
        assert history.totals(db, SID) == {
            "JPY": {"PENDING": {"actions": 1, "amount": "700", "payout": "35"}},
            "USD": {
                "PENDING": {"actions": 2, "amount": "140.10", "payout": "7.01"},
                "REVERSED": {"actions": 1, "amount": "0.00", "payout": "0.00"},
            },
        }
        assert history.totals(db, "IRnobody") == {}
