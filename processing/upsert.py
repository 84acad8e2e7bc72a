"""Rows that may be there already: left as they are, or replaced."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_into(db: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert of the store's own dialect, which knows what to do on a conflict."""
    return postgresql.insert(table) if db.dialect.name == "postgresql" else sqlite.insert(table)


def add_missing(db: Connection, table: Table, values: Mapping[str, Any]) -> int:
    """Add a row unless one with its key is there; returns how many were added."""
    return db.execute(insert_into(db, table).values(values).on_conflict_do_nothing()).rowcount


def put(db: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]) -> None:
    """Add rows that name the same columns; one whose ``key`` is there gets the new values of the others."""
    if not rows:
        return
    insert = insert_into(db, table)
    values = {name: insert.excluded[name] for name in rows[0] if name not in key}
    db.execute(insert.on_conflict_do_update(index_elements=key, set_=values), list(rows))
