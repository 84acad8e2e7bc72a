from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from clawback.wiring import Desk
from processing import lock
from processing.catalog import read_terms
from processing.instants import micros
from processing.tables import action
from tests.worlds import LOCK, MICROSECOND, OTHER_SID, SID, SUMMIT, Sale, ingest, lines, load

SALES = [
    Sale("A-1"),
    Sale("A-2", partner=SUMMIT),
    Sale("A-3"),
    Sale("A-4", locks_at="2027-03-01T12:00:00Z"),
    Sale("B-1", amount="5000", currency="JPY", event_type=26027, program=2000),
]
TOKYO_LOCK = datetime(2027, 2, 28, 15, tzinfo=UTC)


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Four actions of one account, of which A-3 is reversed, and one of another."""
    load(desk, tmp_path, SALES)
    ingest(desk, lines("ActionId,Amount,Reason", "A-3,0,ITEM_RETURNED"))
    return desk


def swept(desk: Desk, as_of: datetime, *, but: tuple[str, ...] = ()) -> int:
    """Lock what is due in the first account, but for some actions."""
    with desk.store.write() as db:
        deferred = set(db.execute(select(action.c.id).where(action.c.action_id.in_(but))).scalars())
        return lock.lock_due(db, read_terms(db, SID), as_of, deferred)


def locked(desk: Desk) -> dict[str, tuple[str, date | None]]:
    """State and clearing date of what is locked."""
    with desk.store.read() as db:
        rows = db.execute(select(action).where(action.c.locked_at.is_not(None))).all()
    return {one.action_id: (one.state, one.clears_on) for one in rows}


@pytest.mark.parametrize(
    ("case", "as_of", "expected"),
    [
        ("a moment before", LOCK - MICROSECOND, {}),
        (
            "at the lock",
            LOCK,
            {
                "A-1": ("APPROVED", date(2027, 3, 20)),
                "A-2": ("APPROVED", date(2027, 3, 14)),
                "A-3": ("REVERSED", None),
            },
        ),
        (
            "later",
            datetime(2027, 3, 1, 12, tzinfo=UTC),
            {
                "A-1": ("APPROVED", date(2027, 3, 20)),
                "A-2": ("APPROVED", date(2027, 3, 14)),
                "A-3": ("REVERSED", None),
                "A-4": ("APPROVED", date(2027, 4, 20)),
            },
        ),
    ],
)
def test_what_is_due_locks(
    case: str, as_of: datetime, expected: dict[str, tuple[str, date | None]], loaded: Desk
) -> None:
    """From the lock on: approved and given its clearing date, unless it is reversed; another account's stays."""
    assert swept(loaded, as_of) == len(expected), case
    assert locked(loaded) == expected
    assert swept(loaded, as_of) == 0


def test_what_is_deferred_stays_open(loaded: Desk) -> None:
    """And locks with the next sweep that may lock it; the instant of locking is the sweep's."""
    assert swept(loaded, LOCK, but=("A-1",)) == 2
    assert set(locked(loaded)) == {"A-2", "A-3"}
    assert swept(loaded, LOCK + MICROSECOND) == 1
    with loaded.store.read() as db:
        instants = dict(db.execute(select(action.c.action_id, action.c.locked_at)).tuples().all())
    assert instants == {
        "A-1": micros(LOCK) + 1,
        "A-2": micros(LOCK),
        "A-3": micros(LOCK),
        "A-4": None,
        "B-1": None,
    }


@pytest.mark.parametrize(
    ("as_of", "sids"),
    [(LOCK - MICROSECOND, []), (LOCK, [SID]), (TOKYO_LOCK - MICROSECOND, [SID]), (TOKYO_LOCK, [SID, OTHER_SID])],
)
def test_accounts_with_something_due(as_of: datetime, sids: list[str], loaded: Desk) -> None:
    """Each by its own calendar: Other Brand's January ends with February, in Tokyo."""
    with loaded.store.read() as db:
        assert lock.due_accounts(db, as_of) == sids


@pytest.mark.parametrize(("received_at", "found"), [(LOCK - MICROSECOND, 3), (LOCK, 0)])
def test_what_is_due_and_locks_after_an_arrival(received_at: datetime, found: int, loaded: Desk) -> None:
    """These are the actions that a delivery of that instant could still change."""
    with loaded.store.read() as db:
        due = lock.due_after(db, read_terms(db, SID).account_id, LOCK, micros(received_at))
    assert len(due) == found
