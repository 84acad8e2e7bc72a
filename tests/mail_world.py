"""The world around the inbox, real and on the loopback: a name server, a relay, and a brand that signs its mail."""

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import dkim
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dnslib import QTYPE, RR, TXT, A, DNSRecord
from dnslib.server import BaseResolver, DNSServer

BRAND = "acme.example"
SELECTOR = "may"


class Zone(BaseResolver):  # type: ignore[misc] # dnslib has no types
    """Text records and addresses by name; a name in ``silent`` never answers."""

    def __init__(self) -> None:
        self.texts: dict[str, list[bytes]] = {}
        self.addresses: dict[str, str] = {}
        self.silent: set[str] = set()
        self.port = 0

    def resolve(self, request: DNSRecord, _handler: object) -> DNSRecord:
        """Answer a question."""
        reply = request.reply()
        name = str(request.q.qname).rstrip(".").lower()
        if any(name.endswith(one) for one in self.silent):
            raise TimeoutError  # dnslib then sends nothing
        known = name in self.texts or name in self.addresses
        reply.header.rcode = 0 if known else 3
        kind = QTYPE[request.q.qtype]
        if kind == "TXT":
            for text in self.texts.get(name, []):
                pieces = [text[at : at + 255] for at in range(0, len(text), 255)]
                reply.add_answer(RR(request.q.qname, QTYPE.TXT, rdata=TXT(pieces), ttl=60))
        if kind == "A" and name in self.addresses:
            reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(self.addresses[name]), ttl=60))
        return reply


class Quiet:
    """What dnslib would print."""

    def __getattr__(self, _name: str) -> Any:  # noqa: ANN401 - any of its methods
        return lambda *_arguments: None


@contextmanager
def name_server() -> Iterator[Zone]:
    """A name server on a free port."""
    zone = Zone()
    server = DNSServer(zone, address="127.0.0.1", port=0, logger=Quiet())
    server.start_thread()
    zone.port = server.server.server_address[1]
    try:
        yield zone
    finally:
        server.stop()
        server.server.server_close()
        server.thread.join()


class _Signature(dkim.DKIM):  # type: ignore[misc] # dkimpy has no types
    """One that may say when it expires."""

    def __init__(self, raw: bytes, expires: int | None) -> None:
        super().__init__(raw)
        self._expires = expires

    def gen_header(self, fields: list[tuple[bytes, bytes]], *arguments: object, **options: object) -> bytes:
        """The signature's header, of these fields."""
        if self._expires is not None:
            begun = [(b"t", b"%d" % (self._expires - 3600)), (b"x", b"%d" % self._expires)]
            kept = [one for one in fields if one[0] != b"t"]
            fields = [*kept[:-3], *begun, *kept[-3:]]
        return bytes(super().gen_header(fields, *arguments, **options))


class Signer:
    """A brand's key, and its signatures."""

    def __init__(self, domain: str = BRAND) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self._pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.domain = domain
        self.records = {f"{SELECTOR}._domainkey.{domain}": [b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)]}

    def signed(self, raw: bytes, *, expires: int | None = None, length: bool = False) -> bytes:
        """The message with a signature before it, which is good until ``expires`` (seconds since the epoch)."""
        names = [b"from", b"to", b"subject", b"message-id"]
        signer = _Signature(raw, expires)
        return (
            bytes(signer.sign(SELECTOR.encode(), self.domain.encode(), self._pem, include_headers=names, length=length))
            + raw
        )


class Sink:
    """A relay that keeps what it is given; ``answers`` are its replies before it takes messages."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.taken: list[tuple[str, str, EmailMessage]] = []
        self.answers: list[str] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self,
        _server: object,
        _session: object,
        envelope: Envelope,
        address: str,
        _options: object,
    ) -> str:
        """Take a recipient, or answer what the test wants."""
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - the same
        """Keep a message."""
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append((str(envelope.mail_from), envelope.rcpt_tos[0], message))
        return "250 OK"


@contextmanager
def relay(**options: Any) -> Iterator[Sink]:  # noqa: ANN401 - of aiosmtpd's server
    """A relay on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        sink = Sink(free.getsockname()[1])
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port, **options)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


def raw(message: EmailMessage) -> bytes:
    """A message as it travels."""
    return message.as_bytes(policy=policy.SMTP)


def files(message: EmailMessage) -> dict[str, bytes]:
    """The attachments of a message by name."""
    return {str(part.get_filename()): part.get_payload(decode=True) for part in message.iter_attachments()}  # type: ignore[misc]
