"""A brand with a fake org, on each store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clawback.wiring import Desk
from tests.clawback.salesforce.site import Crm, crm_at
from tests.conftest import Clock
from tests.worlds import load


@pytest.fixture
def crm(desk: Desk, clock: Clock, tmp_path: Path) -> Iterator[Crm]:
    """A desk with a catalogue, and an org without records."""
    load(desk, tmp_path)
    with crm_at(desk, clock, tmp_path) as running:
        yield running
