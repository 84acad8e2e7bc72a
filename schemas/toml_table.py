"""Reads TOML tables key by key and collects every fault with its path."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, TypeVar

from processing.errors import Unusable

_LARGEST_ID: Final = 2**63 - 1
_MOST_DAYS: Final = 366
_Choice = TypeVar("_Choice", bound=StrEnum)
_Read = TypeVar("_Read")


def read_toml(text: str, source: str) -> Mapping[str, object]:
    """The file as a table; raises Unusable with line and column."""
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
class Table:
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
            self.wrong(key, f"{shown(value)} is not text; put it in quotation marks")
        elif not value or value != value.strip() or not value.isprintable():
            self.wrong(key, f"{shown(value)} is not one line of text without spaces around it")
        else:
            return True
        return False

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of different lines of text, empty if it is not given."""
        value = self.get(key, optional=True)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.wrong(key, f'{shown(value)} is not a list; write it like ["Notes", "Clerk"]')
            return ()
        given = [str(each) for each in value if self.is_text(key, each)]
        for twice in sorted({each for each in given if given.count(each) > 1}):
            self.wrong(key, f"{shown(twice)} is listed twice")
        return tuple(given)

    def number(self, key: str) -> int:
        """An id: a whole number from 1 on."""
        value = self.get(key)
        if value is None:
            return 0
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_ID:
            return value
        self.wrong(key, f"{shown(value)} is not an id; give a whole number from 1 to {_LARGEST_ID}")
        return 0

    def days(self, key: str, default: int) -> int:
        """A number of days, from 1 to 366."""
        value = self.get(key, optional=True)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_DAYS:
            return value
        self.wrong(key, f"{shown(value)} is not a number of days; give a whole number from 1 to {_MOST_DAYS}")
        return default

    def count(self, key: str) -> int | None:
        """A whole number from 1 on that may be left out."""
        value = self.get(key, optional=True)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_ID):
            return value
        self.wrong(key, f"{shown(value)} is not a count; give a whole number from 1 on")
        return None

    def choice(self, key: str, choices: tuple[_Choice, ...], *, optional: bool = False) -> _Choice:
        """One of some words; the first where it is optional and not given."""
        value = self.get(key, optional=optional)
        if value is None:
            return choices[0]
        for each in choices:
            if value == each.value:
                return each
        words = [shown(each.value) for each in choices]
        either = f"neither {words[0]} nor {words[1]}" if len(words) == 2 else f"none of {', '.join(words)}"
        self.wrong(key, f"{shown(value)} is {either}")
        return choices[0]

    def table(self, key: str) -> "Table | None":
        """A table of its own."""
        value = self.get(key)
        if isinstance(value, dict):
            return Table(value, self.at(key), self.problems)
        if value is not None:
            self.wrong(key, f"{shown(value)} is not a table")
        return None

    def tables(self, key: str, name: Callable[[Mapping[str, object]], object]) -> "Iterator[Table]":
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
            yield Table(each, self.at(f"{key} {called if plain else f'#{number}'}"), self.problems)

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


def shown(value: object) -> str:
    """A value as the file has it, or nearly, and never long."""
    if isinstance(value, str | bool):
        shown = json.dumps(value, ensure_ascii=False)
    else:
        shown = "a table" if isinstance(value, dict) else "a list" if isinstance(value, list) else str(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
