"""When an action locks, clears and is invoiced: calendar rules in an account's time zone, for one action or a column.

A contract counts in calendar days of the account; the store keeps instants as integers of microseconds since the epoch
in UTC. The columnar functions ask the time zone once per distinct day, never once per row, and agree with the scalar
ones. Columns have no missing values.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, Self, cast
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from processing.errors import Unusable

OPEN_ENDED: Final = timedelta(days=730)
MOST_DAYS_ALONE: Final = 27
MOST_DAYS: Final = 730
MOST_MONTHS: Final = 120

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_DAY_S: Final = 86_400
_SECOND_US: Final = 1_000_000
_DAY_US: Final = _DAY_S * _SECOND_US
_PHRASE: Final = re.compile(
    r"(?:(?P<months>[0-9]{1,6}) months?(?:(?: and)? (?=[0-9])|(?= after)))?(?:(?P<days>[0-9]{1,6}) days?)?"
    r" after (?:the )?(?P<after>day|month)"
)


@dataclass(frozen=True, slots=True)
class Period:
    """So many months and days, counted from the end of the day or from the end of its month."""

    months: int
    days: int
    after: Literal["day", "month"]

    def __post_init__(self) -> None:
        for name, value, most in (("months", self.months, MOST_MONTHS), ("days", self.days, MOST_DAYS)):
            if type(value) is not int or not 0 <= value <= most:
                raise Unusable(f"A period has a whole number of {name} from 0 to {most}, not {value!r}.")
        if self.after not in {"day", "month"}:
            raise Unusable(f'A period runs after the "day" or the "month", not {self.after!r}.')
        if self.months == 0 and self.days > MOST_DAYS_ALONE:
            raise Unusable(
                f"A period of days only has at most {MOST_DAYS_ALONE}, not {self.days}: "
                "give a longer one in months and days."
            )

    @classmethod
    def parse(cls, given: str | Mapping[str, object]) -> Self:
        """Read a phrase such as ``1 month 15 days after month``, or the catalogue's table of the same three."""
        if isinstance(given, str):
            return cls(*_phrase(given))
        if given.keys() != {"months", "days", "after"}:
            raise Unusable(f"A period has months, days and after, not {', '.join(given) or 'nothing'}.")
        # The constructor judges the three values, whatever they are.
        return cls(cast("int", given["months"]), cast("int", given["days"]), cast("Literal['day']", given["after"]))

    def __str__(self) -> str:
        return f"{_counted(self.months, 'month')} {_counted(self.days, 'day')} after {self.after}"


def event_day(event_at: datetime, zone: ZoneInfo) -> date:
    """The account's calendar day of an instant."""
    return event_at.astimezone(zone).date()


def last_open_day(event_day: date, locking: Period) -> date:
    """The last calendar day on which an action of ``event_day`` can still change."""
    return _reach(event_day, locking)


def locks_at(last_open_day: date, zone: ZoneInfo) -> datetime:
    """The midnight that ends the last open day, as an instant in UTC.

    Where the clock jumps over that midnight, the next day begins with the jump. Where the clock shows it twice, the
    first counts: the next day has begun with it, and what the clock repeats afterwards cannot open the action again.
    """
    midnight = datetime.combine(last_open_day + _DAY, time.min, zone)
    first = midnight.astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return first
    # In a gap fold=0 reads the clock of before the jump and fold=1 that of after it; the jump lies between the two.
    earliest = _seconds(midnight.replace(fold=1).astimezone(UTC))
    return _instant(_change_s(earliest, _seconds(first), zone))


def clears_on(last_open_day: date, payment: Period) -> date:
    """The calendar day on which an action that locked after ``last_open_day`` is paid."""
    return _reach(last_open_day, payment)


def invoiced_on(clears_on: date) -> date:
    """The second day of the month after clearing, when the partner's invoice is drawn up."""
    return _month_start(clears_on, 1) + _DAY


def event_days(instants: npt.NDArray[np.int64], zone: ZoneInfo) -> npt.NDArray[np.datetime64]:
    """The account's calendar day of each instant."""
    of_row, utc_days = pd.factorize(instants // _DAY_US)
    starts = [day * _DAY_S for day in utc_days.tolist()]
    before = np.array([_offset_s(start, zone) for start in starts], np.int64)
    after = np.array([_offset_s(start + _DAY_S, zone) for start in starts], np.int64)
    # No time zone has ever changed its offset twice within one day of UTC.
    change = np.array([_change_s(start, start + _DAY_S, zone) for start in starts], np.int64)
    offset = np.where(instants < (change * _SECOND_US)[of_row], before[of_row], after[of_row])
    local_days: npt.NDArray[np.datetime64] = ((instants + offset * _SECOND_US) // _DAY_US).astype("datetime64[D]")
    return local_days


def last_open_days(event_days: npt.NDArray[np.datetime64], locking: Period) -> npt.NDArray[np.datetime64]:
    """``last_open_day`` of each day, for one locking period."""
    return _reach_all(event_days, locking)


def lock_instants(last_open_days: npt.NDArray[np.datetime64], zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """``locks_at`` of each day, in microseconds since the epoch."""
    of_row, days = pd.factorize(last_open_days.astype("datetime64[D]").astype(np.int64))
    instants = [_seconds(locks_at(_EPOCH.date() + day * _DAY, zone)) * _SECOND_US for day in days.tolist()]
    return np.array(instants, np.int64)[of_row]


def clearing_days(last_open_days: npt.NDArray[np.datetime64], payment: Period) -> npt.NDArray[np.datetime64]:
    """``clears_on`` of each day, for one payment schedule."""
    return _reach_all(last_open_days, payment)


def _phrase(given: str) -> tuple[int, int, Literal["day", "month"]]:
    match = _PHRASE.fullmatch(" ".join(given.lower().split()))
    if match is None:
        raise Unusable(
            f'"{given}" is not a period; write it like "1 month 15 days after month" or "15 days after day".'
        )
    return int(match["months"] or 0), int(match["days"] or 0), "day" if match["after"] == "day" else "month"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _reach(day: date, period: Period) -> date:
    if period.after == "month":
        return _month_start(day, period.months + 1) - _DAY + period.days * _DAY
    return day + (_month_start(day, period.months) - _month_start(day, 0)) + period.days * _DAY


def _month_start(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)


def _reach_all(days: npt.NDArray[np.datetime64], period: Period) -> npt.NDArray[np.datetime64]:
    days = days.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    if period.after == "month":
        ends: npt.NDArray[np.datetime64] = (months + (period.months + 1)).astype("datetime64[D]") - 1
        return ends + period.days
    starts: npt.NDArray[np.datetime64] = months.astype("datetime64[D]")
    return days + ((months + period.months).astype("datetime64[D]") - starts) + period.days


def _instant(second: int) -> datetime:
    return _EPOCH + second * _SECOND


def _seconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _SECOND


def _offset_s(second: int, zone: ZoneInfo) -> int:
    local = _instant(second).astimezone(zone)
    return (local.replace(tzinfo=UTC) - local) // _SECOND


def _change_s(start: int, end: int, zone: ZoneInfo) -> int:
    """The first second after ``start`` with the offset of ``end``; ``end`` itself where nothing changes."""
    offset = _offset_s(end, zone)
    if offset == _offset_s(start, zone):
        return end
    return start + bisect_left(range(start, end), True, key=lambda second: _offset_s(second, zone) == offset)
