from datetime import timedelta
from pathlib import Path

import pytest

from clawback import deciding, pipeline
from clawback.preview import preview
from clawback.wiring import Desk
from processing import brakes
from processing.errors import Unusable
from tests.conftest import Clock
from tests.worlds import CATALOGUE, LOCK, SID, Sale, arrival, codes, dump, ingest, lines, load, values, written

ACTIONS = 100
LOCK_TOLD = "The first of its actions locks at 2027-02-28T00:00:00-05:00."


@pytest.fixture
def hundred(desk: Desk, tmp_path: Path) -> Desk:
    """A hundred actions of 100.00 with a payout of 5.00 each."""
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(ACTIONS)])
    return desk


def returned(count: int, amount: str = "0") -> str:
    """A file that gives so many actions this amount."""
    return lines("ActionId,Amount,Reason", *(f"A-{number},{amount},ITEM_RETURNED" for number in range(count)))


def usual(desk: Desk, *sizes: int) -> None:
    """Deliveries of so many lines, one after the other, that change nothing."""
    for number, size in enumerate(sizes):
        rows = (f"A-1,{100 + number}.00,ORDER_UPDATE" for _ in range(size))
        assert ingest(desk, lines("ActionId,Amount,Reason", *rows))["state"] == "done"


@pytest.mark.parametrize(
    ("case", "good", "bad", "state"),
    [
        ("half of it", 10, 10, "done"),
        ("more than half", 10, 11, "held"),
        ("too few lines", 8, 11, "done"),
    ],
)
def test_a_delivery_that_is_mostly_bad_is_held(case: str, good: int, bad: int, state: str, hundred: Desk) -> None:
    """From 20 lines on, when more than half are rejected or refused."""
    rows = [f"A-{number},90.00,OTHER" for number in range(good)] + ["A-99,-1,OTHER"] * bad
    before = dump(hundred.store)["action"]
    receipt = ingest(hundred, lines("ActionId,Amount,Reason", *rows))
    assert (receipt["state"], dump(hundred.store)["action"] == before) == (state, state == "held"), case
    if state == "held":
        assert receipt["code"] == "MOSTLY_BAD"
        money = "Payout of what it changes: 50.00 USD before, 45.00 after."
        assert f"11 of its 21 lines would be rejected or refused. {money} {LOCK_TOLD}" in receipt["message"]
        assert receipt["money"]["USD"]["payout_after"] == "45.00"
        assert (receipt["rows"]["held"], receipt["rows"]["rejected"], receipt["rows"]["read"]) == (10, 11, 21)
        assert {code for _, verdict, code in codes(receipt) if verdict == "rejected"} == {"AMOUNT_NEGATIVE"}


def test_a_delivery_without_a_sound_line_is_held(hundred: Desk, clock: Clock) -> None:
    """It is held as any other, by what a person sees: nothing of it could be applied, and its lines are told once."""
    receipt = ingest(hundred, lines("ActionId,Amount,Reason", *["A-1,-1,OTHER"] * 20))
    assert (receipt["state"], receipt["code"], receipt["nearest_lock"]) == ("held", "MOSTLY_BAD", None)
    assert receipt["message"].startswith("20 of its 20 lines would be rejected or refused.")
    assert (receipt["rows"]["rejected"], receipt["rows"]["held"], receipt["money"]) == (20, 0, {})
    assert codes(receipt) == [(number, "rejected", "AMOUNT_NEGATIVE") for number in range(2, 22)]
    deciding.release(hundred, receipt["delivery"], by="dana", at=clock())
    released = pipeline.receipt(hundred, receipt["delivery"])
    assert (released["state"], codes(released)) == ("done", codes(receipt))
    assert pipeline.receipt(hundred, receipt["delivery"], 5)["lines"] == released["lines"][:5]
    assert pipeline.receipt(hundred, receipt["delivery"], 5)["more_lines"] == 15


def test_refused_lines_are_bad_ones_too(hundred: Desk, clock: Clock) -> None:
    """A whole file that comes after the lock is looked at by somebody."""
    clock.now = LOCK + timedelta(days=1)
    receipt = ingest(hundred, returned(20))
    assert (receipt["state"], receipt["code"], receipt["rows"]["held"]) == ("held", "MOSTLY_BAD", 20)


@pytest.mark.parametrize(("count", "state"), [(25, "done"), (26, "held")])
def test_a_delivery_that_reverses_much_is_held(count: int, state: str, hundred: Desk) -> None:
    """When it takes away more than a quarter of what is open."""
    receipt = ingest(hundred, returned(count))
    assert receipt["state"] == state
    if state == "held":
        assert receipt["code"] == "OUTLIER"
        money = "Payout of what it changes: 130.00 USD before, 0.00 after."
        reason = f"It reverses 130.00 of the 500.00 USD of payout that is open, 26 %. {money} {LOCK_TOLD}"
        assert reason in receipt["message"]
        assert values(hundred.store, "A-1") == ("PENDING", "100.00", "5.00")


@pytest.mark.parametrize("sample", [1, 2, 7, 99, 100, 101])
def test_however_the_open_payout_is_added_up(sample: int, hundred: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps that end as soon as it is enough; the answer is the same."""
    monkeypatch.setattr(brakes, "_SAMPLE", sample)
    assert ingest(hundred, returned(26))["state"] == "held"
    assert ingest(hundred, returned(25))["state"] == "done"


def test_what_is_locked_or_in_another_currency_is_not_open_payout(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Only what the brand can still take back counts."""
    mine = [Sale(f"A-{number}") for number in range(20)]
    load(desk, tmp_path, [*mine, *(Sale(f"B-{number}", "", "9000", "JPY") for number in range(200))])
    assert ingest(desk, returned(20))["message"].startswith("It reverses 100.00 of the 100.00 USD")
    assert clock.now < LOCK


@pytest.mark.parametrize(
    ("case", "sizes", "count", "state"),
    [
        ("four times the median", (25, 30, 20), 100, "done"),
        ("more", (25, 30, 20), 101, "held"),
        ("too few to know", (20, 20), 1_000, "done"),
        ("single lines do not count", (1, 1, 1, 25, 25), 1_000, "done"),
        ("small ones are never large", (20, 20, 20), 99, "done"),
    ],
)
def test_a_delivery_that_is_unusually_large_is_held(
    case: str, sizes: tuple[int, ...], count: int, state: str, desk: Desk, tmp_path: Path
) -> None:
    """When it has more than four times the median of the last ten."""
    brakes_table = '\ncurrency = "USD"\n[account.brakes]\nlarge_lines = 100\n'
    load(desk, tmp_path, [Sale("A-1")], catalogue=CATALOGUE.replace('\ncurrency = "USD"\n', brakes_table, 1))
    usual(desk, *sizes)
    receipt = ingest(desk, lines("ActionId,Amount,Reason", *["A-1,100.00,ORDER_UPDATE"] * count))
    assert receipt["state"] == state, case
    if state == "held":
        assert f"It has {count} lines; the median of the 3 before it is 25." in receipt["message"]


def test_a_person_releases_what_is_right(hundred: Desk, clock: Clock) -> None:
    """Then it counts from its arrival, and what was said of its lines is said once."""
    rows = [f"A-{number},0,ITEM_RETURNED" for number in range(30)] + ["A-99,-1,OTHER"]
    held = ingest(hundred, lines("ActionId,Amount,Reason", *rows))
    assert (held["state"], held["rows"]["held"], held["rows"]["rejected"]) == ("held", 30, 1)
    deciding.release(hundred, held["delivery"], by="dana", at=clock.now)
    receipt = pipeline.receipt(hundred, held["delivery"])
    assert (receipt["rows"]["applied"], receipt["rows"]["rejected"], receipt["rows"]["held"]) == (30, 1, 0)
    assert receipt["message"] == f"dana released it. {held['message']}"
    assert codes(receipt) == [(32, "rejected", "AMOUNT_NEGATIVE")]


def test_a_preview_tells_what_would_be_held_and_what_it_would_do(hundred: Desk, tmp_path: Path, clock: Clock) -> None:
    """The counts and the money of a release, and nothing written."""
    before = dump(hundred.store)
    file = written(tmp_path, "returns.csv", returned(30))
    receipt = preview(hundred, arrival(file.read_bytes(), clock.now), SID, file)
    assert (receipt["state"], receipt["code"], receipt["rows"]["applied"]) == ("held", "OUTLIER", 30)
    assert receipt["money"]["USD"]["payout_after"] == "0.00"
    assert dump(hundred.store) == before


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("lines = 0", "lines: 0 is not a count"),
        ("bad_percent = 101", "101 is more than 100 percent"),
        ('times_usual = "4"', "is not a count"),
        ("bad_per_cent = 5", 'did you mean "bad_percent"?'),
    ],
)
def test_a_wrong_setting_is_told(table: str, message: str, desk: Desk, tmp_path: Path) -> None:
    """With its place in the catalogue."""
    with_brakes = CATALOGUE.replace('\ncurrency = "USD"\n', f'\ncurrency = "USD"\n[account.brakes]\n{table}\n', 1)
    with pytest.raises(Unusable, match="problem") as caught:
        load(desk, tmp_path, catalogue=with_brakes)
    assert message in str(caught.value)
