"""How many requests an account may still make: one count for all processes of this machine, in a small file of its own.

Not in the ledger's store, so that a request can be counted and taken while the store is away, and so that counting
never waits for a delivery that is being written. Not durable on purpose: a power cut gives each account a fresh hour.
"""

import logging
import sqlite3
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from connectors.durable import claim, ensure_folder

_log = logging.getLogger(__name__)

WINDOW: Final = timedelta(hours=1)
_BUSY_S: Final = 5
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MICROSECOND: Final = timedelta(microseconds=1)
_SCHEMA: Final = "create table if not exists used (account text primary key, since integer, requests integer)"
# One statement, so that no two processes can read the same count. Who read the clock before the hour began counts in
# it: of two processes either may be first. A clock that was set back by an hour or more begins another one.
_COUNT: Final = """
insert into used values (:account, :now, 1)
on conflict (account) do update set
    requests = case when abs(:now - since) < :window then requests + 1 else 1 end,
    since = case when abs(:now - since) < :window then since else :now end
returning since, requests
"""


@dataclass(frozen=True, slots=True)
class Left:
    """What an account has left of its hour: requests, and the seconds until it begins anew."""

    limit: int
    requests: int
    reset_s: int
    allowed: bool


class Allowance:
    """Counts requests per account and hour, beginning with the first request of each hour."""

    def __init__(self, file: Path, limit: int) -> None:
        ensure_folder(file.parent)
        self.limit = limit
        self._claim = threading.Lock()
        self._db = _opened(file)

    def spend(self, account: str, at: datetime) -> Left:
        """Count one request of the account."""
        now = int(at.timestamp() * 1_000_000)
        window = WINDOW // _MICROSECOND
        with self._claim:
            [(since, requests)] = self._db.execute(
                _COUNT, {"account": account, "now": now, "window": window}
            ).fetchall()
        reset_s = -((now - since - window) // 1_000_000)
        return Left(self.limit, max(0, self.limit - requests), reset_s, allowed=requests <= self.limit)

    def close(self) -> None:
        """Give the file back."""
        self._db.close()


def _opened(file: Path) -> sqlite3.Connection:
    """The counts; new ones in place of those that a power cut has damaged, which need not be mended."""
    with claim(file.with_name(f"{file.name}.claim")):
        db = _connected(file)
        if not _prepare(db):
            db.close()
            _log.warning("counts_damaged file=%s; each account has a fresh hour", file)
            for part in ("", "-wal", "-shm"):
                file.with_name(f"{file.name}{part}").unlink(missing_ok=True)
            db = _connected(file)
            _prepare(db)
        return db


def _connected(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)


def _prepare(db: sqlite3.Connection) -> bool:
    """Make the table of the counts; gives whether the file is sound."""
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = off")
        db.execute(_SCHEMA)
        # A request would be the first to read most of it.
        found = db.execute("pragma integrity_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in _DAMAGED:
            raise
        return False
    return bool(found == [("ok",)])
