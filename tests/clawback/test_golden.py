"""Each golden case is answered, byte for byte, as its folder says."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from clawback.wiring import Desk
from processing.codes import Code
from tests.golden import CASES, answered, kept


def codes_of(receipt: dict[str, Any]) -> Iterator[str]:
    """Every code that a receipt tells."""
    yield from filter(None, [receipt.get("code"), *(line["code"] for line in receipt["lines"])])
    for file in receipt.get("files", []):
        yield from codes_of(file)


def test_there_are_cases_of_every_code() -> None:
    """An empty folder would pass everything."""
    assert len(CASES) >= 60
    receipts = [json.loads(text) for case in CASES for name, text in kept(case).items() if name.startswith("receipt")]
    told = {code for receipt in receipts for code in codes_of(receipt)}
    assert {code.value for code in Code} - told == set()


@pytest.mark.parametrize("case", CASES)
def test_case(case: str, desk: Desk) -> None:
    """Receipts, result files, fix files and ledger are those of the folder, on both stores."""
    assert answered(desk, case) == kept(case)
