"""The spool's journal: one write makes short uploads durable that land together; their folders follow.

All its blocks are on disk from the beginning, so that a write to it waits for the disk once and asks nothing of the
file system; two files and three folders would have to be synced for each upload instead. The folders are made when
somebody looks, and written whenever the system writes them (``connectors.recorded``).

The head names an epoch, and how far its records were shown; they follow it, each with a digest that covers the epoch,
too. Behind the last one is whatever earlier epochs left, which no digest fits. Whoever calls holds the claim under
which uploads land; to look, a shared one is enough.
"""

import hashlib
import logging
import os
import secrets
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from connectors.durable import boot, replace_file, sync_file_system, write_all

_log = logging.getLogger(__name__)

ROOM_BYTES: Final = 4 * 1024 * 1024
# One sector of the disk: it is written as a whole or not at all.
_HEAD_BYTES: Final = 512
_EPOCH_BYTES: Final = 16
_SURE, _DOUBTFUL = b"\0", b"\1"
_SHOWN_AT: Final = _EPOCH_BYTES + 1
_SHOWN_BYTES: Final = 8
_LENGTH_BYTES: Final = 4
FRAME_BYTES: Final = _LENGTH_BYTES + hashlib.sha256().digest_size


class Full(Exception):
    """No more can be appended before the journal is cleared."""


class Journal:
    """The file ``path``; it is made when it is first written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Held open: a system that could not write tells only descriptors that were open before.
        self._handle: int | None = None
        # How far the records of an epoch are known to go.
        self._epoch = b""
        self._end = _HEAD_BYTES

    def append(self, records: Sequence[bytes]) -> None:
        """Make records durable; with their frames they may take up to ROOM_BYTES.

        Raises Full, also when what the earlier ones tell of may never get to the disk; and OSError, after which none of
        them is kept.
        """
        handle = self._opened()
        self._catch_up(handle)
        needed = sum(FRAME_BYTES + len(record) for record in records)
        if self._end + needed > _HEAD_BYTES + ROOM_BYTES or self.is_doubtful:
            raise Full
        try:
            self._end += self._write(handle, records)
        except OSError:
            if any(_records(handle, self._epoch, self._end)):
                self._cut(handle)
            raise

    def unshown(self) -> Iterator[bytes]:
        """The records that were appended, by whomever, since it was noted that all were shown."""
        if self._path.exists():
            head = _head_of(self._opened())
            yield from _records(self._opened(), head[:_EPOCH_BYTES], _shown(head))

    def note_shown(self) -> None:
        """All records so far were shown. Not durable: after a start of the system each is looked at."""
        if self._path.exists():
            handle = self._opened()
            self._catch_up(handle)
            os.pwrite(handle, self._end.to_bytes(_SHOWN_BYTES), _SHOWN_AT)

    def clear(self) -> None:
        """Forget the records, once everything that they tell of is on disk; raises OSError, and keeps them.

        From then on they are doubtful: the system takes what it could not write for written.
        """
        handle = self._opened()
        try:
            sync_file_system(handle)
        except OSError:
            self._doubt(handle)
            raise
        head = _head()
        _write_at(handle, head, 0)
        self._epoch, self._end = head[:_EPOCH_BYTES], _HEAD_BYTES

    def records(self) -> Iterator[bytes]:
        """The records since the journal was cleared, in their order."""
        if self._path.exists():
            yield from _records(self._opened(), _head_of(self._opened())[:_EPOCH_BYTES], _HEAD_BYTES)

    @property
    def is_doubtful(self) -> bool:
        """Whether what the records tell of was not written, whatever it looks like."""
        return self._path.exists() and _head_of(self._opened())[_EPOCH_BYTES:][:1] == _DOUBTFUL

    @property
    def is_of_this_boot(self) -> bool:
        """Whether the system was not started since the journal was cleared, and still knows what it did not write."""
        if not self._path.exists():
            return True
        return _head_of(self._opened())[_SHOWN_AT + _SHOWN_BYTES :].rstrip(b"\0") == boot() != b""

    def _opened(self) -> int:
        if self._handle is None:
            if not self._path.exists():
                replace_file(self._path, _head() + bytes(ROOM_BYTES))
            self._handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._handle)
        return self._handle

    def _catch_up(self, handle: int) -> None:
        """See what others have appended, or cleared."""
        epoch = _head_of(handle)[:_EPOCH_BYTES]
        if epoch != self._epoch:
            self._epoch, self._end = epoch, _HEAD_BYTES
        self._end += sum(FRAME_BYTES + len(record) for record in _records(handle, epoch, self._end))

    def _write(self, handle: int, records: Sequence[bytes]) -> int:
        data = b"".join(_framed(self._epoch, record) for record in records)
        _write_at(handle, data, self._end)
        return len(data)

    def _cut(self, handle: int) -> None:
        """Let the records end here: who sent those that may follow is told that they failed."""
        try:
            self._write(handle, [b""])
        except OSError:
            _log.exception("journal_not_cut path=%s", self._path)

    def _doubt(self, handle: int) -> None:
        try:
            _write_at(handle, _DOUBTFUL, _EPOCH_BYTES)
        except OSError:
            _log.exception("journal_not_doubted path=%s", self._path)


def _head() -> bytes:
    shown = _HEAD_BYTES.to_bytes(_SHOWN_BYTES)
    return (secrets.token_bytes(_EPOCH_BYTES) + _SURE + shown + boot()).ljust(_HEAD_BYTES, b"\0")


def _shown(head: bytes) -> int:
    return int.from_bytes(head[_SHOWN_AT : _SHOWN_AT + _SHOWN_BYTES])


def _head_of(handle: int) -> bytes:
    return os.pread(handle, _HEAD_BYTES, 0)


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


def _write_at(handle: int, data: bytes, at: int) -> None:
    os.lseek(handle, at, os.SEEK_SET)
    write_all(handle, data)
    os.fdatasync(handle)
