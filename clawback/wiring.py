"""Opens what the settings name: the store, the spool and the folders. The only place that knows concrete parts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clawback.settings import Settings
from connectors.spool import Spool
from processing.store import Store

Progress = Callable[[str, int], None]


def silent(what: str, lines: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Desk:
    """An open installation: what the pipeline works on."""

    store: Store
    spool: Spool
    brands: Path
    progress: Progress = silent


@contextmanager
def open_desk(settings: Settings, clock: Callable[[], datetime], progress: Progress = silent) -> Iterator[Desk]:
    """The installation of these settings, its tables brought up to date; closed at the end.

    ``progress`` is told the name of what is being read, and its lines so far.
    """
    store = Store(settings.store_url)
    try:
        store.migrate()
        yield Desk(store, open_spool(settings, clock), brands_folder(settings), progress)
    finally:
        store.close()


def open_spool(settings: Settings, clock: Callable[[], datetime]) -> Spool:
    """The spool alone: a receiver needs no store."""
    return Spool(settings.state / "spool", clock=clock)


def brands_folder(settings: Settings) -> Path:
    """The folder that holds one folder per account, as the hosted FTP server shows it."""
    return settings.state / "ftp"


def requests_file(settings: Settings) -> Path:
    """The file in which the web server's processes count requests."""
    return settings.state / "web" / "requests.db"


def credentials_folder(settings: Settings) -> Path:
    """The folder of the accounts' hashed passwords."""
    return settings.state / "credentials"
