"""Opens containers: gz and zip, known by their content, each of whose files is a delivery of its own.

Names, sizes and counts that a container states are claims: what counts are the bytes that come out of it, and its
checksums. A container is read to its end before the first of its files is handed on, so nothing comes of one that is
cut off or damaged. An xlsx is a zip, too, but one file.
"""

import errno
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from processing.codes import Code
from processing.errors import Unreadable

BLOCK_BYTES: Final = 256 * 1024
MOST_BYTES: Final = 2 * 1024**3
MOST_FILES: Final = 1000

_GZ: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_OFFICE: Final = "[Content_Types].xml"
_ENCRYPTED: Final = 0x1
_OF_A_SYSTEM: Final = frozenset({"thumbs.db", "desktop.ini"})
_ANSWERS: Final = ("receipt_", "result_", "fix_")
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
# What ends a zip, in front of a comment of at most 64 KiB. A zip64, as Info-ZIP makes of every stream, says the same in
# larger numbers before it, and behind those where they stand.
_END: Final = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\x05\x06"
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_END64_MARK: Final = b"PK\x06\x06"
_LOCATOR64_MARK: Final = b"PK\x06\x07"
_LOCATOR64_BYTES: Final = 20
_DAMAGE: Final = (
    BadZipFile,
    EOFError,
    zlib.error,
    struct.error,
    NotImplementedError,
    ValueError,
    ArithmeticError,
    LookupError,
)
_LONGEST_COMMENT: Final = 0xFFFF
_DIRECTORY_BYTES: Final = 1024 * MOST_FILES

Kind = Literal["gz", "zip", "xlsx"]


@dataclass(frozen=True, slots=True)
class Inside:
    """A file of a container; ``position`` counts from 1, ``name`` is without folders and still not to be trusted."""

    position: int
    name: str


@dataclass(frozen=True, slots=True)
class Container:
    """A container that was read to its end: its files in order, and the names of those that are none of ours.

    ``proven``: the checksums prove that no byte is missing. Those of a gz do not: its last members may be.
    """

    path: Path
    kind: Literal["gz", "zip"]
    files: tuple[Inside, ...]
    ignored: tuple[str, ...]
    proven: bool

    def read(self, file: Inside) -> Iterator[bytes]:
        """The bytes of a file in blocks; the container has not changed since it was opened."""
        if self.kind == "gz":
            yield from _Gunzip(self.path)
            return
        with unzipping(self.path) as archive:
            usable = [info for info in archive.infolist() if _is_ours(info)]
            yield from blocks(archive, usable[file.position - 1])


def kind_of(path: Path) -> Kind | None:
    """What kind of container a file is, ``None`` if it is none; raises ``Unreadable`` for a damaged zip."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(_GZ):
        return "gz"
    if head not in _ZIP:
        return None
    with unzipping(path) as archive:
        return "xlsx" if any(info.filename == _OFFICE for info in archive.infolist()) else "zip"


def open_container(path: Path, name: str, most_bytes: int = MOST_BYTES) -> Container | None:
    """Read a container to its end, ``None`` if it is none (an xlsx is none here); memory stays flat.

    Raises ``Unreadable``: NOT_READABLE for one that is damaged, encrypted or of a kind that is not read, TOO_LARGE for
    more than ``most_bytes`` bytes or ``MOST_FILES`` files, NO_LINES for a zip without a file for us.
    """
    kind = kind_of(path)
    if kind == "gz":
        _count(_Gunzip(path), 0, most_bytes)
        return Container(path, "gz", (Inside(1, _without_gz(name)),), (), proven=False)
    if kind == "zip":
        return _open_zip(path, most_bytes)
    return None


@contextmanager
def unzipping(path: Path) -> Iterator[ZipFile]:
    """An open zip; what is wrong with it, now or while it is read, raises ``Unreadable``."""
    try:
        with path.open("rb") as file:
            _check_directory(file)
            with ZipFile(file) as archive:
                _check_entries(archive)
                yield archive
    except _DAMAGE as bad:
        raise _damaged("zip") from bad
    except OSError as bad:
        # A damaged offset points to where no file has bytes; anything else is our disk's.
        if bad.errno != errno.EINVAL:
            raise
        raise _damaged("zip") from bad


def blocks(archive: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    """A file of an open zip in blocks; its checksum is compared behind the last."""
    with archive.open(info) as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def too_large(most_bytes: int) -> Unreadable:
    """The error for a delivery out of which more than so many bytes come."""
    return Unreadable(Code.TOO_LARGE, Code.TOO_LARGE.message(value=f"more than {most_bytes:,} bytes"))


def _open_zip(path: Path, most_bytes: int) -> Container:
    counted = 0
    with unzipping(path) as archive:
        usable = [info for info in archive.infolist() if _is_ours(info)]
        ignored = tuple(info.filename for info in archive.infolist() if not info.is_dir() and not _is_ours(info))
        if len(usable) > MOST_FILES:
            raise Unreadable(Code.TOO_LARGE, Code.TOO_LARGE.message(value=f"{len(usable):,} files"))
        for info in usable:
            counted = _count(blocks(archive, info), counted, most_bytes)
    if not usable:
        raise Unreadable(Code.NO_LINES, "The zip holds no file for us. Put the CSV, XML or xlsx file into it.")
    files = tuple(Inside(at, _base_name(info.filename)) for at, info in enumerate(usable, 1))
    return Container(path, "zip", files, ignored, proven=True)


def _count(content: Iterable[bytes], counted: int, most_bytes: int) -> int:
    """``counted`` and the bytes of ``content``, which are read to their end or to the limit."""
    for block in content:
        counted += len(block)
        if counted > most_bytes:
            raise too_large(most_bytes)
    return counted


class _Gunzip:
    """The bytes of all members of a gz, block by block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            try:
                while block := file.read(BLOCK_BYTES):
                    # Zeros fill up the last block of a tape behind the last member.
                    if member := block.lstrip(b"\0"):
                        file.seek(-len(member), os.SEEK_CUR)
                        yield from self._member(file)
            except zlib.error as bad:
                raise _damaged("gz") from bad

    def _member(self, file: BinaryIO) -> Iterator[bytes]:
        inflate = zlib.decompressobj(_GZIP_BITS)
        while not inflate.eof:
            packed = inflate.unconsumed_tail or file.read(BLOCK_BYTES)
            if not packed:
                raise _damaged("gz")
            if block := inflate.decompress(packed, BLOCK_BYTES):
                yield block
        file.seek(-len(inflate.unused_data), os.SEEK_CUR)


def _check_directory(file: BinaryIO) -> None:
    """Refuse a zip whose list of files alone would fill our memory, before anything reads it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END.size - _LONGEST_COMMENT - _LOCATOR64_BYTES - _END64.size, 0))
    tail = file.read()
    # Where ``zipfile`` looks for it, too: behind everything, or in front of a comment.
    at = len(tail) - _END.size
    if at < 0 or not (tail[at:].startswith(_END_MARK) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        raise _damaged("zip")
    directory_bytes = _END.unpack_from(tail, at)[5]
    if tail[max(at - _LOCATOR64_BYTES, 0) : at].startswith(_LOCATOR64_MARK):
        at -= _LOCATOR64_BYTES + _END64.size
        # Some look for it where the locator says, some right before that; it has to be one.
        if at < 0 or not tail.startswith(_END64_MARK, at):
            raise _damaged("zip")
        directory_bytes = _END64.unpack_from(tail, at)[8]
    if directory_bytes > _DIRECTORY_BYTES:
        raise Unreadable(Code.TOO_LARGE, Code.TOO_LARGE.message(value="a longer list of files than we read"))


def _check_entries(archive: ZipFile) -> None:
    for info in archive.infolist():
        if info.flag_bits & _ENCRYPTED:
            raise _unreadable("The zip is encrypted, and we have no password for it.")
        if info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
            raise _unreadable("The zip is packed by a method other than Deflate, which is the usual one.")


def _is_ours(info: ZipInfo) -> bool:
    """Whether a file of a zip is a delivery: no folder, none of our answers, nothing that a system hides there."""
    parts = _parts(info.filename)
    hidden = not parts or "__MACOSX" in parts or parts[-1].startswith(".") or parts[-1].lower() in _OF_A_SYSTEM
    return not (info.is_dir() or hidden or parts[-1].lower().startswith(_ANSWERS))


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part.strip()]


def _base_name(name: str) -> str:
    return _parts(name)[-1]


def _without_gz(name: str) -> str:
    stem = name[: -len(".gz")]
    return stem if stem and name.lower().endswith(".gz") else name


def _damaged(kind: str) -> Unreadable:
    return _unreadable(f"The {kind} is cut off or damaged: its checksums are missing or wrong.")


def _unreadable(reason: str) -> Unreadable:
    return Unreadable(Code.NOT_READABLE, Code.NOT_READABLE.message(reason=reason))
