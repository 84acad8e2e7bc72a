"""A real server on the loopback in a thread, and real clients."""

import ftplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from connectors.credentials import Credentials
from connectors.envelope import Envelope
from connectors.hosted_ftp import FtpSettings, HostedFtp
from connectors.results import RESULT, publish
from connectors.spool import Spool

PASSWORD = "correct horse battery staple"
ACCOUNTS = ("IRacme1", "IRbrix2")


def clock() -> datetime:
    """The real time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Site:
    """A running server and what it stores."""

    server: HostedFtp
    spool: Spool
    folder: Path
    certificate: Path

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"ftp://localhost:{self.server.port}"

    def home(self, account: str = ACCOUNTS[0]) -> Path:
        """The folder of an account."""
        return self.folder / "ftp" / account

    def contents(self) -> dict[str, bytes]:
        """The bytes of all deliveries, by name."""
        return {e.name: self.spool.content(e.delivery).read_bytes() for e in self.spool.pending()}

    def leftovers(self) -> list[Path]:
        """What aborted uploads left behind; there must never be any."""
        return [*(self.folder / "spool" / "tmp").iterdir(), *(self.folder / "ftp" / ".incoming").iterdir()]

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this server only, and checks everything."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context


Serve = Callable[..., Site]


@contextmanager
def serving(folder: Path, credentials: Credentials, spool: Spool | None = None, **settings: object) -> Iterator[Site]:
    """A server in a thread of its own."""
    certificate = folder / "tls" / "certificate.pem"
    values: dict[str, Any] = {"port": 0, "tls": "off", "host": "localhost", "login_delay_s": 0.01} | settings
    spool = spool or Spool(folder / "spool", clock=clock)
    server = HostedFtp(
        FtpSettings(certificate=certificate, key=folder / "tls" / "key.pem", **values),
        spool=spool,
        credentials=credentials,
        folder=folder / "ftp",
    )
    server.start()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Site(server, spool, folder, certificate)
    finally:
        server.close()
        thread.join()


@contextmanager
def logged_in(site: Site, account: str = ACCOUNTS[0], password: str = PASSWORD) -> Iterator[ftplib.FTP]:
    """A session of ftplib without TLS."""
    with ftplib.FTP() as client:  # noqa: S321 - it is what brands use
        client.connect("localhost", site.server.port, timeout=10)
        client.login(account, password)
        yield client


@contextmanager
def logged_in_by_tls(site: Site, account: str = ACCOUNTS[0]) -> Iterator[ftplib.FTP_TLS]:
    """A session of ftplib with TLS on both connections."""
    with ftplib.FTP_TLS(context=site.trusting()) as client:  # noqa: S321 - the same
        client.connect("localhost", site.server.port, timeout=10)
        client.login(account, PASSWORD)
        client.prot_p()
        yield client


def reply(client: ftplib.FTP, command: str) -> str:
    """The server's answer to a command, also if it is a refusal."""
    try:
        return client.sendcmd(command)
    except ftplib.Error as refusal:
        return str(refusal)


def outcome(client: ftplib.FTP) -> str:
    """The next answer of the server, also if it is a refusal."""
    try:
        return client.getresp()
    except ftplib.Error as refusal:
        return str(refusal)


def begin(client: ftplib.FTP, name: str) -> socket.socket:
    """Begin an upload and give its data connection."""
    client.voidcmd("TYPE I")
    return client.transfercmd(f"STOR {name}")


def send(client: ftplib.FTP, name: str, content: bytes) -> str:
    """Upload, and the server's answer, also if it refuses while the bytes are on their way."""
    data = begin(client, name)
    with data:
        with suppress(OSError):
            data.sendall(content)
        if isinstance(data, ssl.SSLSocket):
            data.unwrap()
    return outcome(client)


def only(site: Site) -> Envelope:
    """The one delivery that is there."""
    (envelope,) = site.spool.pending()
    return envelope


def answer(site: Site, name: str, content: bytes) -> None:
    """Put an answer into the results of the first account."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    publish(site.home(), RESULT, delivery="20270115T093000000000-1a2b3c4d", name=name, write=write)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition becomes true within some seconds."""
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False
