"""How much one address of origin, and all together, may ask of the inbox."""

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from connectors.ftp_limits import origin
from connectors.smtp_settings import SmtpSettings

_MINUTE_S: Final = 60.0
_MOST_REMEMBERED: Final = 10_000


class Gate:
    """Counts connections, and messages within a minute."""

    def __init__(self, settings: SmtpSettings, timer: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._timer = timer
        self._connections: Counter[str] = Counter()
        self._messages: dict[str, deque[float]] = {}

    def enter(self, address: str) -> bool:
        """Count a connection; False, and it is not counted, when there are too many."""
        site = origin(address)
        full = self._connections.total() >= self._settings.max_connections
        if full or self._connections[site] >= self._settings.max_connections_per_address:
            return False
        self._connections[site] += 1
        return True

    def leave(self, address: str) -> None:
        """A counted connection has ended."""
        site = origin(address)
        self._connections[site] -= 1
        if not self._connections[site]:
            del self._connections[site]

    def admits(self, address: str) -> bool:
        """Whether one more message may begin; it is counted if so."""
        site, now = origin(address), self._timer()
        recent = self._messages.pop(site, deque())
        while recent and recent[0] <= now - _MINUTE_S:
            recent.popleft()
        admitted = len(recent) < self._settings.max_messages_per_minute
        if admitted:
            recent.append(now)
        self._messages[site] = recent
        if len(self._messages) > _MOST_REMEMBERED:
            del self._messages[next(iter(self._messages))]
        return admitted
