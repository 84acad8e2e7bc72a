"""A real inbox on the loopback in a thread, and real clients."""

import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from connectors.hosted_smtp import HostedSmtp, SmtpSettings
from connectors.mail_book import MailBook
from connectors.spool import Spool
from tests.connectors.ftp_site import clock

DOMAIN = "returns.example"
ACCOUNT = "IRacme1"
CSV = b"ActionId,Amount,Reason\r\n1000.1,50.00,ITEM_RETURNED\r\n"


@dataclass(frozen=True, slots=True)
class Site:
    """A running inbox, an address of its, and what it stores."""

    server: HostedSmtp
    spool: Spool
    book: MailBook
    address: str
    folder: Path

    @contextmanager
    def client(self, **options: Any) -> Iterator[smtplib.SMTP]:  # noqa: ANN401 - those of smtplib
        """A session of smtplib."""
        with smtplib.SMTP("localhost", self.server.port, timeout=20, **options) as client:
            yield client

    @contextmanager
    def line(self) -> Iterator["Line"]:
        """A session by hand that has said EHLO."""
        with socket.create_connection(("localhost", self.server.port), timeout=20) as connection:
            line = Line(connection)
            line.greeting = line.hear()
            if line.greeting.startswith("220"):
                line.say("EHLO brand.example")
            try:
                yield line
            finally:
                line.close()

    def contents(self) -> list[bytes]:
        """The bytes of all messages, oldest first."""
        return [self.spool.content(envelope.delivery).read_bytes() for envelope in self.spool.pending()]

    def leftovers(self) -> list[Path]:
        """What aborted messages left behind; there must never be any."""
        return list((self.folder / "spool" / "tmp").iterdir())

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this server only."""
        return ssl.create_default_context(cafile=str(self.folder / "tls" / "certificate.pem"))


class Line:
    """A connection on which a test says exactly what it wants."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._answers = connection.makefile("rb")
        self.greeting = ""

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.connection.sendall(data)

    def hear(self) -> str:
        """The next reply, its lines joined; empty when the server has hung up."""
        lines = []
        while line := self._answers.readline():
            lines.append(line.decode().rstrip())
            if line[3:4] != b"-":
                break
        return "\n".join(lines)

    def say(self, command: str) -> str:
        """Send a command, hear its reply."""
        self.send(command.encode() + b"\r\n")
        return self.hear()

    def close(self) -> None:
        """Hang up."""
        self._answers.close()
        self.connection.close()

    def begin(self, address: str) -> None:
        """Up to DATA."""
        assert self.say("MAIL FROM:<ops@acme.example>").startswith("250")
        assert self.say(f"RCPT TO:<{address}>").startswith("250")
        assert self.say("DATA").startswith("354")


Serve = Callable[..., Site]


@contextmanager
def serving(folder: Path, spool: Spool | None = None, **settings: object) -> Iterator[Site]:
    """An inbox in a thread of its own, with one address."""
    values: dict[str, Any] = {
        "port": 0,
        "tls": "off",
        "max_messages_per_minute": 100_000,
        "max_connections_per_address": 100,
    } | settings
    spool = spool or Spool(folder / "spool", clock=clock)
    book = MailBook(folder / "mail")
    tls = folder / "tls"
    server = HostedSmtp(
        SmtpSettings(domain=DOMAIN, certificate=tls / "certificate.pem", key=tls / "key.pem", **values),
        spool=spool,
        book=book,
    )
    server.start()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Site(server, spool, book, f"{book.open_mailbox(ACCOUNT, 16027).local}@{DOMAIN}", folder)
    finally:
        server.close()
        thread.join()


def mail(to: str, content: bytes = CSV, name: str = "returns.csv", **headers: str) -> EmailMessage:
    """A message of a brand with one attachment."""
    message = EmailMessage()
    message["From"] = "Acme Ops <ops@acme.example>"
    message["To"] = to
    message["Subject"] = "Returns of this week"
    message["Message-ID"] = f"<{abs(hash(content))}@acme.example>"
    for header, value in headers.items():
        del message[header.replace("_", "-")]
        message[header.replace("_", "-")] = value
    message.set_content("Please find our returns attached.\n\n-- \nAcme Ops\n")
    message.add_attachment(content, maintype="text", subtype="csv", filename=name)
    # Otherwise it is made up anew each time somebody looks.
    message.set_boundary("part")
    return message
