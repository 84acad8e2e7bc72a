import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.allowance import Allowance, Left

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)


def test_an_hour_begins_with_its_first_request(tmp_path: Path) -> None:
    """Each account has its own; when it is over, or the clock was set back by an hour, a new one begins."""
    allowance = Allowance(tmp_path / "requests.db", 2)
    assert allowance.spend("a", NOON) == Left(2, 1, 3600, allowed=True)
    assert allowance.spend("a", NOON + timedelta(minutes=59)) == Left(2, 0, 60, allowed=True)
    assert allowance.spend("a", NOON + timedelta(minutes=59, seconds=59.5)) == Left(2, 0, 1, allowed=False)
    assert allowance.spend("b", NOON) == Left(2, 1, 3600, allowed=True)
    assert allowance.spend("a", NOON + timedelta(minutes=60)) == Left(2, 1, 3600, allowed=True)
    assert allowance.spend("a", NOON) == Left(2, 1, 3600, allowed=True)
    allowance.close()


def test_the_hour_goes_on_for_a_process_that_read_the_clock_before(tmp_path: Path) -> None:
    """It counts in the hour that another one began meanwhile, which does not begin anew."""
    allowance = Allowance(tmp_path / "requests.db", 2)
    assert allowance.spend("a", NOON) == Left(2, 1, 3600, allowed=True)
    assert allowance.spend("a", NOON - timedelta(milliseconds=5)) == Left(2, 0, 3601, allowed=True)
    assert allowance.spend("a", NOON) == Left(2, 0, 3600, allowed=False)
    assert allowance.spend("a", NOON - timedelta(minutes=59)) == Left(2, 0, 7140, allowed=False)
    assert allowance.spend("a", NOON + timedelta(minutes=60)) == Left(2, 1, 3600, allowed=True)
    allowance.close()


def test_processes_count_together(tmp_path: Path) -> None:
    """Four processes that spend at once are let through exactly as often as one would be."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        let_through = sum(pool.starmap(_spend, [(tmp_path / "requests.db", 100)] * 4))
    assert let_through == 100


@pytest.mark.parametrize(
    "where", [slice(0, 100), slice(100, 4096), slice(4096, 8192), slice(8192, 12288), slice(0, None)]
)
def test_damage_is_a_fresh_hour(tmp_path: Path, where: slice) -> None:
    """What a power cut leaves of a file that nobody syncs keeps no server from starting, and no request waiting."""
    file = tmp_path / "requests.db"
    allowance = Allowance(file, 2)
    for account in map(str, range(50)):
        allowance.spend(account, NOON)
    allowance.close()
    content = bytearray(file.read_bytes())
    content[where] = b"\xff" * len(content[where])
    file.write_bytes(content)
    for left in (1, 0):
        allowance = Allowance(file, 2)
        assert allowance.spend("a", NOON) == Left(2, left, 3600, allowed=True)
        allowance.close()


def _spend(file: Path, limit: int) -> int:
    allowance = Allowance(file, limit)
    let_through = sum(allowance.spend("a", NOON).allowed for _ in range(60))
    allowance.close()
    return let_through
