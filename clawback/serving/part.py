"""What every part of a server does: report to the supervisor, stop when told, and never outlive it.

A part's standard input is a pipe that nobody writes to: it ends when the supervisor does, however that ends. Its
standard output carries reports, a JSON object a line: the port it listens on, that it is ready, or why it cannot be.
"""

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NoReturn

from clawback.serving import logs
from clawback.settings import Settings, load
from processing.errors import ClawbackError

_log = logging.getLogger(__name__)

GRACE_S: Final = 4
# Told this, a part says on standard error what each of its threads is doing, and goes on.
TELL_WHERE: Final = signal.SIGUSR1
_EOF: Final = b""


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


class Supervisor:
    """The supervisor as a part sees it."""

    def __init__(self) -> None:
        # Whatever a library prints must not mix with the reports.
        self._reports = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._stop: Callable[[], object] | None = None

    def report(self, **told: object) -> None:
        """Tell the supervisor."""
        try:
            os.write(self._reports, json.dumps(told).encode() + b"\n")
        except OSError:
            # It is gone; the watching thread ends this process.
            return

    def when_told_to_stop(self, stop: Callable[[], object]) -> None:
        """What ends this part in order; until it is known, the part just ends."""
        self._stop = stop

    def watch(self) -> None:
        """Obey SIGTERM and the end of the supervisor. Ctrl-C is the supervisor's to understand."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._end())
        faulthandler.register(TELL_WHERE)
        threading.Thread(target=self._until_alone, daemon=True).start()

    def _end(self) -> None:
        if self._stop is None:
            os._exit(0)
        self._stop()

    def _until_alone(self) -> None:
        while os.read(sys.stdin.fileno(), 4096) != _EOF:
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)


def run(name: str, body: Callable[[Settings, Supervisor, int], None]) -> NoReturn:
    """Run a part in this process until it is told to stop; the only argument is the port it had before, or 0."""
    supervisor = Supervisor()
    supervisor.watch()
    try:
        settings = load(os.environ)
        logs.configure(name, settings)
        body(settings, supervisor, int(sys.argv[1]))
    except ClawbackError as error:
        supervisor.report(failed=str(error))
        os._exit(1)
    except Exception:  # noqa: BLE001 - the supervisor starts this part anew
        _log.exception("crashed")
        os._exit(1)
    # Without waiting for threads: what they do can be cut off anywhere.
    os._exit(0)
