"""What makes bytes durable, and what lets only one process at them."""

import ctypes
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processing.errors import UploadRefused

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_UNFINISHED = ".unfinished"


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(handle: int) -> None:
    """Put everything on disk that was written to the file system of an open file."""
    if ctypes.CDLL(None, use_errno=True).syncfs(handle):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def boot() -> bytes:
    """What tells one run of the operating system from another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        # Not every container is told; then each may be another.
        return b""


def ensure_folder(folder: Path) -> None:
    """Create ``folder`` and what is missing above it, private and durable."""
    if folder.is_dir():
        return
    ensure_folder(folder.parent)
    folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    sync_folder(folder.parent)


def write_all(handle: int, data: bytes) -> None:
    """Write all of ``data``; one ``write`` may take less than it is given."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def begin_new(path: Path, content: bytes) -> int:
    """Write a file that must not exist; gives its descriptor, to be fsynced and closed by the caller."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        write_all(handle, content)
    except BaseException:
        os.close(handle)
        raise
    return handle


def write_new(path: Path, content: bytes) -> None:
    """Write and fsync a file that must not exist; making its name durable is the caller's."""
    handle = begin_new(path, content)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def begin_sync(handle: int) -> None:
    """Have the disk begin with an open file. What is begun before the first fsync shares its round of the journal."""
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def replace_file(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that a reader, or a crash, finds the old file or the new one."""
    hidden = hidden_beside(path)
    try:
        write_new(hidden, content)
        hidden.replace(path)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def hidden_beside(path: Path) -> Path:
    """A fresh hidden name in the folder of ``path``, to write under before a rename."""
    return path.parent / f".{secrets.token_hex(8)}{_UNFINISHED}"


def sweep_unfinished(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; the caller holds the claim under which they write."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        path.unlink(missing_ok=True)


@contextmanager
def claim(path: Path, *, shared: bool = False) -> Iterator[int]:
    """Hold the claim file ``path`` against other threads and processes; gives its descriptor."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def claim_or_leave(handle: int) -> bool:
    """Claim an open file without waiting; False if somebody holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def abandoned(path: Path) -> bool:
    """Whether no process holds the claim on the file ``path`` (or it is not there)."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        return claim_or_leave(handle)
    finally:
        os.close(handle)


@contextmanager
def refusing_when_disk_fails(name: str) -> Iterator[None]:
    """Turn an ``OSError`` while bytes are stored into ``UploadRefused``, with the error as its cause."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or "input/output error"
        raise UploadRefused(
            f"{name!r} could not be stored ({reason}); nothing was kept. Send the file again later."
        ) from error
