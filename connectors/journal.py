"""The spool's journal: one write makes short uploads durable that land together, before their folders are on disk.

All its blocks are on disk from the beginning, so that a write to it waits for the disk once and asks nothing of the
file system; two files and three folders would have to be synced for each upload instead. The folders follow whenever
the system writes them; after a power cut what is missing of them is made again from here (``connectors.recovery``).

The head names an epoch; the records of that epoch follow it, each with a digest that covers the epoch, too. Behind the
last one is whatever earlier epochs left, which no digest fits. Whoever calls holds the claim under which uploads land.
"""

import hashlib
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from connectors.durable import boot, replace_file, sync_file_system, write_all

_log = logging.getLogger(__name__)

ROOM_BYTES: Final = 4 * 1024 * 1024
# One sector of the disk: it is written as a whole or not at all.
_HEAD_BYTES: Final = 512
_EPOCH_BYTES: Final = 16
_LENGTH_BYTES: Final = 4
FRAME_BYTES: Final = _LENGTH_BYTES + hashlib.sha256().digest_size


class Journal:
    """The file ``path``; it is made when it is first written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # How far the records of an epoch are known to go.
        self._epoch = b""
        self._end = _HEAD_BYTES

    def append(self, records: Sequence[bytes]) -> None:
        """Make records durable; everything that earlier ones tell of is in its place, if not yet on disk.

        With their frames they may take up to ROOM_BYTES. Raises OSError; then none of them is kept.
        """
        with self._open() as handle:
            self._find_end(handle)
            if self._end + sum(FRAME_BYTES + len(record) for record in records) > _HEAD_BYTES + ROOM_BYTES:
                self._clear(handle)
            data = b"".join(_framed(self._epoch, record) for record in records)
            try:
                _write(handle, data, self._end)
            except OSError:
                self._cut(handle)
                raise
        self._end += len(data)

    def clear(self) -> None:
        """Forget the records, once everything that they tell of is on disk; raises OSError, and keeps them."""
        if self._path.exists():
            with self._open() as handle:
                self._clear(handle)

    def records(self) -> Iterator[bytes]:
        """The records since the journal was cleared, in their order."""
        if self._path.exists():
            with self._open() as handle:
                yield from _records(handle, _told(handle)[0], _HEAD_BYTES)

    @property
    def is_of_this_boot(self) -> bool:
        """Whether the system has forgotten no write since the journal was cleared: only processes can have ended."""
        if not self._path.exists():
            return True
        with self._open() as handle:
            return _told(handle)[1] == boot() != b""

    @contextmanager
    def _open(self) -> Iterator[int]:
        if not self._path.exists():
            replace_file(self._path, _head() + bytes(ROOM_BYTES))
        handle = os.open(self._path, os.O_RDWR)
        try:
            yield handle
        finally:
            os.close(handle)

    def _find_end(self, handle: int) -> None:
        """Go past what other processes have appended."""
        epoch, _ = _told(handle)
        if epoch != self._epoch:
            self._epoch, self._end = epoch, _HEAD_BYTES
        self._end += sum(FRAME_BYTES + len(record) for record in _records(handle, epoch, self._end))

    def _clear(self, handle: int) -> None:
        sync_file_system(handle)
        head = _head()
        _write(handle, head, 0)
        self._epoch, self._end = head[:_EPOCH_BYTES], _HEAD_BYTES

    def _cut(self, handle: int) -> None:
        """Let nobody find what may have been written as a whole: its senders are told that it is not kept."""
        try:
            if any(_records(handle, self._epoch, self._end)):
                _write(handle, bytes(FRAME_BYTES), self._end)
        except OSError:
            _log.exception("journal_not_cut path=%s", self._path)


def _head() -> bytes:
    return (secrets.token_bytes(_EPOCH_BYTES) + boot()).ljust(_HEAD_BYTES, b"\0")


def _told(handle: int) -> tuple[bytes, bytes]:
    """The epoch, and the boot of the system in which it began."""
    head = os.pread(handle, _HEAD_BYTES, 0)
    return head[:_EPOCH_BYTES], head[_EPOCH_BYTES:].rstrip(b"\0")


def _records(handle: int, epoch: bytes, start: int) -> Iterator[bytes]:
    at = start
    while frame := os.pread(handle, FRAME_BYTES, at):
        length = int.from_bytes(frame[:_LENGTH_BYTES])
        record = os.pread(handle, min(length, ROOM_BYTES), at + FRAME_BYTES)
        if not record or _framed(epoch, record)[:FRAME_BYTES] != frame:
            return
        yield record
        at += FRAME_BYTES + length


def _framed(epoch: bytes, record: bytes) -> bytes:
    return len(record).to_bytes(_LENGTH_BYTES) + hashlib.sha256(epoch + record).digest() + record


def _write(handle: int, data: bytes, at: int) -> None:
    os.lseek(handle, at, os.SEEK_SET)
    write_all(handle, data)
    os.fdatasync(handle)
