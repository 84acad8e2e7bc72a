"""Undoes a delivery: each action that it changed and that nobody changed since returns to what it was, by a new entry.

An undone change is as if it had never been: a later undo looks through it. An undo is a delivery like any other and can
be undone itself. All of it is columns of a temporary table, however many actions there are.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Insert,
    Update,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from processing import bulk, item_store
from processing.catalog import Terms
from processing.codes import Code, Verdict
from processing.errors import LedgerConflict
from processing.explain import ANSWER
from processing.instants import told
from processing.model import Change, State
from processing.staging import staged_undo
from processing.tables import action, delivery, entry, line
from processing.tally import Tally

_CHUNK_LINES: Final = 50_000
_UNDO: Final = Change.UNDO.value


@dataclass(frozen=True, slots=True)
class Undoing:
    """An undo about to be written: the delivery (row id) that undoes, the one it undoes, when, and why."""

    db: Connection
    terms: Terms
    delivery_id: int
    undone_id: int
    at: int
    reason: str

    def find(self) -> int:
        """Find the actions to undo; gives how many there are. Those that were returned before are none of them."""
        _find_changed(self.db, self.undone_id)
        _look_through_undone(self.db, staged_undo.c.stands, unless=self.undone_id)
        self.db.execute(delete(staged_undo).where(staged_undo.c.stands < staged_undo.c.first))
        numbered = select(
            staged_undo.c.action_id, func.row_number().over(order_by=staged_undo.c.first_line).label("number")
        ).subquery("numbered")
        self.db.execute(
            update(staged_undo).values(line=numbered.c.number).where(staged_undo.c.action_id == numbered.c.action_id)
        )
        count = int(self.db.execute(select(func.count()).select_from(staged_undo)).scalar_one())
        bulk.know_sizes(self.db, staged_undo, count)
        return count

    def write(self) -> Tally:
        """Return what can be returned and refuse the rest; raises LedgerConflict."""
        self._refuse()
        _look_through_undone(self.db, staged_undo.c.prior)
        try:
            adding = _entries(self.delivery_id, self.reason)
            returned = self.db.execute(adding, execution_options={"preserve_rowcount": True}).rowcount
        except IntegrityError as error:
            raise LedgerConflict("Actions changed while an undo was decided; nothing was written.") from error
        moved = self.db.execute(_moving(self.delivery_id, self.at)).rowcount
        if moved != returned:
            raise LedgerConflict(f"{returned - moved} of {returned} actions changed while an undo was decided.")
        item_store.give_back(self.db, self.delivery_id, self.undone_id)
        refused = self._answer()
        return self._tally(returned, refused)

    def _refuse(self) -> None:
        """Give what is locked, or was changed by others since, its code."""
        here = staged_undo.c.action_id == action.c.id
        locked = exists().where(here, action.c.locked_at.is_not(None) | (action.c.locks_at <= self.at))
        _look_below(self.db, self.undone_id)
        alone = staged_undo.c.under < staged_undo.c.first
        code = case((locked, Code.ACTION_LOCKED.value), (~alone, Code.CHANGED_SINCE.value), else_=null())
        self.db.execute(update(staged_undo).values(code=code))

    def _answer(self) -> int:
        """Write the refused lines; gives how many."""
        query = (
            select(
                staged_undo.c.line, staged_undo.c.code, staged_undo.c.action_id, action.c.locks_at, delivery.c.delivery
            )
            .join(action, action.c.id == staged_undo.c.action_id)
            .outerjoin(entry, (entry.c.action_id == action.c.id) & (entry.c.version == staged_undo.c.under))
            .outerjoin(delivery, delivery.c.id == entry.c.delivery_id)
            .where(staged_undo.c.code.is_not(None))
            .order_by(staged_undo.c.line)
            .limit(_CHUNK_LINES)
        )
        kinds: dict[str, bulk.Kind] = {"line": int, "code": str, "action_id": int, "locks_at": int, "delivery": str}
        last, refused = 0, 0
        while True:
            found = bulk.fetch(self.db, query.where(staged_undo.c.line > last), kinds)
            if len(found["line"]) == 0:
                return refused
            bulk.insert(self.db, line, self._answers(found))
            last, refused = int(found["line"][-1]), refused + len(found["line"])

    def _answers(self, found: dict[str, Any]) -> pa.Table:
        arrived = told(self.at, self.terms.zone)
        messages = [
            Code(code).message(value=since, received_at=arrived, locks_at=told(locks_at, self.terms.zone))
            for code, since, locks_at in zip(found["code"], found["delivery"], found["locks_at"].tolist(), strict=True)
        ]
        count = len(messages)
        columns = {
            "line": found["line"],
            "verdict": np.full(count, Verdict.REFUSED.value, dtype=np.object_),
            "code": found["code"],
            "message": np.array(messages, dtype=np.object_),
            "action_id": found["action_id"],
        }
        rows = bulk.frame(columns).cast(ANSWER)
        return rows.append_column("delivery_id", pa.array(np.full(count, self.delivery_id, dtype=np.int64)))

    def _tally(self, returned: int, refused: int) -> Tally:
        tally = Tally()
        tally.count(Verdict.APPLIED, returned)
        tally.count(Verdict.REFUSED, refused)
        sides = (entry.c.amount_before, entry.c.amount_after, entry.c.payout_before, entry.c.payout_after)
        query = (
            select(
                action.c.partner_id,
                action.c.currency,
                func.count(),
                *(cast(func.sum(one), BigInteger) for one in sides),
            )
            .join(action, action.c.id == entry.c.action_id)
            .where(entry.c.delivery_id == self.delivery_id)
            .group_by(action.c.partner_id, action.c.currency)
        )
        for partner, currency, lines, *money in self.db.execute(query):
            tally.money[partner, currency] = np.array(money, dtype=np.int64)
            tally.changed[partner, currency] = lines
        here = action.c.id == staged_undo.c.action_id
        nearest = select(func.min(action.c.locks_at)).join(staged_undo, here)
        tally.nearest_lock = self.db.execute(
            nearest.where(action.c.locked_at.is_(None), action.c.locks_at > self.at)
        ).scalar()
        return tally


def _find_changed(db: Connection, undone_id: int) -> None:
    """Stage every action that a delivery changed."""
    db.execute(CreateTable(staged_undo, if_not_exists=True))
    db.execute(text(f"truncate {staged_undo.name}") if db.dialect.name == "postgresql" else staged_undo.delete())
    changed = (
        select(
            entry.c.action_id,
            func.min(entry.c.line).label("first_line"),
            func.min(entry.c.version).label("first"),
            func.count().label("entries"),
        )
        .where(entry.c.delivery_id == undone_id)
        .group_by(entry.c.action_id)
        .subquery("changed")
    )
    newest = select(func.max(entry.c.version)).where(entry.c.action_id == changed.c.action_id).scalar_subquery()
    names = ["action_id", "first_line", "first", "entries", "stands", "prior"]
    found = select(
        changed.c.action_id, changed.c.first_line, changed.c.first, changed.c.entries, newest, changed.c.first - 1
    )
    db.execute(insert(staged_undo).from_select(names, found))


def _look_below(db: Connection, undone_id: int) -> None:
    """Find the newest change below those of a delivery, and of others that were undone; below its first is no other's.

    It may have changed an action again, after a replay, above what others did and undid.
    """
    count = staged_undo.c.stands - staged_undo.c.first + 1
    alone = count == staged_undo.c.entries
    db.execute(update(staged_undo).values(under=case((alone, staged_undo.c.first - 1), else_=staged_undo.c.stands)))
    own, other = entry.alias("own"), entry.alias("other")
    here = (own.c.action_id == staged_undo.c.action_id) & (own.c.version == staged_undo.c.under)
    is_own = exists().where(here, own.c.delivery_id == undone_id).correlate(staged_undo)
    below = (
        select(func.coalesce(func.max(other.c.version), 0))
        .where(
            other.c.action_id == staged_undo.c.action_id,
            other.c.version < staged_undo.c.under,
            other.c.delivery_id != undone_id,
        )
        .correlate(staged_undo)
        .scalar_subquery()
    )
    while db.execute(update(staged_undo).values(under=below).where(is_own)).rowcount:
        _look_through_undone(db, staged_undo.c.under, unless=undone_id)


def _look_through_undone(db: Connection, version: ColumnElement[int], unless: int | None = None) -> None:
    """Move a version that an undo made to the one whose values it brought back, until it is of no undo.

    ``unless`` is a delivery (row id) whose own undoing is not looked through.
    """
    undoing, target = entry.alias("undoing"), entry.alias("target")
    here = (
        (undoing.c.action_id == staged_undo.c.action_id) & (undoing.c.version == version) & (undoing.c.change == _UNDO)
    )
    if unless is not None:
        here &= undoing.c.delivery_id != unless
    before = (
        select(func.min(target.c.version) - 1)
        .select_from(undoing)
        .join(delivery, delivery.c.id == undoing.c.delivery_id)
        .join(target, (target.c.delivery_id == delivery.c.undoes) & (target.c.action_id == undoing.c.action_id))
        .where(here)
        .correlate(staged_undo)
        .scalar_subquery()
    )
    moving = update(staged_undo).values({version: before}).where(exists().where(here).correlate(staged_undo))
    while db.execute(moving).rowcount:
        pass


def _entries(delivery_id: int, reason: str) -> Insert:
    """The entries that return each action to what it was before the first entry of the undone delivery."""
    values: dict[str, Any] = {
        "delivery_id": literal(delivery_id),
        "line": staged_undo.c.line,
        "action_id": action.c.id,
        "version": action.c.version + 1,
        "change": literal(_UNDO),
        "reason": literal(reason),
        "state_before": action.c.state,
        "state_after": entry.c.state_before,
        "amount_before": action.c.amount,
        "amount_after": entry.c.amount_before,
        "payout_before": action.c.payout,
        "payout_after": entry.c.payout_before,
        "status_before": action.c.customer_status,
        "status_after": entry.c.status_before,
    }
    found = (
        select(*values.values())
        .join_from(staged_undo, action, action.c.id == staged_undo.c.action_id)
        .join(entry, (entry.c.action_id == action.c.id) & (entry.c.version == staged_undo.c.first))
        .where(staged_undo.c.code.is_(None))
    )
    return insert(entry).from_select(list(values), found)


def _moving(delivery_id: int, at: int) -> Update:
    """Bring every action to its new entry, guarded as any other change."""
    reversal = entry.alias("reversal")
    taken = (reversal.c.action_id == staged_undo.c.action_id) & (reversal.c.version == staged_undo.c.prior)
    dead = entry.c.state_after == State.REVERSED.value
    prior = {
        f"prior_{name}": case((dead, select(reversal.c[f"{name}_before"]).where(taken).scalar_subquery()))
        for name in ("amount", "payout")
    }
    return (
        update(action)
        .values(
            version=entry.c.version,
            state=entry.c.state_after,
            amount=entry.c.amount_after,
            payout=entry.c.payout_after,
            customer_status=entry.c.status_after,
            changes=action.c.changes + 1,
            changed_by=delivery_id,
            **prior,
        )
        .where(
            staged_undo.c.action_id == action.c.id,
            entry.c.delivery_id == delivery_id,
            entry.c.line == staged_undo.c.line,
            entry.c.version == action.c.version + 1,
            entry.c.state_before == action.c.state,
            action.c.locked_at.is_(None),
            action.c.locks_at > at,
        )
    )


def mark(db: Connection, undone_id: int, undo_id: int) -> list[tuple[int, bool]]:
    """Record that a delivery is undone, and what that makes of those it had undone itself.

    Gives the row ids of all of them, with whether each is undone now.

    One that is undone gives its identity up, so that the same bytes may be sent again; one that is in force again takes
    it back, unless they were.
    """
    db.execute(update(delivery).values(undoes=undone_id).where(delivery.c.id == undo_id))
    _set_undone(db, undone_id, undo_id)
    marked = [(undone_id, True)]
    target = _undoes(db, undone_id)
    while target is not None:
        in_force = select(func.max(delivery.c.id)).where(delivery.c.undoes == target, delivery.c.undone_by.is_(None))
        by = db.execute(in_force).scalar()
        _set_undone(db, target, by)
        marked.append((target, by is not None))
        target = _undoes(db, target)
    return marked


def _undoes(db: Connection, number: int) -> int | None:
    return db.execute(select(delivery.c.undoes).where(delivery.c.id == number)).scalar()


def _set_undone(db: Connection, number: int, undo_id: int | None) -> None:
    twin = delivery.alias("twin")
    taken = exists().where(
        twin.c.account_id == delivery.c.account_id, twin.c.identity == delivery.c.sha256, twin.c.id != number
    )
    identity = null() if undo_id is not None else case((taken.correlate(delivery), null()), else_=delivery.c.sha256)
    db.execute(update(delivery).values(undone_by=undo_id, identity=identity).where(delivery.c.id == number))
