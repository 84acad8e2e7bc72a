"""Running web servers for the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clawback.wiring import Desk, open_desk
from tests.clawback.web.site import Site, serving, settings_of
from tests.conftest import Clock
from tests.worlds import Sale


@pytest.fixture
def site(desk: Desk, store_url: str, tmp_path: Path, clock: Clock) -> Iterator[Site]:
    """A server on an empty installation, on each store."""
    with serving(desk, settings_of(tmp_path, store_url), clock) as running:
        yield running


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server with two actions, for what is decided before the store is asked."""
    folder, clock = tmp_path_factory.mktemp("door"), Clock()
    settings = settings_of(folder, "")
    with open_desk(settings, clock) as desk, serving(desk, settings, clock) as running:
        running.load(
            folder, Sale("A-1", "O-1"), Sale("B-1", program=2000, event_type=26027, currency="JPY", amount="100")
        )
        yield running
