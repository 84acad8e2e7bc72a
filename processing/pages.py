"""Pages of a long list by keyset: each begins where another one ends, so that all cost the same and none moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Select, func, select, tuple_

Keys = tuple[int, int]
NOTHING: Final[Mapping[Keys, Any]] = MappingProxyType({})


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
    """The rows of a page, or others, in the order of the list; and the length of the list."""

    rows: Sequence[Any]
    total: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What of a list makes a page: ``count`` rows behind ``start``, or behind the first ``skip`` rows of the list.

    ``up`` is against the order of the list, from its last row if there is no start.
    """

    start: Keys | None
    up: bool
    skip: int
    count: int


def read(
    db: Connection,
    query: Select[Any],
    keys: Sequence[ColumnElement[int]],
    place: Place,
    *,
    rising: bool = False,
    others: Mapping[Keys, Any] = NOTHING,
) -> Page:
    """A page of a query; ``keys`` are two columns that together tell its rows apart and fall down the list, or rise.

    ``others`` are members of the list that the database does not have, by their keys.
    """
    total = length(db, query, place, len(others))
    wanted = cut(place, total)
    climbs = wanted.up is not rising
    if wanted.start is not None:
        both, start = tuple_(*keys), wanted.start
        query = query.where(both > start if climbs else both < start)
        others = {key: one for key, one in others.items() if (key > start if climbs else key < start)}
    query = query.order_by(*(key if climbs else key.desc() for key in keys))
    # So many of the rows before the page may be others.
    early = min(wanted.skip, len(others))
    query = query.limit(wanted.count + early).offset(wanted.skip - early)
    rows: Sequence[Any] = db.execute(query).all() if wanted.count else []
    if others:
        placed = {(row._mapping[keys[0]], row._mapping[keys[1]]): row for row in rows} | dict(others)  # noqa: SLF001 - public
        rows = [one for _, one in sorted(placed.items(), key=itemgetter(0), reverse=not climbs)]
        rows = rows[early : early + wanted.count]
    return Page(rows[::-1] if wanted.up else rows, total)


def sliced(rows: Sequence[Any], place: Place) -> Page:
    """A page of a list that is short enough to be read whole: each row with its number, which tells it from others."""
    total = len(rows) if place.total is None else place.total
    wanted = cut(place, total)
    start = None if wanted.start is None else max(0, wanted.start[1])
    if wanted.up:
        end = len(rows) if start is None else start
        first = max(0, end - wanted.count)
    else:
        first = wanted.skip if start is None else start + 1
        end = first + wanted.count
    return Page(list(enumerate(rows))[first:end], total)


def length(db: Connection, query: Select[Any] | CompoundSelect[Any], place: Place, others: int = 0) -> int:
    """How long the list is with so many others, or was when its first page was read."""
    if place.total is not None:
        return place.total
    counted = select(func.count()).select_from(query.order_by(None).subquery())
    return int(db.execute(counted).scalar_one()) + others


def cut(place: Place, total: int) -> Cut:
    """Where a page begins, and how many rows it has at most."""
    skipped = (place.number - 1) * place.size
    if place.after is not None:
        return Cut(place.after, up=False, skip=0, count=place.size)
    if place.before is not None:
        return Cut(place.before, up=True, skip=0, count=place.size)
    if place.last:
        return Cut(None, up=True, skip=0, count=max(0, min(place.size, total - skipped)))
    # A number so large that no list is that long would not fit into the database's integers.
    return (
        Cut(None, up=False, skip=skipped, count=place.size) if skipped < total else Cut(None, up=False, skip=0, count=0)
    )
