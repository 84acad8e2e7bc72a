"""Each golden case is answered, byte for byte, as its folder says."""

import pytest

from clawback.wiring import Desk
from tests.golden import CASES, FIXTURES, answered


def test_there_are_cases() -> None:
    """An empty folder would pass everything."""
    assert len(CASES) >= 10


@pytest.mark.parametrize("case", CASES)
def test_case(case: str, desk: Desk) -> None:
    """Receipt, result file, fix file and ledger are those of the folder, on both stores."""
    kept = {path.name: path.read_bytes() for path in (FIXTURES / case).iterdir() if path.stem != "delivery"}
    assert answered(desk, case) == kept
