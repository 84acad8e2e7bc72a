"""The catalogue file: accounts with their programs, event types and contracts, read from TOML, all faults named."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from difflib import get_close_matches
from functools import cache
from typing import Final
from zoneinfo import available_timezones

from processing.errors import Unusable
from processing.model import (
    WAITING_DAYS,
    Account,
    Basis,
    Brakes,
    Change,
    Contract,
    EventType,
    Level,
    Partner,
    Payout,
    Program,
    SameOrder,
    Trailer,
)
from processing.money import is_currency, percent_ppm, to_minor
from processing.terms import Period
from schemas.decode import readable_codec
from schemas.toml_table import Table, read_toml, shown

# A person may restore an action or undo a delivery; no file of a brand can ask for it.
OUTCOMES: Final = tuple(change for change in Change if change not in {Change.RESTORE, Change.UNDO})

_SID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# These two mean whatever the machine says, and nothing at all.
_NO_TIMEZONES: Final = {"localtime", "Factory"}
HUNDRED: Final = 100
_ANY_PERIOD: Final = Period(0, 0, "day")


@dataclass(frozen=True, slots=True)
class _Scope:
    """What holds for a whole account while its tables are read."""

    currency: str
    programs: dict[object, str] = field(default_factory=dict)
    event_types: dict[object, str] = field(default_factory=dict)
    partners: dict[int, str] = field(default_factory=dict)


def parse(text: str, source: str) -> tuple[Account, ...]:
    """Read a catalogue; all of its faults are reported together in one ``Unusable``."""
    problems: list[str] = []
    root = Table(read_toml(text, source), "", problems)
    seen: dict[object, str] = {}
    accounts = tuple(_account(table, seen) for table in root.tables("account", _by("sid")))
    root.close()
    if not accounts and not problems:
        problems.append("there is no account; begin with [[account]]")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise Unusable("\n  ".join([f"{source} has {count}:", *problems]))
    return accounts


def _account(table: Table, seen: dict[object, str]) -> Account:
    sid = table.text("sid")
    if sid and not _SID.fullmatch(sid):
        table.wrong("sid", f"{shown(sid)} is not 1 to 64 letters, digits, _ or -")
    table.once(seen, sid)
    scope = _Scope(_currency(table))
    account = Account(
        sid=sid,
        name=table.text("name"),
        timezone=_timezone(table),
        currency=scope.currency,
        programs=tuple(_program(each, scope) for each in table.tables("program", _by("id"))),
        ignore_columns=table.texts("ignore_columns"),
        encoding=_encoding(table),
        brakes=_brakes(table),
        trailer=table.choice("trailer", tuple(Trailer), optional=True),
        waiting_days=table.days("waiting_days", WAITING_DAYS),
    )
    table.close()
    return account


def _program(table: Table, scope: _Scope) -> Program:
    program_id = table.number("id")
    table.once(scope.programs, program_id)
    contracts: dict[object, str] = {}
    program = Program(
        id=program_id,
        name=table.text("name"),
        event_types=tuple(_event_type(each, scope) for each in table.tables("event_type", _by("id"))),
        contracts=tuple(_contract(each, scope, contracts) for each in table.tables("contract", _by_terms)),
    )
    table.close()
    return program


def _event_type(table: Table, scope: _Scope) -> EventType:
    event_type_id = table.number("id")
    table.once(scope.event_types, event_type_id)
    codes: dict[object, str] = {}
    event_type = EventType(
        id=event_type_id,
        name=table.text("name"),
        level=table.choice("level", tuple(Level)),
        basis=table.choice("basis", tuple(Basis)),
        dispositions=dict(_disposition(each, codes) for each in table.tables("disposition", _by("code"))),
        same_order=table.choice("same_order", tuple(SameOrder), optional=True),
    )
    table.close()
    return event_type


def _disposition(table: Table, codes: dict[object, str]) -> tuple[str, Change]:
    code = table.text("code")
    table.once(codes, code)
    outcome = table.choice("outcome", OUTCOMES)
    table.close()
    return code, outcome


def _contract(table: Table, scope: _Scope, seen: dict[object, str]) -> Contract:
    partner = _partner(table, scope)
    effective = _day(table, "effective")
    table.once(seen, partner.id and effective != date.min and (partner.id, effective))
    contract = Contract(
        partner=partner,
        effective=effective,
        locking=_period(table, "locking"),
        payment=_period(table, "payment"),
        payout=_payout(table, scope.currency),
    )
    table.close()
    return contract


def _partner(contract: Table, scope: _Scope) -> Partner:
    table = contract.table("partner")
    if table is None:
        return Partner(0, "")
    partner = Partner(table.number("id"), table.text("name"))
    table.close()
    if partner.id and partner.name and scope.partners.setdefault(partner.id, partner.name) != partner.name:
        first = shown(scope.partners[partner.id])
        table.wrong("name", f"{shown(partner.name)} is the partner called {first} before; one id has one name")
    return partner


def _day(table: Table, key: str) -> date:
    value = table.get(key)
    # A TOML date and time is a date too, for Python.
    if type(value) is date:
        return value
    if value is not None:
        table.wrong(key, f"{shown(value)} is not a date; write it like 2026-01-31, without quotation marks")
    return date.min


def _period(contract: Table, key: str) -> Period:
    table = contract.table(key)
    if table is None:
        return _ANY_PERIOD
    given = {each: table.get(each) for each in ("months", "days", "after")}
    table.close()
    if None in given.values():
        return _ANY_PERIOD
    return contract.tried(key, lambda: Period.parse(given), _ANY_PERIOD)


def _payout(contract: Table, currency: str) -> Payout:
    table = contract.table("payout")
    if table is None:
        return Payout(0, None)
    percent, fixed = table.get("percent", optional=True), table.get("fixed", optional=True)
    categories = _categories(table)
    table.close()
    if (percent is None) is (fixed is None):
        contract.wrong("payout", 'give either percent or fixed, for example { percent = "5.00" }')
    elif percent is not None:
        return Payout(_money(table, "percent", percent, percent_ppm), None, categories)
    elif categories:
        table.wrong("categories", "stand beside percent alone; a fixed sum is paid for the action as a whole")
    elif currency:
        return Payout(None, _money(table, "fixed", fixed, lambda text: _not_negative(text, currency)))
    return Payout(0, None)


def _categories(payout: Table) -> dict[str, int]:
    """Percentages by the category of an item, in parts per million."""
    if payout.get("categories", optional=True) is None:
        return {}
    table = payout.table("categories")
    if table is None:
        return {}
    return {name: _money(table, name, table.get(name), percent_ppm) for name in table.content}


def _money(table: Table, key: str, value: object, read: Callable[[str], int]) -> int:
    if not isinstance(value, str):
        reason = "is a float, and money never is one" if isinstance(value, float) else "is not text"
        table.wrong(key, f'{shown(value)} {reason}; write it in quotation marks, for example "5.00"')
        return 0
    return table.tried(key, lambda: read(value), 0)


def _not_negative(amount: str, currency: str) -> int:
    minor = to_minor(amount, currency)
    if minor < 0:
        raise Unusable(f"{shown(amount)} is negative; a partner is never paid less than nothing.")
    return minor


def _currency(table: Table) -> str:
    code = table.text("currency")
    if not code or is_currency(code):
        return code
    table.wrong("currency", f"{shown(code)} is not a currency of ISO 4217; give three capital letters, like USD")
    return ""


def _timezone(table: Table) -> str:
    name = table.text("timezone")
    if name and name not in _timezones():
        close = get_close_matches(name, sorted(_timezones()), 1)
        meant = f'did you mean "{close[0]}"?' if close else "give a name like America/New_York"
        table.wrong("timezone", f"{shown(name)} is not a time zone; {meant}")
    return name


@cache
def _timezones() -> frozenset[str]:
    # Each look reads the first bytes of hundreds of files.
    return frozenset(available_timezones() - _NO_TIMEZONES)


def _encoding(table: Table) -> str | None:
    if table.get("encoding", optional=True) is None:
        return None
    name = table.text("encoding")
    codec = readable_codec(name or "utf-8")
    if codec is None:
        table.wrong("encoding", f"{shown(name)} is not an encoding that is read; give a name like windows-1252")
    return codec


def _brakes(account: Table) -> Brakes:
    if account.get("brakes", optional=True) is None:
        return Brakes()
    table = account.table("brakes")
    if table is None:
        return Brakes()
    given = {one.name: table.count(one.name) for one in fields(Brakes)}
    table.close()
    for name in ("bad_percent", "reversed_percent"):
        if (given[name] or 0) > HUNDRED:
            table.wrong(name, f"{given[name]} is more than 100 percent")
    return Brakes(**{name: value for name, value in given.items() if value is not None})


def _by(key: str) -> Callable[[Mapping[str, object]], object]:
    return lambda content: content.get(key)


def _by_terms(contract: Mapping[str, object]) -> object:
    partner, effective = contract.get("partner"), contract.get("effective")
    return f"{partner.get('id')} of {effective}" if isinstance(partner, dict) and effective else None
