"""Killed around every single statement of an act, an installation starts again and ends like an undisturbed one.

And the undisturbed one ends as the oracle says.
"""

import csv
import os
import signal
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from tests.clawback import statement_kills
from tests.conftest import START
from tests.copies import Copies, answers, discard, ledger, on_postgresql, on_sqlite
from tests.forking import FORKING
from tests.oracle import Delivery
from tests.oracle_catalog import Account, Contract, EventType, Period
from tests.oracle_product import Product
from tests.oracle_text import Line
from tests.oracle_worlds import World, told
from tests.worlds import LOCK, SALE, SID, TRAIL, ZONE, Sale, land, lines, load

SALES: Final = [Sale(f"A-{number}", f"O-{number % 4}") for number in range(8)]
FILE: Final = lines(
    "ActionId,Oid,ActionTrackerId,Amount,Reason",
    "A-1,,,40.00,ORDER_UPDATE",
    "A-2,,,0,ITEM_RETURNED",
    ",O-3,16027,55.00,ORDER_UPDATE",
    "A-1,,,30.00,ORDER_UPDATE",
    "A-2,,,,RESET",
    "A-5,,,-1,OTHER",
    "A-404,,,0,OTHER",
    "A-6,,,100.00,OTHER",
)
LATE: Final = lines("ActionId,Reason", "A-1,OTHER", "A-4,ITEM_RETURNED")


# The brand of ``tests.worlds``, as far as these acts meet it.
ACME: Final = Account(
    ZONE,
    "USD",
    (EventType(SALE),),
    (Contract(TRAIL, date(2026, 1, 1), Period(0, 27, "month"), Period(0, 20, "month"), Decimal("5.00")),),
)
COLUMNS: Final = {
    "ActionId": "action_id",
    "Oid": "order_id",
    "ActionTrackerId": "event_type",
    "Amount": "amount",
    "Reason": "reason",
}


@dataclass(frozen=True, slots=True)
class Template:
    """An installation just before an act, and what it is after an undisturbed one."""

    act: str
    at: datetime
    copies: Copies
    ledger: bytes
    answers: bytes


def _before_ingest(desk: Desk) -> datetime:
    land(desk, FILE)
    return START


def _before_release(desk: Desk) -> datetime:
    land(desk, FILE[:-1])
    statement_kills.ingest(desk, START)
    return START + timedelta(hours=1)


def _before_undo(desk: Desk) -> datetime:
    land(desk, FILE)
    statement_kills.ingest(desk, START)
    return START + timedelta(hours=1)


def _before_lock(desk: Desk) -> datetime:
    land(desk, LATE, received_at=LOCK - timedelta(minutes=1))
    return LOCK + timedelta(minutes=1)


BEFORE: Final = {"ingest": _before_ingest, "release": _before_release, "lock": _before_lock, "undo": _before_undo}


def _delivery(text: str, received_at: datetime) -> Delivery:
    """A file as the oracle reads it."""
    header, *rows = csv.reader(text.splitlines())
    columns = tuple(COLUMNS[name] for name in header)
    found = (Line(number, dict(zip(columns, row, strict=True))) for number, row in enumerate(rows, 2))
    return Delivery(text.encode(), received_at, columns, tuple(found))


def _foretold(act: str) -> dict[str, dict[str, Any]]:
    """The actions as the oracle leaves them."""
    oracle, _ = World(ACME, tuple(SALES), ()).ledger()
    if act == "lock":
        oracle.ingest(_delivery(LATE, LOCK - timedelta(minutes=1)))
        oracle.lock(LOCK + timedelta(minutes=1))
    else:
        # One that is held is released as it is.
        file = _delivery(FILE, START)
        oracle.ingest(file)
        if act == "undo":
            oracle.undo(file, START + timedelta(hours=1))
    return {one.action_id: told(one) for one in oracle.actions}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    """Each store."""
    name: str = request.param
    return name


def _template(store: str, name: str, folder: Path, request: pytest.FixtureRequest) -> Template:
    settings, copies = on_sqlite(Settings(state=folder / "template"))
    if store == "postgresql":
        server: str = request.getfixturevalue("postgresql_server")
        settings, copies = on_postgresql(settings, server, f"statements{os.getpid()}_{name}")
    with open_desk(settings, lambda: START) as desk:
        load(desk, folder, SALES)
        at = BEFORE[name](desk)
    undisturbed = copies(folder / "undisturbed")
    statement_kills.act(name, undisturbed, at)
    with open_desk(undisturbed, lambda: at) as desk:
        assert Product(desk.store, folder, SID).ledger() == _foretold(name)
        return Template(name, at, copies, ledger(desk), answers(undisturbed, SID))


@pytest.mark.parametrize("name", BEFORE)
def test_killed_around_every_statement(name: str, store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The ledger and the brand's files are byte for byte those of an undisturbed run, wherever the process died."""
    template = _template(store, name, tmp_path, request)
    for moment in range(1_000):
        settings = template.copies(tmp_path / str(moment))
        died = _die(template, settings, moment)
        statement_kills.act(name, settings, template.at)
        with open_desk(settings, lambda: template.at) as desk:
            assert ledger(desk) == template.ledger, moment
        assert answers(settings, SID) == template.answers, moment
        discard(settings)
        if not died:
            break
    # A moment too many ends undisturbed; before it there is one around each statement.
    assert 20 < moment < 999


def _die(template: Template, settings: Settings, moment: int) -> bool:
    """Act in a process of its own; gives whether it died."""
    child = FORKING.Process(
        target=statement_kills.act_and_die, args=(template.act, settings, template.at, moment), daemon=True
    )
    child.start()
    child.join(60)
    assert child.exitcode in {0, -signal.SIGKILL}, child.exitcode
    return child.exitcode != 0
