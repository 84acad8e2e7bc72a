"""Keeps the catalogue (accounts, programs, event types, contracts) in the store and reads an account's terms."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, func, select

from processing import tables, upsert
from processing.errors import NotFound, Unusable
from processing.instants import DAY
from processing.model import (
    WAITING_DAYS,
    Account,
    Basis,
    Brakes,
    Change,
    Contract,
    EventType,
    Level,
    Program,
    SameOrder,
    Trailer,
)
from processing.terms import Period


@dataclass(frozen=True, slots=True)
class StoredEventType:
    """What the rules need to know of an event type."""

    name: str
    program_id: int
    level: Level
    basis: Basis
    same_order: SameOrder


@dataclass(frozen=True, slots=True)
class StoredContract:
    """A contract with its row id; rates in parts per million or minor units of the account's currency.

    ``categories`` are the rates of items of these categories.
    """

    id: int
    program_id: int
    partner_id: int
    effective: date
    locking: Period
    payment: Period
    percent_ppm: int | None
    fixed_minor: int | None
    categories: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """All that the rules need to know of one account."""

    account_id: int
    sid: str
    name: str
    zone: ZoneInfo
    currency: str
    encoding: str | None
    ignore_columns: tuple[str, ...]
    brakes: Brakes
    event_types: Mapping[int, StoredEventType]
    dispositions: Mapping[int, Mapping[str, Change]]
    contracts: Mapping[int, StoredContract]
    partners: Mapping[int, str]
    trailer: Trailer = Trailer.OPTIONAL
    waiting_days: int = WAITING_DAYS

    def waits_until(self, received_at: int) -> int:
        """Until when lines of a delivery that arrived then wait for their action, both in microseconds."""
        return received_at + self.waiting_days * DAY


def read_terms(db: Connection, sid: str) -> Terms:
    """The terms of an account; raises NotFound."""
    found = db.execute(tables.account.select().where(tables.account.c.sid == sid)).one_or_none()
    if found is None:
        raise NotFound(f"There is no account {sid}; load a catalogue that has it.")

    def rows(table: Table) -> Sequence[Any]:
        return db.execute(table.select().where(table.c.account_id == found.id)).all()

    dispositions: dict[int, dict[str, Change]] = {}
    for one in rows(tables.disposition):
        dispositions.setdefault(one.event_type_id, {})[one.code] = Change(one.outcome)
    return Terms(
        account_id=found.id,
        sid=found.sid,
        name=found.name,
        zone=ZoneInfo(found.timezone),
        currency=found.currency,
        encoding=found.encoding,
        ignore_columns=tuple(json.loads(found.ignore_columns)),
        brakes=Brakes(**json.loads(found.brakes)),
        event_types={one.event_type_id: _stored_event_type(one) for one in rows(tables.event_type)},
        dispositions=dispositions,
        contracts={one.id: _stored_contract(one) for one in rows(tables.contract)},
        partners={one.partner_id: one.name for one in rows(tables.partner)},
        trailer=Trailer(found.trailer),
        waiting_days=found.waiting_days,
    )


def accounts(db: Connection) -> list[dict[str, Any]]:
    """Every account with its name, time zone, currency and number of actions, by SID."""
    counted = (
        select(tables.action.c.account_id, func.count().label("actions"))
        .group_by(tables.action.c.account_id)
        .subquery()
    )
    query = (
        select(tables.account, func.coalesce(counted.c.actions, 0).label("actions"))
        .outerjoin(counted, counted.c.account_id == tables.account.c.id)
        .order_by(tables.account.c.sid)
    )
    return [
        {
            "account": one.sid,
            "name": one.name,
            "timezone": one.timezone,
            "currency": one.currency,
            "actions": one.actions,
        }
        for one in db.execute(query)
    ]


def program_owners(db: Connection) -> dict[int, str]:
    """The SID of the account that each program belongs to."""
    query = select(tables.program.c.program_id, tables.account.c.sid).join(tables.account)
    return {one.program_id: one.sid for one in db.execute(query)}


def programs(db: Connection, account_id: int) -> dict[int, str]:
    """An account's programs: their ids and names."""
    query = select(tables.program).where(tables.program.c.account_id == account_id)
    return {one.program_id: one.name for one in db.execute(query.order_by(tables.program.c.program_id))}


def save(db: Connection, catalogue: Sequence[Account]) -> None:
    """Add or update every account of the catalogue; what it does not name stays as it is.

    Raises Unusable when an account with actions would change its currency or time zone: what was computed with the
    old one cannot be kept.
    """
    for account in catalogue:
        _save_account(db, account)


def _save_account(db: Connection, account: Account) -> None:
    _keep_calendar(db, account)
    row = {
        "sid": account.sid,
        "name": account.name,
        "timezone": account.timezone,
        "currency": account.currency,
        "encoding": account.encoding,
        "ignore_columns": json.dumps(account.ignore_columns),
        "brakes": json.dumps(asdict(account.brakes)),
        "trailer": account.trailer.value,
        "waiting_days": account.waiting_days,
    }
    upsert.put(db, tables.account, [row], key=("sid",))
    account_id = db.execute(select(tables.account.c.id).where(tables.account.c.sid == account.sid)).scalar_one()
    for program in account.programs:
        _save_program(db, account_id, program)


def _keep_calendar(db: Connection, account: Account) -> None:
    old = db.execute(tables.account.select().where(tables.account.c.sid == account.sid)).one_or_none()
    if old is None or (old.currency, old.timezone) == (account.currency, account.timezone):
        return
    if db.execute(select(tables.action.c.id).where(tables.action.c.account_id == old.id).limit(1)).first():
        raise Unusable(
            f"Account {account.sid} has actions in {old.currency} and {old.timezone}; "
            f"it cannot become {account.currency} and {account.timezone}. Make a new account."
        )


def _save_program(db: Connection, account_id: int, program: Program) -> None:
    mine = {"account_id": account_id, "program_id": program.id}
    owner = db.execute(
        select(tables.program.c.account_id).where(tables.program.c.program_id == program.id)
    ).scalar_one_or_none()
    if owner not in {None, account_id}:
        raise Unusable(f"Program {program.id} belongs to another account; program ids are unique among all accounts.")
    upsert.put(db, tables.program, [{**mine, "name": program.name}], key=("program_id",))
    for event_type in program.event_types:
        _save_event_type(db, mine, event_type)
    partners = {one.partner.id: one.partner.name for one in program.contracts}
    rows = [{"account_id": account_id, "partner_id": number, "name": name} for number, name in partners.items()]
    upsert.put(db, tables.partner, rows, key=("account_id", "partner_id"))
    contracts = [{**mine, **_contract_row(one)} for one in program.contracts]
    upsert.put(db, tables.contract, contracts, key=("account_id", "program_id", "partner_id", "effective"))


def _save_event_type(db: Connection, mine: Mapping[str, int], event_type: EventType) -> None:
    row = {
        **mine,
        "event_type_id": event_type.id,
        "name": event_type.name,
        "level": event_type.level.value,
        "basis": event_type.basis.value,
        "same_order": event_type.same_order.value,
    }
    upsert.put(db, tables.event_type, [row], key=("account_id", "event_type_id"))
    table, key = tables.disposition, {"account_id": mine["account_id"], "event_type_id": event_type.id}
    db.execute(table.delete().where(*(table.c[name] == value for name, value in key.items())))
    rows = [{**key, "code": code, "outcome": change.value} for code, change in event_type.dispositions.items()]
    if rows:
        db.execute(table.insert(), rows)


def _contract_row(contract: Contract) -> dict[str, Any]:
    return {
        "partner_id": contract.partner.id,
        "effective": contract.effective,
        "locking": str(contract.locking),
        "payment": str(contract.payment),
        "percent_ppm": contract.payout.percent_ppm,
        "fixed_minor": contract.payout.fixed_minor,
        "categories_ppm": json.dumps(dict(contract.payout.categories)),
    }


def _stored_event_type(row: Any) -> StoredEventType:  # noqa: ANN401 - a row of the table
    return StoredEventType(row.name, row.program_id, Level(row.level), Basis(row.basis), SameOrder(row.same_order))


def _stored_contract(row: Any) -> StoredContract:  # noqa: ANN401 - a row of the table
    return StoredContract(
        id=row.id,
        program_id=row.program_id,
        partner_id=row.partner_id,
        effective=row.effective,
        locking=Period.parse(row.locking),
        payment=Period.parse(row.payment),
        percent_ppm=row.percent_ppm,
        fixed_minor=row.fixed_minor,
        categories=json.loads(row.categories_ppm),
    )
