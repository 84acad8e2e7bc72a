"""The catalogue file: accounts with their programs, event types and contracts, read from TOML, all faults named."""

import codecs
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, TypeVar
from zoneinfo import available_timezones

from processing.errors import Unusable
from processing.model import (
    Account,
    Basis,
    Change,
    Contract,
    EventType,
    Level,
    Partner,
    Payout,
    Program,
    SameOrder,
)
from processing.money import is_currency, percent_ppm, to_minor
from processing.terms import Period

# A person may restore an action; no file of a brand can ask for it.
OUTCOMES: Final = tuple(change for change in Change if change is not Change.RESTORE)

_SID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LARGEST_ID: Final = 2**63 - 1
# These two mean whatever the machine says, and nothing at all.
_NO_TIMEZONES: Final = {"localtime", "Factory"}
_ANY_PERIOD: Final = Period(0, 0, "day")
_Choice = TypeVar("_Choice", bound=StrEnum)
_Read = TypeVar("_Read")


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
    root = _Table(_toml(text, source), "", problems)
    seen: dict[object, str] = {}
    accounts = tuple(_account(table, seen) for table in root.tables("account", _by("sid")))
    root.close()
    if not accounts and not problems:
        problems.append("there is no account; begin with [[account]]")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise Unusable("\n  ".join([f"{source} has {count}:", *problems]))
    return accounts


def _toml(text: str, source: str) -> Mapping[str, object]:
    # Editors on Windows begin a file with this mark.
    text = text.removeprefix("\ufeff")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise Unusable(f"{source} is not TOML: it is nested too deeply.") from None
    except ValueError as error:
        lines = text.replace("\r\n", "\n").split("\n")
        end = f"(at line {len(lines)}, column {len(lines[-1]) + 1}, the end of the file)"
        raise Unusable(f"{source} is not TOML: {error}.".replace("(at end of document)", end)) from error


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file while it is read: its path, and where its faults go.

    A getter reports a fault and returns a stand-in, so that reading goes on and finds the next one; what is built from
    stand-ins is thrown away.
    """

    content: Mapping[str, object]
    path: str
    problems: list[str]
    known: set[str] = field(default_factory=set)

    def at(self, key: object) -> str:
        """The path of a key."""
        return f"{self.path} \u203a {key}" if self.path else str(key)

    def wrong(self, key: str, message: str) -> None:
        """Report a fault of a key."""
        self.problems.append(f"{self.at(key)}: {message}")

    def get(self, key: str, *, optional: bool = False) -> object:
        """What stands under a key, or ``None``; TOML itself has no null."""
        self.known.add(key)
        value = self.content.get(key)
        if value is None and not optional:
            self.wrong(key, "is missing")
        return value

    def text(self, key: str) -> str:
        """A line of text."""
        value = self.get(key)
        return "" if value is None or not self.is_text(key, value) else str(value)

    def is_text(self, key: str, value: object) -> bool:
        """Whether a value is a line of text; reported if not."""
        if not isinstance(value, str):
            self.wrong(key, f"{_shown(value)} is not text; put it in quotation marks")
        elif not value or value != value.strip() or not value.isprintable():
            self.wrong(key, f"{_shown(value)} is not one line of text without spaces around it")
        else:
            return True
        return False

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of different lines of text, empty if it is not given."""
        value = self.get(key, optional=True)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.wrong(key, f'{_shown(value)} is not a list; write it like ["Notes", "Clerk"]')
            return ()
        given = [str(each) for each in value if self.is_text(key, each)]
        for twice in sorted({each for each in given if given.count(each) > 1}):
            self.wrong(key, f"{_shown(twice)} is listed twice")
        return tuple(given)

    def number(self, key: str) -> int:
        """An id: a whole number from 1 on."""
        value = self.get(key)
        if value is None:
            return 0
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_ID:
            return value
        self.wrong(key, f"{_shown(value)} is not an id; give a whole number from 1 to {_LARGEST_ID}")
        return 0

    def choice(self, key: str, choices: tuple[_Choice, ...], *, optional: bool = False) -> _Choice:
        """One of some words; the first where it is optional and not given."""
        value = self.get(key, optional=optional)
        if value is None:
            return choices[0]
        for each in choices:
            if value == each.value:
                return each
        words = [_shown(each.value) for each in choices]
        either = f"neither {words[0]} nor {words[1]}" if len(words) == 2 else f"none of {', '.join(words)}"
        self.wrong(key, f"{_shown(value)} is {either}")
        return choices[0]

    def table(self, key: str) -> "_Table | None":
        """A table of its own."""
        value = self.get(key)
        if isinstance(value, dict):
            return _Table(value, self.at(key), self.problems)
        if value is not None:
            self.wrong(key, f"{_shown(value)} is not a table")
        return None

    def tables(self, key: str, name: Callable[[Mapping[str, object]], object]) -> "Iterator[_Table]":
        """The tables of a list, which may be missing; a path calls each by its name, or by its number."""
        value = self.get(key, optional=True)
        if value is None:
            return
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self.wrong(key, f"is not a list of tables; write each as [[{key}]] with its path")
            return
        for number, each in enumerate(value, 1):
            called = name(each)
            plain = isinstance(called, str | int) and str(called).isprintable() and 0 < len(str(called)) <= 64
            yield _Table(each, self.at(f"{key} {called if plain else f'#{number}'}"), self.problems)

    def tried(self, key: str, read: Callable[[], _Read], stand_in: _Read) -> _Read:
        """What a value is read as; what makes it unusable is reported."""
        try:
            return read()
        except Unusable as error:
            self.wrong(key, str(error).removesuffix("."))
            return stand_in

    def once(self, seen: dict[object, str], identity: object) -> None:
        """Report a table whose identity another one has; a stand-in is nobody's identity."""
        if not identity:
            return
        if identity in seen:
            where = "" if seen[identity] == self.path else f", first as {seen[identity]}"
            self.problems.append(f"{self.path}: is given twice{where}")
        seen.setdefault(identity, self.path)

    def close(self) -> None:
        """Report the keys that nobody asked for."""
        for key in (key for key in self.content if key not in self.known):
            close = get_close_matches(key, self.known, 1)
            meant = f'did you mean "{close[0]}"?' if close else f"known are {', '.join(sorted(self.known))}"
            self.wrong(key, f"is not known; {meant}")


def _account(table: _Table, seen: dict[object, str]) -> Account:
    sid = table.text("sid")
    if sid and not _SID.fullmatch(sid):
        table.wrong("sid", f"{_shown(sid)} is not 1 to 64 letters, digits, _ or -")
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
    )
    table.close()
    return account


def _program(table: _Table, scope: _Scope) -> Program:
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


def _event_type(table: _Table, scope: _Scope) -> EventType:
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


def _disposition(table: _Table, codes: dict[object, str]) -> tuple[str, Change]:
    code = table.text("code")
    table.once(codes, code)
    outcome = table.choice("outcome", OUTCOMES)
    table.close()
    return code, outcome


def _contract(table: _Table, scope: _Scope, seen: dict[object, str]) -> Contract:
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


def _partner(contract: _Table, scope: _Scope) -> Partner:
    table = contract.table("partner")
    if table is None:
        return Partner(0, "")
    partner = Partner(table.number("id"), table.text("name"))
    table.close()
    if partner.id and partner.name and scope.partners.setdefault(partner.id, partner.name) != partner.name:
        first = _shown(scope.partners[partner.id])
        table.wrong("name", f"{_shown(partner.name)} is the partner called {first} before; one id has one name")
    return partner


def _day(table: _Table, key: str) -> date:
    value = table.get(key)
    # A TOML date and time is a date too, for Python.
    if type(value) is date:
        return value
    if value is not None:
        table.wrong(key, f"{_shown(value)} is not a date; write it like 2026-01-31, without quotation marks")
    return date.min


def _period(contract: _Table, key: str) -> Period:
    table = contract.table(key)
    if table is None:
        return _ANY_PERIOD
    given = {each: table.get(each) for each in ("months", "days", "after")}
    table.close()
    if None in given.values():
        return _ANY_PERIOD
    return contract.tried(key, lambda: Period.parse(given), _ANY_PERIOD)


def _payout(contract: _Table, currency: str) -> Payout:
    table = contract.table("payout")
    if table is None:
        return Payout(0, None)
    percent, fixed = table.get("percent", optional=True), table.get("fixed", optional=True)
    table.close()
    if (percent is None) is (fixed is None):
        contract.wrong("payout", 'give either percent or fixed, for example { percent = "5.00" }')
    elif percent is not None:
        return Payout(_money(table, "percent", percent, percent_ppm), None)
    elif currency:
        return Payout(None, _money(table, "fixed", fixed, lambda text: _not_negative(text, currency)))
    return Payout(0, None)


def _money(table: _Table, key: str, value: object, read: Callable[[str], int]) -> int:
    if not isinstance(value, str):
        reason = "is a float, and money never is one" if isinstance(value, float) else "is not text"
        table.wrong(key, f'{_shown(value)} {reason}; write it in quotation marks, for example "5.00"')
        return 0
    return table.tried(key, lambda: read(value), 0)


def _not_negative(amount: str, currency: str) -> int:
    minor = to_minor(amount, currency)
    if minor < 0:
        raise Unusable(f"{_shown(amount)} is negative; a partner is never paid less than nothing.")
    return minor


def _currency(table: _Table) -> str:
    code = table.text("currency")
    if not code or is_currency(code):
        return code
    table.wrong("currency", f"{_shown(code)} is not a currency of ISO 4217; give three capital letters, like USD")
    return ""


def _timezone(table: _Table) -> str:
    name = table.text("timezone")
    zones = available_timezones() - _NO_TIMEZONES
    if name and name not in zones:
        close = get_close_matches(name, sorted(zones), 1)
        meant = f'did you mean "{close[0]}"?' if close else "give a name like America/New_York"
        table.wrong("timezone", f"{_shown(name)} is not a time zone; {meant}")
    return name


def _encoding(table: _Table) -> str | None:
    if table.get("encoding", optional=True) is None:
        return None
    name = table.text("encoding")
    try:
        # Some codecs are not for text, and only say so when they are used.
        "a".encode(name or "utf-8")
        return codecs.lookup(name or "utf-8").name
    except (LookupError, ValueError):
        table.wrong("encoding", f"{_shown(name)} is not an encoding of text; give a name like windows-1252")
        return None


def _by(key: str) -> Callable[[Mapping[str, object]], object]:
    return lambda content: content.get(key)


def _by_terms(contract: Mapping[str, object]) -> object:
    partner, effective = contract.get("partner"), contract.get("effective")
    return f"{partner.get('id')} of {effective}" if isinstance(partner, dict) and effective else None


def _shown(value: object) -> str:
    """A value as the file has it, or nearly, and never long."""
    if isinstance(value, str | bool):
        shown = json.dumps(value, ensure_ascii=False)
    else:
        shown = "a table" if isinstance(value, dict) else "a list" if isinstance(value, list) else str(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
