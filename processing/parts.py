"""Parts of many values, each for one query."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

MOST_VALUES: Final = 500
"""Values in one query; databases limit how many it may have."""

Value = TypeVar("Value")


def parts(values: Iterable[Value]) -> Iterator[list[Value]]:
    """The values in their order, in lists of at most ``MOST_VALUES``."""
    left = iter(values)
    while some := list(islice(left, MOST_VALUES)):
        yield some
