"""What the routes work with: the spool and the tokens at once, the store from when it is first needed."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Connection

from clawback.settings import Settings, WebServer
from clawback.web.outcomes import Outcomes
from clawback.web.slugs import Hook, hooks_of
from clawback.wiring import Desk, brands_folder, credentials_folder, open_mail, open_spool, requests_file
from connectors.allowance import Allowance
from connectors.durable import ensure_folder
from connectors.tokens import Tokens
from processing.store import Store

Answer = TypeVar("Answer")

# For each kind of work; the store's pool has room for all three, and each thread may hold a cache of its own.
STORE_THREADS: Final = 4
LANDING_THREADS: Final = 40


@dataclass(slots=True)
class Office:
    """One process's share of the web server."""

    desk: Desk
    tokens: Tokens
    # None lets everybody ask as often as they like.
    allowance: Allowance | None
    web: WebServer
    scratch: Path
    clock: Callable[[], datetime]
    hooks: tuple[Hook, ...] = ()
    outcomes: Outcomes = field(default_factory=Outcomes)
    _migrated: bool = False
    _migrating: threading.Lock = field(default_factory=threading.Lock)
    _reading: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STORE_THREADS))
    _claiming: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STORE_THREADS))
    _noting: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STORE_THREADS))
    _landing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(LANDING_THREADS))

    async def read(self, work: Callable[[Connection], Answer]) -> Answer:
        """What ``work`` finds in one view of the store; raises StoreUnavailable."""

        def reading() -> Answer:
            with self.opened().store.read() as db:
                return work(db)

        return await to_thread.run_sync(reading, limiter=self._reading)

    async def with_desk(self, work: Callable[[Desk], Answer]) -> Answer:
        """What ``work`` finds in the open installation; raises StoreUnavailable."""
        return await to_thread.run_sync(lambda: work(self.opened()), limiter=self._reading)

    async def claim(self, work: Callable[[Desk], Answer]) -> Answer:
        """What ``work`` does with a ledger once nobody else holds it, which may take long; raises StoreUnavailable."""
        return await to_thread.run_sync(lambda: work(self.opened()), limiter=self._claiming)

    async def note(self, work: Callable[[Desk], Answer]) -> Answer:
        """What ``work`` writes down without holding a ledger; raises StoreUnavailable."""
        return await to_thread.run_sync(lambda: work(self.opened()), limiter=self._noting)

    async def land(self, work: Callable[[], Answer]) -> Answer:
        """What ``work`` does with the disk, beside the event loop."""
        return await to_thread.run_sync(work, limiter=self._landing)

    def opened(self) -> Desk:
        """The installation, its tables brought up to date."""
        if not self._migrated:
            with self._migrating:
                self.desk.store.migrate()
                self._migrated = True
        return self.desk


def open_office(settings: Settings, clock: Callable[[], datetime], environ: Mapping[str, str]) -> Office:
    """The office of an installation; needs no answer from its store yet.

    ``environ`` holds the secrets that its settings refer to.
    """
    web, scratch = settings.web, settings.state / "web"
    ensure_folder(scratch)
    return Office(
        desk=Desk(
            Store(settings.store_url),
            open_spool(settings, clock),
            brands_folder(settings),
            open_mail(settings),
            most_bytes=settings.max_delivery_bytes,
        ),
        tokens=Tokens(credentials_folder(settings)),
        allowance=Allowance(requests_file(settings), web.requests_per_hour) if web.requests_per_hour else None,
        web=web,
        scratch=scratch,
        clock=clock,
        hooks=hooks_of(settings, environ),
    )
