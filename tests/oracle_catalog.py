"""Accounts, contracts and their calendar as the oracle knows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from tests.oracle_text import EXPONENTS


@dataclass(frozen=True)
class Period:
    """So many months and days after the day or after its month."""

    months: int
    days: int
    after: str

    def end(self, start: date) -> date:
        """The last day of the period that begins with ``start``."""
        if self.after == "month":
            return first_of(start, self.months + 1) - timedelta(days=1) + timedelta(days=self.days)
        month_lengths = sum((first_of(start, n + 1) - first_of(start, n)).days for n in range(self.months))
        return start + timedelta(days=month_lengths + self.days)


def first_of(day: date, months_later: int) -> date:
    """The first day of the month that many months later."""
    for _ in range(months_later):
        day = day.replace(day=28) + timedelta(days=4)
    return day.replace(day=1)


@dataclass(frozen=True)
class Contract:
    """The terms of a partner from a day on; either percent or fixed."""

    partner: int
    effective: date
    locking: Period
    payment: Period
    percent: Decimal | None = None
    fixed: Decimal | None = None


@dataclass(frozen=True)
class EventType:
    """What is tracked."""

    id: int
    basis: str = "sale"
    same_order: str = "newest"
    dispositions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Account:
    """A brand with one program."""

    zone: ZoneInfo
    currency: str
    event_types: tuple[EventType, ...]
    contracts: tuple[Contract, ...]

    def contract(self, partner: int, day: date) -> Contract | None:
        """The partner's contract in force on a day."""
        mine = [one for one in self.contracts if one.partner == partner and one.effective <= day]
        return max(mine, key=lambda one: one.effective, default=None)

    def day(self, instant: datetime) -> date:
        """The account's calendar day of an instant."""
        return instant.astimezone(self.zone).date()


RATES = {
    (date(2027, 1, day), "EUR", target): Decimal(rate)
    for day in (10, 12)
    for target, rate in {"USD": "1.0856", "JPY": "161.255", "KWD": "0.3345678901"}.items()
}


def exchanged(amount: Decimal, day: date, source: str, target: str) -> Decimal | None:
    """An amount in another currency, rounded half up, None without a rate; nothing is nothing in any currency."""
    if source == target or amount == 0:
        return amount
    rate = RATES.get((day, source, target))
    return None if rate is None else (amount * rate).quantize(Decimal(1).scaleb(-EXPONENTS[target]), ROUND_HALF_UP)


def can_rate(contract: Contract, currency: str, account: Account) -> bool:
    """Whether a contract says what an action in this currency pays."""
    return contract.fixed is None or currency == account.currency


def rated(contract: Contract, amount: Decimal, currency: str) -> Decimal:
    """The payout, rounded half up to the currency's smallest unit."""
    if contract.fixed is not None:
        return contract.fixed
    assert contract.percent is not None
    return (amount * contract.percent / 100).quantize(Decimal(1).scaleb(-EXPONENTS[currency]), ROUND_HALF_UP)
