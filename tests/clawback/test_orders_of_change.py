"""Every order of five changes of one action, spread over up to three deliveries that come in any order."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, permutations
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
# Where the five are cut into deliveries, and the order in which these arrive.
CUTS = [(), (2,), (3,), (1, 3)]


ORDERS = {f"A-{number}": order for number, order in enumerate(permutations(CHANGES))}


def delivery(changes: dict[str, tuple[str, ...]], arrived: datetime) -> Delivery:
    """One delivery that asks some changes of each action."""
    rows = [(action_id, *CHANGES[change]) for action_id, asked in changes.items() for change in asked]
    told = tuple(Line(at, dict(zip(COLUMNS, row, strict=True))) for at, row in enumerate(rows, 2))
    return Delivery(lines(HEADER, *(",".join(row) for row in rows)).encode(), arrived, COLUMNS, told)


def steps(orders: dict[str, tuple[str, ...]], cuts: tuple[int, ...], arrival: tuple[int, ...]) -> list[Delivery]:
    """The deliveries as they are worked off; one with a later arrival may go before one with an earlier."""
    arrived = {place: BASE + timedelta(hours=at) for at, place in enumerate(arrival)}
    parts = enumerate(pairwise([0, *cuts, len(CHANGES)]))
    return [
        delivery({action_id: order[low:high] for action_id, order in orders.items()}, arrived[place])
        for place, (low, high) in parts
    ]


def world(orders: dict[str, tuple[str, ...]]) -> World:
    """An action for each order of changes."""
    sales = (Sale(one, "", "100.00", event_type=1, event_at="2027-01-10T00:00:00Z") for one in orders)
    return World(ACCOUNT, tuple(sales), ())


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_every_order_is_the_oracles(cuts: tuple[int, ...], desk: Desk, tmp_path: Path) -> None:
    """State, amounts and answers, for each of the 120 orders and each order of arrival."""
    for arrival in permutations(range(len(cuts) + 1)):
        model, _ = world(ORDERS).ledger()
        made = Product.load(desk, tmp_path, world(ORDERS))
        for step in steps(ORDERS, cuts, arrival):
            assert seen(made.ingest(step)) == expected(model.ingest(step)), arrival
        assert made.ledger() == {one.action_id: oracle_worlds.told(one) for one in model.actions}, arrival


def test_modify_after_reverse_never_revives(desk: Desk, tmp_path: Path) -> None:
    """In one delivery or in the next."""
    orders = {"A-1": ("reverse", "modify"), "A-2": ("reverse", "modify", "modify again")}
    for cuts in ((), (1,)):
        made = Product.load(desk, tmp_path, world(orders))
        for step in steps(orders, cuts, tuple(range(len(cuts) + 1))):
            made.ingest(step)
        assert {(one["state"], one["amount"]) for one in made.ledger().values()} == {("REVERSED", 0)}
