"""Who is kept out, and how much an account may store: the limits of the hosted FTP server."""

import ipaddress
import logging
import stat
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from connectors.ftp_settings import FtpSettings
from connectors.results import results_folder
from connectors.spool import Spool

_log = logging.getLogger(__name__)

_MOST_DELAY_S: Final = 30.0
_MOST_REMEMBERED: Final = 10_000
_MOST_COUNTED: Final = 1000
# Counting an account's bytes looks at each of its files and deliveries.
_FAR_FROM_QUOTA: Final = 16
_IPV6_SITE: Final = 64

Failures = deque[tuple[float, str | None]]
Remembered = TypeVar("Remembered", float, Failures)


def origin(address: str) -> str:
    """What one attacker is counted as: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, _IPV6_SITE), strict=False))
    return str(ip)


class Door:
    """Counts failed logins by address and by account; refuses an address that failed too often.

    An account is never refused for the failures of others, or anybody could lock a brand out: its failures make the
    answers to failed logins slower, and are logged.
    """

    def __init__(self, settings: FtpSettings, timer: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._timer = timer
        self._failures: dict[str, Failures] = {}
        self._refused_until: dict[str, float] = {}

    def refuses(self, address: str) -> bool:
        """Whether the address has to wait before it may try again."""
        until = self._refused_until.get(origin(address), 0.0)
        if until and until <= self._timer():
            del self._refused_until[origin(address)]
            self._failures.pop(origin(address), None)
            return False
        return bool(until)

    def failed(self, address: str, account: str | None) -> float:
        """Count a failed login (``account`` None: there is no such account); how long to wait before answering."""
        site = origin(address)
        by_address = self._count(site, account)
        by_account = self._count(f"account {account}", account) if account else 0
        _log.warning(
            "login_failed account=%s address=%s failures_of_address=%d failures_of_account=%d",
            account or "unknown",
            address,
            by_address,
            by_account,
        )
        if by_address >= self._settings.login_attempts:
            _remember(self._refused_until, site, self._timer() + self._settings.login_refusal_s)
            _log.warning("address_refused address=%s for_s=%g", address, self._settings.login_refusal_s)
        doubled = max(by_address, by_account) - 1
        return min(self._settings.login_delay_s * 2.0 ** min(doubled, 16), _MOST_DELAY_S)

    def succeeded(self, address: str, account: str) -> None:
        """Forget that the address mistyped this account's password; guesses at others' stay counted."""
        site = origin(address)
        failures = self._failures.get(site)
        if failures:
            self._failures[site] = deque((failure for failure in failures if failure[1] != account), _MOST_COUNTED)

    def _count(self, key: str, account: str | None) -> int:
        now = self._timer()
        failures = self._failures.pop(key, deque(maxlen=_MOST_COUNTED))
        while failures and failures[0][0] <= now - self._settings.login_window_s:
            failures.popleft()
        failures.append((now, account))
        _remember(self._failures, key, failures)
        return len(failures)


def _remember(memory: dict[str, Remembered], key: str, value: Remembered) -> None:
    """Put ``key`` last, and forget the oldest beyond the most that are remembered."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > _MOST_REMEMBERED:
        del memory[next(iter(memory))]


@dataclass(slots=True)
class Usage:
    """Bytes of one account: stored when last counted or since, and under way in all its sessions."""

    stored_bytes: int = 0
    under_way_bytes: int = 0
    was_counted: bool = False

    def is_known(self, coming_bytes: int, quota_bytes: int) -> bool:
        """Whether what was counted, and came since, tells enough for one more upload.

        Far from the quota it need not be exact: it lacks our answers, which grow with what came, and holds deliveries
        that are through.
        """
        return self.was_counted and self.total_bytes + coming_bytes <= quota_bytes // _FAR_FROM_QUOTA

    def count(self, stored_bytes: int) -> None:
        """What is stored was counted."""
        self.stored_bytes, self.was_counted = stored_bytes, True

    @property
    def total_bytes(self) -> int:
        """What counts against the quota."""
        return self.stored_bytes + self.under_way_bytes


def stored_bytes(spool: Spool, home: Path, account: str) -> int:
    """Bytes in the account's folder and in its deliveries that wait in the spool."""
    waiting = sum(envelope.size_bytes for envelope in spool.pending(account))
    files = [path for folder in (home, results_folder(home)) if folder.is_dir() for path in folder.iterdir()]
    return waiting + sum(map(_size_bytes, files))


def _size_bytes(path: Path) -> int:
    try:
        state = path.lstat()
    except FileNotFoundError:
        return 0  # renamed or deleted since it was listed
    return state.st_size if stat.S_ISREG(state.st_mode) else 0
