"""The lock sweep: what arrived before a lock is finished first, and what cannot be finished keeps its actions open."""

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from clawback import deciding, pipeline
from clawback.sweep import Swept, lock_due
from clawback.wiring import Desk
from connectors.spool import Spool
from processing import deliveries
from processing.deliveries import DeliveryState
from processing.errors import Unusable
from tests.conftest import Clock
from tests.worlds import LOCK, MICROSECOND, OTHER_SID, SID, Sale, action, codes, land, lines, load, values

EARLY, JUST_BEFORE, AFTER = LOCK - timedelta(days=1), LOCK - MICROSECOND, LOCK + timedelta(hours=1)
LATER = LOCK + timedelta(days=40)
SALES = [
    *(Sale("A-1", "O-1"), Sale("A-2", "O-2"), Sale("A-3", "O-3", locks_at="2027-03-02T00:00:00Z")),
    Sale("B-1", amount="5000", currency="JPY", event_type=26027, program=2000),
]
GOOD = lines("ActionId,Amount,Reason", "A-1,40.00,OTHER", "A-3,40.00,OTHER")
CUT = GOOD.rstrip("\n")


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path, clock: Clock) -> Desk:
    """Two actions that lock on 28 February, one that locks later, and one of another account; it is after the lock."""
    load(desk, tmp_path, SALES)
    clock.now = AFTER
    return desk


def locked(desk: Desk) -> list[str]:
    """The actions that are locked."""
    sids = {"A-1": SID, "A-2": SID, "A-3": SID, "B-1": OTHER_SID}
    return [name for name, sid in sids.items() if action(desk.store, name, sid)["locked"]]


def swept(desk: Desk, as_of: datetime = AFTER) -> list[Swept]:
    """Sweep as it would run at that instant."""
    return lock_due(desk, as_of=as_of, at=as_of)


@pytest.mark.parametrize(
    ("case", "as_of", "result", "found"),
    [
        ("just before", JUST_BEFORE, [], []),
        ("at the lock", LOCK, [Swept(SID, 2, 0, ())], ["A-1", "A-2"]),
        ("later", LATER, [Swept(SID, 3, 0, ()), Swept(OTHER_SID, 1, 0, ())], ["A-1", "A-2", "A-3", "B-1"]),
    ],
)
def test_what_is_due_locks_account_by_account(
    case: str, as_of: datetime, result: list[Swept], found: list[str], loaded: Desk
) -> None:
    """And once: a second sweep finds nothing to do."""
    assert (swept(loaded, as_of), locked(loaded)) == (result, found), case
    assert swept(loaded, as_of) == []


@pytest.mark.parametrize(
    ("case", "received_at", "told", "after"),
    [
        ("in time", JUST_BEFORE, [], ("APPROVED", "40.00", "2.00")),
        ("too late", LOCK, [(2, "refused", "ACTION_LOCKED")], ("APPROVED", "100.00", "5.00")),
    ],
)
def test_a_delivery_that_waits_is_finished_first(
    case: str,
    received_at: datetime,
    told: list[tuple[int, str, str | None]],
    after: tuple[str, str, str],
    loaded: Desk,
) -> None:
    """Its arrival decides, never the moment when it happens to be processed."""
    delivery = land(loaded, GOOD, received_at=received_at)
    assert swept(loaded) == [Swept(SID, 2, 0, ())], case
    assert codes(pipeline.receipt(loaded, delivery)) == told
    assert (values(loaded.store, "A-1"), values(loaded.store, "A-3")) == (after, ("PENDING", "40.00", "2.00"))
    assert loaded.spool.pending() == []


@pytest.mark.parametrize(
    ("case", "received_at", "deferred"),
    [("in time", JUST_BEFORE, 1), ("too late to matter", LOCK, 0)],
)
def test_a_held_delivery_keeps_what_it_names_open(
    case: str, received_at: datetime, deferred: int, loaded: Desk
) -> None:
    """Only what it names, and only if it arrived before the lock; the sweep says for which delivery it waits."""
    delivery = land(loaded, CUT, received_at=received_at)
    names = (delivery,) if deferred else ()
    assert swept(loaded) == [Swept(SID, 2 - deferred, deferred, names)], case
    assert locked(loaded) == (["A-2"] if deferred else ["A-1", "A-2"])


def test_a_released_delivery_is_applied_after_the_lock_and_then_locked(loaded: Desk) -> None:
    """It had arrived in time."""
    delivery = land(loaded, CUT, received_at=JUST_BEFORE)
    swept(loaded)
    receipt = deciding.release(loaded, delivery, by="dana", at=AFTER)
    assert (receipt["state"], receipt["rows"]["applied"]) == (DeliveryState.DONE, 2)
    assert swept(loaded) == [Swept(SID, 1, 0, ())]
    assert values(loaded.store, "A-1") == ("APPROVED", "40.00", "2.00")


def test_a_rejected_delivery_keeps_nothing_open(loaded: Desk) -> None:
    """A person has given it up."""
    delivery = land(loaded, CUT, received_at=JUST_BEFORE)
    swept(loaded)
    deciding.reject(loaded, delivery, by="ana", at=AFTER)
    assert swept(loaded) == [Swept(SID, 1, 0, ())]
    assert values(loaded.store, "A-1") == ("APPROVED", "100.00", "5.00")


def damage(desk: Desk, delivery: str, file: str) -> None:
    """Let the disk lose part of a delivery."""
    path = desk.spool.content(delivery).with_name(file)
    path.write_bytes(path.read_bytes()[:-3])


def test_a_delivery_whose_bytes_are_damaged_keeps_all_it_could_name_open(loaded: Desk) -> None:
    """Nobody can know which; another account's locks come all the same."""
    delivery = land(loaded, GOOD, received_at=JUST_BEFORE)
    damage(loaded, delivery, "content")
    assert swept(loaded, LATER) == [Swept(SID, 0, 3, (delivery,)), Swept(OTHER_SID, 1, 0, ())]
    assert locked(loaded) == ["B-1"]


def test_a_broken_delivery_that_is_rejected_keeps_nothing_open(loaded: Desk) -> None:
    """A person can give it up; it is tried no more, its sidecar waits for no other, and its brand is told."""
    digest = hashlib.sha256(GOOD.encode()).hexdigest()
    announced = land(loaded, f"{digest}  returns.csv\n", name="returns.csv.sha256", received_at=EARLY)
    delivery = land(loaded, GOOD, received_at=JUST_BEFORE)
    damage(loaded, delivery, "content")
    swept(loaded)
    with pytest.raises(Unusable, match=f"Delivery {delivery} is broken, not held; .*`clawback deliveries reject"):
        deciding.release(loaded, delivery, by="ana", at=AFTER)
    receipt = deciding.reject(loaded, delivery, by="ana", at=AFTER)
    assert (receipt["state"], receipt["message"]) == ("rejected", "ana rejected it, as it could not be processed.")
    assert pipeline.receipt(loaded, announced)["state"] == "done"
    answers = loaded.brands / SID / "results"
    assert json.loads((answers / "receipt_returns.csv.json").read_text())["state"] == "rejected"
    assert (swept(loaded), loaded.spool.pending()) == ([Swept(SID, 2, 0, ())], [])


def test_a_delivery_whose_bytes_are_damaged_is_on_record(loaded: Desk) -> None:
    """As broken, where operators look for it."""
    delivery = land(loaded, GOOD, received_at=JUST_BEFORE)
    damage(loaded, delivery, "content")
    assert set(pipeline.collect(loaded, at=AFTER).failures) == {delivery}
    with loaded.store.read() as db:
        assert deliveries.state_of(db, delivery) is DeliveryState.BROKEN


def test_a_held_delivery_whose_envelope_is_damaged_stops_no_other_account(loaded: Desk) -> None:
    """The store still knows that it is held and when it arrived."""
    delivery = land(loaded, CUT, received_at=JUST_BEFORE)
    pipeline.ingest(loaded, delivery, at=AFTER)
    damage(loaded, delivery, "envelope.json")
    assert swept(loaded, LATER) == [Swept(SID, 0, 3, (delivery,)), Swept(OTHER_SID, 1, 0, ())]


def test_a_sweep_is_told_as_json(loaded: Desk) -> None:
    """Account, counts and the deliveries it waits for."""
    delivery = land(loaded, CUT, received_at=EARLY)
    assert json.loads(json.dumps([one.told() for one in swept(loaded)])) == [
        {"account": SID, "locked": 1, "deferred": 1, "waits_for": [delivery]}
    ]


def test_a_landed_delivery_whose_envelope_is_damaged_keeps_actions_open(loaded: Desk, clock: Clock) -> None:
    """Nobody knows whose it is: what could be named in time waits, in every account."""
    clock.now = EARLY
    number = land(loaded, GOOD)
    (loaded.spool.content(number).parent / "envelope.json").write_bytes(b"{}")
    clock.now = AFTER
    fresh = replace(loaded, spool=Spool(loaded.brands.parent / "spool", clock=clock))
    assert lock_due(fresh, as_of=AFTER, at=AFTER) == [Swept(SID, 0, 2, (number,))]
    assert locked(loaded) == []
