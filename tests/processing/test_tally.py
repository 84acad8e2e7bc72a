import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clawback.wiring import Desk
from processing.codes import Verdict
from processing.tally import Harm, Tally
from tests.worlds import SUMMIT, Sale, judged, lines, load

SALES = [
    Sale("A-1", locks_at="2027-02-01T00:00:00Z"),
    Sale("A-2", partner=SUMMIT, locks_at="2027-01-25T00:00:00Z"),
    Sale("A-3", amount="5000", currency="JPY", locks_at="2027-01-20T12:00:00Z"),
    Sale("A-4", amount="5000", currency="JPY", locks_at="2027-01-20T12:00:00.000001Z"),
]
NONE = dict.fromkeys(("read", *(verdict.value for verdict in Verdict)), 0)


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Actions of two partners in two currencies."""
    load(desk, tmp_path, SALES)
    return desk


def receipt(desk: Desk, folder: Path, *rows: str) -> dict[str, Any]:
    """Counts and money of a delivery of these lines."""
    told = judged(desk.store, folder, lines("ActionId,Amount,Reason", *rows))
    return {name: told[name] for name in ("rows", "money", "partners", "nearest_lock")}


def sides(*four: str) -> dict[str, str]:
    """Amount before and after, payout before and after."""
    return dict(zip(("amount_before", "amount_after", "payout_before", "payout_after"), four, strict=True))


def test_money_of_the_actions_that_changed(loaded: Desk, tmp_path: Path) -> None:
    """By currency and by partner, from the first value to the last, however many lines led there."""
    rows = (
        "A-1,40.00,OTHER",
        "A-2,0,OTHER",
        "A-1,50.00,OTHER",
        "A-4,100,OTHER",
        "A-3,1,OTHER",
        "A-9,1,OTHER",
        "A-1,x,OTHER",
    )
    trail, summit = ("100.00", "50.00", "5.00", "2.50"), ("100.00", "0.00", "12.00", "0.00")
    assert receipt(loaded, tmp_path, *rows) == {
        "rows": {**NONE, "read": 7, "applied": 4, "refused": 1, "waiting": 1, "rejected": 1},
        "money": {"JPY": sides("5000", "100", "250", "5"), "USD": sides("200.00", "50.00", "17.00", "2.50")},
        "partners": [
            {"partner": 501, "name": "Trail Blog", "currency": "JPY", "lines": 1, **sides("5000", "100", "250", "5")},
            {"partner": 501, "name": "Trail Blog", "currency": "USD", "lines": 2, **sides(*trail)},
            {"partner": 502, "name": "Summit Mail", "currency": "USD", "lines": 1, **sides(*summit)},
        ],
        "nearest_lock": "2027-01-20T12:00:00.000001+00:00",
    }


def test_what_goes_up_and_down_again_is_there_with_the_same_money(loaded: Desk, tmp_path: Path) -> None:
    """Two lines were applied, and nothing is different."""
    told = receipt(loaded, tmp_path, "A-1,40.00,OTHER", "A-1,100.00,OTHER")
    assert told["money"] == {"USD": sides("100.00", "100.00", "5.00", "5.00")}
    assert told["partners"][0]["lines"] == 2


@pytest.mark.parametrize(
    ("row", "nearest"),
    [
        ("A-3,1,OTHER", None),
        ("A-4,1,OTHER", "2027-01-20T12:00:00.000001+00:00"),
        ("A-2,100.00,OTHER", "2027-01-25T00:00:00+00:00"),
        ("A-9,1,OTHER", None),
    ],
)
def test_the_nearest_lock_is_of_an_action_that_is_still_open(
    row: str, nearest: str | None, loaded: Desk, tmp_path: Path
) -> None:
    """Of those that the lines name, whether or not they change."""
    assert receipt(loaded, tmp_path, row)["nearest_lock"] == nearest


def test_nothing_was_read_yet() -> None:
    """A tally of nothing is told as one."""
    assert Tally().told({}) == {"rows": NONE, "money": {}, "partners": [], "nearest_lock": None}


def test_counts_that_do_not_add_up_stop_us() -> None:
    """The receipt's equation is asserted where it is made."""
    tally = Tally()
    tally.count(Verdict.REJECTED, 2)
    assert tally.told({})["rows"] == {**NONE, "read": 2, "rejected": 2}
    tally.read += 1
    with pytest.raises(AssertionError):
        tally.told({})


def test_what_was_counted_apart_is_added_up() -> None:
    """As if it had been one: lines, money, reversals, and the nearer lock."""
    first, second = Tally(nearest_lock=7), Tally(nearest_lock=5)
    first.count(Verdict.REJECTED, 2)
    second.count(Verdict.REFUSED, 3)
    first.reversed["USD"], second.reversed["USD"] = 100, 20
    first.add_up(second)
    first.add_up(Tally())
    assert (first.harm, first.nearest_lock) == (Harm(5, 5, {"USD": 120}), 5)
    assert first.told({})["rows"] == {**NONE, "read": 5, "rejected": 2, "refused": 3}


def test_harm_is_remembered() -> None:
    """What is judged later adds to it; a line without a fate is a line, and no harm."""
    tally = Tally(reversed=Counter({"USD": 50}))
    tally.count(Verdict.REFUSED, 1)
    tally.count(Verdict.WAITING, 9)
    resumed = Tally.resumed(json.loads(json.dumps(tally.told({}))))
    resumed.take_back({Verdict.WAITING: 2})
    resumed.add_up(Tally(read=2, verdicts=Counter({Verdict.REFUSED: 2}), reversed=Counter({"USD": 5, "JPY": 7})))
    assert resumed.harm == Harm(10, 3, {"USD": 55, "JPY": 7})
    assert {"reversed", "seen", "held_money"}.isdisjoint(Tally().told({}))


def test_what_a_person_decided_about_is_no_harm_any_more() -> None:
    """Only what had no fate then is weighed; less harm than there was is none."""
    tally = Tally(reversed=Counter({"USD": 50}))
    for verdict, count in ((Verdict.REFUSED, 3), (Verdict.APPLIED, 5), (Verdict.WAITING, 2), (Verdict.HELD, 1)):
        tally.count(verdict, count)
    tally.decide()
    resumed = Tally.resumed(json.loads(json.dumps(tally.told({}))))
    assert resumed.harm == Harm(3, 0, {})
    became = resumed.refuse({Verdict.WAITING: 1, Verdict.HELD: 1})
    assert (became, resumed.harm, resumed.read) == ({Verdict.REFUSED: 2}, Harm(3, 2, {}), 11)
    resumed.take_back({Verdict.REFUSED: 5})
    resumed.count(Verdict.UNCHANGED, 5)
    assert resumed.harm == Harm(3, 0, {})
