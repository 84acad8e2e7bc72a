"""Knows which changes of a delivery were undone since, and are in force no more."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, FromClause, exists, not_, or_, select

from processing.tables import delivery, entry


def undone_entries(db: Connection, delivery_id: int) -> ColumnElement[bool] | None:
    """The condition that an entry of a delivery was undone since, ``None`` if none was.

    An undo may itself have been undone, for each of its actions or for some.
    """
    undos = _undos(db, delivery_id)
    return _undone(db, undos, entry) if undos else None


def _undone(db: Connection, undos: Sequence[int], changed: FromClause) -> ColumnElement[bool]:
    return or_(*(_returned(db, undo, changed) for undo in undos))


def _returned(db: Connection, undo: int, changed: FromClause) -> ColumnElement[bool]:
    """That an undo returned the action of an entry, and its own change is in force."""
    back = entry.alias()
    in_force = exists().where(
        back.c.delivery_id == undo, back.c.action_id == changed.c.action_id, back.c.version > changed.c.version
    )
    if undos := _undos(db, undo):
        in_force = in_force.where(not_(_undone(db, undos, back)))
    return in_force


def _undos(db: Connection, delivery_id: int) -> Sequence[int]:
    return db.execute(select(delivery.c.id).where(delivery.c.undoes == delivery_id)).scalars().all()
