"""Queries stay short enough for an address, however many values they ask for."""

from urllib.parse import quote_plus

import pytest

from connectors.salesforce_soql import batches, with_orders
from tests.clawback.salesforce.worlds import MAPPING

AROUND = with_orders(MAPPING, [""])
# The address and the headers of a request may have so many bytes together.
ADDRESS = 16_384


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (500, [500]), (501, [500, 1]), (1_000, [500, 500])])
def test_s31_many_orders_are_several_queries(count: int, sizes: list[int]) -> None:
    """Each order is asked for once, in order, and five hundred at most at a time."""
    orders = [f"O-{n}" for n in range(count)]
    found = list(batches(orders, AROUND))
    assert ([len(one) for one in found], [one for some in found for one in some]) == (sizes, orders)


@pytest.mark.parametrize("order", ["\u2603" * 80, "'" * 100, "plain-and-long-" * 6])
def test_s31_long_orders_fit_an_address(order: str) -> None:
    """What a character becomes in an address counts, and so does what quoting adds to it."""
    orders = [f"{order}{n}" for n in range(300)]
    found = list(batches(orders, AROUND))
    assert [one for some in found for one in some] == orders
    assert max(len(quote_plus(with_orders(MAPPING, some))) for some in found) < ADDRESS * 3 // 4
    assert len(found) < 100


def test_s31_an_order_that_is_too_long_is_asked_for_alone() -> None:
    """It keeps none of the others from being looked up."""
    assert list(batches(["O-1", "x" * 9_990, "O-2"], "")) == [["O-1"], ["x" * 9_990], ["O-2"]]
