from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from clawback.wiring import Desk
from processing import deliveries
from processing.catalog import read_terms
from processing.codes import Code
from processing.columns import NONE
from processing.deliveries import NO_ROWS, RULE, Arrival, DeliveryState
from processing.errors import NotFound
from tests.worlds import ARRIVED, LOCK, OTHER_SID, SID, Sale, arrival, judged, lines, load

FIRST = arrival(b"one", delivery="d-first")
SAME = replace(FIRST, delivery="d-same")
AT = ARRIVED + timedelta(seconds=1)


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Two accounts, and some actions of the first."""
    load(desk, tmp_path, [Sale("A-1", "O-1"), Sale("A-2", "O-2"), Sale("A-3", "O-3")])
    return desk


def register(db: Connection, known: Arrival, sid: str = SID) -> tuple[int, int | None]:
    """Register a delivery of an account."""
    return deliveries.register(db, read_terms(db, sid).account_id, known)


@pytest.mark.parametrize(
    ("case", "second", "sid", "duplicate"),
    [
        ("same bytes", SAME, SID, True),
        ("same bytes by another channel under another name", replace(SAME, channel="api", name="x.csv"), SID, True),
        ("same name, other bytes", replace(SAME, sha256="other"), SID, False),
        ("same bytes again on purpose", replace(SAME, again=True), SID, False),
        ("same bytes of another account", SAME, OTHER_SID, False),
    ],
)
def test_what_a_delivery_is_known_by(case: str, second: Arrival, sid: str, *, duplicate: bool, loaded: Desk) -> None:
    """By account and digest, whatever it is called and however it came."""
    with loaded.store.write() as db:
        first, none = register(db, FIRST)
        other, found = register(db, second, sid)
    assert (none, found) == (None, first if duplicate else None), case
    assert other != first


def test_a_repetition_on_purpose_is_no_duplicate(loaded: Desk) -> None:
    """Yet it claims its bytes when they were never seen: sent once more, they are a duplicate of it."""
    with loaded.store.write() as db:
        first, none = register(db, replace(SAME, again=True))
        _, found = register(db, FIRST)
        _, purpose = register(db, replace(SAME, delivery="d-third", again=True))
    assert (none, found, purpose) == (None, first, None)


@pytest.mark.parametrize(
    ("state", "duplicate"),
    [
        (DeliveryState.DONE, True),
        (DeliveryState.HELD, True),
        (DeliveryState.REJECTED, False),
        (DeliveryState.BROKEN, False),
    ],
)
def test_bytes_of_which_nothing_was_applied_may_come_again(
    state: DeliveryState, *, duplicate: bool, loaded: Desk
) -> None:
    """They may succeed the second time; those that were applied, or wait for a person, are duplicates."""
    with loaded.store.write() as db:
        number, _ = register(db, FIRST)
        deliveries.finish(db, number, state, at=AT)
        _, found = register(db, SAME)
    assert found == (number if duplicate else None)


def test_registering_again_keeps_the_number(loaded: Desk) -> None:
    """A delivery that is tried again is the same one, and no duplicate of itself."""
    with loaded.store.write() as db:
        number, _ = register(db, FIRST)
        deliveries.finish(db, number, DeliveryState.BROKEN, at=AT, message="Oops.")
        assert register(db, FIRST) == (number, None)
        assert deliveries.state_of(db, "d-first") is DeliveryState.BROKEN
        assert deliveries.state_of(db, "d-other") is None


def test_the_head_of_a_receipt(loaded: Desk) -> None:
    """Everything that programs rely on, and the rule that decided."""
    with loaded.store.write() as db:
        number, _ = register(db, replace(FIRST, event_type=16027, sent_by="ana"))
        summary = {"rows": {**NO_ROWS, "read": 1, "applied": 1}, "nearest_lock": LOCK.isoformat()}
        deliveries.finish(db, number, DeliveryState.DONE, at=AT, summary=summary)
        same, first = register(db, SAME)
        deliveries.finish(db, same, DeliveryState.DUPLICATE, at=AT, duplicate_of=first)
        heads = [deliveries.head(deliveries.find(db, one)) for one in ("d-first", "d-same")]
    head: dict[str, Any] = {
        "delivery": "d-first",
        "account": SID,
        "channel": "test",
        "name": "returns.csv",
        "sha256": FIRST.sha256,
        "bytes": 3,
        "received_at": "2027-01-20T12:00:00+00:00",
        "finished_at": "2027-01-20T12:00:01+00:00",
        "state": "done",
        "code": None,
        "message": None,
        "duplicate_of": None,
        "sent_by": "ana",
        "undoes": None,
        "undone_by": None,
        "waits_until": None,
        "revisions": [],
        "rows": {**NO_ROWS, "read": 1, "applied": 1},
        "money": {},
        "partners": [],
        "nearest_lock": "2027-02-28T05:00:00+00:00",
        "time_left": "38 days, 17:00:00",
        "rule": RULE,
    }
    none = {"delivery": "d-same", "state": "duplicate", "duplicate_of": "d-first", "sent_by": None, "rows": NO_ROWS}
    assert heads == [head, {**head, **none, "nearest_lock": None, "time_left": None}]


def test_answers_are_recorded_until_a_delivery_ends_anew(loaded: Desk) -> None:
    """A released delivery has to be answered again."""
    with loaded.store.write() as db:
        number, _ = register(db, FIRST)
        deliveries.finish(db, number, DeliveryState.HELD, at=AT, code=Code.MAYBE_INCOMPLETE, message="Cut off?")
        assert not deliveries.answered(db, "d-first", 0, AT)
        assert deliveries.answered(db, "d-first", 1, AT)
        assert deliveries.find(db, "d-first").answered_at is not None
        deliveries.finish(db, number, DeliveryState.DONE, at=AT)
        found = deliveries.find(db, "d-first")
    assert (found.answered_at, found.code, found.message) == (None, None, None)


def test_listing_begins_with_the_newest(loaded: Desk) -> None:
    """Of one account or of all; as many as wanted."""
    later = replace(FIRST, delivery="d-later", sha256="2", received_at=ARRIVED + timedelta(days=1))
    with loaded.store.write() as db:
        register(db, later)
        register(db, FIRST)
        register(db, replace(FIRST, delivery="d-other"), OTHER_SID)

        def listed(sid: str | None = None, limit: int = 100) -> list[str]:
            return [one["delivery"] for one in deliveries.listing(db, sid, limit=limit)]

        assert listed() == ["d-later", "d-other", "d-first"]
        assert listed(SID) == ["d-later", "d-first"]
        assert listed(limit=1) == ["d-later"]


def test_unfinished_are_the_held_and_the_broken_ones(loaded: Desk) -> None:
    """Oldest first, of one account."""
    with loaded.store.write() as db:
        for at, state in enumerate(DeliveryState):
            known = replace(FIRST, delivery=f"d-{state}", sha256=state, received_at=ARRIVED - timedelta(hours=at))
            number, _ = register(db, known)
            deliveries.finish(db, number, state, at=AT)
        assert [one.delivery for one in deliveries.unfinished(db, SID)] == ["d-held", "d-broken"]
        assert deliveries.unfinished(db, OTHER_SID) == []


def test_a_delivery_of_nobody_is_told(loaded: Desk) -> None:
    """With the command that lists those there are."""
    with (
        loaded.store.read() as db,
        pytest.raises(NotFound, match="There is no delivery d-9; `clawback"),
    ):
        deliveries.find(db, "d-9")


CONTENT = lines(
    "ActionId,Amount,Reason",
    *("A-1,200.00,OTHER", "A-2,50.00,OTHER", "A-2,50.00,OTHER", "A-3,x,OTHER", "A-9,1.00,OTHER", "A-3,0,OTHER"),
)


def test_every_line_has_its_verdict_for_the_result_file(loaded: Desk, tmp_path: Path) -> None:
    """Entries and answers together are all the lines, in order, with their actions' locks."""
    told = judged(loaded.store, tmp_path, CONTENT)
    with loaded.store.read() as db:
        number = deliveries.find(db, told["delivery"]).id
        table, part = deliveries.verdicts(db, number, 2, 7), deliveries.verdicts(db, number, 3, 4)
        assert deliveries.has_repairable(db, number, [])
    lock = round(LOCK.timestamp()) * 10**6
    names = ("line", "verdict", "code", "action_id", "locks_at")
    assert list(zip(*(table[name].tolist() for name in names), strict=True)) == [
        (2, "applied", "AMOUNT_RAISED", "A-1", lock),
        (3, "applied", None, "A-2", lock),
        (4, "unchanged", None, "A-2", lock),
        (5, "rejected", "AMOUNT_MALFORMED", None, NONE),
        (6, "waiting", "UNKNOWN_ACTION", None, NONE),
        (7, "applied", None, "A-3", lock),
    ]
    assert {name: column.tolist() for name, column in part.items()} == {
        name: column[1:3].tolist() for name, column in table.items()
    }


def test_a_receipt_tells_the_lines_that_need_telling(loaded: Desk, tmp_path: Path) -> None:
    """All that were not applied or carry a notice, in line order."""
    told = judged(loaded.store, tmp_path, CONTENT)
    assert told["lines"][0] == {
        "line": 2,
        "verdict": "applied",
        "code": "AMOUNT_RAISED",
        "message": "The new amount is higher than the old one.",
        "action_id": "A-1",
        "locks_at": "2027-02-28T05:00:00+00:00",
    }
    assert [one["line"] for one in told["lines"]] == [2, 4, 5, 6]


@pytest.mark.parametrize(
    ("row", "codes", "expected"),
    [
        ("A-1,x,OTHER", [], True),
        ("A-1,100.00,OTHER", [], False),
        # It waits: sending it again would not bring its action.
        ("A-9,1.00,OTHER", [Code.UNKNOWN_ACTION], False),
    ],
)
def test_what_can_be_repaired(row: str, codes: list[str], *, expected: bool, loaded: Desk, tmp_path: Path) -> None:
    """Rejected lines always; others by their code."""
    told = judged(loaded.store, tmp_path, lines("ActionId,Amount,Reason", row))
    with loaded.store.read() as db:
        number = deliveries.find(db, told["delivery"]).id
        assert deliveries.has_repairable(db, number, codes) is expected
