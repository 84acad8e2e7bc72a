"""Crashes at a chosen statement or commit, by a hook of the connection."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from processing.store import Store


class Died(BaseException):
    """The process is gone: nothing catches it, and nothing happens afterwards."""


class Mishap(Exception):
    """Something that nobody foresaw happened once."""


@contextmanager
def crashing(store: Store, at: int, error: type[BaseException]) -> Iterator[None]:
    """Raise at the given statement or commit; a process that died says nothing to the database any more."""
    passed = itertools.count(1)

    def crash(*_: object) -> None:
        number = next(passed)
        if number == at or (number > at and error is Died):
            raise error

    events = ("before_cursor_execute", "commit")
    for name in events:
        event.listen(store.engine, name, crash)
    try:
        yield
    finally:
        for name in events:
            event.remove(store.engine, name, crash)
