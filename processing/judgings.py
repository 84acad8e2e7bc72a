"""When the line of each entry was judged: as its delivery was finished, or later, when that was revised."""

from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, select

from processing import bulk
from processing.columns import Ints
from processing.tables import delivery, entry, judged_later

# The line of an entry, in the table of those that were judged later.
SAME_LINE: ColumnElement[bool] = (judged_later.c.delivery_id == entry.c.delivery_id) & (
    judged_later.c.line == entry.c.line
)


def judged_at() -> ColumnElement[Any]:
    """The instant (in microseconds) at which the line of an entry was judged, which nothing moves; null without one."""
    later = select(judged_later.c.judged_at).where(SAME_LINE)
    first = select(delivery.c.finished_at).where(delivery.c.id == entry.c.delivery_id)
    return func.coalesce(*(one.correlate(entry).scalar_subquery() for one in (later, first)))


def record_later(db: Connection, account_id: int, delivery_id: int, lines: Ints, at: int) -> None:
    """Record when lines of a finished delivery that made entries were judged (in microseconds)."""
    columns = {"delivery_id": delivery_id, "account_id": account_id, "judged_at": at}
    rows = {name: np.full(len(lines), value, dtype=np.int64) for name, value in columns.items()}
    bulk.insert(db, judged_later, {**rows, "line": lines})
