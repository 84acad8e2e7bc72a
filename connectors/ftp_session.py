"""A client's control connection: what pyftpdlib's handler lacks to wait for a thread without losing its place.

While a session waits (for a password check, or for a delivery to be on disk), nothing is read from its client; commands
that were sent ahead are answered afterwards, in order.
"""

import logging
import select
import ssl
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import _read as read_catching_errors

from connectors.credentials import Credentials
from connectors.envelope import Envelope
from connectors.ftp_data import Awaiting, Receiving, TlsReceiving
from connectors.ftp_limits import Door, Usage
from connectors.ftp_settings import FtpSettings
from connectors.ftp_uploads import AGAIN, Incoming, reply_to
from connectors.ftp_workers import Workers
from connectors.landing import Unsure, always
from connectors.spool import Spool
from processing.errors import UploadRefused

_log = logging.getLogger(__name__)

_MOST_AHEAD: Final = 200


@dataclass(frozen=True, slots=True)
class Desk:
    """What all sessions of one server share."""

    settings: FtpSettings
    spool: Spool
    credentials: Credentials
    folder: Path
    door: Door
    workers: Workers
    usage: dict[str, Usage] = field(default_factory=dict)
    # Every session that is open: pyftpdlib's loop does not know one that waits.
    sessions: "set[Session]" = field(default_factory=set)


class Session(FTPHandler):  # type: ignore[misc] # pyftpdlib has no types
    """A control connection that can wait."""

    desk: Desk
    dtp_handler = Receiving
    passive_dtp = Awaiting
    banner = "Clawback ready."
    # It would bypass TLS: pyftpdlib does not know our kind of secured socket.
    use_sendfile = False
    _in_buffer: list[bytes]
    _in_buffer_len: int
    _idler: Any
    _in_dtp_queue: tuple[Incoming, str] | None
    _out_dtp_queue: tuple[Any, bool, Any, str] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - pyftpdlib's signature
        self._waiting = False
        self._running = False
        self._ahead: deque[bytes] = deque()
        super().__init__(*args, **kwargs)
        if self.connected:
            self.desk.sessions.add(self)

    def __repr__(self) -> str:
        """Short: pyftpdlib makes its debug lines also when nobody reads them."""
        return type(self).__name__

    # --- commands, in order

    def decode(self, raw: bytes) -> str:
        """Names come as UTF-8 or, from old clients, as Windows-1252."""
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("cp1252", "replace")

    def found_terminator(self) -> None:
        """A command is complete; it runs now, or when the session waits no more."""
        self._ahead.append(b"".join(self._in_buffer))
        self._in_buffer, self._in_buffer_len = [], 0
        if self._idler is not None and not self._idler.cancelled:
            self._idler.reset()
        if len(self._ahead) > _MOST_AHEAD:
            self.close()
        self._run_ahead()

    def _run_ahead(self) -> None:
        # A command that ends an upload gets here while it is running: it answers first.
        if self._running:
            return
        self._running = True
        try:
            while self._ahead and not self._waiting and not self._closed:
                line = self.decode(self._ahead.popleft())
                cmd, _, arg = line.partition(" ")
                self.pre_process_command(line, cmd.upper(), arg)
        finally:
            self._running = False

    # --- waiting

    def wait(self) -> None:
        """Read nothing from the client until ``going_on``."""
        self._waiting = True
        self.del_channel()
        if self._idler is not None and not self._idler.cancelled:
            self._idler.cancel()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Answer what the session waited for, and go on with what the client sent meanwhile."""
        self.add_channel()
        yield
        self._waiting = False
        if not self._closed and not self._closing:
            # While a data connection is open, its own timer counts.
            if self.data_channel is None:
                self._restart_idler()
            self._run_ahead()

    def _restart_idler(self) -> None:
        if self._idler is not None and not self._idler.cancelled:
            self._idler.cancel()
        self._idler = self.ioloop.call_later(self.timeout, self.handle_timeout, _errback=self.handle_error)

    # --- data connections

    def can_transfer(self) -> bool:
        """Whether there is a data connection, or one may still come; answers 425 if not, where pyftpdlib waits."""
        ways = (self.data_channel, self._dtp_acceptor, self._dtp_connector)
        if any(way is not None for way in ways):
            return True
        self.respond("425 There is no data connection. Send PASV or EPSV first.")
        return False

    def push_dtp_data(self, data: object, *, file: Any = None, **how: Any) -> None:  # noqa: ANN401 - pyftpdlib's signature
        """Send what the client wants to read."""
        if self.can_transfer():
            super().push_dtp_data(data, file=file, **how)
        elif file is not None:
            file.close()

    # --- the end of an upload

    def gave_up(self) -> bool:
        """Whether the client hung up or sent ABOR, up to now.

        A client that is killed closes both connections, and one that aborts may close the data connection together with
        ABOR: which of the two is seen first is chance, and must not decide whether half a file is a delivery.
        """
        if self._closed:
            return True
        waiting, self._waiting = self._waiting, True
        if self._poll(select.POLLIN):
            read_catching_errors(self)
        hung_up = self._closed or self._poll(select.POLLRDHUP)
        self._waiting = waiting
        return hung_up or any(line.upper().endswith(b"ABOR") for line in self._ahead)

    def _poll(self, event: int) -> bool:
        poll = select.poll()
        poll.register(self.socket.fileno(), event)
        return bool(poll.poll(0))

    def finish(self, incoming: Incoming) -> None:
        """Make a whole upload durable in another thread and answer afterwards: 226 means that it is on disk.

        The fsyncs take milliseconds, and this session has nothing else to do; the others do not wait for its disk. The
        last look at whether the client is still there is as late as it can be: when the bytes are on disk and have not
        become a delivery yet. A client that stirs then may have aborted, which is seen when its line is read.
        """
        self.wait()
        try:
            incoming.check()
        except UploadRefused as refusal:
            self._ended(incoming, reply_to(refusal))
            return
        ending = incoming.ending(self.is_quiet)
        if ending is None:
            self.desk.workers.store(lambda: incoming.wait_and_end(self.is_quiet), self._finishing(incoming))
        else:
            self.desk.workers.when_done(ending, self._finishing(incoming))

    def is_quiet(self) -> bool:
        """Whether nothing more came from the client, neither a command nor its end. Safe from any thread."""
        try:
            return not (self._closed or self._poll(select.POLLIN | select.POLLRDHUP))
        except (OSError, ValueError):  # closed just now
            return False

    def _finishing(self, incoming: Incoming) -> "Callable[[Future[Any]], None]":
        return lambda outcome: self._finished(incoming, outcome)

    def _finished(self, incoming: Incoming, outcome: "Future[Envelope | None]") -> None:
        error = outcome.exception()
        if not isinstance(error, Unsure):
            reply = incoming.reply(outcome.result()) if error is None else reply_to(error)
            self._ended(incoming, reply, error)
        elif self.gave_up():
            self._ended(incoming, f"426 The upload was aborted; {AGAIN}")
        else:
            self.desk.workers.store(lambda: incoming.end(always), self._finishing(incoming))

    def _ended(self, incoming: Incoming, reply: str, error: BaseException | None = None) -> None:
        stored = reply.startswith("226")
        incoming.settle(kept=stored)
        if not stored:
            _log.warning("upload_refused account=%s name=%r reply=%r", self.username, incoming.name, reply)
        if error is not None and not isinstance(error, UploadRefused):
            _log.error("bug in=upload account=%s", self.username, exc_info=error)
        if not self._closed:
            with self.going_on():
                self.respond(reply)
                self._transfer_over()

    def drop(self, incoming: Incoming, reply: str) -> None:
        """Forget an upload that broke off or was refused."""
        incoming.settle(kept=False)
        _log.warning("upload_aborted account=%s name=%r reply=%r", self.username, incoming.name, reply)
        if not self._closed:
            self.respond(reply)
            self._transfer_over()
            self._run_ahead()

    def connection_lost(self) -> None:
        """The data connection was gone before it could be used: end what waited for it."""
        queued, self._in_dtp_queue = self._in_dtp_queue, None
        self._dtp_acceptor = None
        if queued is not None:
            self.drop(queued[0], f"426 The upload broke off; {AGAIN}")
        elif self._out_dtp_queue is not None and not self._closed:
            (_, _, file, _), self._out_dtp_queue = self._out_dtp_queue, None
            if file is not None:
                file.close()
            self.respond("426 The data connection was closed.")
            self._transfer_over()

    def _transfer_over(self) -> None:
        if not self._closed:  # answering may have found that the client is gone
            self._on_dtp_close()

    def _shutdown_connecting_dtp(self) -> None:
        super()._shutdown_connecting_dtp()
        # pyftpdlib would give an upload that still waits for its data connection the next one, whatever it is for.
        queued = getattr(self, "_in_dtp_queue", None)
        if queued is not None:
            queued[0].close()
            self._in_dtp_queue = None

    def hang_up(self) -> None:
        """Close the connection, and an upload that is under way, without the courtesies of TLS, which may wait."""
        if self._closed:  # pyftpdlib tells of it a little later, and it has no data connection to ask for any more
            return
        for connection in (self.data_channel, self):
            if connection is not None:
                connection._error = True  # noqa: SLF001 - pyftpdlib has no other way
                connection.close()

    def on_disconnect(self) -> None:
        """The connection is closed."""
        self.desk.sessions.discard(self)

    # --- pyftpdlib's own log is silent: it would repeat what we log, and names that may be mistyped passwords

    def log(self, msg: str, logfun: object = None) -> None:
        """Nothing."""

    def logline(self, msg: str, logfun: object = None) -> None:
        """Nothing."""

    def log_cmd(self, cmd: str, arg: str, respcode: int, respstr: str) -> None:
        """Nothing."""

    def log_transfer(self, **transfer: object) -> None:
        """Nothing."""

    def log_exception(self, instance: object) -> None:
        """An exception nobody expected, or a client that cannot do TLS."""
        if isinstance(sys.exception(), SSL.Error):
            _log.info("tls_failed address=%s", self.remote_ip)
        else:
            _log.exception("bug in=%s", type(instance).__name__)


class TlsSession(TLS_FTPHandler, Session):  # type: ignore[misc] # pyftpdlib has no types
    """A control connection that may be secured."""

    __repr__ = Session.__repr__
    dtp_handler = TlsReceiving
    data_context: ssl.SSLContext

    def secure_connection(self, ssl_context: SSL.Context) -> None:
        """Switch to TLS; what was sent ahead in plain text may be somebody else's and is forgotten."""
        self.ac_in_buffer = b""
        self._in_buffer, self._in_buffer_len = [], 0
        self._ahead.clear()
        super().secure_connection(ssl_context)
