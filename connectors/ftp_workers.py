"""Threads for what must not hold up the event loop of the FTP server: password hashing and fsync."""

import logging
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Final, TypeVar

from pyftpdlib.ioloop import IOLoop

_log = logging.getLogger(__name__)

# Each password check takes 64 MiB for about 0.1 s; more at once would only let a flood of logins take more.
_LOGIN_THREADS: Final = 2
# They mostly wait: for fsyncs, which file systems commit together, and for a client's last FIN.
_LANDING_THREADS: Final = 16

Made = TypeVar("Made")


class Bell:
    """Wakes the loop from another thread; has the methods that the loop calls on what it watches."""

    def __init__(self, ioloop: IOLoop, on_ring: Callable[[], None]) -> None:
        self._ioloop = ioloop
        self._on_ring = on_ring
        self._inside, self._outside = socket.socketpair()
        self._inside.setblocking(False)
        self._outside.setblocking(False)
        self._fileno = self._inside.fileno()
        ioloop.register(self._fileno, self, ioloop.READ)

    def ring(self) -> None:
        """Have the loop call ``on_ring`` soon. Safe from any thread."""
        try:
            self._outside.send(b"!")
        except BlockingIOError:
            return  # it is ringing already
        except OSError:
            return  # the loop has ended

    def readable(self) -> bool:
        """The loop may always read."""
        return True

    def writable(self) -> bool:
        """The loop never writes."""
        return False

    def handle_read_event(self) -> None:
        """The loop heard the bell."""
        self._inside.recv(4096)
        self._on_ring()

    def handle_error(self) -> None:
        """The loop caught an exception of ``on_ring``: a bug, which must not stop the other sessions."""
        _log.exception("bug in=workers")

    def close(self) -> None:
        """Stop listening."""
        self._ioloop.unregister(self._fileno)
        self._inside.close()
        self._outside.close()


class Workers:
    """Runs work in threads and what follows from it in the loop."""

    def __init__(self, ioloop: IOLoop) -> None:
        self._bell = Bell(ioloop, self.catch_up)
        self._logins = ThreadPoolExecutor(_LOGIN_THREADS, "ftp-login")
        self._landings = ThreadPoolExecutor(_LANDING_THREADS, "ftp-landing")
        self._done: SimpleQueue[Callable[[], None]] = SimpleQueue()
        # Only the loop's thread counts them.
        self._under_way = 0

    def check_login(self, work: Callable[[], bool], then: Callable[["Future[bool]"], None]) -> None:
        """Run a password check in its own threads, so that a flood of logins delays no delivery."""
        self._run(self._logins, work, then)

    def store(self, work: Callable[[], Made], then: Callable[["Future[Made]"], None]) -> None:
        """Run work that touches the disk."""
        self._run(self._landings, work, then)

    def ring(self) -> None:
        """Wake the loop. Safe from any thread."""
        self._bell.ring()

    def catch_up(self) -> None:
        """Run, in the loop, what follows from work that is done."""
        while not self._done.empty():
            self._follow()

    def close(self) -> None:
        """Finish all work that was begun, and what follows from it."""
        self._logins.shutdown(cancel_futures=True)
        while self._under_way:
            self._follow()
        self._landings.shutdown()
        self._bell.close()

    def _follow(self) -> None:
        follow = self._done.get()
        self._under_way -= 1
        follow()

    def when_done(self, outcome: "Future[Made]", then: Callable[["Future[Made]"], None]) -> None:
        """Run what follows from work that somebody else does."""

        def hand_over(outcome: "Future[Made]") -> None:
            self._done.put(lambda: then(outcome))
            self._bell.ring()

        self._under_way += 1
        outcome.add_done_callback(hand_over)

    def _run(self, pool: ThreadPoolExecutor, work: Callable[[], Made], then: Callable[["Future[Made]"], None]) -> None:
        self.when_done(pool.submit(work), then)
