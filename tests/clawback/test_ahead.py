"""Tests of ``clawback.ahead``: nothing is lost, reordered or hidden by working ahead."""

import threading
from collections.abc import Iterator

import pytest

from clawback.ahead import ahead


def test_gives_the_same_items() -> None:
    """In their order; none gives none, and None is an item like others."""
    assert list(ahead(iter(range(1_000)))) == list(range(1_000))
    assert list(ahead(iter([]))) == []
    assert list(ahead(iter([None, 0, None]))) == [None, 0, None]


def test_works_one_item_ahead() -> None:
    """While an item is worked on the next is made, and no more than that."""
    made, following = list[int](), threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number
            following.release()

    for number in ahead(items()):
        # The thread goes on beyond this item's ``yield`` without being asked.
        assert following.acquire(timeout=30)
        assert len(made) <= number + 2


def test_an_error_comes_in_its_place() -> None:
    """After the items before it."""

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second")

    got = list[int]()
    with pytest.raises(ValueError, match="the second"):
        got.extend(ahead(items()))
    assert got == [1]


def test_leaves_no_thread_behind() -> None:
    """When the caller stops in the middle."""
    before = threading.active_count()
    for _ in ahead(iter(range(100))):
        break
    assert threading.active_count() == before
