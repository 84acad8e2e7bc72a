from datetime import datetime
from pathlib import Path

import pytest

from clawback import sweep
from clawback.wiring import Desk
from processing.catalog import read_terms
from processing.editable import Editable, editable
from tests.worlds import ARRIVED, CLICK, LEAD, LOCK, MICROSECOND, OTHER_SID, SALE, SID, Sale, ingest, lines, load

FIRST = "2027-02-01T00:00:00Z"
SALES = [
    Sale("A-1", "O-1"),
    Sale("A-2", "O-2", "0", locks_at=FIRST),
    Sale("A-3", "", "5000", "JPY", event_type=LEAD),
    Sale("A-4", "O-4", event_type=CLICK),
    Sale("A-5", "O-5"),
    Sale("B-1", "O-1", "5000", "JPY", event_type=26027, program=2000),
]


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Actions of two accounts, one of them reversed."""
    load(desk, tmp_path, SALES)
    ingest(desk, lines("ActionId,Amount,Reason", "A-5,0,ITEM_RETURNED"))
    return desk


def open_actions(desk: Desk, at: datetime, *, sid: str = SID, event_type: int | None = None) -> list[str]:
    """The ids of what can be changed."""
    with desk.store.read() as db:
        return [one.action_id for one in editable(db, read_terms(db, sid), at=at, event_type=event_type)]


def test_what_is_open_comes_with_its_amount_and_the_nearest_lock_first(loaded: Desk) -> None:
    """Clicks cannot be changed and other accounts' actions are theirs; reversed ones can be reset."""
    with loaded.store.read() as db:
        found = list(editable(db, read_terms(db, SID), at=ARRIVED))
    assert found == [
        Editable("A-2", "O-2", SALE, "0.00"),
        Editable("A-1", "O-1", SALE, "100.00"),
        Editable("A-3", None, LEAD, "5000"),
        Editable("A-5", "O-5", SALE, "0.00"),
    ]


def test_one_event_type_alone(loaded: Desk) -> None:
    """A brand may ask for the actions of one event type, and gets none of a click's."""
    assert open_actions(loaded, ARRIVED, event_type=LEAD) == ["A-3"]
    assert open_actions(loaded, ARRIVED, event_type=CLICK) == []
    assert open_actions(loaded, ARRIVED, sid=OTHER_SID) == ["B-1"]


def test_an_action_is_offered_until_its_lock(loaded: Desk) -> None:
    """A microsecond before the lock it can be changed; at the lock it cannot, swept or not."""
    first = datetime.fromisoformat(FIRST)
    assert open_actions(loaded, first - MICROSECOND) == ["A-2", "A-1", "A-3", "A-5"]
    assert open_actions(loaded, first) == ["A-1", "A-3", "A-5"]
    assert open_actions(loaded, LOCK) == []


def test_what_was_locked_is_not_offered(loaded: Desk) -> None:
    """Once it is locked an action stays so, whatever the clock says."""
    sweep.lock_due(loaded, as_of=datetime.fromisoformat(FIRST), at=datetime.fromisoformat(FIRST))
    assert open_actions(loaded, ARRIVED) == ["A-1", "A-3", "A-5"]
