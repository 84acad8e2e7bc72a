"""Finds the action that each line means: by its id, or by order id and event type, where the newest wins."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, Connection, Integer, cast, func, select, true

from processing import bulk
from processing.columns import NONE, Ints, Objects, blank, texts
from processing.tables import action, delivery, entry

NOBODY: Final = -1

_TEXTS: Final = ("state", "currency", "customer_status", "tracked_status")
_RECALLED: Final = ("event_at", "tracked_payout", "tracked_status", "prior_amount", "prior_payout")


@dataclass(slots=True)
class Actions:
    """The actions that a chunk of lines names, a column an array; their values move as lines are decided.

    Money in minor units, instants in microseconds; ``NONE`` stands for no value in a column of integers,
    ``None`` in a column of texts. ``changed_at`` is the arrival of the delivery in force that changed the action last,
    and ``last_line`` the last line of the delivery at hand that changed it before, 0 for none. The last five columns
    are empty until ``recall`` fills them.
    """

    id: Ints
    event_type_id: Ints
    partner_id: Ints
    contract_id: Ints
    locks_at: Ints
    locked_at: Ints
    state: Objects
    currency: Objects
    amount: Ints
    payout: Ints
    customer_status: Objects
    tracked_amount: Ints
    changes: Ints
    version: Ints
    changed_by: Ints
    changed_at: Ints
    last_line: Ints
    event_at: Ints
    tracked_payout: Ints
    tracked_status: Objects
    prior_amount: Ints
    prior_payout: Ints

    def __len__(self) -> int:
        return len(self.id)


_KINDS: Final[dict[str, bulk.Kind]] = {one.name: str if one.name in _TEXTS else int for one in fields(Actions)}
_READ: Final = tuple(name for name in _KINDS if name not in {"changed_at", "last_line", *_RECALLED})


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
    found = _found(db, account_id, lines)
    position = found.pop("position")
    order = _newest_first(db, found["id"], position)
    _, first, counts = np.unique(position[order], return_index=True, return_counts=True)
    chosen = order[first]
    ids, where, inverse = np.unique(found["id"][chosen], return_index=True, return_inverse=True)
    row = np.full(len(lines), NOBODY, dtype=np.int64)
    row[position[chosen]] = inverse
    candidates = np.zeros(len(lines), dtype=np.int64)
    candidates[position[chosen]] = counts
    assert len(ids) == len(where)  # noqa: S101 - one row per action
    empty: dict[str, Any] = {
        name: blank(len(ids)) if name in _TEXTS else np.full(len(ids), NONE, dtype=np.int64) for name in _RECALLED
    }
    found = {name: column[chosen[where]] for name, column in found.items()}
    none = np.zeros(len(ids), dtype=np.int64)
    actions = Actions(**found, changed_at=_changed_at(db, found["changed_by"], ids), last_line=none, **empty)
    return Matched(actions, row, candidates)


def recall(db: Connection, actions: Actions, rows: Ints) -> None:
    """Fill in what only few lines ask for: when these actions were tracked, with what, and what a reversal took."""
    if len(rows) == 0:
        return
    for name, column in _of(db, actions.id[rows], _RECALLED).items():
        getattr(actions, name)[rows] = column


def _found(db: Connection, account_id: int, lines: pd.DataFrame) -> dict[str, Any]:
    """Every action of the account that a line could mean, beside the line's position."""
    by_id = lines["action_id"].notna().to_numpy()
    parts = [_joined(db, account_id, lines["action_id"], np.flatnonzero(by_id), action.c.action_id, true())]
    of_type = lines["event_type"].to_numpy(np.int64, na_value=NONE)
    for number in np.unique(of_type[~by_id]).tolist():
        at = np.flatnonzero(~by_id & (of_type == number))
        of_this = action.c.event_type_id == number
        parts.append(_joined(db, account_id, lines["order_id"], at, action.c.order_id, of_this))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _joined(
    db: Connection, account_id: int, names: pd.Series, at: Ints, key: ColumnElement[str], condition: ColumnElement[bool]
) -> dict[str, Any]:
    wanted = bulk.listed(db, texts(names.iloc[at]).tolist())
    mine = (action.c.account_id == account_id) & condition & (key == wanted.c.value)
    query = select(wanted.c.position, *(action.c[name] for name in _READ)).outerjoin(action, mine)
    found = bulk.fetch(db, query, {"position": int, **{name: _KINDS[name] for name in _READ}})
    there = found["id"] != NONE
    return {name: column[there] for name, column in found.items()} | {"position": at[found["position"][there]]}


def _newest_first(db: Connection, ids: Ints, position: Ints) -> Ints:
    """The order that puts the actions of a line together, the one it means first."""
    _, at, counts = np.unique(position, return_inverse=True, return_counts=True)
    created_at, many = np.zeros(len(ids), dtype=np.int64), counts[at] > 1
    if many.any():
        created_at[many] = _of(db, ids[many], ("created_at",))["created_at"]
    return np.lexsort((-ids, -created_at, position))


def _changed_at(db: Connection, changed_by: Ints, ids: Ints) -> Ints:
    """When what changed each action (row ids) last arrived; what was undone, and its undo, never were."""
    arrivals = np.full(len(changed_by), NONE, dtype=np.int64)
    changed = changed_by != NONE
    if not changed.any():
        return arrivals
    numbers, at = np.unique(changed_by[changed], return_inverse=True)
    wanted = bulk.listed(db, numbers.tolist())
    is_undo = delivery.c.undoes.is_not(None)
    query = select(wanted.c.position, delivery.c.received_at, cast(is_undo, Integer).label("is_undo"))
    query = query.join(delivery, delivery.c.id == wanted.c.value)
    found = bulk.fetch(db, query, {"position": int, "received_at": int, "is_undo": int})
    order = np.argsort(found["position"])
    arrivals[changed] = found["received_at"][order][at]
    back = np.flatnonzero(changed)[found["is_undo"][order][at] == 1]
    if len(back):
        arrivals[back] = _standing_at(db, ids[back])
    return arrivals


def _standing_at(db: Connection, ids: Ints) -> Ints:
    """When the delivery arrived whose change of each action stands behind its undos, ``NONE`` where none does.

    That delivery may be undone itself: what was changed since when somebody undid it stands, and stands again.
    """
    wanted, target = bulk.listed(db, ids.tolist()), entry.alias("target")
    undone = (target.c.action_id == entry.c.action_id) & (target.c.delivery_id == delivery.c.undoes)
    stands = select(func.coalesce(func.min(target.c.version) - 1, entry.c.version)).where(undone)
    query = (
        select(wanted.c.position, entry.c.version, stands.scalar_subquery().label("stands"), delivery.c.received_at)
        .join(entry, entry.c.action_id == wanted.c.value)
        .join(delivery, delivery.c.id == entry.c.delivery_id)
    )
    found = bulk.fetch(db, query, dict.fromkeys(("position", "version", "stands", "received_at"), int))
    order = np.lexsort((found["version"], found["position"]))
    stands_at, received_at = found["stands"][order], found["received_at"][order]
    # Versions are numbered without a gap, from 1; 0 is the action as it was tracked.
    version = np.bincount(found["position"], minlength=len(ids))
    before = np.cumsum(version) - version - 1
    while (older := np.where(version > 0, stands_at[before + version], 0)).tolist() != version.tolist():
        version = older
    return np.where(version > 0, received_at[before + version], NONE)


def _of(db: Connection, ids: Ints, names: Sequence[str]) -> dict[str, Any]:
    """Columns of these actions (row ids), in their order."""
    wanted = bulk.listed(db, ids.tolist())
    query = select(wanted.c.position, *(action.c[name] for name in names)).outerjoin(
        action, action.c.id == wanted.c.value
    )
    found = bulk.fetch(db, query, {"position": int, **{name: _KINDS.get(name, int) for name in names}})
    order = np.argsort(found.pop("position"))
    return {name: column[order] for name, column in found.items()}
