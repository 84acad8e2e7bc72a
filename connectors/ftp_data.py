"""The data connection of the hosted FTP server, which knows a whole upload from one that broke off.

pyftpdlib takes every end of the data connection for a whole file and says 226 before anything is on disk. Here only
a FIN, or a close_notify if the connection is secured, ends a file; and the reply comes when the session's
``finish`` says so, after the bytes are durable. A reset, a missing close_notify, ABOR, a lost control connection and a
stalled transfer are aborted uploads: 426, and nothing is kept.
"""

import logging
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from pyftpdlib.exceptions import _RetryError
from pyftpdlib.handlers import DTPHandler, TLS_DTPHandler
from pyftpdlib.handlers.ftp.dispatchers import PassiveDTP
from pyftpdlib.ioloop import AsyncChat

from connectors.ftp_tls import TlsSocket
from connectors.ftp_uploads import AGAIN, Incoming, reply_to
from processing.errors import UploadRefused

if TYPE_CHECKING:
    from connectors.ftp_session import Session

_log = logging.getLogger(__name__)


class Awaiting(PassiveDTP):  # type: ignore[misc] # pyftpdlib has no types
    """Waits for a data connection; one that is gone as soon as it is there ends its transfer, too."""

    cmd_channel: "Session"

    def handle_accepted(self, sock: Any, addr: Any) -> None:  # noqa: ANN401 - pyftpdlib's signature
        """Take the data connection up; pyftpdlib would leave a transfer without one unanswered."""
        super().handle_accepted(sock, addr)
        if self._closed and self.cmd_channel.data_channel is None:
            self.cmd_channel.connection_lost()


class Receiving(DTPHandler):  # type: ignore[misc] # pyftpdlib has no types
    """A data connection; ``file_obj`` is an ``Incoming`` when it receives."""

    cmd_channel: "Session"
    socket: Any
    _whole = False
    _error = False
    _ssl_requested = False

    def __repr__(self) -> str:
        """Short: pyftpdlib makes its debug lines also when nobody reads them."""
        return type(self).__name__

    def enable_receiving(self, kind: str, cmd: str) -> None:  # noqa: ARG002 - pyftpdlib's signature
        """Receive bytes as they come: a file is what the brand sent, also when it was sent as text."""
        super().enable_receiving("i", cmd)

    def transfer_in_progress(self) -> bool:
        """A file that has been announced is in progress before its first byte."""
        return self.receive or bool(super().transfer_in_progress())

    def recv(self, buffer_size: int) -> bytes:
        """Read, and note how the stream ended, which pyftpdlib merges into one."""
        try:
            data: bytes = self.socket.recv(buffer_size)
        except SSL.ZeroReturnError:
            self._whole = True
            raise
        except BlockingIOError as error:
            raise _RetryError from error
        except OSError:
            self.handle_close()
            return b""
        if not data:
            self._whole = True
            self.handle_close()
        return data

    def handle_read(self) -> None:
        """Take what arrived; stop at once when it is refused."""
        try:
            chunk = self.recv(self.ac_in_buffer_size)
        except _RetryError:
            return
        except SSL.Error:
            self.handle_close()
            return
        if not chunk or self.file_obj is None:
            return
        self.tot_bytes_received += len(chunk)
        try:
            self.file_obj.write(chunk)
        except UploadRefused as refusal:
            self.give_up(reply_to(refusal))

    handle_read_event = handle_read

    def handle_close(self) -> None:
        """The other side closed the connection, well or not."""
        if self.receive:
            self.close()
        else:
            super().handle_close()

    def handle_timeout(self) -> None:
        """Called again and again; a transfer without progress is aborted."""
        if not self.receive or self.get_transmitted_bytes() > self._lastdata:
            super().handle_timeout()
        else:
            self.give_up(f"426 Nothing arrived for {self.timeout:g} seconds; {AGAIN}")

    def give_up(self, reply: str) -> None:
        """Abort the upload and answer ``reply``."""
        self._whole = False
        self._resp = (reply, _log.debug)
        self.close()

    def close(self) -> None:
        """Close the connection; what was received goes to the session, which answers."""
        if self._closed or not self.receive:
            super().close()
            return
        AsyncChat.close(self)
        if self._idler is not None and not self._idler.cancelled:
            self._idler.cancel()
        incoming: Incoming = self.file_obj
        if self._whole and not self.cmd_channel.gave_up():
            incoming.proven = self._ssl_requested
            self.cmd_channel.finish(incoming)
        else:
            reply = self._resp[0] if self._resp else f"426 The upload broke off; {AGAIN}"
            self.cmd_channel.drop(incoming, reply)


class TlsReceiving(TLS_DTPHandler, Receiving):  # type: ignore[misc] # pyftpdlib has no types
    """A data connection that may be secured."""

    __repr__ = Receiving.__repr__

    def handle_failed_ssl_handshake(self) -> None:
        """The client cannot do TLS, or not this version."""
        if self.receive:
            self.give_up(f"522 The TLS handshake of the data connection failed; {AGAIN}")
        else:
            super().handle_failed_ssl_handshake()

    def close(self) -> None:
        """Close; an upload that broke off is closed without the courtesies of TLS."""
        self._error = self._error or (self.receive and not self._whole)
        super().close()

    def secure_connection(self, ssl_context: object) -> None:  # noqa: ARG002 - that is the control connection's
        """Switch to TLS."""
        self._ssl_requested = self._ssl_accepting = True
        try:
            self.socket = TlsSocket(self.cmd_channel.data_context, self.socket)
        except (OSError, ValueError):
            self.close()  # the client is gone already

    def _do_ssl_shutdown(self) -> None:
        # A download is whole for its client only with our close_notify; there may be no room for it yet.
        self._ssl_closing, self._ssl_want_read = True, False
        try:
            self.socket.say_close()
        except SSL.WantWriteError:
            self._ssl_want_write = True
            self.modify_ioloop_events(self.ioloop.WRITE)
        except (SSL.Error, OSError, ValueError):
            Receiving.close(self)
        else:
            Receiving.close(self)
