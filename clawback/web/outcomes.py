"""Brings what comes in another thread to the event loop: one wake-up for all outcomes that come together."""

import asyncio
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

Outcome = TypeVar("Outcome")


@dataclass(slots=True)
class Outcomes:
    """Those that one event loop waits for; ``asyncio.wrap_future`` would wake it up for each."""

    _came: deque[tuple["asyncio.Future[Any]", "Future[Any]"]] = field(default_factory=deque)
    _is_called: bool = False

    async def of(self, told: "Future[Outcome]") -> Outcome:
        """The result of a future that another thread brings to its end, or its exception."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[Outcome] = loop.create_future()

        def come(_: "Future[Outcome]") -> None:
            self._came.append((mine, told))
            if not self._is_called:
                self._is_called = True
                loop.call_soon_threadsafe(self._tell)

        told.add_done_callback(come)
        return await mine

    def _tell(self) -> None:
        # Before the first look: whoever comes from now on calls again.
        self._is_called = False
        while self._came:
            mine, told = self._came.popleft()
            if mine.done():
                continue
            if (error := told.exception()) is not None:
                mine.set_exception(error)
            else:
                mine.set_result(told.result())
