"""One upload by FTP: where its bytes go, what limits them, and how it ends."""

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from connectors.durable import PRIVATE_FILE, abandoned, refusing_when_disk_fails, sync_folder, write_all
from connectors.envelope import Envelope
from connectors.ftp_limits import Usage
from connectors.landing import Unsure
from connectors.spool import Spool
from connectors.upload import Upload
from processing.errors import UploadRefused

_log = logging.getLogger(__name__)

Wanted = Callable[[], bool]

CHANNEL: Final = "ftp"
INCOMING: Final = ".incoming"
AGAIN: Final = "nothing was kept. Send the whole file again."
_CHUNK_BYTES: Final = 1 << 20
# The FIN of a killed client's data connection looks like the end of a file; that of its control connection may come a
# little later. An upload whose end proves nothing waits so long for it.
_GRACE_S: Final = 0.05


class FtpRefusal(UploadRefused):
    """A refusal with the FTP reply code that belongs to it."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def reply_to(refusal: BaseException) -> str:
    """The FTP reply for an upload that was refused."""
    if isinstance(refusal, FtpRefusal):
        return f"{refusal.code} {refusal}"
    if isinstance(refusal, UploadRefused):
        return f"452 {refusal}" if isinstance(refusal.__cause__, OSError) else f"552 {refusal}"
    return "451 The server has a problem of its own; nothing was kept. Send the file again later."


class Sink(Protocol):
    """Where the bytes of an upload go."""

    def write(self, data: bytes) -> None:
        """Take the next bytes, or raise ``UploadRefused``."""

    def abort(self) -> None:
        """Leave nothing behind. Safe to call twice, and after the end."""


@dataclass(frozen=True, slots=True)
class Declared:
    """How many bytes the client announced with ALLO."""

    size_bytes: int
    # Line ends may have grown on the way, so the number is only a least one.
    as_text: bool

    def check(self, received_bytes: int) -> None:
        """Raise ``FtpRefusal`` if the bytes received are not those that were announced."""
        told = f"{self.size_bytes} bytes were announced with ALLO and {received_bytes} arrived; nothing was kept."
        if received_bytes < self.size_bytes:
            raise FtpRefusal(426, f"{told} Send the whole file again.")
        if received_bytes > self.size_bytes and not self.as_text:
            raise FtpRefusal(552, f"{told} Announce the right number and send the file again.")


@dataclass(slots=True)
class Limits:
    """What one upload may grow to."""

    max_upload_bytes: int
    quota_bytes: int
    usage: Usage
    declared: Declared | None = None

    def check(self, received_bytes: int) -> None:
        """Raise ``FtpRefusal`` if so many bytes, or those of the whole account, are too many."""
        if received_bytes > self.max_upload_bytes:
            raise FtpRefusal(
                552, f"A file can have at most {self.max_upload_bytes} bytes; nothing was kept. Split it into several."
            )
        if self.usage.total_bytes > self.quota_bytes:
            raise FtpRefusal(
                552,
                f"The account's {self.quota_bytes} bytes are full; nothing was kept. "
                "Delete files, or wait until your deliveries are through.",
            )


@dataclass(slots=True)
class Incoming:
    """The upload of a session, in the place of the file that pyftpdlib writes to."""

    name: str
    sink: Sink
    limits: Limits
    # Makes the file durable and visible, in a worker thread; raises ``Unsure`` if, when it is durable, it is not wanted
    # any more. Gives the delivery, if it is one.
    end: Callable[[Wanted], Envelope | None]
    # The same without waiting, of what is on disk soon.
    end_soon: Callable[[Wanted], "Future[Envelope] | None"]
    size_bytes: int = 0
    # Whether the end of the data connection can only have been meant: a close_notify.
    proven: bool = False
    closed: bool = field(default=False, init=False)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes, or raise ``UploadRefused``."""
        self.size_bytes += len(chunk)
        self.limits.usage.under_way_bytes += len(chunk)
        self.limits.check(self.size_bytes)
        self.sink.write(chunk)

    def check(self) -> None:
        """Raise ``FtpRefusal`` unless the bytes that were announced have come."""
        if self.limits.declared:
            self.limits.declared.check(self.size_bytes)

    def ending(self, wanted: Wanted) -> "Future[Envelope] | None":
        """The end that has begun, of an upload that is known to be whole; ``None`` if somebody has to wait for it."""
        return self.end_soon(wanted) if self.proven or self.limits.declared else None

    def wait_and_end(self, wanted: Wanted) -> Envelope | None:
        """The end, in a worker thread."""
        if not (self.proven or self.limits.declared):
            time.sleep(_GRACE_S)
        return self.end(wanted)

    def reply(self, delivery: Envelope | None) -> str:
        """The reply that says that the end was a good one."""
        if delivery is not None:
            return receipt_of(delivery, 226)
        return f"226 {self.name} is stored under its temporary name; it is received as a delivery when you rename it."

    def settle(self, *, kept: bool) -> None:
        """Count the bytes as stored or as gone, in the loop, and leave nothing else behind. Safe to call twice."""
        if not self.closed:
            self.closed = True
            self.sink.abort()
            self.limits.usage.under_way_bytes -= self.size_bytes
            self.limits.usage.stored_bytes += self.size_bytes if kept else 0

    def close(self) -> None:
        """Called by pyftpdlib when it drops a transfer that never began."""
        self.settle(kept=False)


class Kept:
    """A file with a temporary name: durable in the account's folder, but no delivery until it is renamed."""

    def __init__(self, incoming: Path, target: Path) -> None:
        self._target = target
        self._path = incoming / secrets.token_hex(8)
        with refusing_when_disk_fails(target.name):
            self._handle: int | None = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        if self._handle is not None:
            with refusing_when_disk_fails(self._target.name):
                write_all(self._handle, data)

    def keep(self, wanted: Wanted) -> None:
        """Put the file durably into the account's folder; raises ``Unsure`` if it is not wanted once it is on disk."""
        if self._handle is not None:
            with refusing_when_disk_fails(self._target.name):
                os.fsync(self._handle)
                if not wanted():
                    raise Unsure
                self._path.replace(self._target)
                sync_folder(self._target.parent)

    def abort(self) -> None:
        """Remove the file unless it was kept. Safe to call twice."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)
            self._path.unlink(missing_ok=True)


def sweep_incoming(incoming: Path) -> int:
    """Remove kept files that were never finished and whose process is gone; returns how many."""
    leftovers = [path for path in incoming.iterdir() if abandoned(path)]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def land_kept(spool: Spool, path: Path, account: str, name: str) -> Envelope:
    """Land a kept file under its final name; it leaves the account's folder once the delivery is durable."""
    with spool.receive(account=account, channel=CHANNEL, name=name) as upload, refusing_when_disk_fails(name):
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as kept:
            while chunk := kept.read(_CHUNK_BYTES):
                upload.write(chunk)
        envelope = upload.land()
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError:
        # The delivery is durable, which is what is answered; renaming the file again is found to be a duplicate.
        _log.exception("kept_file_stays account=%s delivery=%s", account, envelope.delivery)
    return envelope


def rename_kept(path: Path, target: Path) -> None:
    """Give a kept file another temporary name, durably."""
    with refusing_when_disk_fails(target.name):
        path.replace(target)
        sync_folder(path.parent)


def into_spool(name: str, upload: Upload, limits: Limits) -> Incoming:
    """An upload that becomes a delivery; it is proven to be whole if its exact length was announced."""
    proven = limits.declared is not None and not limits.declared.as_text

    def end(wanted: Wanted) -> Envelope:
        return upload.land(proven=proven, wanted=wanted)

    def end_soon(wanted: Wanted) -> "Future[Envelope] | None":
        return upload.land_soon(proven=proven, wanted=wanted) if upload.is_short else None

    return Incoming(name, upload, limits, end, end_soon)


def into_folder(name: str, kept: Kept, limits: Limits) -> Incoming:
    """An upload under a temporary name."""
    return Incoming(name, kept, limits, kept.keep, lambda _: None)


def receipt_of(envelope: Envelope, code: int) -> str:
    """The reply that says a delivery is durable."""
    return (
        f"{code} Delivery {envelope.delivery} received; {envelope.size_bytes} bytes, sha256 {envelope.sha256}. "
        "The answer will be in results/."
    )
