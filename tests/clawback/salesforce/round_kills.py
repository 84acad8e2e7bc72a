"""A process that reads an org for one round and kills itself around a chosen transaction, as a power cut would."""

import os
import signal
from datetime import datetime

from sqlalchemy import Connection, Engine, event

from clawback.salesforce import rounds
from clawback.settings import Settings
from clawback.wiring import open_desk
from connectors.salesforce_org import Org
from connectors.salesforce_settings import SalesforceSettings
from tests.clawback.salesforce.site import ENVIRON


def read(settings: Settings, source: SalesforceSettings, at: datetime, moment: int | None = None) -> None:
    """One round; it dies when so many moments have passed."""
    with open_desk(settings, lambda: at) as desk:
        if moment is not None:
            _arm(desk.store.engine, moment)
        rounds.run(desk, source, Org(source, ENVIRON, pause=lambda _seconds: None))


def _arm(engine: Engine, moment: int) -> None:
    """Die before a commit, or behind one: where the next transaction begins.

    What was not committed is gone whichever statement was the last one, so more deaths would tell the same.
    """
    left, committed = moment, False

    def tick() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def commit(db: Connection) -> None:
        nonlocal committed
        if db.get_execution_options().get("writes"):
            tick()
            committed = True

    def begin(_db: Connection) -> None:
        nonlocal committed
        if committed:
            committed = False
            tick()

    event.listen(engine, "commit", commit)
    event.listen(engine, "begin", begin)
