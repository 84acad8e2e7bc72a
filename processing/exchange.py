"""Exchange rates by day, and the amounts that lines give in another currency than their action's.

An amount is converted with the rate of the day of its action's event, in the account's calendar (design, section 4.3).
Only the very pair counts: a rate from EUR to USD says nothing about USD to EUR.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Final

import numpy as np
from sqlalchemy import Connection, select

from processing import upsert
from processing.catalog import Terms
from processing.codes import Code
from processing.columns import Objects, missing
from processing.intent import LARGEST_MINOR, Asked
from processing.items import AskedItems, ranges
from processing.match import NOBODY, Actions
from processing.money import exponent
from processing.tables import exchange_rate
from processing.terms import event_days

DECIMALS: Final = 10
"""A rate is kept in units of 10 to the minus ``DECIMALS``."""

Pair = tuple[date, str, str]


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit of a currency was worth in another on a day, in 10 to the minus ``DECIMALS``."""

    day: date
    source: str
    target: str
    scaled: int


def save(db: Connection, rates: Sequence[Rate]) -> None:
    """Add rates; one that is there for the same day and pair is replaced."""
    rows = [{"day": one.day, "source": one.source, "target": one.target, "scaled": one.scaled} for one in rates]
    upsert.put(db, exchange_rate, rows, key=("day", "source", "target"))


def exchange(db: Connection, asked: Asked, actions: Actions, terms: Terms) -> None:
    """Turn amounts in other currencies into the actions' own, in place; ``actions`` have their ``event_at``.

    Lines without a rate stay ``foreign``. A line whose amount becomes larger than any a file may give is rejected.
    """
    at = np.flatnonzero(asked.foreign & missing(asked.code) & (asked.row != NOBODY))
    if len(at) == 0:
        return
    row = asked.row[at]
    pairs = _pairs(event_days(actions.event_at[row], terms.zone), asked.currency[at], actions.currency[row])
    scaled = _scaled(db, pairs)
    for line, pair, amount in zip(at.tolist(), pairs, asked.amount[at].tolist(), strict=True):
        # Nothing is worth nothing in any currency.
        if pair not in scaled and amount != 0:
            continue
        asked.foreign[line] = False
        if amount > 0:
            asked.converted[line] = True
            asked.amount[line] = _convert(amount, pair, scaled[pair])
    if asked.items is not None:
        _exchange_items(asked, asked.items, dict(zip(at.tolist(), pairs, strict=True)), scaled)
    too_large = asked.converted & (asked.amount > LARGEST_MINOR)
    asked.code[too_large], asked.change[too_large], asked.converted[too_large] = Code.AMOUNT_TOO_LARGE, None, False


def _exchange_items(asked: Asked, items: AskedItems, pairs: Mapping[int, Pair], scaled: Mapping[Pair, int]) -> None:
    """The same for the amounts of items."""
    numbers, _ = ranges(items.first, np.fromiter(pairs, np.int64, len(pairs)))
    numbers = numbers[items.amount[numbers] > 0]
    for number, line in zip(numbers.tolist(), items.position[numbers].tolist(), strict=True):
        pair = pairs[line]
        if pair in scaled:
            items.amount[number] = _convert(int(items.amount[number]), pair, scaled[pair])
            asked.converted[line] = True
    large = items.blame((items.amount > LARGEST_MINOR) & missing(asked.code)[items.position])
    asked.code[large], asked.change[large], asked.converted[large] = Code.AMOUNT_TOO_LARGE, None, False


def _pairs(days: "np.ndarray[tuple[int], np.dtype[np.datetime64]]", source: Objects, target: Objects) -> list[Pair]:
    return list(zip(days.astype("datetime64[D]").tolist(), source.tolist(), target.tolist(), strict=True))


def _scaled(db: Connection, pairs: Sequence[Pair]) -> Mapping[Pair, int]:
    """The rates there are for these pairs."""
    wanted = set(pairs)
    days, sources, targets = ({pair[at] for pair in wanted} for at in range(3))
    query = select(exchange_rate).where(
        exchange_rate.c.day.between(min(days), max(days)),
        exchange_rate.c.source.in_(sources),
        exchange_rate.c.target.in_(targets),
    )
    found = {(one.day, one.source, one.target): one.scaled for one in db.execute(query)}
    return {pair: found[pair] for pair in wanted & found.keys()}


def _convert(amount: int, pair: Pair, scaled: int) -> int:
    """Minor units of one currency in minor units of the other, rounded half up."""
    _, source, target = pair
    value = Fraction(amount * scaled * 10 ** exponent(target), 10 ** (exponent(source) + DECIMALS))
    return int(value + Fraction(1, 2))
