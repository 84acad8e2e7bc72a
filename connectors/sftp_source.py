"""A brand's own SFTP server as a source.

A file is whole when its size and its modification time are the same in the listing, before and after the download, and
as many bytes arrived. That it was written to the end is for its content to prove.
"""

import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import paramiko
from paramiko.sftp import CMD_CLOSE, CMD_DATA, CMD_HANDLE, CMD_NAME, CMD_OPENDIR, CMD_READ, CMD_READDIR, int64

from connectors.sftp_session import logged_in, open_sftp, telling
from connectors.source import (
    PROCESSED,
    UPLOADING,
    Part,
    RemoteFile,
    Seam,
    Step,
    apart,
    in_order,
    may_be_delivery,
    trial_name,
)
from connectors.source_settings import SftpSettings
from processing.errors import SourceRefused

# The most that OpenSSH gives for one request; others give less and are then asked for that.
_BLOCK_BYTES: Final = 255 * 1024
# So many blocks are on their way at once: 4 MB, whatever the size of the file.
_AHEAD: Final = 16


class _Answers:
    """Where paramiko leaves the answers to requests that were sent ahead."""

    def __init__(self) -> None:
        self.arrived: dict[int, tuple[int, Any]] = {}

    def _async_response(self, kind: int, message: Any, number: int) -> None:  # noqa: ANN401 - paramiko has no types
        self.arrived[number] = (kind, message)


class _Client(paramiko.SFTPClient):  # type: ignore[misc] # paramiko has no types
    """Reads files with a bounded number of requests on their way, and folders whose names are not all UTF-8.

    ``SFTPFile.prefetch`` asks for the whole file at once, or keeps what it bounds in memory and waits for ever when the
    file has become shorter; ``listdir_attr`` fails for all files when the name of one is not UTF-8.
    """

    def entries(self, folder: str) -> Iterator[tuple[bytes, Any]]:
        """The names in a folder and their attributes."""
        kind, message = self._request(CMD_OPENDIR, folder)
        handle = message.get_binary() if kind == CMD_HANDLE else b""
        try:
            while True:
                kind, message = self._request(CMD_READDIR, handle)
                if kind != CMD_NAME:
                    raise paramiko.SFTPError("Expected names")
                for _ in range(message.get_int()):
                    name, _long = message.get_binary(), message.get_binary()
                    yield name, paramiko.SFTPAttributes._from_msg(message)  # noqa: SLF001 - its only reader
        except EOFError:
            self._request(CMD_CLOSE, handle)

    def blocks(self, file: Any, start: int, size_bytes: int) -> Iterator[bytes]:  # noqa: ANN401 - paramiko has no types
        """The bytes of an open file in order, from ``start`` up to ``size_bytes`` or its end."""
        answers, asked, next_byte, block_bytes = _Answers(), deque[tuple[int, int, int]](), start, _BLOCK_BYTES

        def ask(at: int, length: int) -> tuple[int, int, int]:
            number: int = self._async_request(answers, CMD_READ, file.handle, int64(at), length)
            return number, at, length

        while asked or next_byte < size_bytes:
            while next_byte < size_bytes and len(asked) < _AHEAD:
                length = min(block_bytes, size_bytes - next_byte)
                asked.append(ask(next_byte, length))
                next_byte += length
            number, at, length = asked.popleft()
            while number not in answers.arrived:
                self._read_response()
            kind, message = answers.arrived.pop(number)
            if kind != CMD_DATA:
                with suppress(EOFError):
                    self._convert_status(message)
                return
            data = message.get_binary()
            yield data
            if len(data) < length:
                block_bytes = max(len(data), 1)
                asked.appendleft(ask(at + len(data), length - len(data)))


class SftpSource:
    """An SFTP server; ``environ`` holds the secrets that settings refer to."""

    def __init__(self, settings: SftpSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._stack = ExitStack()
        self._sftp: Any = None
        self._raw: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        settings = self._settings
        with ExitStack() as stack:
            transport = stack.enter_context(logged_in(settings, self._environ))
            self._sftp = open_sftp(settings, transport, _Client)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def waiting(self) -> list[RemoteFile]:
        """The files that match, oldest first; raises SourceRefused when the folder cannot be listed."""
        return in_order(one for one in self._listed() if may_be_delivery(one.name, self._settings.pattern))

    def fetch(self, file: RemoteFile, write: Callable[[bytes], object], part: Part | None = None) -> bool:
        """Hand the file's bytes behind ``part`` to ``write``; False when it is not whole or has changed.

        One byte more than there should be is asked for: a server may tell a size that is not the file's.
        """
        with self._telling(f"reading {file.name}"):
            try:
                if self._look(file.name) != file:
                    return False
                seam = Seam(part, write)
                with self._sftp.open(self._path(file.name)) as remote:
                    blocks = self._sftp.blocks(remote, seam.start, file.size_bytes + 1)
                    if not all(map(seam.take, blocks)):
                        return False
                return self._look(file.name) == file and seam.at == file.size_bytes
            except FileNotFoundError:
                return False

    def settle(self, file: RemoteFile, delivery: str) -> bool:
        """Move or delete a fetched file, if it still is the one that was fetched."""
        if self._settings.after == "keep":
            return True
        doing = "deleting" if self._settings.after == "delete" else "moving"
        with self._telling(f"{doing} {file.name}"):
            try:
                if self._look(file.name) != file:
                    return False
                if self._settings.after == "delete":
                    self._sftp.remove(self._path(file.name))
                    return True
                return self._moved(file, delivery)
            except FileNotFoundError:
                return False

    def put(self, name: str, content: BinaryIO) -> None:
        """Upload an answer under a temporary name and rename it."""
        settings = self._settings
        folder = settings.result_folder.rstrip("/") or "/"
        with self._telling(f"writing into {folder}"):
            try:
                hidden, path = f"{folder}/.{name}{UPLOADING}", f"{folder}/{name}"
                self._sftp.putfo(content, hidden)
                self._replace(hidden, path)
            except FileNotFoundError:
                raise SourceRefused(f"Source {settings.name} has no folder {folder!r} for results.") from None

    def check(self) -> Iterable[Step]:
        """List the folder, and try a write where something is to be written."""
        settings = self._settings
        waiting, all_files = self.waiting(), sum(1 for _ in self._listed())
        yield Step(ok=True, message=f"{settings.folder}: {all_files} files, {len(waiting)} of them match")
        if settings.after == "move":
            yield self._tried(f"{settings.folder}/{PROCESSED}", make=True)
        if settings.result_folder:
            yield self._tried(settings.result_folder, make=False)

    def _tried(self, folder: str, *, make: bool) -> Step:
        path = f"{folder.rstrip('/')}/{trial_name()}"
        try:
            with self._telling(f"writing into {folder}"):
                if make:
                    self._ensure_folder(folder)
                with self._sftp.open(path, "w"):
                    pass
                self._sftp.remove(path)
        except SourceRefused as error:
            return Step(ok=False, message=str(error))
        except FileNotFoundError:
            return Step(ok=False, message=f"There is no folder {folder!r}; ask the brand to make it.")
        return Step(ok=True, message=f"{folder}: a file can be written")

    def _telling(self, what: str) -> AbstractContextManager[None]:
        return telling(self._settings, self._sftp.get_channel(), what)

    def _listed(self) -> Iterator[RemoteFile]:
        folder = self._settings.folder
        with self._telling(f"listing {folder}"):
            try:
                found = list(self._sftp.entries(folder))
            except FileNotFoundError:
                raise SourceRefused(f"Source {self._settings.name} has no folder {folder!r} to fetch from.") from None
            for raw, attributes in found:
                name = self._readable(raw)
                its = self._target(name) if stat.S_ISLNK(attributes.st_mode or 0) else attributes
                if its is not None and (its.st_mode is None or stat.S_ISREG(its.st_mode)):
                    yield _remote(name, its)

    def _look(self, name: str) -> RemoteFile:
        return _remote(name, self._sftp.stat(self._path(name)))

    def _target(self, link: str) -> Any:  # noqa: ANN401 - paramiko has no types
        """The attributes of what a link points to; None when that is not there."""
        with suppress(FileNotFoundError):
            return self._sftp.stat(self._path(link))
        return None

    def _readable(self, raw: bytes) -> str:
        """A file's name as text; what is not UTF-8 is read as the encoding in which every byte is a letter."""
        try:
            return raw.decode()
        except UnicodeDecodeError:
            name = raw.decode("iso-8859-1")
            self._raw[name] = raw
            return name

    def _path(self, name: str, below: str = "") -> bytes:
        folder = f"{self._settings.folder.rstrip('/')}/{below}".rstrip("/")
        return folder.encode() + b"/" + self._raw.get(name, name.encode())

    def _moved(self, file: RemoteFile, delivery: str) -> bool:
        self._ensure_folder(f"{self._settings.folder.rstrip('/')}/{PROCESSED}")
        path = self._path(file.name, PROCESSED)
        if self._exists(path):
            path = self._path(apart(file.name, delivery), PROCESSED)
        self._sftp.rename(self._path(file.name), path)
        moved = _remote(file.name, self._sftp.stat(path))
        if moved == file:
            return True
        # Somebody wrote it anew in that moment: it goes back, to be fetched in the next round.
        self._sftp.rename(path, self._path(file.name))
        return False

    def _replace(self, hidden: str, path: str) -> None:
        try:
            self._sftp.posix_rename(hidden, path)
        except FileNotFoundError:
            raise
        except OSError:
            # The server does not know how to replace in one step.
            if self._exists(path):
                self._sftp.remove(path)
            self._sftp.rename(hidden, path)

    def _ensure_folder(self, folder: str) -> None:
        if not self._exists(folder):
            self._sftp.mkdir(folder)

    def _exists(self, path: str | bytes) -> bool:
        try:
            self._sftp.stat(path)
        except FileNotFoundError:
            return False
        return True


def _remote(name: str, attributes: Any) -> RemoteFile:  # noqa: ANN401 - paramiko has no types
    if attributes.st_size is None or attributes.st_mtime is None:
        raise SourceRefused(f"The server does not tell size and time of {name}; nothing proves that it is whole.")
    return RemoteFile(name, attributes.st_size, attributes.st_mtime)
