from pathlib import Path

from clawback.wiring import Desk
from processing import submissions
from processing.catalog import read_terms
from processing.deliveries import API
from processing.instants import micros
from processing.pages import Keys, Place
from processing.submissions import Wanted
from tests.conftest import Clock
from tests.worlds import SID, ingest, lines, load

FILES = Wanted({API}, others=True)
# More than either database takes as parameters of one query.
MANY = 300_000


def test_what_waits_stands_where_it_arrived(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Between and above the files that were judged, on whichever page, however it is asked for; and it is counted."""
    load(desk, tmp_path, [])
    waiting: dict[Keys, str] = {}
    for number in range(12):
        clock.pass_by(minutes=1)
        if number in {2, 3, 7, 10, 11}:
            waiting[micros(clock()), 5] = f"waits {number}"
            waiting[micros(clock()), 10**17] = f"waits {number}, too"
        else:
            ingest(desk, lines("ActionId,Amount,Reason", f"A-{number},x,OTHER"))
    with desk.store.read() as db:
        account = read_terms(db, SID).account_id
        expected = dict(waiting) | {
            (row.received_at, row.id): row.delivery for row in submissions.page(db, account, FILES, Place(1, 100)).rows
        }
        keys = sorted(expected, reverse=True)
        whole = [expected[key] for key in keys]
        assert len(whole) == 17

        def met(place: Place) -> list[str]:
            page = submissions.page(db, account, FILES, place, waiting)
            assert page.total == len(whole)
            return [one if isinstance(one, str) else one.delivery for one in page.rows]

        for size in (1, 3, 4, 17, 20):
            pages = -(-len(whole) // size)
            assert [one for number in range(1, pages + 2) for one in met(Place(number, size))] == whole
            assert met(Place(pages, size, last=True)) == whole[(pages - 1) * size :]
            for start in range(1, len(whole)):
                assert met(Place(2, size, after=keys[start - 1])) == whole[start : start + size]
                assert met(Place(2, size, before=keys[start])) == whole[max(0, start - size) : start]


def test_any_number_of_deliveries_can_be_asked_for(desk: Desk, tmp_path: Path) -> None:
    """However many wait to be judged."""
    load(desk, tmp_path, [])
    ingest(desk, lines("ActionId,Amount,Reason", "A-1,x,OTHER"))
    with desk.store.read() as db:
        [row] = submissions.page(db, read_terms(db, SID).account_id, FILES, Place(1, 100)).rows
        asked = [f"20270120T120000000000-{number:08x}" for number in range(MANY)]
        assert submissions.known(db, [*asked, row.delivery]) == {row.delivery}
        assert submissions.known(db, []) == set()
