"""An SFTP server as a brand has one: a folder of its own on the loopback, opened by a password."""

import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import paramiko
from paramiko import SFTP_OK, SFTPAttributes, SFTPHandle, SFTPServer, SFTPServerInterface

from connectors.host_key import HostKey

_WRITING: Final = os.O_WRONLY | os.O_RDWR
_RSA_BITS: Final = 2048


@dataclass
class BrandSftp:
    """Serves ``folder`` inside ``with``; ``user`` gets in by ``password``.

    ``files`` is the class that answers for the files.
    """

    folder: Path
    user: str
    password: str
    port: int = 0
    files: "type[BrandFiles] | None" = None
    _key: Any = field(default_factory=lambda: paramiko.RSAKey.generate(_RSA_BITS), repr=False)
    _listener: socket.socket | None = None
    _sessions: list[Any] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def host_key(self) -> HostKey:
        """The key by which a client knows it."""
        return HostKey(self._key.get_name(), self._key.asbytes())

    def stop(self) -> None:
        """Listen no more, and cut every connection. Safe to call twice."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Cut every connection; the next is welcome."""
        sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                transport = paramiko.Transport(sock)
                self._sessions += [transport, sock]
                transport.add_server_key(self._key)
                transport.set_subsystem_handler("sftp", SFTPServer, self.files or BrandFiles, self)
                # With an event it returns at once: one client that says nothing does not keep the others out.
                transport.start_server(event=threading.Event(), server=_Door(self))


class _Door(paramiko.ServerInterface):  # type: ignore[misc] # paramiko has no types
    def __init__(self, brand: BrandSftp) -> None:
        self._brand = brand

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - paramiko's signature
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == (self._brand.user, self._brand.password)
        return int(paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - paramiko's signature
        return int(paramiko.OPEN_SUCCEEDED)


class BrandFiles(SFTPServerInterface):  # type: ignore[misc] # paramiko has no types
    """The files of a folder that nobody leaves."""

    def __init__(self, server: Any, brand: BrandSftp) -> None:  # noqa: ANN401 - paramiko has no types
        super().__init__(server)
        self.brand = brand

    def path(self, name: str) -> Path:
        """Where a file of this name lies."""
        inside: str = self.canonicalize(f"/{name}").lstrip("/")
        return self.brand.folder / inside

    def list_folder(self, path: str) -> Any:  # noqa: ANN401 - a list or an error number
        """The attributes of all that lies in a folder."""
        try:
            return [SFTPAttributes.from_stat(one.stat(), one.name) for one in self.path(path).iterdir()]
        except OSError as error:
            return _code(error)

    def stat(self, path: str) -> Any:  # noqa: ANN401 - attributes or an error number
        """The attributes of a file."""
        try:
            return SFTPAttributes.from_stat(self.path(path).stat())
        except OSError as error:
            return _code(error)

    def lstat(self, path: str) -> Any:  # noqa: ANN401 - attributes or an error number
        """The same: there are no links here."""
        return self.stat(path)

    def open(self, path: str, flags: int, attr: Any) -> Any:  # noqa: ANN401, ARG002 - a handle or an error number
        """Open a file to read it or to write it anew."""
        handle = SFTPHandle(flags)
        try:
            file = self.path(path).open("wb" if flags & _WRITING else "rb")
        except OSError as error:
            return _code(error)
        handle.filename, handle.readfile, handle.writefile = path, file, file
        return handle

    def remove(self, path: str) -> int:
        """Delete a file."""
        return _tried(self.path(path).unlink)

    def rename(self, oldpath: str, newpath: str) -> int:
        """Rename to a name that is free."""
        if self.path(newpath).exists():
            return int(paramiko.SFTP_FAILURE)
        return self.posix_rename(oldpath, newpath)

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        """Rename, and replace what has the name."""
        return _tried(lambda: self.path(oldpath).replace(self.path(newpath)))

    def mkdir(self, path: str, attr: Any) -> int:  # noqa: ANN401, ARG002 - paramiko's signature
        """Make a folder."""
        return _tried(self.path(path).mkdir)


def _tried(act: Any) -> int:  # noqa: ANN401 - any act
    try:
        act()
    except OSError as error:
        return _code(error)
    return int(SFTP_OK)


def _code(error: OSError) -> int:
    return int(SFTPServer.convert_errno(error.errno or 0))
