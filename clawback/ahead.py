"""Makes the next item while the caller works on this one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order; while one is worked on, a thread makes the one after it."""
    with ThreadPoolExecutor(1, "ahead") as thread:
        following = thread.submit(list, islice(items, 1))
        while item := following.result():
            following = thread.submit(list, islice(items, 1))
            yield from item
