"""Bytes on their way into the spool: written, counted and digested, then landed or forgotten.

What is short stays in memory until it lands, so that whoever receives it never waits for a disk.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from connectors.durable import refusing_when_disk_fails, write_all
from connectors.envelope import Envelope
from connectors.landing import Place, Ticket, Unsure, always

if TYPE_CHECKING:
    from connectors.spool import Spool

_log = logging.getLogger(__name__)

# What is larger is on disk before it takes its turn, so that nobody waits for it; a server's connections may all hold
# so much in memory.
_SHORT_BYTES: Final = 256 * 1024
_SMALL_BYTES: Final = 4 * 1024


class Upload:
    """Bytes on their way into the spool; nothing of them stays unless ``land`` returns."""

    def __init__(self, spool: "Spool", draft: Envelope, key: str | None = None) -> None:
        self._spool = spool
        self._draft = draft
        self._key = key
        self._held: list[bytes] = []
        self._place: Place | None = None
        self._is_over = False
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def write(self, data: bytes) -> None:
        """Append ``data``; raises ``UploadRefused``, and keeps nothing, when the disk does not take it."""
        self._refuse_if_over()
        self._digest.update(data)
        self.size_bytes += len(data)
        if self._place is None and self.is_short:
            self._hold(data)
            return
        try:
            with refusing_when_disk_fails(self._draft.name):
                if self._place is None:
                    self._place = self._spool.place_now()
                    write_all(self._place.handle, b"".join(self._held))
                    self._held.clear()
                write_all(self._place.handle, data)
        except BaseException:
            self.abort()
            raise

    def _hold(self, data: bytes) -> None:
        # A sender may trickle: many pieces of a few bytes take many times what they hold.
        if self._held and len(self._held[-1]) < _SMALL_BYTES:
            self._held[-1] += data
        else:
            self._held.append(data)

    @property
    def sha256(self) -> str:
        """The digest of what was written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def land(
        self, received_at: datetime | None = None, *, proven: bool = False, wanted: Callable[[], bool] = always
    ) -> Envelope:
        """Make the delivery durable and visible; once this returns it may be acknowledged to the sender.

        Under a key that was used before nothing lands: the same is the delivery that landed then, and for anything else
        ``KeyReused`` is raised. ``wanted`` is asked as late as can be, in whatever thread; if not, ``Unsure`` is raised
        and the upload can still land, or be aborted.
        """
        self._refuse_if_over()
        try:
            with refusing_when_disk_fails(self._draft.name):
                if self._place is not None and not self.is_short:
                    os.fsync(self._place.handle)
                ticket = self._ticket(received_at, proven, wanted)
                self._spool.reveal(ticket)
        except BaseException:
            self.abort()
            raise
        return self._outcome(ticket)

    def land_soon(self, *, proven: bool = False, wanted: Callable[[], bool] = always) -> "Future[Envelope]":
        """Land what ``is_short`` without waiting: the outcome is that of ``land``, and comes in another thread."""
        self._refuse_if_over()
        told = Future[Envelope]()
        # Whoever waits may stop to; what is on its way cannot be called back.
        told.set_running_or_notify_cancel()
        ticket = self._ticket(None, proven, wanted)

        def then() -> None:
            try:
                told.set_result(self._outcome(ticket))
            except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
                told.set_exception(error)

        ticket.then = then
        self._spool.reveal_soon(ticket)
        return told

    @property
    def is_short(self) -> bool:
        """Whether nobody has to wait long for these bytes to be on disk."""
        return self.size_bytes <= _SHORT_BYTES

    def _ticket(self, received_at: datetime | None, proven: bool, wanted: Callable[[], bool]) -> Ticket:  # noqa: FBT001 - that of land
        draft = replace(self._draft, sha256=self.sha256, size_bytes=self.size_bytes, proven=proven)
        return self._spool.ticket(self._placed, self._in_memory, draft, received_at, self._key, wanted)

    def _in_memory(self) -> bytes | None:
        return b"".join(self._held) if self._place is None else None

    def _placed(self) -> Place:
        """Where the bytes lie; what is in memory is written, but not synced. The caller holds the spool's claim."""
        if self._place is None:
            self._place = self._spool.place()
            write_all(self._place.handle, b"".join(self._held))
        return self._place

    def _outcome(self, ticket: Ticket) -> Envelope:
        try:
            with refusing_when_disk_fails(self._draft.name):
                envelope = ticket.result()
        except Unsure:
            raise
        except BaseException:
            self.abort()
            raise
        if ticket.landed_before:
            self.abort()
            return envelope
        self._close()
        _log.info(
            "landed delivery=%s account=%s channel=%s bytes=%d",
            envelope.delivery,
            envelope.account,
            envelope.channel,
            envelope.size_bytes,
        )
        return envelope

    def abort(self) -> None:
        """Remove what was written, unless it landed. Safe to call twice."""
        if self._place is not None and not self._is_over:
            shutil.rmtree(self._place.folder, ignore_errors=True)
        self._close()

    def _refuse_if_over(self) -> None:
        if self._is_over:
            raise ValueError("the upload has landed or was aborted")

    def _close(self) -> None:
        if self._place is not None and not self._is_over:
            os.close(self._place.handle)
        self._held.clear()
        self._is_over = True
