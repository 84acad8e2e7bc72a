"""The seam between Clawback and the places from which it fetches: list, fetch, land, settle, put the answers back.

A kind of source is one module with one class of this shape. It knows how to reach the far side and when a file there is
whole; what was fetched before, and what happens to it here, is not its business.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

from connectors.results import PATTERNS

# Where a source that moves what it fetched puts it, inside its folder.
PROCESSED: Final = "processed"
UPLOADING: Final = ".part"
_TAIL_BYTES: Final = 64 * 1024
_UNFINISHED: Final = (".part", ".tmp", ".filepart")
_ANSWERS: Final = tuple(pattern.split("{", 1)[0] for pattern in PATTERNS)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its server tells of it; ``modified_at`` in whole seconds since the epoch by that server's clock."""

    name: str
    size_bytes: int
    modified_at: int


@dataclass(slots=True)
class Part:
    """What has come of a file before the connection broke: how many bytes, and the last of them as its proof."""

    size_bytes: int = 0
    tail: bytes = b""

    def add(self, block: bytes) -> None:
        """More has come."""
        self.size_bytes += len(block)
        self.tail = (self.tail + block[-_TAIL_BYTES:])[-_TAIL_BYTES:]


class Seam:
    """Joins what comes to a part that is there: its end has to come again as it was, and is not passed on.

    The bytes come from ``start`` on, or from 0 where the server cannot begin in the middle.
    """

    def __init__(self, part: Part | None, write: Callable[[bytes], object]) -> None:
        self._size_bytes, self._tail = (part.size_bytes, part.tail) if part else (0, b"")
        self._write = write
        self.start = self._size_bytes - len(self._tail)
        self.at = self.start

    def take(self, block: bytes) -> bool:
        """Pass on what is new; False when the file is another than the part is of."""
        known = block[: max(self._size_bytes - self.at, 0)]
        before = max(self.start - self.at, 0)
        told = known[before:]
        its = self._tail[max(self.at - self.start, 0) :][: len(told)]
        self.at += len(block)
        if told != its:
            return False
        if new := block[len(known) :]:
            self._write(new)
        return True


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a check tried, and what came of it in words."""

    ok: bool
    message: str


class Source(Protocol):
    """A place that holds a brand's files; connected inside ``with``.

    Every method raises SourceUnreachable when the connection breaks and SourceRefused when the far side says no.
    """

    def __enter__(self) -> Self:
        """Connect and log in."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""

    def waiting(self) -> list[RemoteFile]:
        """The files that may be deliveries, in the order in which they were last written."""

    def fetch(self, file: RemoteFile, write: Callable[[bytes], object], part: Part | None = None) -> bool:
        """Hand the file's bytes to ``write``, block by block, those behind the ``part`` that is there already.

        False when the file is not, or no longer, the one that was listed: what was written is to be thrown away.
        """

    def settle(self, file: RemoteFile, delivery: str) -> bool:
        """Move or delete a file that is durable here as ``delivery``; False when it has changed since."""

    def put(self, name: str, content: BinaryIO) -> None:
        """Put an answer into the result folder, whole or not at all; one of this name is replaced."""

    def check(self) -> Iterable[Step]:
        """Try what a pull needs, beyond the login, and tell of each step."""


def may_be_delivery(name: str, pattern: str) -> bool:
    """Whether a file of this name is one to fetch: it matches, is finished, and is no answer of ours."""
    return (
        "/" not in name
        and not name.startswith((".", *_ANSWERS))
        and not name.lower().endswith(_UNFINISHED)
        and matches(name, pattern)
    )


def matches(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern of ``*`` (any characters) and ``?`` (one); case counts."""
    wild = {"*": ".*", "?": "."}
    regex = "".join(wild.get(one) or re.escape(one) for one in pattern)
    return re.fullmatch(regex, name, re.DOTALL) is not None


def in_order(files: Iterable[RemoteFile]) -> list[RemoteFile]:
    """Oldest first, so that a brand's corrections are applied after what they correct."""
    return sorted(files, key=lambda file: (file.modified_at, file.name))


def apart(name: str, delivery: str) -> str:
    """A name for a file of this delivery where its own name is taken."""
    path = PurePosixPath(name)
    return f"{path.stem}.{delivery}{path.suffix}"


def trial_name() -> str:
    """A name for a file that a check writes and removes."""
    return f".clawback-check-{secrets.token_hex(4)}{UPLOADING}"
