"""Fixtures of the connectors: a running server, and the programs that tests need."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from connectors.credentials import Credentials
from tests.connectors.ftp_site import ACCOUNTS, PASSWORD, Serve, Site, serving


@pytest.fixture(scope="session")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    """Two accounts with the same password, whose check costs less than it should so that tests are quick."""
    credentials = Credentials(tmp_path_factory.mktemp("credentials"))
    cheap = PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)
    (credentials.folder / "ftp").mkdir()
    for account in ACCOUNTS:
        (credentials.folder / "ftp" / account).write_text(cheap)
    return credentials


@pytest.fixture
def costly(tmp_path: Path) -> Credentials:
    """The same accounts with the real cost of a check."""
    credentials = Credentials(tmp_path / "credentials")
    for account in ACCOUNTS:
        credentials.set_password(account, "ftp", PASSWORD)
    return credentials


@pytest.fixture
def serve(tmp_path: Path, credentials: Credentials) -> Iterator[Serve]:
    """Start a server with the given settings; it stops when the test ends."""
    with ExitStack() as stack:
        yield lambda folder=tmp_path, credentials=credentials, **values: stack.enter_context(
            serving(folder, credentials, **values)
        )


@pytest.fixture
def site(serve: Serve) -> Site:
    """A server without TLS."""
    return serve()


@pytest.fixture
def program() -> Callable[[str], str]:
    """A program that a test needs; without it the test fails and names the Debian package of the same name."""

    def find(name: str) -> str:
        path = shutil.which(name)
        assert path, f"{name} is not installed: apt-get install {name}"
        return path

    return find
