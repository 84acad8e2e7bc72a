"""The lock sweep: actions whose lock has come are locked, approved and given their clearing date."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, Update, case, exists, insert, null, select, update

from processing import bulk
from processing.catalog import Terms
from processing.instants import instant, micros
from processing.model import State
from processing.record_tables import unread_lock
from processing.staging import staged_id
from processing.tables import account, action
from processing.terms import clears_on


@dataclass(frozen=True, slots=True)
class Doubts:
    """What feeds may still have to say of due actions (row ids), by their channels.

    Those that are ``deferred`` must not lock yet; the ``unread`` ones lock all the same, and that is remembered.
    """

    deferred: dict[str, set[int]] = field(default_factory=dict)
    unread: dict[str, set[int]] = field(default_factory=dict)


def due_accounts(db: Connection, as_of: datetime) -> list[str]:
    """The SIDs of the accounts that have actions to lock."""
    query = select(account.c.sid).where(exists().where(action.c.account_id == account.c.id, *_due(as_of)))
    return list(db.execute(query.order_by(account.c.sid)).scalars())


def due_after(db: Connection, account_id: int, as_of: datetime, received_at: int) -> set[int]:
    """The due actions (row ids) of an account that lock after an instant (microseconds)."""
    query = select(action.c.id).where(action.c.account_id == account_id, *_due(as_of), action.c.locks_at > received_at)
    return set(db.execute(query).scalars())


def lock_due(db: Connection, terms: Terms, as_of: datetime, deferred: Collection[int]) -> int:
    """Lock what is due in one account, except the actions (row ids) that an unfinished delivery names.

    ``as_of`` becomes the instant of locking; gives how many were locked.
    """
    bulk.stage(db, staged_id, pa.table({"id": pa.array(sorted(deferred), pa.int64())}))
    mine = action.c.account_id == terms.account_id
    due = (mine, *_due(as_of), action.c.id.not_in(select(staged_id.c.id)))
    groups: dict[tuple[int, date], list[int]] = {}
    for contract_id, locks_at in db.execute(select(action.c.contract_id, action.c.locks_at).where(*due).distinct()):
        paid_on = clears_on(_last_open_day(locks_at, terms), terms.contracts[contract_id].payment)
        groups.setdefault((locks_at, paid_on), []).append(contract_id)
    locked = 0
    for (locks_at, paid_on), contracts in sorted(groups.items()):
        of_group = (*due, action.c.locks_at == locks_at, action.c.contract_id.in_(contracts))
        locked += db.execute(_locking(as_of, paid_on).where(*of_group)).rowcount
    return locked


def record_unread(db: Connection, channel: str, actions: Collection[int]) -> None:
    """Remember of actions (row ids) that they locked though this feed had not been read."""
    if actions:
        db.execute(insert(unread_lock), [{"action_id": one, "channel": channel} for one in sorted(actions)])


def _due(as_of: datetime) -> tuple[ColumnElement[bool], ...]:
    return action.c.locked_at.is_(None), action.c.locks_at <= micros(as_of)


def _locking(as_of: datetime, paid_on: date) -> Update:
    owed = action.c.state != State.REVERSED.value
    return update(action).values(
        locked_at=micros(as_of),
        state=case((owed, State.APPROVED.value), else_=action.c.state),
        clears_on=case((owed, paid_on), else_=null()),
        version=action.c.version + 1,
    )


def _last_open_day(locks_at: int, terms: Terms) -> date:
    last_moment = instant(locks_at) - timedelta(microseconds=1)
    return last_moment.astimezone(terms.zone).date()
