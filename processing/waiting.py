"""The waiting room: lines whose action is not known yet, kept by what names it until it is loaded or they expire.

Lines that are held once their action was loaded stay in it, too, until a person decides.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, or_, select, true, tuple_, update

from processing import bulk
from processing.catalog import Terms
from processing.codes import Code, Verdict
from processing.columns import NONE, Ints, texts
from processing.explain import ANSWER, shown
from processing.instants import micros
from processing.staging import staged_action
from processing.tables import account, action, delivery, line, waiting_line

_CHUNK_LINES: Final = 50_000
# Those that are held are told of already.
_UNTOLD: Final = waiting_line.c.ready & ~waiting_line.c.held
_EXPIRED: Final = (
    "No action of the account has {field} {value}. The line waited for it until {until}, and it was not loaded. "
    "Check the value, and send the line again."
)


def wait(db: Connection, terms: Terms, delivery_id: int, received_at: int, lines: pd.DataFrame) -> None:
    """Keep lines whose action is not known, beside their verdict.

    ``received_at``: microseconds. ``lines``: index line; action_id, order_id (text or NA), event_type (Int64 or NA).
    """
    if len(lines) == 0:
        return
    number = lines["event_type"].to_numpy(np.int64, na_value=NONE)
    rows = {
        "delivery_id": np.full(len(lines), delivery_id, dtype=np.int64),
        "line": lines.index.to_numpy(np.int64),
        "account_id": np.full(len(lines), terms.account_id, dtype=np.int64),
        "action_id": texts(lines["action_id"]),
        "order_id": texts(lines["order_id"]),
        "event_type_id": pa.array(number, mask=number == NONE),
    }
    bulk.insert(db, waiting_line, bulk.frame(rows))
    db.execute(update(delivery).values(waits_until=terms.waits_until(received_at)).where(delivery.c.id == delivery_id))


def anybody(db: Connection, account_id: int) -> bool:
    """Whether lines of the account wait."""
    mine = waiting_line.c.account_id == account_id
    return db.execute(select(waiting_line.c.line).where(mine).limit(1)).first() is not None


def wake(db: Connection, account_id: int) -> None:
    """Mark the lines that may mean an action of the chunk that is staged, in the transaction that adds it."""
    if not anybody(db, account_id):
        return
    mine = waiting_line.c.account_id == account_id
    by_order = tuple_(waiting_line.c.event_type_id, waiting_line.c.order_id)
    orders = select(staged_action.c.event_type_id, staged_action.c.order_id).where(
        staged_action.c.order_id.is_not(None)
    )
    for named in (
        waiting_line.c.action_id.in_(select(staged_action.c.action_id)),
        waiting_line.c.action_id.is_(None) & by_order.in_(orders),
    ):
        db.execute(update(waiting_line).values(ready=true()).where(mine, named))


def ready(db: Connection, sid: str | None = None, *, with_held: bool = False) -> list[Row[Any]]:
    """Deliveries with lines whose action was loaded meanwhile, in the order of their arrival.

    Those of which all such lines are held are left out, unless they are asked for. Columns id, delivery, received_at
    (microseconds) and sid.
    """
    woken = select(waiting_line.c.delivery_id).where(waiting_line.c.ready if with_held else _UNTOLD)
    if sid is not None:
        number = select(account.c.id).where(account.c.sid == sid).scalar_subquery()
        woken = woken.where(waiting_line.c.account_id == number)
    return _deliveries(db, delivery.c.id.in_(woken))


def untold(db: Connection, delivery_id: int) -> bool:
    """Whether lines of a delivery are ready, and neither judged nor held yet."""
    mine = waiting_line.c.delivery_id == delivery_id
    return db.execute(select(waiting_line.c.line).where(mine, _UNTOLD).limit(1)).first() is not None


def hold(db: Connection, delivery_id: int, weighed: Ints, code: Code, message: str) -> int | None:
    """Give the ready lines of a delivery the verdict held; gives how many are new, None if they are not as ``weighed``.

    ``weighed`` are the lines (numbers, ascending) that were ready when they were weighed: others may have become ready
    since, or a person may have decided about them.
    """
    mine = (waiting_line.c.delivery_id == delivery_id) & waiting_line.c.ready
    numbers = select(waiting_line.c.line).where(mine)
    found = bulk.fetch(db, numbers.order_by(waiting_line.c.line), {"line": int})["line"]
    new = db.execute(select(func.count()).where(mine, ~waiting_line.c.held)).scalar_one()
    if not np.array_equal(found, weighed) or new == 0:
        return None
    said = update(line).values(verdict=Verdict.HELD.value, code=code.value, message=message)
    db.execute(said.where(line.c.delivery_id == delivery_id, line.c.line.in_(numbers)))
    db.execute(update(waiting_line).values(held=true()).where(mine))
    return int(new)


def why_held(db: Connection, delivery_id: int) -> str:
    """What is said of the lines of a delivery that are held; nothing if none is."""
    held = (waiting_line.c.delivery_id == delivery_id) & waiting_line.c.held
    same = (line.c.delivery_id == waiting_line.c.delivery_id) & (line.c.line == waiting_line.c.line)
    said = db.execute(select(line.c.message).join(waiting_line, same).where(held).limit(1)).scalar()
    return said or ""


def overdue(db: Connection, at: datetime, sid: str | None = None) -> list[Row[Any]]:
    """Deliveries of which lines waited in vain long enough at an instant; columns and order as those of ``ready``."""
    mine = true() if sid is None else account.c.sid == sid
    in_vain = exists().where(waiting_line.c.delivery_id == delivery.c.id, ~waiting_line.c.ready)
    due = delivery.c.waits_until.is_not(None) & (delivery.c.waits_until <= micros(at))
    return _deliveries(db, due & in_vain & mine)


def ready_actions(db: Connection, delivery_id: int) -> set[int]:
    """The actions (row ids) that a delivery's lines may mean since they were loaded."""
    by_order = (
        waiting_line.c.action_id.is_(None)
        & (action.c.event_type_id == waiting_line.c.event_type_id)
        & (action.c.order_id == waiting_line.c.order_id)
    )
    named = or_(action.c.action_id == waiting_line.c.action_id, by_order)
    query = (
        select(action.c.id)
        .join(waiting_line, (action.c.account_id == waiting_line.c.account_id) & named)
        .where(waiting_line.c.delivery_id == delivery_id, waiting_line.c.ready)
    )
    return set(db.execute(query).scalars())


def expire(db: Connection, delivery_id: int, until: str) -> Mapping[Verdict, int]:
    """Refuse the lines of a delivery that waited in vain ``until`` an instant, as people read it.

    Gives how many had which verdict, as the others do that refuse.
    """

    def says(field: str, value: str) -> str:
        return _EXPIRED.format(field=field, value=shown(value), until=until)

    return _refuse(db, delivery_id, Code.UNKNOWN_ACTION, says, ~waiting_line.c.ready)


def close(db: Connection, delivery_id: int) -> Mapping[Verdict, int]:
    """Refuse all waiting lines of a delivery that is undone, the held ones, too."""
    return _refuse(db, delivery_id, Code.UNDONE, lambda _field, _value: Code.UNDONE.message(), true())


def reject(db: Connection, delivery_id: int, by: str) -> Mapping[Verdict, int]:
    """Refuse the lines of a delivery that are held, as somebody decided."""
    message = Code.NOT_RELEASED.message(value=by)
    return _refuse(db, delivery_id, Code.NOT_RELEASED, lambda _field, _value: message, waiting_line.c.held)


def _refuse(
    db: Connection, delivery_id: int, code: Code, says: Callable[[str, str], str], which: ColumnElement[bool]
) -> Mapping[Verdict, int]:
    chosen = (waiting_line.c.delivery_id == delivery_id) & which
    mine = (line.c.delivery_id == delivery_id) & line.c.line.in_(select(waiting_line.c.line).where(chosen))
    counted = db.execute(select(line.c.verdict, func.count()).where(mine).group_by(line.c.verdict))
    refused = Counter({Verdict(verdict): count for verdict, count in counted})
    db.execute(delete(line).where(mine))
    columns = (waiting_line.c.line, waiting_line.c.action_id, waiting_line.c.order_id)
    last = NONE
    while True:
        query = select(*columns).where(chosen, waiting_line.c.line > last).order_by(waiting_line.c.line)
        found = bulk.fetch(db, query.limit(_CHUNK_LINES), {"line": int, "action_id": str, "order_id": str})
        if len(found["line"]) == 0:
            break
        pairs = zip(found["action_id"], found["order_id"], strict=True)
        messages = [says("Oid", order) if number is None else says("ActionId", number) for number, order in pairs]
        _answer(db, delivery_id, code, found["line"], messages)
        last = int(found["line"][-1])
    db.execute(delete(waiting_line).where(chosen))
    return refused


def _answer(db: Connection, delivery_id: int, code: Code, lines: Any, messages: list[str]) -> None:  # noqa: ANN401 - a column of bulk.fetch
    count = len(messages)
    rows = pa.table(
        {
            "line": lines,
            "verdict": pa.array([Verdict.REFUSED.value] * count, pa.string()),
            "code": pa.array([code.value] * count, pa.string()),
            "message": pa.array(messages, pa.string()),
            "action_id": pa.nulls(count, pa.int64()),
        },
        schema=ANSWER,
    )
    bulk.insert(db, line, rows.append_column("delivery_id", pa.array([delivery_id] * count, pa.int64())))


def _deliveries(db: Connection, chosen: Any) -> list[Row[Any]]:  # noqa: ANN401 - a condition
    query = select(delivery.c.id, delivery.c.delivery, delivery.c.received_at, account.c.sid).join(account)
    return list(db.execute(query.where(chosen).order_by(delivery.c.received_at, delivery.c.delivery)))
