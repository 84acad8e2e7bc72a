"""A brand's mail at the other end: it mails a file to the inbox, and a relay of its own takes the answer."""

import json
import queue
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from clawback.demo.brand import PATIENCE_S, NoAnswer

DOMAIN: Final = "acme.example"
SENDER: Final = f"returns@{DOMAIN}"
# No name server is asked in a demonstration: the brand's own server says whose message it is.
UPSTREAM: Final = f"mx.{DOMAIN}"


class Mailbox:
    """Sends from, and receives for, one address of the brand."""

    def __init__(self, relay_port: int) -> None:
        self.relay_port = relay_port
        self._received: queue.Queue[EmailMessage] = queue.Queue()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take an answer."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        self._received.put(message_from_bytes(content, _class=EmailMessage, policy=policy.default))
        return "250 OK"

    def send(self, port: int, certificate: Path, to: str, name: str, content: bytes) -> str:
        """Mail a file over TLS; gives the server's answer, which comes once the message is durable."""
        message = EmailMessage()
        message["Authentication-Results"] = f"{UPSTREAM}; dmarc=pass header.from={DOMAIN}"
        message["From"], message["To"], message["Subject"] = SENDER, to, "This week's returns"
        message["Message-ID"] = f"<{name}@{DOMAIN}>"
        message.set_content("Please find our returns attached.\n")
        message.add_attachment(content, "text", "csv", filename=name)
        trust = ssl.create_default_context(cafile=str(certificate))
        with smtplib.SMTP("localhost", port, timeout=PATIENCE_S) as client:
            client.starttls(context=trust)
            client.ehlo()
            client.mail(SENDER)
            client.rcpt(to)
            code, text = client.data(message.as_bytes(policy=policy.SMTP))
        return f"{code} {text.decode()}"

    def receipt(self) -> tuple[str, dict[str, Any]]:
        """The next answer, as soon as it is there: its subject and the receipt attached to it; raises NoAnswer."""
        try:
            reply = self._received.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise NoAnswer(f"There was no answer by mail within {PATIENCE_S} s.") from None
        files = {str(part.get_filename()): part.get_content() for part in reply.iter_attachments()}
        receipts = [json.loads(content) for name, content in files.items() if name.startswith("receipt_")]
        return str(reply["Subject"]), receipts[0]


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """The brand's mailbox, its relay listening on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        made = Mailbox(free.getsockname()[1])
    relay = Controller(made, hostname="127.0.0.1", port=made.relay_port)
    relay.start()
    try:
        yield made
    finally:
        relay.stop()
