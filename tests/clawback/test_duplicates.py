"""When is a delivery the one that came before? By its bytes, whatever it is called and whenever it comes."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from clawback import pipeline
from clawback.wiring import Desk
from processing.catalog import read_terms
from processing.instants import micros
from processing.tables import delivery
from tests.conftest import Clock
from tests.worlds import OTHER_SID, SID, Sale, action, ingest, land, lines, load, values

HEADER = "ActionId,Amount,Reason"
ROWS = ("A-1,40.00,ORDER_UPDATE", "A-2,0,ITEM_RETURNED")
FIRST = lines(HEADER, *ROWS)
MANY = 10_001
SALES = [Sale("A-1"), Sale("A-2"), Sale("A-3"), Sale("A-1", "", "5000", "JPY", event_type=26027, program=2000)]

Receipt = dict[str, Any]


@pytest.fixture
def once(desk: Desk, tmp_path: Path) -> Desk:
    """The first delivery, applied."""
    load(desk, tmp_path, SALES)
    assert ingest(desk, FIRST)["rows"]["applied"] == 2
    return desk


@pytest.mark.parametrize(
    ("case", "how"),
    [
        ("same name, same bytes", {}),
        ("another name", {"name": "returns (1).csv"}),
        ("a name that sorts before", {"name": "AAA.csv"}),
        ("with the event type given", {"event_type": 16027}),
        ("as if it had come before", {"received_at": "earlier"}),
    ],
)
def test_the_same_bytes_are_a_duplicate(case: str, how: dict[str, Any], once: Desk, clock: Clock) -> None:
    """Whatever else differs; its receipt points to the first, and nothing is done again."""
    if "received_at" in how:
        how = {"received_at": clock.now - timedelta(days=3)}
    receipt = ingest(once, FIRST, **how)
    assert (receipt["state"], receipt["rows"]["read"]) == ("duplicate", 0), case
    assert receipt["duplicate_of"] is not None
    assert len(action(once.store, "A-1")["history"]) == 1


@pytest.mark.parametrize(
    ("case", "content", "expected"),
    [
        ("lines end otherwise", FIRST.replace("\n", "\r\n"), {"unchanged": 2}),
        ("with a byte order mark", "\ufeff" + FIRST, {"unchanged": 2}),
        ("other delimiter", FIRST.replace(",", ";"), {"unchanged": 2}),
        ("in UTF-16", FIRST.encode("utf-16"), {"unchanged": 2}),
        ("other order of lines", lines(HEADER, *reversed(ROWS)), {"unchanged": 2}),
        ("other order of columns", lines("Reason,Amount,ActionId", "OTHER,40.00,A-1"), {"unchanged": 1}),
        ("corrected and sent again", lines(HEADER, "A-1,45.00,ORDER_UPDATE", ROWS[1]), {"applied": 1, "unchanged": 1}),
        ("with more lines", lines(HEADER, *ROWS, "A-3,70.00,OTHER"), {"applied": 1, "unchanged": 2}),
        ("with fewer lines", lines(HEADER, ROWS[0]), {"unchanged": 1}),
        ("each line twice", lines(HEADER, *ROWS, *ROWS), {"unchanged": 4}),
        ("an empty line at the end", FIRST + "\n", {"unchanged": 2}),
    ],
)
def test_other_bytes_are_another_delivery(
    case: str, content: str | bytes, expected: dict[str, int], once: Desk
) -> None:
    """Judged line by line: what was done already is unchanged, only the rest is applied."""
    receipt = ingest(once, content)
    assert receipt["state"] == "done", case
    assert {verdict: count for verdict, count in receipt["rows"].items() if count and verdict != "read"} == expected


def test_a_year_and_many_files_later_it_is_still_known(once: Desk, clock: Clock) -> None:
    """Nothing of what was seen is forgotten."""
    clock.now += timedelta(days=366)
    seen = {"channel": "ftp", "name": "other.csv", "size_bytes": 1, "state": "done", "finished_at": micros(clock.now)}
    with once.store.write() as db:
        seen |= {"account_id": read_terms(db, SID).account_id, "received_at": micros(clock.now)}
        digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(MANY)]
        db.execute(
            insert(delivery),
            [seen | {"delivery": one, "sha256": one, "identity": one, "answered_at": 0} for one in digests],
        )
    assert ingest(once, FIRST)["state"] == "duplicate"


def test_another_accounts_file_is_its_own(once: Desk) -> None:
    """Two brands may send the same bytes."""
    receipt = ingest(once, lines("ActionId,Reason", "A-1,OTHER"), sid=OTHER_SID)
    assert (receipt["state"], receipt["rows"]["applied"]) == ("done", 1)
    assert ingest(once, lines("ActionId,Reason", "A-1,OTHER"))["state"] == "done"


def test_again_is_on_purpose(once: Desk) -> None:
    """It is judged once more, and finds everything done."""
    receipt = ingest(once, FIRST, again=True)
    assert (receipt["state"], receipt["rows"]["unchanged"]) == ("done", 2)


def test_what_was_rejected_as_a_whole_may_come_again(once: Desk) -> None:
    """Nothing of it was done, so that it is no duplicate; it is rejected once more."""
    unknown = lines("ActionId,Amonut,Reason", "A-3,0,OTHER")
    assert [ingest(once, unknown)["state"] for _ in range(2)] == ["rejected", "rejected"]


def test_what_is_held_is_known(once: Desk) -> None:
    """The same half file is held once."""
    half = lines(HEADER, "A-3,1.00,OTHER")[:-2]
    assert [ingest(once, half)["state"] for _ in range(2)] == ["held", "duplicate"]


@pytest.mark.parametrize("order", [list, reversed], ids=["in order", "newest first"])
def test_two_at_once_are_applied_once(order: Callable[[list[str]], Any], once: Desk, clock: Clock) -> None:
    """Two uploads of the same bytes, worked off at the same time by two workers."""
    content = lines(HEADER, "A-3,33.00,OTHER")
    deliveries = [land(once, content, name=name) for name in ("a.csv", "b.csv")]
    with ThreadPoolExecutor(2) as workers:
        list(workers.map(lambda one: pipeline.ingest(once, one, at=clock.now), order(deliveries)))
    states = [pipeline.receipt(once, one)["state"] for one in deliveries]
    assert states == ["done", "duplicate"]
    assert len(action(once.store, "A-3")["history"]) == 1
    assert values(once.store, "A-3")[1] == "33.00"
