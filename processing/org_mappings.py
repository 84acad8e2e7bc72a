"""The store's record of the mappings of brands' orgs: which are approved, and which were checked and found right."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from processing import upsert
from processing.instants import micros
from processing.record_tables import org_mapping


def known(db: Connection, source: str) -> dict[str, Row[Any]]:
    """What is known of the mappings of a source, by their names; those that were never checked are missing."""
    found = db.execute(select(org_mapping).where(org_mapping.c.source == source))
    return {one.mapping: one for one in found}


def approved(db: Connection, source: str) -> set[str]:
    """The mappings of which what is observed is applied."""
    query = select(org_mapping.c.mapping).where(org_mapping.c.source == source, org_mapping.c.approved_at.is_not(None))
    return set(db.execute(query).scalars())


def approve(db: Connection, source: str, mappings: Iterable[str], at: datetime) -> None:
    """From now on what is observed by these mappings is applied."""
    for name in mappings:
        upsert.add_missing(db, org_mapping, {"source": source, "mapping": name})
        unapproved = (*_of(source, name), org_mapping.c.approved_at.is_(None))
        db.execute(update(org_mapping).where(*unapproved).values(approved_at=micros(at)))


def withdraw(db: Connection, source: str, mapping: str) -> None:
    """What a mapping observes from now on waits until it is approved again."""
    db.execute(update(org_mapping).where(*_of(source, mapping)).values(approved_at=None))


def checked(db: Connection, source: str, mapping: str, *, digest: str, reading: str, at: datetime) -> None:
    """Remember by its digests which mapping was found right, and what it reads."""
    values = {"checked": digest, "reading": reading, "refused": None, "because": None, "checked_at": micros(at)}
    _set(db, source, mapping, values)


def counted(db: Connection, source: str, mapping: str, *, records: int, before: int | None, at: datetime) -> None:
    """Remember how many records of its object a mapping sees, and how many it saw about a day before."""
    _set(db, source, mapping, {"records": records, "records_before": before, "counted_at": micros(at)})


def refused(db: Connection, source: str, mapping: str, *, digest: str, because: str, at: datetime) -> None:
    """Remember by its digest which mapping was found wrong."""
    _set(db, source, mapping, {"refused": digest, "because": because, "checked_at": micros(at)})


def doubt(db: Connection, source: str, mapping: str) -> None:
    """Have a mapping checked again before it is read the next time."""
    db.execute(update(org_mapping).where(*_of(source, mapping)).values(checked_at=None))


def forget(db: Connection, source: str, mapping: str) -> None:
    """Know nothing of a mapping any more."""
    db.execute(delete(org_mapping).where(*_of(source, mapping)))


def _of(source: str, mapping: str) -> tuple[Any, ...]:
    return org_mapping.c.source == source, org_mapping.c.mapping == mapping


def _set(db: Connection, source: str, mapping: str, values: dict[str, Any]) -> None:
    upsert.add_missing(db, org_mapping, {"source": source, "mapping": mapping})
    db.execute(update(org_mapping).where(*_of(source, mapping)).values(values))
