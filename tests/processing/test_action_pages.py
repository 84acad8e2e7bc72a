from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clawback import pipeline
from clawback.wiring import Desk
from processing import action_pages, update_pages
from processing.action_pages import Wanted
from processing.catalog import read_terms
from processing.errors import NotFound
from processing.instants import micros
from processing.model import State
from processing.pages import Place
from tests.conftest import Clock
from tests.worlds import OTHER_SID, SID, Sale, ingest, lines, load

NOON = datetime(2027, 1, 20, 12, tzinfo=UTC)
SALES = [
    Sale("A-1", created_at="2027-01-10T00:00:00Z"),
    Sale("A-2", created_at="2027-01-11T00:00:00Z"),
    Sale("A-3", created_at="2027-01-12T00:00:00Z", event_at="2027-01-01"),
    Sale("A-4", created_at="2027-01-12T00:00:00Z", locks_at="2027-03-01T00:00:00Z"),
    Sale("B-1", program=2000, event_type=26027, currency="JPY", amount="100"),
]


@pytest.fixture
def changed(desk: Desk, tmp_path: Path, clock: Clock) -> Desk:
    """Four actions: A-1 was modified a day ago, A-2 twice, of which the second time was now."""
    load(desk, tmp_path, SALES)
    clock.pass_by(days=-1)
    ingest(desk, lines("ActionId,Amount,Reason", "A-1,50,ORDER_UPDATE", "A-2,50,ORDER_UPDATE"))
    clock.pass_by(days=1)
    ingest(desk, lines("ActionId,Amount,Reason", "A-2,0,OTHER"))
    return desk


def span(start: datetime, end: datetime) -> tuple[int, int]:
    """A span of microseconds."""
    return micros(start), micros(end)


DAYS = {
    "now": (Wanted(1000, updated=span(NOON, NOON)), ["A-2"]),
    "yesterday": (Wanted(1000, updated=span(NOON - timedelta(days=2), NOON - timedelta(hours=1))), ["A-1"]),
    "tracked": (
        Wanted(1000, updated=span(datetime(2027, 1, 9, tzinfo=UTC), datetime(2027, 1, 13, tzinfo=UTC))),
        ["A-4", "A-3"],
    ),
    "all": (Wanted(1000, updated=span(datetime(2027, 1, 1, tzinfo=UTC), NOON)), ["A-4", "A-3", "A-2", "A-1"]),
    "reversed": (Wanted(1000, State.REVERSED), ["A-2"]),
    "event": (Wanted(1000, event=span(datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC))), ["A-3"]),
    "locks": (Wanted(1000, locks=span(datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC))), ["A-4"]),
    "other program": (Wanted(2000), []),
}


@pytest.mark.parametrize("few", [0, 100_000])
def test_filters_choose_the_newest_first(changed: Desk, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """However many there are to choose from, and whichever way is taken to them."""
    monkeypatch.setattr(action_pages, "_FEW", few)
    with changed.store.read() as db:
        account = read_terms(db, SID).account_id
        found = {name: action_pages.page(db, account, wanted, Place(1, 10)) for name, (wanted, _) in DAYS.items()}
    assert {name: [row.action_id for row in page.rows] for name, page in found.items()} == {
        name: expected for name, (_, expected) in DAYS.items()
    }
    assert {name: page.total for name, page in found.items()} == {name: len(one) for name, (_, one) in DAYS.items()}


@pytest.mark.parametrize("few", [0, 100_000])
def test_lines_of_one_delivery_may_be_judged_at_different_times(
    desk: Desk, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """What each changed is found by its own instant, whichever way is taken."""
    monkeypatch.setattr(action_pages, "_FEW", few)
    load(desk, tmp_path, SALES)
    ingest(desk, lines("ActionId,Amount,Reason", "W-1,50,ORDER_UPDATE", "A-1,50,ORDER_UPDATE"))
    clock.pass_by(days=1)
    load(desk, tmp_path, [Sale("W-1")])
    assert pipeline.collect(desk, at=clock()).failures == {}
    with desk.store.read() as db:
        account = read_terms(db, SID).account_id
        spans = (span(NOON, NOON), span(clock(), clock()), span(NOON, clock()))
        pages = [action_pages.page(db, account, Wanted(1000, updated=one), Place(1, 10)) for one in spans]
        assert [[row.action_id for row in page.rows] for page in pages] == [["A-1"], ["W-1"], ["W-1", "A-1"]]


def test_every_way_to_a_page_gives_the_same_rows(changed: Desk) -> None:
    """By number, after the row before it, before the row behind it, and the last from its end."""
    with changed.store.read() as db:
        account, wanted = read_terms(db, SID).account_id, Wanted(1000)

        def page(place: Place) -> list[str]:
            return [row.action_id for row in action_pages.page(db, account, wanted, place).rows]

        rows = action_pages.page(db, account, wanted, Place(1, 10)).rows
        keys = [(row.created_at, row.id) for row in rows]
        assert [row.action_id for row in rows] == ["A-4", "A-3", "A-2", "A-1"]
        second = Place(2, 3)
        assert page(Place(1, 3)) == ["A-4", "A-3", "A-2"]
        assert page(second) == page(replace(second, after=keys[2])) == page(replace(second, last=True)) == ["A-1"]
        assert page(Place(1, 3, before=keys[3])) == ["A-4", "A-3", "A-2"]
        assert page(Place(1, 2, before=keys[3])) == ["A-3", "A-2"]
        assert page(Place(10**9, 3)) == page(replace(second, after=keys[3])) == page(Place(9, 3, last=True)) == []


def test_one_belongs_to_its_account(changed: Desk) -> None:
    """Another's is not there."""
    with changed.store.read() as db:
        mine, other = read_terms(db, SID).account_id, read_terms(db, OTHER_SID).account_id
        assert action_pages.one(db, mine, "A-2").amount_moved == -5000
        assert action_pages.one(db, mine, "A-3").amount_moved is None
        with pytest.raises(NotFound):
            action_pages.one(db, other, "A-2")
        with pytest.raises(NotFound):
            update_pages.one(db, other, "A-2", 1)


def test_updates_tell_each_change(changed: Desk) -> None:
    """Newest first: two of A-2, one of A-1, and that each was tracked; filters hold for them alike."""
    with changed.store.read() as db:
        account = read_terms(db, SID).account_id
        every = update_pages.page(db, account, Wanted(1000), Place(1, 10))
        assert [(row.action_id, row.serial, row.change) for row in every.rows] == [
            ("A-2", 2, "reverse"),
            ("A-2", 1, "modify"),
            ("A-1", 1, "modify"),
            ("A-4", 0, "track"),
            ("A-3", 0, "track"),
            ("A-2", 0, "track"),
            ("A-1", 0, "track"),
        ]
        wanted = Wanted(1000, State.PENDING, updated=span(NOON - timedelta(days=2), NOON))
        assert [row.serial for row in update_pages.page(db, account, wanted, Place(1, 10)).rows] == [1, 1]
        assert update_pages.page(db, account, Wanted(1000, event=span(NOON, NOON)), Place(1, 10)).total == 0
        assert update_pages.one(db, account, "A-2", 2).reason == "OTHER"
