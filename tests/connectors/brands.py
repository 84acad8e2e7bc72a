"""Brands' servers of all kinds; those of FTP come with an old library, which other tests need not import."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import trustme
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from tests.connectors.source_site import PASSWORD, PASSWORD_AT, USER, Brand, by_password, free_port, openssh

# Where FTP servers listen, so that a line to one can listen on the same ports of another address.
FTP_HOST = "127.0.0.2"
KINDS = ("openssh-ed25519", "openssh-rsa", "sftp-password", "ftp", "ftps")


@cache
def authority() -> tuple[trustme.CA, Path]:
    """A certificate authority and its certificate's file."""
    ca = trustme.CA()
    path = Path(mkdtemp(prefix="clawback-ca-")) / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return ca, path


@contextmanager
def ftp(folder: Path, *, tls: bool, **handler: object) -> Iterator[Brand]:
    """An FTP server; ``handler`` sets what pyftpdlib keeps in classes."""
    ca, ca_file = authority()
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(folder), perm="elradfmw")
    port, data_port = free_port(), free_port()
    values: dict[str, Any] = {
        "authorizer": authorizer,
        "auth_failed_timeout": 0.01,
        "passive_ports": [data_port],
        **handler,
    }
    if tls:
        certificate = folder.parent / "server.pem"
        ca.issue_cert("127.0.0.1", FTP_HOST).private_key_and_cert_chain_pem.write_to_path(str(certificate))
        values |= {"certfile": str(certificate), "tls_control_required": True, "tls_data_required": True}
    handlers = type("Handler", (TLS_FTPHandler if tls else FTPHandler,), values)
    running: list[Callable[[], None]] = []

    def start() -> None:
        loop, stopping = IOLoop(), threading.Event()
        server = FTPServer((FTP_HOST, port), handlers, ioloop=loop)

        def run() -> None:
            while not stopping.is_set():
                loop.loop(0.01, blocking=False)
            server.close_all()
            loop.close()

        thread = threading.Thread(target=run)
        thread.start()

        def end() -> None:
            stopping.set()
            thread.join()

        running.append(end)

    def stop() -> None:
        while running:
            running.pop()()

    reached = {
        "host": FTP_HOST,
        "port": port,
        "user": USER,
        "password": PASSWORD_AT,
        "tls": "required" if tls else "off",
        "folder": "/",
    }
    if tls:
        reached["ca_file"] = ca_file
    start()
    try:
        yield Brand("ftps" if tls else "ftp", folder, reached, start, stop, data_port)
    finally:
        stop()


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[Brand]:
    """A brand's server of one of ``KINDS``."""
    home = folder / "feed"
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if kind.startswith("openssh-"):
            yield stack.enter_context(openssh(home, kind.removeprefix("openssh-")))
        elif kind == "sftp-password":
            yield stack.enter_context(by_password(home))
        else:
            yield stack.enter_context(ftp(home, tls=kind == "ftps"))
