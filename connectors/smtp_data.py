"""The bytes between DATA and its reply: where they end, what they were before they were sent, and how they land.

Only CRLF.CRLF ends a message (RFC 5321 4.1.1.4). A dot between bare line feeds or bare carriage returns is content,
whatever another server may make of it, so nothing can be smuggled behind it.
"""

import asyncio
import threading
from asyncio import StreamReader
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

from connectors.envelope import Envelope
from connectors.upload import Upload

Made = TypeVar("Made")

_LAST_LINE: Final = b".\r\n"
_END: Final = b"\r\n.\r\n"
_LINE_BREAK: Final = b"\r\n"
_BLOCK_BYTES: Final = 1 << 20
_MOST_REMEMBERED: Final = 10_000


class Transparency:
    """Takes away the dots that a client puts before dots, from pieces that may be cut anywhere (RFC 5321 4.5.2)."""

    def __init__(self) -> None:
        # As if a line had just ended: the first line can begin with a dot too.
        self._raw = _LINE_BREAK
        self._tail = _LINE_BREAK
        self._not_theirs = len(_LINE_BREAK)

    def feed(self, piece: bytes) -> tuple[bytes, bool]:
        """What the piece adds to the message, and whether the message ends with it."""
        ended = (self._tail + piece).endswith(_END)
        self._tail = (self._tail + piece)[-len(_LINE_BREAK) :]
        self._raw += piece
        if ended:
            whole = self._raw.removesuffix(_LAST_LINE)
            self._raw = b""
        else:
            # A line break is kept until it is known whether a dot follows.
            kept = 2 if self._raw.endswith(_LINE_BREAK) else 1 if self._raw.endswith(b"\r") else 0
            cut = len(self._raw) - kept
            whole, self._raw = self._raw[:cut], self._raw[cut:]
        added = whole.replace(b"\r\n.", _LINE_BREAK)
        skipped, self._not_theirs = self._not_theirs, max(self._not_theirs - len(added), 0)
        return added[skipped:], ended


async def message(reader: StreamReader) -> AsyncIterator[bytes]:
    """The message in pieces, until its end; what the client sent behind that stays in the reader."""
    transparency, ended = Transparency(), False
    while not ended:
        try:
            piece = await reader.readuntil(_LAST_LINE)
        except asyncio.LimitOverrunError as longer:
            piece = await reader.readexactly(longer.consumed)
        added, ended = transparency.feed(piece)
        if added:
            yield added


class Recent:
    """What landed of late: a client whose 250 got lost sends the same message once more (RFC 1047)."""

    def __init__(self) -> None:
        self._claim = threading.Lock()
        self._landed: OrderedDict[tuple[str, str], Envelope] = OrderedDict()

    def land(self, recipient: str, upload: Upload) -> Envelope:
        """Land the message, unless the same bytes have landed for this recipient."""
        key = recipient, upload.sha256
        with self._claim:
            known = self._landed.get(key)
        if known is not None:
            upload.abort()
            return known
        envelope = upload.land(proven=True)
        with self._claim:
            self._landed[key] = envelope
            if len(self._landed) > _MOST_REMEMBERED:
                self._landed.popitem(last=False)
        return envelope


class Landing:
    """A message on its way into the spool, once for each recipient; ``begin`` makes an upload for each.

    The disk is left to threads. A session that is cancelled, because its client went away, never cuts a write in half:
    what was begun goes on, and then either all of the message has landed or nothing stays.
    """

    def __init__(self, begin: Callable[[], dict[str, Upload]], recent: Recent, threads: Executor) -> None:
        self._begin = begin
        self._recent = recent
        self._threads = threads
        self._uploads: dict[str, Upload] = {}
        self._blocks: list[bytes] = []
        self._waiting_bytes = 0
        self._act: asyncio.Future[Any] | None = None

    async def add(self, piece: bytes) -> None:
        """Append; raises UploadRefused when the disk does not take it."""
        self._blocks.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes >= _BLOCK_BYTES:
            await self._in_thread(self._write)

    async def finish(self) -> list[Envelope]:
        """Make it durable; raises UploadRefused. Once this returns it may be acknowledged."""
        return await self._in_thread(self._land)

    def give_up(self) -> None:
        """Keep nothing, unless it has landed."""
        if self._act is None or self._act.done():
            self._abort()
        else:
            self._act.add_done_callback(lambda _: self._abort())

    async def _in_thread(self, act: Callable[[], Made]) -> Made:
        running = asyncio.get_running_loop().run_in_executor(self._threads, act)
        self._act = running
        return await asyncio.shield(running)

    def _write(self) -> None:
        self._uploads = self._uploads or self._begin()
        block, self._blocks, self._waiting_bytes = b"".join(self._blocks), [], 0
        for upload in self._uploads.values():
            upload.write(block)

    def _land(self) -> list[Envelope]:
        self._write()
        return [self._recent.land(recipient, upload) for recipient, upload in self._uploads.items()]

    def _abort(self) -> None:
        if self._act is not None and not self._act.cancelled():
            self._act.exception()  # nobody may be left to take it
        for upload in self._uploads.values():
            upload.abort()
