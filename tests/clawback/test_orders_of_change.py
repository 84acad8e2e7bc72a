"""Every order of up to five changes of one action, spread over up to three deliveries that come in any order.

Each story has an action of its own; those of as many deliveries are told in the same ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import combinations, pairwise, permutations
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from clawback.wiring import Desk
from tests import oracle_worlds
from tests.oracle import Delivery
from tests.oracle_catalog import Account, Contract, EventType, Period
from tests.oracle_product import Product, expected, seen
from tests.oracle_text import Line
from tests.oracle_worlds import BASE, World
from tests.worlds import Sale, lines

COLUMNS = ("action_id", "amount", "reason")
HEADER = "ActionId,Amount,Reason"
CHANGES = {
    "modify": ("40.00", "OTHER"),
    "modify again": ("70.00", "OTHER"),
    "reverse": ("0", "OTHER"),
    "approve": ("", "PAY"),
    "reset": ("", "RESET"),
}
ACCOUNT = Account(
    ZoneInfo("UTC"),
    "USD",
    (EventType(1, dispositions={"PAY": "approve"}),),
    (Contract(501, date(2026, 1, 1), Period(0, 27, "month"), Period(0, 20, "month"), Decimal("5.00")),),
)
MOST_DELIVERIES = 3


@dataclass(frozen=True, slots=True)
class Story:
    """Some of the changes of one action, in an order, cut into the deliveries that ask for them."""

    parts: tuple[tuple[str, ...], ...]

    @classmethod
    def cut_in(cls, count: int) -> Iterator["Story"]:
        """Each order of each one to five of the changes, in each cut into so many deliveries that all ask something."""
        for length in range(1, len(CHANGES) + 1):
            for order in permutations(CHANGES, length):
                for cuts in combinations(range(1, length), count - 1):
                    yield cls(tuple(order[low:high] for low, high in pairwise([0, *cuts, length])))


def stories(count: int) -> dict[str, Story]:
    """An action for each story of so many deliveries."""
    return {f"A-{number}": story for number, story in enumerate(Story.cut_in(count))}


def delivery(changes: dict[str, tuple[str, ...]], arrived: datetime) -> Delivery:
    """One delivery that asks some changes of each action."""
    rows = [(action_id, *CHANGES[change]) for action_id, asked in changes.items() for change in asked]
    told = tuple(Line(at, dict(zip(COLUMNS, row, strict=True))) for at, row in enumerate(rows, 2))
    return Delivery(lines(HEADER, *(",".join(row) for row in rows)).encode(), arrived, COLUMNS, told)


def steps(told: dict[str, Story], arrival: tuple[int, ...]) -> list[Delivery]:
    """The deliveries as they are worked off; one with a later arrival may go before one with an earlier."""
    arrived = {place: BASE + timedelta(hours=at) for at, place in enumerate(arrival)}
    return [
        delivery({action_id: story.parts[place] for action_id, story in told.items()}, arrived[place])
        for place in range(len(arrival))
    ]


def world(told: dict[str, Story]) -> World:
    """An action for each story."""
    sales = (Sale(one, "", "100.00", event_type=1, event_at="2027-01-10T00:00:00Z") for one in told)
    return World(ACCOUNT, tuple(sales), ())


def test_the_stories_are_all_there_are() -> None:
    """325 orders of one to five changes; four may be cut in three places, and so on."""
    orders = {length: len(list(permutations(CHANGES, length))) for length in range(1, 6)}
    assert orders == {1: 5, 2: 20, 3: 60, 4: 120, 5: 120}
    assert [len(stories(count)) for count in (1, 2, 3)] == [
        325,
        20 * 1 + 60 * 2 + 120 * 3 + 120 * 4,
        60 * 1 + 120 * 3 + 120 * 6,
    ]


@pytest.mark.parametrize(
    "arrival",
    [one for count in range(1, MOST_DELIVERIES + 1) for one in permutations(range(count))],
    ids=lambda arrival: "-".join(map(str, arrival)),
)
def test_every_order_is_the_oracles(arrival: tuple[int, ...], desk: Desk, tmp_path: Path) -> None:
    """State, amounts and answers: each story of so many deliveries, in each order of their arrival, on both stores."""
    told = stories(len(arrival))
    model, _ = world(told).ledger()
    made = Product.load(desk, tmp_path, world(told))
    for step in steps(told, arrival):
        assert seen(made.ingest(step)) == expected(model.ingest(step))
    assert made.ledger() == {one.action_id: oracle_worlds.told(one) for one in model.actions}


def test_modify_after_reverse_never_revives(desk: Desk, tmp_path: Path) -> None:
    """In one delivery or in the next."""
    at_once = {"A-1": Story((("reverse", "modify"),)), "A-2": Story((("reverse", "modify", "modify again"),))}
    later = {"A-1": Story((("reverse",), ("modify",))), "A-2": Story((("reverse",), ("modify", "modify again")))}
    for told, arrival in ((at_once, (0,)), (later, (0, 1))):
        made = Product.load(desk, tmp_path, world(told))
        for step in steps(told, arrival):
            made.ingest(step)
        assert {(one["state"], one["amount"]) for one in made.ledger().values()} == {("REVERSED", 0)}
