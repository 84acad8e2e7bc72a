"""Copies of an installation with its store, and what is the same in two of them whatever was killed in between."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, make_url, select, text

from clawback.settings import Settings
from clawback.wiring import Desk
from processing.tables import metadata

# Row numbers of deliveries come from a sequence, which a killed transaction moves on; their order stays.
RENUMBERED: Final = {
    "delivery.id",
    "delivery.duplicate_of",
    "entry.delivery_id",
    "line.delivery_id",
    "action.changed_by",
    "adjustment.delivery_id",
    "adjustment_item.delivery_id",
    "delivery.undoes",
    "delivery.undone_by",
    "item_entry.delivery_id",
    "item_word.delivery_id",
    "waiting_line.delivery_id",
    "judged_later.delivery_id",
}
LEFT_OUT: Final = {
    "delivery.delivery",
    "delivery.received_at",
    "delivery.finished_at",
    "delivery.changed_at",
    "delivery.waits_until",
    "delivery.answered_at",
    "judged_later.judged_at",
}
IDENTITY: Final = re.compile(rb"\d{8}T\d{12}-[0-9a-f]{8}")
INSTANT: Final = re.compile(rb'"(received_at|finished_at|waits_until|time_left)": "[^"]*"')
# What the message of a waiting line tells of its delivery's arrival; every other instant has to be the same.
TOLD: Final = re.compile(rb"(waits for it until|judged as arrived at) \S+[0-9]")


Copies = Callable[[Path], Settings]
_NUMBERS = count()


def ledger(desk: Desk) -> bytes:
    """Every row of every table but for the instants of processing; a delivery is told by its rank among all."""
    rows: list[str] = []
    delivery = metadata.tables["delivery"]
    with desk.store.read() as db:
        known = db.execute(select(delivery.c.id, delivery.c.delivery).order_by(delivery.c.id)).all()
        ranks = {number: rank for rank, (number, _) in enumerate(known)}
        for table in metadata.sorted_tables:
            names = [f"{table.name}.{column.name}" for column in table.columns]
            for row in db.execute(select(table).order_by(*table.primary_key.columns)):
                shown = [
                    ranks.get(value) if name in RENUMBERED else value
                    for name, value in zip(names, row, strict=True)
                    if name not in LEFT_OUT
                ]
                rows.append(f"{table.name} {shown!r}")
    return TOLD.sub(b"", _ranked("\n".join(rows).encode(), [name.encode() for _, name in known]))


def answers(settings: Settings, sid: str) -> bytes:
    """The files that a brand got, but for instants; a delivery is told by its rank among those that are named."""
    folder = settings.state / "ftp" / sid / "results"
    # What a kill cuts off in the middle of writing stays under a hidden name.
    found = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    told = b"".join(path.name.encode() + b"\n" + path.read_bytes() for path in found)
    return TOLD.sub(b"", INSTANT.sub(rb'"\1": ""', _ranked(told, sorted({*IDENTITY.findall(told)}))))


def _ranked(told: bytes, deliveries: list[bytes]) -> bytes:
    ranks = {name: rank for rank, name in enumerate(deliveries)}
    return IDENTITY.sub(lambda found: b"delivery %d" % ranks[found[0]], told)


def drop(server: str, name: str) -> None:
    """Give a database's place back, whoever is connected to it."""
    administer(server, f"drop database {name} with (force)")


def discard(settings: Settings) -> None:
    """Give the place of a copy back."""
    shutil.rmtree(settings.state)
    url = make_url(settings.store_url)
    if url.get_backend_name() == "postgresql" and url.database:
        drop(url.set(database="postgres").render_as_string(hide_password=False), url.database)


def on_sqlite(settings: Settings) -> tuple[Settings, Copies]:
    """An installation with its store in its folder, and how it is copied."""
    return settings, partial(_copied, settings)


def on_postgresql(settings: Settings, server: str, base: str) -> tuple[Settings, Copies]:
    """An installation with a database of its own, and how both are copied while nobody is connected to it."""
    create(server, base)
    settings = replace(settings, store=database(server, base))
    return settings, partial(_copied_with_database, settings, server, base)


def _copied(settings: Settings, folder: Path) -> Settings:
    shutil.copytree(settings.state, folder)
    return replace(settings, state=folder)


def _copied_with_database(settings: Settings, server: str, base: str, folder: Path) -> Settings:
    name = f"k{os.getpid()}_{next(_NUMBERS)}"
    create(server, name, base)
    return replace(_copied(settings, folder), store=database(server, name))


def database(server: str, name: str) -> str:
    """The URL of a database of a PostgreSQL server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def create(server: str, name: str, template: str = "template1") -> None:
    """Make a database, as a copy of one to which nobody is connected."""
    # By default the copy goes through the write-ahead log, page by page.
    administer(server, f"create database {name} template {template} strategy file_copy")


def administer(server: str, *statements: str) -> None:
    """Run statements that concern a whole server, each in a transaction of its own."""
    admin = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as db:
        for statement in statements:
            db.execute(text(statement))
    admin.dispose()
