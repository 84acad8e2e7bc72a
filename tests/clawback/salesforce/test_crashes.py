"""Killed around every transaction of a round, an installation reads again and ends like one that was not disturbed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Table, select

from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing import hints
from processing.hints import Hint
from processing.record_tables import observation, record_cursor, record_hint, record_seen
from processing.tables import action, entry
from tests.clawback.salesforce import round_kills
from tests.clawback.salesforce.site import Crm, crm_at, settings_for
from tests.conftest import START, STORES, Clock
from tests.copies import Copies, discard, on_postgresql, on_sqlite
from tests.forking import FORKING
from tests.worlds import load

AT: Final = START + timedelta(hours=1)
# Nobody takes the claim of a dead reader before it has run out.
AGAIN: Final = AT + timedelta(minutes=11)
ORDERS: Final = [f"O-{n}" for n in range(6)]
PARTS: Final = 3
# What every record comes to: by its page, by a trigger, and by the look-up before the lock alone.
ONCE: Final = [
    ("A-O-0", "reverse", "PENDING", "REVERSED"),
    ("A-O-1", "modify", "PENDING", "PENDING"),
    ("A-O-2", "approve", "PENDING", "APPROVED"),
    ("A-O-4", "reverse", "PENDING", "REVERSED"),
    ("A-O-5", "reverse", "PENDING", "REVERSED"),
]


@dataclass(frozen=True, slots=True)
class Template:
    """An installation whose org has changed and was not read since, and what it is after undisturbed rounds."""

    crm: Crm
    copies: Copies
    wanted: dict[str, list[Any]]

    def read(self, settings: Settings, at: datetime) -> None:
        """A round of this process."""
        self.crm.world.now = at
        round_kills.read(settings, self.crm.settings, at)

    def die(self, settings: Settings, moment: int) -> bool:
        """A round of another process; gives whether it died."""
        self.crm.world.now = AT
        child = FORKING.Process(target=round_kills.read, args=(settings, self.crm.settings, AT, moment), daemon=True)
        child.start()
        child.join(60)
        assert child.exitcode in {0, -signal.SIGKILL}, child.exitcode
        return child.exitcode != 0


def _told(desk: Desk) -> dict[str, list[Any]]:
    """What is the same whenever it was written down: every change with its values, and all that is known of records."""
    wanted: dict[Table, tuple[str, ...]] = {
        action: ("action_id", "state", "amount", "payout", "changes", "version"),
        observation: ("record", "order_id", "stamp", "status_before", "status_after", "lines", "held", "ended_at"),
        record_seen: ("record", "stamp", "order_id", "state", "asked"),
        record_cursor: ("mapping", "floor", "covered", "complete_at"),
        record_hint: ("notification", "record", "outcome"),
    }
    with desk.store.read() as db:
        found = {
            table.name: sorted(repr(row) for row in db.execute(select(*(table.c[name] for name in names))))
            for table, names in wanted.items()
        }
    return found | {"entry": entries(desk)}


def entries(desk: Desk) -> list[Any]:
    """Every change that was applied, by its action."""
    query = select(action.c.action_id, entry.c.change, entry.c.state_before, entry.c.state_after).join_from(
        entry, action, entry.c.action_id == action.c.id
    )
    with desk.store.read() as db:
        return sorted(tuple(one) for one in db.execute(query))


def _changed(crm: Crm, folder: Path) -> None:
    """Records are read for the first time, and then say something else."""
    crm.org.page = 2
    # The look-up before the lock finds the last one alone.
    crm.sell(folder, *ORDERS[:-1], locks_at="2027-12-31T00:00:00Z")
    crm.sell(folder, ORDERS[-1])
    crm.world.now = START - timedelta(hours=1)
    records = [crm.opportunity(order) for order in ORDERS]
    crm.world.now = START
    crm.round()
    # So long before they are read that a floor which moved too soon would have passed them.
    crm.clock.now = crm.world.now = START + timedelta(minutes=20)
    for record, stage in zip(records, ("Closed Lost", "Partly Returned", "Closed Won", "Nobody knows"), strict=False):
        crm.world.change(record, StageName=stage, Amount=70.0 if stage == "Partly Returned" else 100.0)
    # These two are not stamped anew: a trigger tells of one, and the other is looked up before its lock.
    for record in records[4:]:
        crm.world.recalculate(record, StageName="Closed Lost")
    crm.clock.now = crm.world.now = AT
    with crm.desk.store.write() as db:
        hints.take(db, "crm", [Hint("told", "Opportunity", records[4])], AT)


@contextmanager
def _template(store: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Template]:
    settings, copies = on_sqlite(Settings(state=folder / "template"))
    if store == "postgresql":
        server: str = request.getfixturevalue("postgresql_server")
        name = f"rounds{os.getpid()}_{request.node.callspec.params['part']}"
        settings, copies = on_postgresql(settings, server, name)
    clock = Clock()
    with open_desk(settings, clock) as desk:
        load(desk, folder)
        with crm_at(desk, clock, folder) as crm:
            crm.settings = settings_for(crm.org, sweep_before="60d", sweep_every="30m")
            _changed(crm, folder)
            desk.store.close()
            undisturbed = copies(folder / "undisturbed")
            template = Template(crm, copies, {})
            for at in (AT, AGAIN):
                template.read(undisturbed, at)
            with open_desk(undisturbed, lambda: AGAIN) as found:
                template.wanted.update(_told(found))
                assert entries(found) == ONCE
            yield template


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("part", range(PARTS))
def test_s05_killed_around_every_commit(store: str, part: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Wherever the process died, each change is applied exactly once, and all that is known is as if it had not."""
    with _template(store, tmp_path, request) as template:
        for moment in range(part, 1_000, PARTS):
            settings = template.copies(tmp_path / str(moment))
            died = template.die(settings, moment)
            template.read(settings, AGAIN)
            with open_desk(settings, lambda: AGAIN) as desk:
                assert _told(desk) == template.wanted, moment
            discard(settings)
            if not died:
                break
        # A moment too many ends undisturbed; before it there are two for each transaction.
        assert 30 < moment < 999
