"""The dispatcher: looks at the spool several times a second and has each delivery ingested as soon as it lands.

One delivery of an account at a time, oldest first, several accounts at once; when many of an account wait, its newest
is ingested, which finishes those before it in the same run. What fails is tried again after a wait that doubles; a
store that does not answer puts the account off, anything else only the delivery.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from connectors.envelope import Envelope
from processing.errors import ClawbackError

_log = logging.getLogger(__name__)

LOOK_S: Final = 0.2
PARALLEL: Final = 4
MANY: Final = 3
LONGEST_WAIT_S: Final = 300
ENDING_S: Final = 3


@dataclass(slots=True)
class _Patience:
    """How often something failed, and until when it is left alone (monotonic seconds)."""

    failures: int = 0
    until: float = 0

    def lose(self) -> float:
        wait_s = float(min(2**self.failures, LONGEST_WAIT_S))
        self.failures += 1
        self.until = time.monotonic() + wait_s
        return wait_s


@dataclass(slots=True)
class Dispatcher:
    """``pending`` lists the spool, ``ingest`` brings one delivery to its end or raises."""

    pending: Callable[[], list[Envelope]]
    ingest: Callable[[str], Awaitable[None]]
    _in_hand: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _deliveries: dict[str, _Patience] = field(default_factory=dict)
    _accounts: dict[str, _Patience] = field(default_factory=dict)
    _again: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def busy(self) -> bool:
        """Whether deliveries are in hand."""
        return bool(self._in_hand)

    async def run(self, stop: asyncio.Event) -> None:
        """Dispatch until told to stop; what is in hand then may end within a few seconds, or is cut off."""
        while not stop.is_set():
            self._again.clear()
            try:
                self._dispatch(await asyncio.to_thread(self.pending))
            except OSError:
                _log.exception("spool_unreadable again_in_s=%g", LOOK_S)
            await pause(self._again, LOOK_S)
        if self._in_hand:
            await asyncio.wait(self._in_hand.values(), timeout=ENDING_S)

    def _dispatch(self, waiting: list[Envelope]) -> None:
        listed = {envelope.delivery for envelope in waiting}
        self._deliveries = {name: patience for name, patience in self._deliveries.items() if name in listed}
        now = time.monotonic()
        due: dict[str, list[Envelope]] = {}
        for envelope in waiting:
            if envelope.account not in self._in_hand and self._due(envelope, now):
                due.setdefault(envelope.account, []).append(envelope)
        for account, envelopes in due.items():
            if len(self._in_hand) < PARALLEL:
                chosen = envelopes[-1 if len(envelopes) > MANY else 0]
                self._in_hand[account] = asyncio.create_task(self._attempt(chosen))

    def _due(self, envelope: Envelope, now: float) -> bool:
        patiences = self._deliveries.get(envelope.delivery), self._accounts.get(envelope.account)
        return all(patience is None or patience.until <= now for patience in patiences)

    async def _attempt(self, envelope: Envelope) -> None:
        # Counted before the outcome is known: whatever happens, nothing is tried again and again without a pause.
        wait_s = self._deliveries.setdefault(envelope.delivery, _Patience()).lose()
        try:
            await self.ingest(envelope.delivery)
        except Exception as error:  # noqa: BLE001 - logged; the other deliveries go on
            retryable = isinstance(error, ClawbackError) and error.retryable
            if retryable:
                wait_s = self._accounts.setdefault(envelope.account, _Patience()).lose()
            told = "put_off delivery=%s account=%s again_in_s=%g because=%r"
            trace = None if isinstance(error, ClawbackError) else error
            _log.error(told, envelope.delivery, envelope.account, wait_s, str(error), exc_info=trace)
        else:
            self._accounts.pop(envelope.account, None)
        finally:
            del self._in_hand[envelope.account]
            self._again.set()


async def pause(event: asyncio.Event, seconds: float) -> None:
    """Wait that long, or until the event."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
