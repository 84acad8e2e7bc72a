"""Finds the action that each line means: by its id, or by order id and event type, where the newest wins."""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import CompoundSelect, Connection, select, union_all

from processing import bulk
from processing.columns import NONE, Ints, Objects
from processing.tables import action, staged_line

NOBODY: Final = -1

_TEXTS: Final = ("action_id", "state", "currency", "customer_status", "tracked_status")


@dataclass(slots=True)
class Actions:
    """The actions that a chunk of lines names, a column an array; their values move as lines are decided.

    Money in minor units, instants in microseconds; ``NONE`` stands for no value in a column of integers,
    ``None`` in a column of texts.
    """

    id: Ints
    action_id: Objects
    event_type_id: Ints
    partner_id: Ints
    contract_id: Ints
    event_at: Ints
    created_at: Ints
    locks_at: Ints
    locked_at: Ints
    state: Objects
    currency: Objects
    amount: Ints
    payout: Ints
    customer_status: Objects
    tracked_amount: Ints
    tracked_payout: Ints
    tracked_status: Objects
    prior_amount: Ints
    prior_payout: Ints
    changes: Ints
    version: Ints
    changed_by: Ints

    def __len__(self) -> int:
        return len(self.id)


_SCHEMA: Final = pa.schema(
    [
        pa.field("position", pa.int64()),
        *(pa.field(one.name, pa.string() if one.name in _TEXTS else pa.int64()) for one in fields(Actions)),
    ]
)


@dataclass(frozen=True, slots=True)
class Matched:
    """Which action each line means: ``row`` into ``actions`` (or ``NOBODY``), and how many had its order id."""

    actions: Actions
    row: Ints
    candidates: Ints


def match(db: Connection, account_id: int, lines: pd.DataFrame) -> Matched:
    """Match lines to the account's actions; another account's actions are unknown here.

    ``lines``: action_id (str or NA), order_id (str or NA), event_type (Int64 or NA).
    """
    bulk.stage(db, staged_line, _staged(account_id, lines))
    bulk.know_sizes(db, staged_line, len(lines))
    found = bulk.fetch(db, _query(), _SCHEMA)
    position = _ints(found["position"])
    # Newest first within a line, so that the first of each line is the one it means.
    order = np.lexsort((-_ints(found["id"]), -_ints(found["created_at"]), position))
    _, first, counts = np.unique(position[order], return_index=True, return_counts=True)
    chosen = order[first]
    ids, where, inverse = np.unique(_ints(found["id"])[chosen], return_index=True, return_inverse=True)
    row = np.full(len(lines), NOBODY, dtype=np.int64)
    row[position[chosen]] = inverse
    candidates = np.zeros(len(lines), dtype=np.int64)
    candidates[position[chosen]] = counts
    assert len(ids) == len(where)  # noqa: S101 - one row per action
    return Matched(_actions(found.take(chosen[where])), row, candidates)


def _staged(account_id: int, lines: pd.DataFrame) -> pa.Table:
    return pa.table(
        {
            "position": pa.array(np.arange(len(lines), dtype=np.int64)),
            "account_id": pa.array(np.full(len(lines), account_id, dtype=np.int64)),
            "action_id": pa.array(lines["action_id"], pa.string(), from_pandas=True),
            "order_id": pa.array(lines["order_id"], pa.string(), from_pandas=True),
            "event_type_id": pa.array(lines["event_type"], pa.int64(), from_pandas=True),
        }
    )


def _query() -> CompoundSelect[Any]:
    values = [action.c[one.name] for one in fields(Actions)]
    mine = action.c.account_id == staged_line.c.account_id
    by_id = select(staged_line.c.position, *values).where(mine, action.c.action_id == staged_line.c.action_id)
    by_order = select(staged_line.c.position, *values).where(
        mine,
        staged_line.c.action_id.is_(None),
        action.c.event_type_id == staged_line.c.event_type_id,
        action.c.order_id == staged_line.c.order_id,
    )
    return union_all(by_id, by_order)


def _actions(found: pa.Table) -> Actions:
    read = {name: _texts if name in _TEXTS else _ints for name in _SCHEMA.names[1:]}
    return Actions(**{name: reader(found[name]) for name, reader in read.items()})


def _ints(column: Any) -> Any:  # noqa: ANN401 - Arrow's types of a nullable column say nothing
    return column.fill_null(NONE).to_numpy().copy()


def _texts(column: Any) -> Any:  # noqa: ANN401
    return np.array(column.to_numpy(), dtype=np.object_)
