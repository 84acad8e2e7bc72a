"""The part of SOQL that the fake org understands, typed; what it cannot parse it refuses, as the real one does."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<instant>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)
    | (?P<mark><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE,
)
LONGEST: Final = 100_000
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda left, right: bool(left == right),
    "!=": lambda left, right: bool(left != right),
    "<>": lambda left, right: bool(left != right),
    "<": lambda left, right: left is not None and bool(left < right),
    "<=": lambda left, right: left is not None and bool(left <= right),
    ">": lambda left, right: left is not None and bool(left > right),
    ">=": lambda left, right: left is not None and bool(left >= right),
}
KINDS: Final = {"instant": ("datetime",), "number": ("double", "currency", "int"), "boolean": ("boolean",)}
TEXTUAL: Final = ("string", "id", "reference", "picklist", "textarea")


def _folded(value: Any) -> Any:  # noqa: ANN401 - a value of any type
    """As a query compares it: texts without regard to case."""
    return value.casefold() if isinstance(value, str) else value


class Refused(Exception):
    """The org's answer to a query that it does not take: its error code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """Its HTTP status."""
        return {"NOT_FOUND": 404, "FORBIDDEN": 403}.get(self.code, 400)

    def told(self) -> list[dict[str, str]]:
        """Its body."""
        return [{"errorCode": self.code, "message": str(self)}]


@dataclass(frozen=True)
class Token:
    """A word of a query."""

    kind: str
    text: str


@dataclass(frozen=True)
class Query:
    """A query that was understood; ``keeps`` judges a record by a function that gives the value of a path.

    One without ``fields`` asks how many records there are. ``texts`` are the paths that are compared with a text, and
    those texts.
    """

    fields: tuple[str, ...]
    of: str
    keeps: Callable[[Callable[[str], Any]], bool]
    paths: tuple[tuple[str, str], ...]
    texts: tuple[tuple[str, str], ...]
    order: tuple[tuple[str, bool], ...]
    limit: int | None


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise Refused("MALFORMED_QUERY", f"unexpected token: {text[at : at + 20]!r}")
        assert found.lastgroup
        yield Token(found.lastgroup, found[found.lastgroup])
        at = found.end()


class _Parser:
    def __init__(self, text: str) -> None:
        self._left = [*_tokens(text), Token("end", "")]
        self._paths: list[tuple[str, str]] = []
        self._texts: list[tuple[str, str]] = []

    def query(self) -> Query:
        self._word("SELECT")
        fields = () if self._counts() else self._names()
        self._word("FROM")
        of = self._take("name").text
        keeps = self._either() if self._may("WHERE") else lambda _value: True
        order: list[tuple[str, bool]] = []
        if self._may("ORDER"):
            self._word("BY")
            order.append(self._key())
            while self._may(","):
                order.append(self._key())
        limit = int(self._take("number").text) if self._may("LIMIT") else None
        self._take("end")
        return Query(fields, of, keeps, tuple(self._paths), tuple(self._texts), tuple(order), limit)

    def _counts(self) -> bool:
        if [one.text.upper() for one in self._left[:3]] != ["COUNT", "(", ")"]:
            return False
        del self._left[:3]
        return True

    def _names(self) -> tuple[str, ...]:
        names = [self._take("name").text]
        while self._may(","):
            names.append(self._take("name").text)
        return tuple(names)

    def _key(self) -> tuple[str, bool]:
        name = self._take("name").text
        descending = self._may("DESC")
        if not descending:
            self._may("ASC")
        return name, descending

    def _either(self) -> Callable[[Callable[[str], Any]], bool]:
        parts = [self._both()]
        while self._may("OR"):
            parts.append(self._both())
        return lambda value: any(part(value) for part in parts)

    def _both(self) -> Callable[[Callable[[str], Any]], bool]:
        parts = [self._one()]
        while self._may("AND"):
            parts.append(self._one())
        return lambda value: all(part(value) for part in parts)

    def _one(self) -> Callable[[Callable[[str], Any]], bool]:
        if self._may("("):
            inner = self._either()
            self._mark(")")
            return inner
        path = self._take("name").text
        if self._may("IN"):
            self._mark("(")
            wanted = [_folded(self._value(path))]
            while self._may(","):
                wanted.append(_folded(self._value(path)))
            self._mark(")")
            return lambda value: _folded(value(path)) in wanted
        mark = self._take("mark").text
        if mark not in _COMPARE:
            raise Refused("MALFORMED_QUERY", f"unexpected token: {mark!r}")
        against = _folded(self._value(path))
        return lambda value: _COMPARE[mark](_folded(value(path)), against)

    def _value(self, path: str) -> Any:  # noqa: ANN401 - a value of any type
        token = self._left.pop(0)
        if token.kind == "text":
            self._paths.append((path, "text"))
            text = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), token.text[1:-1], flags=re.DOTALL)
            self._texts.append((path, text))
            return text
        if token.kind == "instant":
            self._paths.append((path, "instant"))
            return datetime.fromisoformat(token.text).replace(microsecond=0)
        if token.kind == "number":
            self._paths.append((path, "number"))
            return Decimal(token.text)
        if token.kind == "name" and token.text.lower() in {"true", "false", "null"}:
            self._paths.append((path, "null" if token.text.lower() == "null" else "boolean"))
            return {"true": True, "false": False, "null": None}[token.text.lower()]
        raise Refused("MALFORMED_QUERY", f"unexpected token: {token.text!r}")

    def _take(self, kind: str) -> Token:
        token = self._left.pop(0)
        if token.kind != kind:
            raise Refused("MALFORMED_QUERY", f"unexpected token: {token.text!r}")
        return token

    def _may(self, word: str) -> bool:
        if self._left[0].kind in {"name", "mark"} and self._left[0].text.upper() == word:
            self._left.pop(0)
            return True
        return False

    def _word(self, word: str) -> None:
        if not self._may(word):
            raise Refused("MALFORMED_QUERY", f"unexpected token: {self._left[0].text!r}, expecting {word}")

    _mark = _word


def parse(text: str) -> Query:
    """Understand a query; raises Refused."""
    if len(text) > LONGEST:
        raise Refused("MALFORMED_QUERY", f"SOQL statements cannot be longer than {LONGEST} characters.")
    return _Parser(text).query()
