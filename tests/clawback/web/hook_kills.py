"""A server for triggers, as a process that kills itself before or behind the commit of what it was told."""

import os
import signal
import threading
from multiprocessing.connection import Connection as Pipe

from sqlalchemy import Connection, Engine, event

from clawback.settings import Settings
from clawback.wiring import open_desk
from tests.clawback.salesforce.site import ENVIRON
from tests.clawback.web.site import serving
from tests.conftest import Clock


def serve_and_die(settings: Settings, told: Pipe, moment: str) -> None:
    """Tell the address, and die at the first transaction that writes."""
    clock = Clock()
    with open_desk(settings, clock) as desk, serving(desk, settings, clock, ENVIRON) as site:
        _arm(site.office.desk.store.engine, moment)
        told.send(site.url)
        threading.Event().wait(60)


def _arm(engine: Engine, moment: str) -> None:
    committed = False

    def commit(db: Connection) -> None:
        nonlocal committed
        if db.get_execution_options().get("writes"):
            if moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            committed = True

    def checkin(*_: object) -> None:
        # The connection comes back once its transaction is over.
        if committed:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine, "commit", commit)
    event.listen(engine, "checkin", checkin)
