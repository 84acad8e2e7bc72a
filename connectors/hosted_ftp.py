"""The hosted FTP server: brands send their files here and find the answers in ``results/``.

Explicit FTPS by default. User names are account SIDs; each account is locked into ``<folder>/<SID>/``. A file that
arrived whole lands in the spool and only then is 226 sent; see ``ftp_data`` for what whole means. One event loop, which
never waits for a disk or a password; no database.
"""

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from connectors.credentials import Credentials
from connectors.durable import ensure_folder
from connectors.ftp_commands import BrandSession, TlsBrandSession
from connectors.ftp_limits import Door
from connectors.ftp_session import Desk
from connectors.ftp_settings import FtpSettings
from connectors.ftp_tls import control_context, data_context, ensure_certificate
from connectors.ftp_uploads import INCOMING, sweep_incoming
from connectors.ftp_workers import Workers
from connectors.spool import Spool
from processing.errors import Unusable

__all__ = ["FtpSettings", "HostedFtp"]

_log = logging.getLogger(__name__)

# Without a handler pyftpdlib would install one of its own on standard error.
logging.getLogger("pyftpdlib").addHandler(logging.NullHandler())


class _Listener(FTPServer):  # type: ignore[misc] # pyftpdlib has no types
    """Accepts connections; the most of them are counted in sessions, not in sockets."""

    desk: Desk

    def _accept_new_cons(self) -> bool:
        return len(self.desk.sessions) <= self.desk.settings.max_connections


class HostedFtp:
    """A server with an event loop of its own.

    ``start`` (or ``with``) opens it and ``port`` tells where; ``serve_forever`` serves until ``close``, which may be
    called from any thread and returns when all that was begun is finished.
    """

    def __init__(self, settings: FtpSettings, *, spool: Spool, credentials: Credentials, folder: Path) -> None:
        self._settings = settings
        self._spool = spool
        self._credentials = credentials
        self._folder = folder
        self._stopping = threading.Event()
        self._serving = threading.Lock()
        self._server_thread: int | None = None
        self._ioloop: Any = None
        self._listener: Any = None
        self._desk: Desk | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port on which the server listens, once it was started."""
        return int(self._listener.address[1])

    def start(self) -> None:
        """Make what is missing (folders, certificate), remove leftovers, and listen."""
        settings = self._settings
        ensure_folder(self._folder / INCOMING)
        sweep_incoming(self._folder / INCOMING)
        if settings.tls != "off":
            ensure_certificate(settings, self._spool.clock)
        handler = self._handler()
        self._ioloop = IOLoop()
        try:
            self._listener = _Listener((settings.host, settings.port), handler, ioloop=self._ioloop)
        except OSError as error:
            self._ioloop.close()
            raise Unusable(f"Cannot listen on {settings.host}:{settings.port}: {error}. Give another port.") from error
        self._listener.max_cons_per_ip = settings.max_connections_per_ip
        self._desk = Desk(settings, self._spool, self._credentials, self._folder, Door(settings), Workers(self._ioloop))
        handler.desk = self._listener.desk = self._desk
        _log.info("ftp_listening host=%s port=%d tls=%s", settings.host, self.port, settings.tls)

    def serve_forever(self) -> None:
        """Serve until ``close`` is called."""
        with self._serving:
            self._server_thread = threading.get_ident()
            try:
                wait_s: float | None = None
                while not self._stopping.is_set():
                    wait_s = self._ioloop.loop(wait_s, blocking=False)
            finally:
                self._server_thread = None
                self._shut()

    def close(self) -> None:
        """Stop serving, finish what was begun, and disconnect everybody.

        Safe to call twice, from any thread, and from a signal handler; from another thread it returns when all is done.
        """
        self._stopping.set()
        desk = self._desk
        if desk is not None:
            desk.workers.ring()
        if self._server_thread != threading.get_ident():
            with self._serving:
                self._shut()

    def _shut(self) -> None:
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.workers.close()
            for session in list(desk.sessions):
                session.hang_up()
            self._listener.close()
            self._ioloop.close()
            _log.info("ftp_closed port=%d", self._settings.port)

    def _handler(self) -> Any:  # noqa: ANN401 - pyftpdlib has no types
        """The class of this server's sessions: pyftpdlib keeps settings in classes, and there may be other servers."""
        settings = self._settings
        base: Any = BrandSession if settings.tls == "off" else TlsBrandSession
        data = type("Data", (base.dtp_handler,), {"timeout": settings.idle_timeout_s})
        values = {
            "dtp_handler": data,
            "timeout": settings.idle_timeout_s,
            "passive_ports": settings.passive_ports,
            "masquerade_address": settings.masquerade_address,
        }
        if settings.tls != "off":
            required = settings.tls == "required"
            values |= {
                "tls_control_required": required,
                "tls_data_required": required,
                "ssl_context": control_context(settings),
                "data_context": data_context(settings),
            }
        return type("Control", (base,), values)
