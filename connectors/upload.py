"""Bytes on their way into the spool: written, counted and digested, then landed or forgotten."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from connectors.durable import refusing_when_disk_fails, write_all
from connectors.envelope import Envelope
from connectors.landing import Ticket, Unsure, always

if TYPE_CHECKING:
    from connectors.spool import Spool

_log = logging.getLogger(__name__)

# What is larger is on disk before it takes its turn, so that nobody waits for it.
_LONG_TO_SYNC: Final = 1024 * 1024


class Upload:
    """Bytes on their way into the spool; nothing of them stays unless ``land`` returns."""

    def __init__(self, spool: "Spool", draft: Envelope, folder: Path, handle: int, key: str | None = None) -> None:
        self._spool = spool
        self._draft = draft
        self._key = key
        self._folder = folder
        self._handle: int | None = handle
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
        try:
            with refusing_when_disk_fails(self._draft.name):
                write_all(self._open_handle(), data)
        except BaseException:
            self.abort()
            raise
        self._digest.update(data)
        self.size_bytes += len(data)

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
        try:
            with refusing_when_disk_fails(self._draft.name):
                if not self.is_short:
                    os.fsync(self._open_handle())
                ticket = self._ticket(received_at, proven, wanted)
                self._spool.reveal(ticket)
        except BaseException:
            self.abort()
            raise
        return self._outcome(ticket)

    def land_soon(self, *, proven: bool = False, wanted: Callable[[], bool] = always) -> "Future[Envelope]":
        """Land what ``is_short`` without waiting: the outcome is that of ``land``, and comes in another thread."""
        told = Future[Envelope]()
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
        return self.size_bytes <= _LONG_TO_SYNC

    def _ticket(self, received_at: datetime | None, proven: bool, wanted: Callable[[], bool]) -> Ticket:  # noqa: FBT001 - that of land
        draft = replace(self._draft, sha256=self.sha256, size_bytes=self.size_bytes, proven=proven)
        return self._spool.ticket(self._folder, self._open_handle(), draft, received_at, self._key, wanted)

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
        if self._handle is not None:
            self._close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _open_handle(self) -> int:
        if self._handle is None:
            raise ValueError("the upload has landed or was aborted")
        return self._handle

    def _close(self) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)
