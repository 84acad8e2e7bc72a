"""Loads actions: gives each its contract, its lock and its payout, and adds those the account does not have yet."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, and_, literal, or_, select, true
from sqlalchemy.exc import IntegrityError

from processing import bulk, item_load, tables, upsert, waiting
from processing.catalog import StoredContract, Terms
from processing.columns import NONE, Bools, Ints, Objects, blank, missing, texts
from processing.explain import shown
from processing.item_load import Tracked
from processing.model import State
from processing.money import MOST_MINOR, exponents, to_minor_columns
from processing.rate import Rates
from processing.staging import staged_action
from processing.terms import event_days, last_open_days, lock_instants

_NO_ITEMS: Final = pd.DataFrame(
    {"sku": [], "category": [], "position": [], "quantity": [], "amount_scaled": []},
    pd.Index([], dtype=np.int64, name="line"),
)
_OF_THE_LINE: Final = ("line", "locks_given")
_AS_TRACKED: Final = {"tracked_amount": "amount", "tracked_payout": "payout", "tracked_status": "customer_status"}
_TRACKED: Final = ("program_id", "event_type_id", "partner_id", "event_at", "currency", "order_id")


@dataclass(frozen=True, slots=True)
class Problem:
    """A line of an actions file that could not be loaded."""

    line: int
    message: str


@dataclass(slots=True)
class Load:
    """What loading has done so far."""

    read: int = 0
    added: int = 0
    known: int = 0
    problems: list[Problem] = field(default_factory=list)


def load(db: Connection, terms: Terms, lines: pd.DataFrame, so_far: Load, *, items: pd.DataFrame | None = None) -> None:
    """Add a chunk of actions; one that is already there with the same values is known, with others a problem.

    ``lines``: index line; action_id, order_id, currency, customer_status (text or NA); program_id, event_type,
    partner_id, amount_scaled, event_at, created_at, locks_at (int64; instants in microseconds, ``NONE`` for none).
    ``items``: index the line of their action; sku, category (text or NA); position, quantity, amount_scaled (int64).
    """
    so_far.read += len(lines)
    fault = blank(len(lines))
    contract_id = _contracts(lines, terms, fault)
    amount = _amounts(lines, terms, contract_id, fault)
    items = _NO_ITEMS if items is None else items
    tracked = Tracked.of(items, lines, terms, lambda where, says: _blame(fault, where, says))
    good = missing(fault)
    numbers = lines.index.to_numpy(np.int64)
    so_far.problems += [Problem(int(numbers[at]), str(fault[at])) for at in np.flatnonzero(~good)]
    if not good.any():
        return
    tracked = tracked.where(good)
    rates = Rates.tracked(terms)
    payout = tracked.payouts(rates.payouts(contract_id[good], amount[good]), contract_id[good], rates)
    frame = _rows(lines[good], terms, contract_id[good], amount[good], payout)
    if _may_be_new(db, terms, so_far, tracked) and _added_at_once(db, _stored(frame, terms.account_id)):
        so_far.added += frame.num_rows
        return
    bulk.stage(db, staged_action, frame)
    before = item_load.newest(db) if len(tracked.owner) else NONE
    added = _add(db, terms.account_id)
    waiting.wake(db, terms.account_id)
    clashes = [] if added == frame.num_rows else _clashes(db, terms.account_id)
    if len(tracked.owner):
        others = item_load.add(db, terms.account_id, numbers[good], tracked, before)
        told = {one.line for one in clashes}
        clashes += [Problem(line, message) for line, message in others.items() if line not in told]
    so_far.added += added
    so_far.known += frame.num_rows - added - len(clashes)
    so_far.problems += clashes


def of_order(db: Connection, terms: Terms, lines: pd.DataFrame) -> list[str]:
    """The ids of the actions that stand for the order of one line of ``load``, the first one first."""
    mine = (
        tables.action.c.account_id == terms.account_id,
        tables.action.c.program_id == int(lines["program_id"].iloc[0]),
        tables.action.c.event_type_id == int(lines["event_type"].iloc[0]),
        tables.action.c.order_id == lines["order_id"].iloc[0],
    )
    return list(db.scalars(select(tables.action.c.action_id).where(*mine).order_by(tables.action.c.id)))


def date_late_one(db: Connection, terms: Terms, lines: pd.DataFrame, at: int) -> pd.DataFrame:
    """The same line of ``load``, submitted at ``at``: if its lock had come by then, that becomes its event date.

    An order that is submitted late is open for as long as any other, and is rated and locked by the contract of now.
    One that was submitted before keeps the date it got then.
    """
    mine = (tables.action.c.account_id == terms.account_id, tables.action.c.action_id == lines["action_id"].iloc[0])
    known = db.execute(select(tables.action.c.event_at, tables.action.c.created_at).where(*mine)).one_or_none()
    if known is not None:
        return lines.assign(event_at=known.event_at) if known.event_at == known.created_at else lines
    contract_id = _contracts(lines, terms, blank(1))
    late = contract_id[0] != NONE and _locks(lines["event_at"].to_numpy(np.int64), contract_id, terms)[0] <= at
    return lines.assign(created_at=at, **({"event_at": at} if late else {}))


def _contracts(lines: pd.DataFrame, terms: Terms, fault: Objects) -> Ints:
    """The row id of the contract in force on each event day; faults where the catalogue knows no such thing."""
    program, event_type = lines["program_id"].to_numpy(), lines["event_type"].to_numpy()
    owners = {number: kind.program_id for number, kind in terms.event_types.items()}
    owner = pd.Series(event_type).map(owners).fillna(NONE).to_numpy(np.int64)
    _blame(
        fault,
        owner != program,
        lambda at: f"ActionTrackerId {event_type[at]} is no event type of program {program[at]}.",
    )
    partner = lines["partner_id"].to_numpy()
    days = event_days(lines["event_at"].to_numpy(), terms.zone)
    found = _in_force(program, partner, days, list(terms.contracts.values()))
    _blame(
        fault,
        found == NONE,
        lambda at: (
            f"Partner {partner[at]} has no contract in program {program[at]} on {days[at]}; add it to the catalogue."
        ),
    )
    return found


def _in_force(
    program: Ints, partner: Ints, days: "np.ndarray[Any, np.dtype[np.datetime64]]", contracts: list[StoredContract]
) -> Ints:
    found = np.full(len(program), NONE, dtype=np.int64)
    mine: dict[Hashable, list[StoredContract]] = {}
    for one in sorted(contracts, key=lambda one: one.effective):
        mine.setdefault((one.program_id, one.partner_id), []).append(one)
    pairs = pd.DataFrame({"program": program, "partner": partner}).groupby(["program", "partner"]).indices
    for pair, rows in pairs.items():
        for one in mine.get(pair, []):
            found[rows[days[rows] >= np.datetime64(one.effective)]] = one.id
    return found


def _amounts(lines: pd.DataFrame, terms: Terms, contract_id: Ints, fault: Objects) -> Ints:
    currency = lines["currency"]
    minor, exact = to_minor_columns(lines["amount_scaled"].to_numpy(np.int64), exponents(currency))
    _blame(fault, ~exact, lambda at: f"Amount has more decimals than {currency.iloc[at]} has.")
    _blame(fault, minor > MOST_MINOR, lambda at: f"Amount is larger than any that is kept in {currency.iloc[at]}.")
    fixed = [number for number, one in terms.contracts.items() if one.fixed_minor is not None]
    foreign = (currency != terms.currency).to_numpy() & np.isin(contract_id, fixed)
    _blame(
        fault,
        foreign,
        lambda at: (
            f"The contract pays a fixed sum of {terms.currency}; an action in {currency.iloc[at]} cannot be rated."
        ),
    )
    return minor


def _blame(fault: Objects, where: Bools, says: Callable[[int], str]) -> None:
    for at in np.flatnonzero(where & missing(fault)).tolist():
        fault[at] = says(at)


def _rows(lines: pd.DataFrame, terms: Terms, contract_id: Ints, amount: Ints, payout: Ints) -> pa.Table:
    event_at = lines["event_at"].to_numpy(np.int64)
    given = lines["locks_at"].to_numpy(np.int64)
    locks_at = np.where(given != NONE, given, _locks(event_at, contract_id, terms))
    return bulk.frame(
        {
            "line": lines.index.to_numpy(np.int64),
            "action_id": texts(lines["action_id"]),
            "program_id": lines["program_id"].to_numpy(),
            "event_type_id": lines["event_type"].to_numpy(),
            "partner_id": lines["partner_id"].to_numpy(),
            "contract_id": contract_id,
            "order_id": texts(lines["order_id"]),
            "event_at": event_at,
            "created_at": lines["created_at"].to_numpy(np.int64),
            "locks_at": locks_at,
            "locks_given": pa.array(given, mask=given == NONE),
            "currency": texts(lines["currency"]),
            "amount": amount,
            "payout": payout,
            "customer_status": texts(lines["customer_status"]),
        }
    )


def _locks(event_at: Ints, contract_id: Ints, terms: Terms) -> Ints:
    days = event_days(event_at, terms.zone)
    locks = np.full(len(days), NONE, dtype=np.int64)
    phrases = {number: terms.contracts[number].locking for number in np.unique(contract_id).tolist()}
    for locking in set(phrases.values()):
        mine = np.isin(contract_id, [number for number, one in phrases.items() if one == locking])
        locks[mine] = lock_instants(last_open_days(days[mine], locking), terms.zone)
    return locks


def _may_be_new(db: Connection, terms: Terms, so_far: Load, tracked: Tracked) -> bool:
    """Whether it is worth trying to add a chunk as a whole, as nearly every one of a file can be.

    Only where a savepoint is free; SQLite copies each page that is changed behind one.
    """
    plain = not (so_far.known or len(tracked.owner) or waiting.anybody(db, terms.account_id))
    return plain and db.dialect.name == "postgresql"


def _stored(frame: pa.Table, account_id: int) -> pa.Table:
    """The actions as rows of their table."""
    rows = frame.drop_columns(list(_OF_THE_LINE))
    columns: dict[str, Any] = dict(zip(rows.column_names, rows.columns, strict=True))
    columns |= {name: frame[column] for name, column in _AS_TRACKED.items()}
    columns |= {"account_id": np.full(frame.num_rows, account_id), "state": [State.PENDING.value] * frame.num_rows}
    return pa.table(columns)


def _added_at_once(db: Connection, rows: pa.Table) -> bool:
    """Add the actions if all of them are new, none otherwise; gives whether they were."""
    try:
        with db.begin_nested():
            bulk.insert(db, tables.action, rows)
    except IntegrityError:
        return False
    return True


def _add(db: Connection, account_id: int) -> int:
    staged, action = staged_action, tables.action
    same = [name for name in staged.c.keys() if name not in _OF_THE_LINE]  # noqa: SIM118 - a column collection iterates columns
    chosen = select(
        literal(account_id),
        literal(State.PENDING.value),
        *(staged.c[name] for name in same),
        *(staged.c[name] for name in _AS_TRACKED.values()),
    )
    names = ["account_id", "state", *same, *_AS_TRACKED]
    # SQLite needs the WHERE to tell the upsert clause from a join.
    source = chosen.where(true()).order_by(staged.c.line)
    statement = upsert.insert_into(db, action).from_select(names, source).on_conflict_do_nothing()
    return db.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def _clashes(db: Connection, account_id: int) -> list[Problem]:
    staged, action = staged_action, tables.action
    differs = or_(
        action.c.locks_at != staged.c.locks_given,
        action.c.tracked_amount != staged.c.amount,
        action.c.tracked_status.is_distinct_from(staged.c.customer_status),
        *(action.c[name].is_distinct_from(staged.c[name]) for name in _TRACKED),
    )
    query = (
        select(staged.c.line, staged.c.action_id)
        .join(action, and_(action.c.account_id == account_id, action.c.action_id == staged.c.action_id))
        .where(differs)
        .order_by(staged.c.line)
    )
    return [
        Problem(number, f"ActionId {shown(action_id)} is already there with other values; an action is tracked once.")
        for number, action_id in db.execute(query)
    ]
