"""One SMTP session of the inbox: who is let in, for whom, how much; and 250 only for what is durable."""

import asyncio
import logging
import ssl
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as Peer

from connectors.mail_book import MailBook, Mailbox
from connectors.smtp_data import Landing, Recent, message
from connectors.smtp_limits import Gate
from connectors.smtp_settings import SmtpSettings
from connectors.spool import Spool
from connectors.upload import Upload

_log = logging.getLogger(__name__)

# aiosmtpd logs every line of every session.
logging.getLogger("mail.log").setLevel(logging.ERROR)

OUR_TROUBLE: Final = "451 4.3.0 The message could not be stored; nothing was kept. Send it again later."
UNKNOWN: Final = "550 5.1.1 There is no such address here, or it was revoked."
TOO_MANY: Final = "452 4.5.3 Too many recipients; send the message again for the others."
TOO_LARGE: Final = "552 5.3.4 The message is larger than {} bytes; nothing was kept."
TOO_FAST: Final = "450 4.7.1 Too many messages from your address; try again in a minute."
TOO_BUSY: Final = b"421 4.7.0 Too many connections; try again later.\r\n"
NO_AUTH: Final = "502 5.5.1 Nobody logs in here; messages are accepted for known recipients only."


@dataclass(slots=True)
class Desk:
    """What the sessions of a server share."""

    settings: SmtpSettings
    spool: Spool
    book: MailBook
    gate: Gate
    threads: Executor
    recent: Recent = field(default_factory=Recent)
    sessions: set["Session"] = field(default_factory=set)


class Transaction(Envelope):
    """A message that is being sent, and its recipients."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes: list[Mailbox] = []


class Session(SMTP):
    """A session; it is its own handler, since all hooks need what it knows."""

    # What is buffered of a line or a piece; our own DATA has no lines.
    line_length_limit = 1 << 16

    def __init__(self, desk: Desk, tls: ssl.SSLContext | None, loop: asyncio.AbstractEventLoop) -> None:
        settings = desk.settings
        self.desk = desk
        self._address = ""
        self._ending: asyncio.TimerHandle | None = None
        self._receiving = False
        super().__init__(
            _Hooks(self),
            data_size_limit=settings.max_message_bytes,
            enable_SMTPUTF8=True,
            hostname=settings.domain,
            ident="Clawback",
            tls_context=tls,
            require_starttls=settings.tls == "required",
            timeout=settings.idle_timeout_s,
            auth_exclude_mechanism=["LOGIN", "PLAIN"],
            loop=loop,
        )

    def _create_envelope(self) -> Envelope:
        return Transaction()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let a client in, or tell it that there are too many; called again when it has begun TLS."""
        if self not in self.desk.sessions:
            peer = transport.get_extra_info("peername")
            address = str(peer[0]) if peer else ""
            if not self.desk.gate.enter(address):
                _log.warning("connection_refused address=%s", address)
                transport.write(TOO_BUSY)  # type: ignore[attr-defined]
                transport.close()
                return
            self._address = address
            self.desk.sessions.add(self)
            self._ending = self.loop.call_later(self.desk.settings.session_timeout_s, transport.close)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        if self in self.desk.sessions:
            self.desk.sessions.discard(self)
            self.desk.gate.leave(self._address)
            assert self._ending is not None  # noqa: S101 - set with the session
            self._ending.cancel()
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Bytes came; while a message does, each of them shows that the client is there."""
        if self in self.desk.sessions:
            if self._receiving:
                self._reset_timeout()
            super().data_received(data)

    def eof_received(self) -> bool | None:
        """The client will send no more."""
        return super().eof_received() if self in self.desk.sessions else False

    def hang_up(self) -> None:
        """End the session now."""
        if self.transport is not None:
            self.transport.close()

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: ARG002, N802 - aiosmtpd's signature
        """Nobody has a password for this."""
        await self.push(NO_AUTH)

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        """Take a message and land it; the reply says what became of it."""
        if await self.check_helo_needed():
            return
        assert isinstance(self.envelope, Transaction)  # noqa: S101 - we make them
        boxes = self.envelope.boxes
        if arg or not boxes:
            await self.push("501 5.5.4 Syntax: DATA" if arg else "503 5.5.1 Name a recipient first.")
            return
        if not self.desk.gate.admits(self._address):
            await self.push(TOO_FAST)
            return
        trace = self._trace()
        landing = Landing(lambda: self._begin(boxes, trace), self.desk.recent, self.desk.threads)
        try:
            status = await self._received(landing)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not the client's fault
            status = self._trouble(error)
        finally:
            self._receiving = False
            landing.give_up()
        self.envelope = self._create_envelope()
        self._reset_timeout()
        await self.push(status)

    async def _received(self, landing: Landing) -> str:
        limit = self.desk.settings.max_message_bytes
        await self.push("354 End the message with <CR><LF>.<CR><LF>")
        self._receiving, received_bytes, trouble = True, 0, ""
        # To the end whatever happens: the rest of a message must never be taken for commands.
        async for piece in message(self._reader):
            received_bytes += len(piece)
            if received_bytes > 2 * limit:
                # It was told the limit and does not stop.
                self.loop.call_soon(self.hang_up)
                break
            if received_bytes > limit or trouble:
                landing.give_up()
                continue
            try:
                await landing.add(piece)
            except Exception as error:  # noqa: BLE001 - as above
                trouble = self._trouble(error)
        if received_bytes > limit or trouble:
            return trouble or TOO_LARGE.format(limit)
        self._receiving = False
        if self._timeout_handle is not None:
            # The client waits for us now, not we for it.
            self._timeout_handle.cancel()
        landed = await landing.finish()
        return f"250 2.0.0 {landed[0].delivery} received."

    def _trouble(self, error: Exception) -> str:
        _log.error("message_not_stored address=%s because=%s", self._address, type(error).__name__, exc_info=error)
        return OUR_TROUBLE

    def _begin(self, boxes: list[Mailbox], trace: dict[str, str]) -> dict[str, Upload]:
        uploads: dict[str, Upload] = {}
        try:
            for box in boxes:
                recipient = f"{box.local}@{self.desk.settings.domain}"
                uploads[recipient] = self.desk.spool.receive_message(
                    account=box.account,
                    name="message.eml",
                    event_type=box.event_type,
                    trace=trace | {"recipient": recipient},
                )
        except BaseException:
            for upload in uploads.values():
                upload.abort()
            raise
        return uploads

    def _trace(self) -> dict[str, str]:
        assert self.session is not None  # noqa: S101 - it has said EHLO
        assert self.envelope is not None  # noqa: S101 - it has named recipients
        tls = self.session.ssl["ssl_object"].version() if self.session.ssl else ""
        return {
            "mail_from": _printable(str(self.envelope.mail_from).removeprefix("<").removesuffix(">")),
            "peer": self._address,
            "helo": _printable(str(self.session.host_name)),
            "tls": tls,
        }


class _Hooks:
    """What aiosmtpd asks; its own answers would be to relay, and to tell exceptions."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self,
        _server: SMTP,
        session: Peer,
        _envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        """What we can: no logging in."""
        session.host_name = hostname
        told = [one for one in responses if not one[4:].startswith("AUTH")]
        return [*told[:-1], "250-ENHANCEDSTATUSCODES", "250-PIPELINING", told[-1]]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self,
        _server: SMTP,
        _session: Peer,
        envelope: Transaction,
        address: str,
        _options: list[str],
    ) -> str:
        """Known recipients only."""
        desk = self._session.desk
        local, _, domain = address.rpartition("@")
        box = desk.book.find(local) if domain.lower() == desk.settings.domain.lower() else None
        if box is None:
            _log.info("recipient_refused peer=%s", self._session.session and self._session.session.peer)
            return UNKNOWN
        if box not in envelope.boxes:
            if len(envelope.boxes) >= desk.settings.max_recipients:
                return TOO_MANY
            envelope.boxes.append(box)
        return "250 2.1.5 OK"

    async def handle_exception(self, error: Exception) -> str:
        """A bug of ours is never the client's fault, nor its business."""
        _log.error("bug in=smtp", exc_info=error)
        return OUR_TROUBLE


def _printable(text: str) -> str:
    """Bytes that are no UTF-8 came as lone surrogates, which could not be stored."""
    return text.encode("utf-8", "replace").decode()
