from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from clawback.wiring import Desk
from processing.actions import Load, Problem
from processing.instants import instant
from processing.tables import action
from tests.worlds import CATALOGUE, CLICK, LOCK, SUMMIT, Sale, ingest, lines, load

NEWER = """
    [[account.program.contract]]
    partner = { id = 501, name = "Trail Blog" }
    effective = 2027-01-16
    locking = { months = 0, days = 3, after = "day" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { percent = "10.00" }

[[account]]
sid = "IRother2"
"""
TWO_CONTRACTS = CATALOGUE.replace('\n[[account]]\nsid = "IRother2"\n', NEWER)

SOUND = "no blank at the ends, no control character"


def test_an_action_gets_its_contract_lock_and_payout(desk: Desk, tmp_path: Path) -> None:
    """By the account's calendar: 16 January begins at 05:00 UTC; a lock that is given counts."""
    sales = [
        Sale("A-1", "O-1", "100.00", event_at="2027-01-16T04:59:59.999999Z", status="NEW"),
        Sale("A-2", "O-2", "0.30", event_at="2027-01-16T05:00:00Z", created_at="2027-01-17T00:00:00Z"),
        Sale("A-3", "", "100.00", partner=SUMMIT, locks_at="2027-03-01T00:00:00Z"),
        Sale("A-4", "O-4", "5000", "JPY", event_at="2027-01-15T10:00:00"),
    ]
    assert load(desk, tmp_path, sales, catalogue=TWO_CONTRACTS) == Load(read=4, added=4)
    with desk.store.read() as db:
        rows = db.execute(select(action).order_by(action.c.id)).all()
    assert [
        (one.action_id, one.order_id, one.amount, one.payout, one.customer_status, instant(one.locks_at).isoformat())
        for one in rows
    ] == [
        ("A-1", "O-1", 10_000, 500, "NEW", "2027-02-28T05:00:00+00:00"),
        ("A-2", "O-2", 30, 3, None, "2027-01-20T05:00:00+00:00"),
        ("A-3", None, 10_000, 1_200, None, "2027-03-01T00:00:00+00:00"),
        ("A-4", "O-4", 5_000, 250, None, "2027-02-28T05:00:00+00:00"),
    ]
    assert [(one.tracked_amount, one.tracked_payout, one.tracked_status) for one in rows] == [
        (one.amount, one.payout, one.customer_status) for one in rows
    ]
    assert {(one.state, one.locked_at, one.changes, one.version) for one in rows} == {("PENDING", None, 0, 0)}
    assert [instant(one.created_at).isoformat() for one in rows] == [
        *("2027-01-16T04:59:59.999999+00:00", "2027-01-17T00:00:00+00:00"),
        *("2027-01-15T15:00:00+00:00", "2027-01-15T15:00:00+00:00"),
    ]


@pytest.mark.parametrize(
    ("case", "sale", "message"),
    [
        ("program", replace(Sale("A-1"), program=7), "CampaignId 7 is not in the catalogue; load it first."),
        ("event type", Sale("A-1", event_type=7), "ActionTrackerId 7 is no event type of program 1000."),
        (
            "another program's event type",
            Sale("A-1", event_type=26027),
            "ActionTrackerId 26027 is no event type of program 1000.",
        ),
        (
            "partner",
            Sale("A-1", partner=7),
            "Partner 7 has no contract in program 1000 on 2027-01-15; add it to the catalogue.",
        ),
        (
            "before the contract",
            Sale("A-1", event_at="2026-01-01T04:59:59Z"),
            "Partner 501 has no contract in program 1000 on 2025-12-31; add it to the catalogue.",
        ),
        ("decimals", Sale("A-1", amount="5.00", currency="JPY"), None),
        ("too many decimals", Sale("A-1", amount="5.01", currency="JPY"), "Amount has more decimals than JPY has."),
        (
            "more than can be kept",
            Sale("A-1", amount="999999999999.999", currency="KWD"),
            "Amount is larger than any that is kept in KWD.",
        ),
        ("as much as can be kept", Sale("A-1", amount="100000000000.000", currency="KWD"), None),
        (
            "a fixed sum in another currency",
            Sale("A-1", partner=SUMMIT, amount="5", currency="JPY"),
            "The contract pays a fixed sum of USD; an action in JPY cannot be rated.",
        ),
        (
            "text",
            Sale("A/1"),
            "ActionId 'A/1' cannot be loaded; it must be letters, digits, '.', '-' and '_', at most 64.",
        ),
        # No line of a delivery may have it, so none would ever find the action.
        *(
            (
                "an order id that nobody can send",
                Sale("A-1", order_id),
                f"Oid {order_id!r} cannot be loaded; it must be at most 64 characters, {SOUND}.",
            )
            for order_id in ("O-1 ", "O-1\u200b", "O\t1", "x" * 65)
        ),
        ("an order id that can be sent", Sale("A-1", "O 1"), None),
        (
            "a status with a blank",
            Sale("A-1", status=" NEW"),
            f"CustomerStatus ' NEW' cannot be loaded; it must be at most 40 characters, {SOUND}.",
        ),
    ],
)
def test_a_line_that_cannot_be_loaded_is_told_alone(
    case: str, sale: Sale, message: str | None, desk: Desk, tmp_path: Path
) -> None:
    """The lines beside it are loaded."""
    problems = [] if message is None else [Problem(3, message)]
    found = load(desk, tmp_path, [Sale("B-1"), sale, Sale("B-2", event_type=CLICK)])
    assert found == Load(read=3, added=3 - len(problems), problems=problems), case


def test_loading_twice_is_loading_once(desk: Desk, tmp_path: Path) -> None:
    """An action that is there with the same tracked values is known, however it has changed since."""
    sales = [Sale("A-1", "O-1", status="NEW"), Sale("A-2")]
    load(desk, tmp_path, sales)
    ingest(desk, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER"))
    assert load(desk, tmp_path, [*sales, Sale("A-3")]) == Load(read=3, added=1, known=2)
    with desk.store.read() as db:
        assert db.execute(select(action.c.amount).order_by(action.c.id)).scalars().all() == [4_000, 10_000, 10_000]


@pytest.mark.parametrize(
    "changed",
    [
        *({"amount": "100.01"}, {"order_id": "O-2"}, {"status": ""}, {"event_type": CLICK}, {"partner": SUMMIT}),
        *({"event_at": "2027-01-15T10:00:01-05:00"}, {"currency": "EUR"}),
    ],
)
def test_an_action_is_tracked_once(changed: dict[str, Any], desk: Desk, tmp_path: Path) -> None:
    """The same id with other values is a problem, and nothing of it is kept."""
    first = Sale("A-1", "O-1", status="NEW")
    load(desk, tmp_path, [first])
    problem = Problem(2, "ActionId 'A-1' is already there with other values; an action is tracked once.")
    assert load(desk, tmp_path, [replace(first, **changed)]) == Load(read=1, problems=[problem])
    with desk.store.read() as db:
        one = db.execute(select(action)).one()
    assert (one.amount, one.order_id, one.locks_at) == (10_000, "O-1", round(LOCK.timestamp()) * 10**6)


def test_a_file_that_names_an_action_twice_loads_it_once(desk: Desk, tmp_path: Path) -> None:
    """The second line is known if it says the same, and else a problem."""
    found = load(desk, tmp_path, [Sale("A-1"), Sale("A-1"), Sale("A-1", amount="7.00")])
    assert found == Load(
        read=3,
        added=1,
        known=1,
        problems=[Problem(4, "ActionId 'A-1' is already there with other values; an action is tracked once.")],
    )


def test_a_file_of_faults_loads_nothing(desk: Desk, tmp_path: Path) -> None:
    """Each line is told."""
    found = load(desk, tmp_path, [Sale("A-1", partner=7), Sale("A-2", partner=8)])
    assert (found.read, found.added, [one.line for one in found.problems]) == (2, 0, [2, 3])
