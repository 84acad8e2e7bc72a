"""Pages of a long list by keyset: each begins where another one ends, so that all cost the same and none moves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, tuple_

Keys = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Which page is wanted: the one that follows a row, the one before it, the last, or simply the nth.

    ``after`` and ``before`` are the keys of a row that was on a page already. ``total`` is how long the list was when
    its first page was read; without it the list is counted. Only an nth page without any of these costs more the
    further down it is.
    """

    number: int
    size: int
    after: Keys | None = None
    before: Keys | None = None
    total: int | None = None
    last: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of a page in the order of the list, and the length of the list."""

    rows: Sequence[Row[Any]]
    total: int


def read(
    db: Connection, query: Select[Any], keys: Sequence[ColumnElement[int]], place: Place, *, rising: bool = False
) -> Page:
    """A page of a query; ``keys`` are two columns that together tell its rows apart and fall down the list, or rise."""
    total = place.total
    if total is None:
        total = int(db.execute(select(func.count()).select_from(query.order_by(None).subquery())).scalar_one())
    return Page(_rows(db, query, keys, replace(place, total=total), rising=rising), total)


def _rows(
    db: Connection, query: Select[Any], keys: Sequence[ColumnElement[int]], place: Place, *, rising: bool
) -> Sequence[Row[Any]]:
    both, total = tuple_(*keys), place.total or 0
    falling, climbing = query.order_by(*(key.desc() for key in keys)), query.order_by(*keys)
    down, up = (climbing, falling) if rising else (falling, climbing)
    if place.after is not None:
        beyond = both > place.after if rising else both < place.after
        return db.execute(down.where(beyond).limit(place.size)).all()
    if place.before is not None:
        ahead = both < place.before if rising else both > place.before
        return db.execute(up.where(ahead).limit(place.size)).all()[::-1]
    skipped = (place.number - 1) * place.size
    if place.last:
        return db.execute(up.limit(max(0, min(place.size, total - skipped)))).all()[::-1]
    # A number so large that no list is that long would not fit into the database's integers.
    return db.execute(down.limit(place.size).offset(skipped)).all() if skipped < total else []
