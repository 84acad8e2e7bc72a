"""The e-mail inbox: an SMTP server that accepts messages for addresses of ours, and nothing else.

A message that arrived whole lands in the spool and only then is 250 sent. One event loop, which never waits for a disk;
no database. See ``smtp_session`` for who is let in and ``smtp_data`` for what whole means.
"""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from connectors.ftp_tls import data_context, ensure_certificate
from connectors.mail_book import MailBook
from connectors.smtp_limits import Gate
from connectors.smtp_session import Desk, Session
from connectors.smtp_settings import SmtpSettings
from connectors.spool import Spool
from processing.errors import Unusable

__all__ = ["HostedSmtp", "SmtpSettings"]

_log = logging.getLogger(__name__)

# They mostly wait: for fsyncs, which file systems commit together.
_THREADS: Final = 16
_WAITING: Final = 128


class HostedSmtp:
    """A server with an event loop of its own.

    ``start`` (or ``with``) opens it and ``port`` tells where; ``serve_forever`` serves until ``close``, which may be
    called from any thread and returns when all that was begun is finished.
    """

    def __init__(self, settings: SmtpSettings, *, spool: Spool, book: MailBook) -> None:
        self._settings = settings
        self._spool = spool
        self._book = book
        self._serving = threading.Lock()
        self._server_thread: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: asyncio.Server | None = None
        self._stopping = asyncio.Event()
        self._desk: Desk | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sessions(self) -> int:
        """How many clients are connected."""
        return 0 if self._desk is None else len(self._desk.sessions)

    def start(self) -> None:
        """Make what is missing (certificate), and listen."""
        settings = self._settings
        tls = None
        if settings.tls != "off":
            ensure_certificate(settings, self._spool.clock)
            tls = data_context(settings)
        threads = ThreadPoolExecutor(_THREADS, "smtp")
        desk = Desk(settings, self._spool, self._book, Gate(settings), threads)
        loop = asyncio.new_event_loop()
        listening = loop.create_server(
            lambda: Session(desk, tls, loop), settings.host, settings.port, backlog=_WAITING, start_serving=True
        )
        try:
            self._listener = loop.run_until_complete(listening)
        except OSError as error:
            loop.close()
            raise Unusable(f"Cannot listen on {settings.host}:{settings.port}: {error}. Give another port.") from error
        self._loop, self._desk = loop, desk
        self.port = int(self._listener.sockets[0].getsockname()[1])
        _log.info("smtp_listening host=%s port=%d tls=%s", settings.host, self.port, settings.tls)

    def serve_forever(self) -> None:
        """Serve until ``close`` is called."""
        with self._serving:
            if self._loop is None:
                return
            self._server_thread = threading.get_ident()
            try:
                self._loop.run_until_complete(self._stopping.wait())
            finally:
                self._server_thread = None
                self._shut()

    def close(self) -> None:
        """Stop serving, finish what was begun, and disconnect everybody.

        Safe to call twice, from any thread, and from a signal handler; from another thread it returns when all is done.
        """
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._stopping.set)
        if self._server_thread != threading.get_ident():
            with self._serving:
                self._shut()

    def _shut(self) -> None:
        loop, self._loop = self._loop, None
        if loop is None or self._desk is None or self._listener is None:
            return
        loop.run_until_complete(_end(self._listener, self._desk))
        loop.close()
        _log.info("smtp_closed port=%d", self.port)


async def _end(listener: asyncio.Server, desk: Desk) -> None:
    listener.close()
    await asyncio.to_thread(desk.threads.shutdown)
    for session in list(desk.sessions):
        session.hang_up()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(others, timeout=1) if others else None
