from collections.abc import Mapping

import pytest

from processing.model import Change
from processing.standing import Items, Late, Standing, Worth

TRACKED = {"BOOT": (2, 80), "SOCK": (3, 20)}
ALL = Worth(100, 10, TRACKED)
BOOTS = Worth(80, 8, {"BOOT": (2, 80), "SOCK": (0, 0)})


def rate(amounts: Mapping[str, int]) -> int:
    """A tenth."""
    return sum(amounts.values()) // 10


def late(change: Change, items: Mapping[str, tuple[int | None, int]] | None = None) -> Late:
    """A line about items, or one about the whole action."""
    return Late(change, 0, 0, items or {})


def returned(**items: tuple[int | None, int]) -> Late:
    """A line that says what some items come to."""
    return late(Change.MODIFY, items)


WHOLE = late(Change.REVERSE)
APPROVED = late(Change.APPROVE)


@pytest.mark.parametrize(
    ("case", "lines", "expected"),
    [
        ("one returned", [returned(SOCK=(0, 0))], BOOTS),
        ("returned twice", [returned(SOCK=(0, 0)), returned(SOCK=(0, 0))], BOOTS),
        ("returned one by one", [returned(SOCK=(0, 0)), returned(BOOT=(0, 0))], ALL.gone()),
        ("approved after its last item", [returned(SOCK=(0, 0)), returned(BOOT=(0, 0)), APPROVED], BOOTS),
        ("approved after some of them", [returned(SOCK=(0, 0)), APPROVED], BOOTS),
        ("reversed and approved", [returned(SOCK=(0, 0)), WHOLE, APPROVED], BOOTS),
        ("reversed twice and approved", [WHOLE, WHOLE, APPROVED], ALL),
        ("one that is there again, behind a reversal", [WHOLE, returned(BOOT=(2, 80))], BOOTS),
        ("approved after that", [WHOLE, returned(BOOT=(2, 80)), APPROVED], BOOTS),
        ("nobody says how many there are again", [returned(SOCK=(0, 0)), returned(SOCK=(None, 5))], BOOTS),
        ("taken back", [returned(SOCK=(0, 0)), returned(SOCK=(3, 20))], ALL),
        ("another quantity at the same price", [returned(SOCK=(2, 20))], Worth(100, 10, {**TRACKED, "SOCK": (2, 20)})),
    ],
)
def test_items_one_line_after_the_other(case: str, lines: list[Late], expected: Worth) -> None:
    """What is said of one leaves the others; what is returned in the end comes back by an approval."""
    standing = Standing.of(ALL, is_reversed=False)
    for one in lines:
        standing = standing.then(one, rate)
    assert standing.worth == expected, case


@pytest.mark.parametrize("items", [TRACKED, {}])
def test_what_locked_reversed_has_nothing_until_it_is_brought_back(items: Items) -> None:
    """Then it has what it had before, and a reversal takes that."""
    worth = Worth(100, 10, items)
    standing = Standing.of(worth, is_reversed=True)
    for line, expected in (
        (late(Change.MODIFY, {"BOOT": (1, 5)} if items else None), worth.gone()),
        (WHOLE, worth.gone()),
        (APPROVED, worth),
        (APPROVED, worth),
        (WHOLE, worth.gone()),
        (APPROVED, worth),
    ):
        standing = standing.then(line, rate)
        assert standing.worth == expected
