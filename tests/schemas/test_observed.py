"""The files of observed changes: what an org says is a cell, never a line or a trailer."""

import csv

import pytest

from schemas.observed import ObservedLine, files


def line(order: str, *, status: str | None = "Closed Lost", **what: str | None) -> ObservedLine:
    """A line for an order."""
    told = {"reason": "ORDER_ERROR", "amount": None, "currency": None, "reversal": False}
    return ObservedLine(order, 16027, told | what, ("006A", "2027-01-15T00:00:00+00:00", None, status, 1))


@pytest.mark.parametrize("odd", ["x\nO-9", "x\r\nO-9", "x\rO-9", "x\x0bO-9"])
def test_no_needed_cell_has_a_control_character(odd: str) -> None:
    """A line break would end the line, and what follows would be another one."""
    for broken in (line(odd), line("O-1", currency=odd), line("O-1", reason=odd)):
        with pytest.raises(ValueError, match="control character"):
            files([broken])


@pytest.mark.parametrize("odd", ["x\nO-9", "x\r\nO-9", "x\rO-9", "x\x0bO-9"])
def test_evidence_stands_in_one_line(odd: str) -> None:
    """Its breaks are written as spaces, for it is read by people; any other would have the line rejected."""
    header, row = csv.reader(files([line("O-1", status=odd)])["changes"].decode().splitlines())
    assert dict(zip(header, row, strict=True))["StatusAfter"] == "x O-9"


def test_evidence_is_shortened() -> None:
    """A line of any length would keep the whole file from being read."""
    content = files([line("O-1", status="x" * 100_000)])["changes"]
    assert len(content) < 1_000
