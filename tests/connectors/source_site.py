"""Brands' servers on the loopback, one of each kind, and what can happen on the way to them."""

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from clawback.demo.brand_sftp import BrandFiles, BrandSftp
from clawback.wiring import source_of
from connectors.host_key import HostKey
from connectors.source import Source
from connectors.source_settings import FtpPullSettings, Secret, SftpSettings, SourceSettings

USER = "feed"
PASSWORD = "Tr0ub4dor&3"
ENVIRON = {"ACME_PASSWORD": PASSWORD, "WRONG": "not it"}
PASSWORD_AT = Secret("env:ACME_PASSWORD")
SSHD = "/usr/sbin/sshd"


@dataclass
class Brand:
    """A brand's server: the folder it serves, what reaches it, and how it is stopped and started."""

    kind: str
    folder: Path
    values: dict[str, Any]
    start: Callable[[], None]
    stop: Callable[[], None]
    # FTP's data connections come to a port of their own.
    data_port: int | None = None

    def settings(self, **values: object) -> SourceSettings:
        """How it is reached, and what else the test wants."""
        given: dict[str, Any] = {"name": "acme", "account": "IRacme1", "timeout_s": 10} | self.values | values
        return FtpPullSettings(**given) if self.kind.startswith("ftp") else SftpSettings(**given)

    def source(self, **values: object) -> Source:
        """The same as a source that is not connected yet."""
        return source_of(self.settings(**values), ENVIRON)

    def write(self, name: str, content: bytes, modified_at: int | None = None) -> Path:
        """Put a file into the folder, as the brand does."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        if modified_at is not None:
            touch(path, modified_at)
        return path

    def names(self, folder: str = ".") -> list[str]:
        """What lies there."""
        return sorted(path.name for path in (self.folder / folder).iterdir() if path.is_file())


def touch(path: Path, modified_at: int) -> None:
    """Give a file a modification time."""
    os.utime(path, (modified_at, modified_at))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@cache
def key_pair(kind: str) -> Path:
    """A key pair of OpenSSH, made once."""
    path = Path(mkdtemp(prefix="clawback-keys-")) / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    return path


def public(kind: str) -> tuple[HostKey, ...]:
    """The public half of a key pair."""
    return HostKey.parse(key_pair(kind).with_suffix(".pub").read_text())


@contextmanager
def openssh(folder: Path, kind: str) -> Iterator[Brand]:
    """OpenSSH with a host key of this kind, that lets this user in by a key of this kind."""
    assert Path(SSHD).exists(), "sshd is not installed: apt-get install openssh-server"
    home = folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    allowed, config, port = home / "authorized", home / "sshd_config", free_port()
    shutil.copy(key_pair(kind).with_suffix(".pub"), allowed)
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {key_pair(kind)}\nAuthorizedKeysFile {allowed}\nPidFile none\n"
        "UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "Subsystem sftp internal-sftp\n"
    )
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        with suppress(PermissionError):
            # What Debian's service makes; sshd insists on it as root.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (home / "sshd.log").open("ab") as log:
            processes.append(subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log, start_new_session=True))
        wait_for(port)

    def stop() -> None:
        while processes:
            end_with_children(processes.pop())

    values = {
        "host": "127.0.0.1",
        "port": port,
        "user": getpass.getuser(),
        "key_file": key_pair(kind),
        "host_key": public(kind),
        "folder": str(folder),
    }
    start()
    try:
        yield Brand(f"openssh-{kind}", folder, values, start, stop)
    finally:
        stop()


def end_with_children(process: "subprocess.Popen[bytes]") -> None:
    """End a server and the sessions it has begun."""
    import psutil  # type: ignore[import-untyped] # noqa: PLC0415 - Prefect brings it

    sessions = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    for session in sessions:
        with suppress(psutil.NoSuchProcess):
            session.kill()


@contextmanager
def by_password(folder: Path, files: type[BrandFiles] | None = None) -> Iterator[Brand]:
    """An SFTP server that lets in by password: OpenSSH asks the system for those, and tests have no system users."""
    server = BrandSftp(folder, USER, PASSWORD, files=files)

    def start() -> None:
        server.__enter__()

    start()
    values = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": USER,
        "password": PASSWORD_AT,
        "host_key": (server.host_key,),
        "folder": "/",
    }
    try:
        yield Brand("sftp-password", folder, values, start, server.stop)
    finally:
        server.stop()


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(500):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise AssertionError(f"Nobody listens on {port}.")


@dataclass
class Line:
    """A line to a server, on which the server's bytes pass until ``left`` of them are through."""

    left: float
    cuts: bool
    port: int = 0
    heard: bytearray = field(default_factory=bytearray)
    # How many bytes of the server's came through.
    passed: int = 0
    sockets: list[socket.socket] = field(default_factory=list)

    def open(self, at: int, host: str, port: int) -> int:
        """Listen on a port and pass on to another; gives the port."""
        listener = socket.create_server(("127.0.0.1", at))
        self.sockets.append(listener)
        threading.Thread(target=self._accept, args=(listener, host, port), daemon=True).start()
        return int(listener.getsockname()[1])

    def close(self) -> None:
        """Cut everything."""
        for one in self.sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket, host: str, port: int) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                self.sockets.append(near)
                far = socket.create_connection((host, port))
                self.sockets.append(far)
                threading.Thread(target=self._pass_on, args=(far, near), daemon=True).start()
                threading.Thread(target=self._hear, args=(near, far), daemon=True).start()

    def _pass_on(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while block := server.recv(16384):
                if self.left >= len(block):
                    self.left -= len(block)
                    self.passed += len(block)
                    client.sendall(block)
                elif self.cuts:
                    self.close()
                else:
                    self.left = 0
        _end(client)

    def _hear(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while block := client.recv(16384):
                self.heard.extend(block)
                server.sendall(block)
        _end(server)


def _end(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


@contextmanager
def line_to(brand: Brand, *, left: float = float("inf"), cuts: bool = True) -> Iterator[Line]:
    """A line that breaks, or falls silent, when the server has said so many bytes.

    ``heard`` is all that was said to the server.
    """
    line = Line(left, cuts)
    host = brand.values["host"]
    line.port = line.open(0, host, brand.values["port"])
    if brand.data_port is not None:
        line.open(brand.data_port, host, brand.data_port)
    try:
        yield line
    finally:
        line.close()
