"""Killed before and after every statement of an act, an installation starts again and ends like an undisturbed one.

And the undisturbed one ends as the oracle says.
"""

import csv
import os
import signal
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from clawback.loading import load_actions
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from tests.clawback import statement_kills
from tests.conftest import START
from tests.copies import Copies, answers, discard, ledger, on_postgresql, on_sqlite
from tests.forking import FORKING
from tests.item_worlds import BASKET, ITEM_CATALOGUE, load_items
from tests.oracle import Delivery
from tests.oracle_catalog import Account, Contract, EventType, Period
from tests.oracle_items import Item
from tests.oracle_product import Product
from tests.oracle_text import Line
from tests.oracle_worlds import ItemSale, World, told
from tests.worlds import LOCK, SALE, SID, TRAIL, ZONE, Sale, actions_csv, land, lines, load, written

SALES: Final = [Sale(f"A-{number}", f"O-{number % 4}") for number in range(8)]
BASKET_HEADER: Final = ",".join(
    [actions_csv([]).strip(), *(f"Sku{at},Category{at},Quantity{at},Amount{at}" for at in (1, 2, 3))]
)
BOOTS: Final = Item("BOOT", "Shoes", 2, Decimal(80), (2, Decimal(80)))
SOCKS: Final = Item("SOCK", "", 3, Decimal(20), (3, Decimal(20)))
BASKETS: Final = [
    ItemSale("B-1", event_type=BASKET, items=(BOOTS, SOCKS)),
    ItemSale("B-2", event_type=BASKET, amount="20.00", items=(SOCKS,)),
    ItemSale("B-3", event_type=BASKET, amount="80.00", items=(BOOTS,)),
]
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
    "B-2,,,15.00,ORDER_UPDATE",
)
ITEMS: Final = lines(
    "ActionId,Oid,ActionTrackerId,Sku,Quantity,Amount,Reason",
    "B-1,,,BOOT,1,30.00,ORDER_UPDATE",
    "A-2,,,,,,RETURNED",
    ",O-3,16027,,,,RETURNED",
    "B-1,,,SOCK,0,,ITEM_RETURNED",
    "A-2,,,,,,RESET",
    "A-5,,,,,-1,OTHER",
    "A-404,,,BOOT,0,,OTHER",
    "A-6,,,,,,RESET",
    "B-2,,,SOCK,0,,ITEM_RETURNED",
    "B-3,,,,,,RETURNED",
)
# The catalogue does not know one of the reasons yet when it arrives.
OPEN: Final = lines(
    "ActionId,Sku,Quantity,Amount,Reason",
    "A-1,,,,RETURNED",
    "A-2,,,,DAMAGED",
    "A-5,,,-1,OTHER",
    "A-404,BOOT,0,,OTHER",
    "B-1,BOOT,1,30.00,ORDER_UPDATE",
    "B-1,SOCK,,,DAMAGED",
    "B-2,SOCK,,,DAMAGED",
)
# Lines that wait for their actions, and would reverse too much of what is open.
EARLY: Final = lines("ActionId,Reason", "A-1,OTHER", *(f"W-{number},OTHER" for number in range(20)))
AWAITED: Final = [Sale(f"W-{number}") for number in range(20)]
LATE: Final = lines("ActionId,Reason", "A-1,OTHER", "A-4,ITEM_RETURNED")


RETURNED: Final = 'code = "RETURNED"\n      outcome = "reverse"'
KNOWING_DAMAGED: Final = ITEM_CATALOGUE.replace(
    RETURNED,
    f"{RETURNED}\n      [[account.program.event_type.disposition]]\n      {RETURNED.replace('RETURNED', 'DAMAGED')}",
)
DISPOSITIONS: Final = {"RETURNED": "reverse", "DAMAGED": "reverse"}
# The brand of ``tests.worlds``, as far as these acts meet it.
ACME: Final = Account(
    ZONE,
    "USD",
    (EventType(SALE, dispositions=DISPOSITIONS), EventType(BASKET, dispositions=DISPOSITIONS, level="item")),
    (
        Contract(
            *(TRAIL, date(2026, 1, 1), Period(0, 27, "month"), Period(0, 20, "month"), Decimal("5.00")),
            categories={"Shoes": Decimal("8.00")},
        ),
    ),
)
COLUMNS: Final = {
    "ActionId": "action_id",
    "Oid": "order_id",
    "ActionTrackerId": "event_type",
    "Amount": "amount",
    "Sku": "sku1",
    "Quantity": "quantity1",
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
    land(desk, ITEMS[:-1])
    statement_kills.ingest(desk, START)
    return START + timedelta(hours=1)


def _before_hold_lines(desk: Desk) -> datetime:
    land(desk, EARLY)
    statement_kills.ingest(desk, START)
    load_actions(desk, written(desk.brands, "awaited.csv", actions_csv(AWAITED)))
    return START + timedelta(hours=1)


def _before_release_lines(desk: Desk) -> datetime:
    at = _before_hold_lines(desk)
    statement_kills.ingest(desk, at)
    return at + timedelta(hours=1)


def _before_undo(desk: Desk) -> datetime:
    land(desk, ITEMS)
    statement_kills.ingest(desk, START)
    return START + timedelta(hours=1)


def _before_lock(desk: Desk) -> datetime:
    land(desk, LATE, received_at=LOCK - timedelta(minutes=1))
    return LOCK + timedelta(minutes=1)


def _before_replay(desk: Desk) -> datetime:
    land(desk, OPEN)
    statement_kills.ingest(desk, START)
    with TemporaryDirectory() as folder:
        load(desk, Path(folder), catalogue=KNOWING_DAMAGED)
    return START + timedelta(hours=1)


BEFORE: Final = {
    "ingest": _before_ingest,
    "hold_lines": _before_hold_lines,
    "release": _before_release,
    "release_lines": _before_release_lines,
    "lock": _before_lock,
    "undo": _before_undo,
    "replay": _before_replay,
}


def _delivery(text: str, received_at: datetime) -> Delivery:
    """A file as the oracle reads it."""
    header, *rows = csv.reader(text.splitlines())
    known = COLUMNS | ({"Amount": "amount1"} if "Sku" in header else {})
    columns = tuple(known[name] for name in header)
    found = (Line(number, dict(zip(columns, row, strict=True))) for number, row in enumerate(rows, 2))
    return Delivery(text.encode(), received_at, columns, tuple(found))


def _foretold(act: str) -> dict[str, dict[str, Any]]:
    """The actions as the oracle leaves them."""
    awaited = AWAITED if act in {"hold_lines", "release_lines"} else []
    oracle, _ = World(ACME, (*SALES, *BASKETS, *awaited), ()).ledger()
    if act == "replay":
        # As if the reason had been known at once: no later line is about these actions.
        oracle.ingest(_delivery(OPEN, START))
    elif act == "hold_lines":
        oracle.ingest(_delivery(EARLY[: EARLY.index("W-0")], START))
    elif act == "release_lines":
        oracle.ingest(_delivery(EARLY, START))
    elif act == "lock":
        oracle.ingest(_delivery(LATE, LOCK - timedelta(minutes=1)))
        oracle.lock(LOCK + timedelta(minutes=1))
    else:
        # One that is held is released as it is.
        file = _delivery(FILE if act == "ingest" else ITEMS, START)
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
        load(desk, folder, SALES, catalogue=ITEM_CATALOGUE)
        header = (
            f"{actions_csv([]).strip()},{','.join(f'Sku{at},Category{at},Quantity{at},Amount{at}' for at in (1, 2, 3))}"
        )
        load_items(desk, folder, *(basket.item_row() for basket in BASKETS), header=header)
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
    # One too many ends undisturbed; before it there is one behind each statement.
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
