"""Arrival stamps: the clock, but each later than the one before, in whatever process it was given."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from processing.errors import Unusable

_log = logging.getLogger(__name__)

_TICK: Final = timedelta(microseconds=1)
_LENGTH_BYTES: Final = 64


class Stamps:
    """Those given under one claim, whose open file ``order`` holds the last one."""

    def __init__(self, order: int, clock: Callable[[], datetime]) -> None:
        self._order = order
        self._clock = clock
        self._given = self._last = _last_in(order)

    def next(self) -> datetime:
        """The next; the clock may have been set back."""
        now = utc(self._clock())
        self._last = now if self._last is None else max(now, self._last + _TICK)
        return self._last

    def keep(self) -> None:
        """Let nobody give these again; to be called before anything lands with them."""
        if self._last is not None and self._last != self._given:
            # Not fsynced: a power cut can only lose it together with a clock that stood still.
            os.pwrite(self._order, self._last.isoformat(timespec="microseconds").encode(), 0)
            self._given = self._last


def utc(instant: datetime) -> datetime:
    """An instant in UTC; raises Unusable if it has no time zone."""
    if instant.tzinfo is None:
        raise Unusable(f"The instant {instant.isoformat()} has no time zone. Write it with one, for example +00:00.")
    return instant.astimezone(UTC)


def _last_in(order: int) -> datetime | None:
    last = os.pread(order, _LENGTH_BYTES, 0).decode("ascii", "replace")
    try:
        return datetime.fromisoformat(last) if last else None
    except ValueError:
        _log.error("order_unreadable holds=%r", last)
        return None
