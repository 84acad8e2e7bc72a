from datetime import date
from pathlib import Path

import pytest

from clawback.loading import load_rates
from clawback.wiring import Desk
from processing import exchange
from processing.exchange import Rate
from tests.worlds import Sale, action, codes, ingest, lines, load, values, written

RATES = lines("Day,From,To,Rate", "2027-01-15,EUR,USD,1.0856", "2027-01-16,EUR,USD,2", "2027-01-15,JPY,USD,0.0067")
SALES = [
    Sale("A-1"),
    # The same evening in New York, and the next morning.
    Sale("A-2", event_at="2027-01-16T04:59:59Z"),
    Sale("A-3", event_at="2027-01-16T05:00:00Z"),
    Sale("A-4", "", "0"),
    Sale("A-5", "", "5000", "JPY"),
]


@pytest.fixture
def rated(desk: Desk, tmp_path: Path) -> Desk:
    """Some actions, and rates of two days."""
    load(desk, tmp_path, SALES)
    done = load_rates(desk, written(tmp_path, "rates.csv", RATES))
    assert (done.read, done.added, done.problems) == (3, 3, [])
    return desk


@pytest.mark.parametrize(
    ("case", "line", "after", "code"),
    [
        ("with the day's rate", "A-1,10.00,EUR", ("PENDING", "10.86", "0.54"), "CURRENCY_CONVERTED"),
        ("the evening before", "A-2,10.00,EUR", ("PENDING", "10.86", "0.54"), "CURRENCY_CONVERTED"),
        ("the morning after", "A-3,10.00,EUR", ("PENDING", "20.00", "1.00"), "CURRENCY_CONVERTED"),
        ("without decimals", "A-1,1000,JPY", ("PENDING", "6.70", "0.34"), "CURRENCY_CONVERTED"),
        ("half a cent up", "A-1,0.50,EUR", ("PENDING", "0.54", "0.03"), "CURRENCY_CONVERTED"),
        ("the other way round", "A-5,10.00,USD", ("PENDING", "5000", "250"), "NO_EXCHANGE_RATE"),
        ("no rate of that day", "A-3,1000,JPY", ("PENDING", "100.00", "5.00"), "NO_EXCHANGE_RATE"),
        ("no rate of that currency", "A-1,10.00,CHF", ("PENDING", "100.00", "5.00"), "NO_EXCHANGE_RATE"),
        ("nothing in any currency", "A-1,0,CHF", ("REVERSED", "0.00", "0.00"), None),
        ("still nothing", "A-4,0,CHF", ("PENDING", "0.00", "0.00"), None),
        ("too much of it", "A-3,900000.00,EUR", ("PENDING", "100.00", "5.00"), "AMOUNT_TOO_LARGE"),
    ],
)
def test_amounts_in_other_currencies(
    case: str, line: str, after: tuple[str, str, str], code: str | None, rated: Desk
) -> None:
    """Converted with the rate of the action's day in the account's zone, or refused; nothing is guessed."""
    receipt = ingest(rated, lines("ActionId,Amount,currencyCode,Reason", f"{line},OTHER"))
    assert values(rated.store, line[:3]) == after, case
    assert [each[2] for each in codes(receipt) if each[2]] == ([code] if code else [])


def test_a_currency_alone_changes_nothing(rated: Desk) -> None:
    """An action keeps its currency, and nothing was said of its amount."""
    before = action(rated.store, "A-1")
    receipt = ingest(rated, lines("ActionId,currencyCode,Reason", "A-1,EUR,OTHER"))
    assert codes(receipt) == [(2, "unchanged", None)]
    assert action(rated.store, "A-1") == before


def test_the_brand_hears_what_was_converted(rated: Desk) -> None:
    """The notice names the currency; the entry has the converted amount."""
    receipt = ingest(rated, lines("ActionId,Amount,currencyCode,Reason", "A-1,10.00,EUR,OTHER"))
    assert receipt["lines"][0]["message"] == "The amount in EUR was converted with the rate of the action's day."
    assert receipt["money"]["USD"]["amount_after"] == "10.86"
    assert action(rated.store, "A-1")["history"][0]["after"]["amount"] == "10.86"


def test_a_rate_can_be_put_right(rated: Desk) -> None:
    """The last one loaded for a day and a pair counts."""
    with rated.store.write() as db:
        exchange.save(db, [])
        exchange.save(db, [Rate(date(2027, 1, 15), "EUR", "USD", 12_000_000_000)])
    ingest(rated, lines("ActionId,Amount,currencyCode,Reason", "A-1,10.00,EUR,OTHER"))
    assert values(rated.store, "A-1") == ("PENDING", "12.00", "0.60")
