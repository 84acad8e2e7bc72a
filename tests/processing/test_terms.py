"""Calendar rules: the worked examples of design.md 4.4, month ends, leap years and clocks that jump."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.errors import Unusable
from processing.terms import (
    OPEN_ENDED,
    Period,
    clearing_days,
    clears_on,
    event_day,
    event_days,
    invoiced_on,
    last_open_day,
    last_open_days,
    lock_instants,
    locks_at,
)

NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# Both hemispheres, no summer time, odd offsets, jumps at midnight, across midnight and over a whole day.
ZONES = (
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "America/Toronto",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Europe/London",
    "Pacific/Apia",
    "UTC",
)
# A busy machine is not a failure.


@pytest.mark.parametrize(
    ("phrase", "period", "text"),
    [
        ("0 months 27 days after month", Period(0, 27, "month"), "0 months 27 days after month"),
        ("1 month 15 days after month", Period(1, 15, "month"), "1 month 15 days after month"),
        ("2 months and 1 day after the day", Period(2, 1, "day"), "2 months 1 day after day"),
        ("15 days after day", Period(0, 15, "day"), "0 months 15 days after day"),
        ("1 month after month", Period(1, 0, "month"), "1 month 0 days after month"),
        ("  1  Month 0 DAYS after Day ", Period(1, 0, "day"), "1 month 0 days after day"),
    ],
)
def test_parse_a_phrase(phrase: str, period: Period, text: str) -> None:
    """A period is read as people write it, and its own phrase is read back as itself."""
    assert Period.parse(phrase) == period
    assert str(period) == text
    assert Period.parse(text) == period


def test_parse_a_table() -> None:
    """The catalogue's table gives the same period as the phrase."""
    assert Period.parse({"months": 0, "days": 27, "after": "month"}) == Period(0, 27, "month")


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        pytest.param("a fortnight", "is not a period", id="words"),
        pytest.param("", "is not a period", id="empty"),
        pytest.param(" after day", "is not a period", id="nothing counted"),
        pytest.param("-1 months 3 days after day", "is not a period", id="negative phrase"),
        pytest.param("1 month3 days after day", "is not a period", id="no separator"),
        pytest.param("3 days after week", "is not a period", id="after the week"),
        pytest.param("0 months 28 days after month", "at most 27, not 28", id="days only over 27"),
        pytest.param("121 months 0 days after month", "months from 0 to 120", id="months over 120"),
        pytest.param("1 month 731 days after month", "days from 0 to 730", id="days over 730"),
        pytest.param({"months": -1, "days": 0, "after": "day"}, "months from 0", id="negative months"),
        pytest.param({"months": 1, "days": -1, "after": "day"}, "days from 0", id="negative days"),
        pytest.param({"months": 0, "days": "27", "after": "day"}, "not '27'", id="text for a number"),
        pytest.param({"months": True, "days": 1, "after": "day"}, "not True", id="truth for a number"),
        pytest.param({"months": 0, "days": 1, "after": "week"}, "not 'week'", id="unknown after"),
        pytest.param({"months": 0, "days": 1}, "has months, days and after", id="missing key"),
        pytest.param(
            {"months": 0, "days": 1, "after": "day", "hours": 1}, "has months, days and after", id="unknown key"
        ),
    ],
)
def test_parse_refuses(given_: str | dict[str, object], message: str) -> None:
    """What is not a period is refused with the reason."""
    with pytest.raises(Unusable, match=message):
        Period.parse(given_)


@pytest.mark.parametrize(
    ("event", "locking", "payment", "open_through", "clears"),
    [
        # The two worked examples of the design.
        ("2027-01-15", "0 months 27 days after month", "0 months 20 days after month", "2027-02-27", "2027-03-20"),
        ("2027-01-15", "1 month 0 days after month", "15 days after day", "2027-02-28", "2027-03-15"),
        # The same in a leap year.
        ("2028-01-15", "0 months 27 days after month", "0 months 20 days after month", "2028-02-27", "2028-03-20"),
        ("2028-01-15", "1 month 0 days after month", "15 days after day", "2028-02-29", "2028-03-15"),
        # Both sides of a month end.
        ("2027-01-31", "0 months 27 days after month", "0 months 20 days after month", "2027-02-27", "2027-03-20"),
        ("2027-02-01", "0 months 27 days after month", "0 months 20 days after month", "2027-03-27", "2027-04-20"),
        ("2027-12-31", "1 month 0 days after month", "1 month 0 days after month", "2028-01-31", "2028-02-29"),
        # A month of payment after the day has the length of the month of the lock.
        ("2027-01-15", "1 month 0 days after month", "1 month 0 days after day", "2027-02-28", "2027-03-28"),
        # The shortest of all.
        ("2027-01-31", "0 months 0 days after day", "0 months 0 days after day", "2027-01-31", "2027-01-31"),
        ("2027-01-30", "0 months 0 days after month", "0 months 0 days after month", "2027-01-31", "2027-01-31"),
        ("2027-02-28", "27 days after day", "27 days after day", "2027-03-27", "2027-04-23"),
        ("2027-01-31", "13 months 0 days after day", "12 months 0 days after month", "2028-03-02", "2029-03-31"),
    ],
)
def test_locking_and_clearing(event: str, locking: str, payment: str, open_through: str, clears: str) -> None:
    """The last open day and the clearing date follow the contract's two periods."""
    last_open = last_open_day(date.fromisoformat(event), Period.parse(locking))
    assert last_open == date.fromisoformat(open_through)
    assert clears_on(last_open, Period.parse(payment)) == date.fromisoformat(clears)


@pytest.mark.parametrize(
    ("year", "month", "days"),
    [
        (2027, 1, 46),
        (2027, 2, 43),
        (2028, 2, 44),
        (2100, 2, 43),
        (2027, 3, 46),
        (2027, 4, 45),
        (2027, 5, 46),
        (2027, 6, 45),
        (2027, 7, 46),
        (2027, 8, 46),
        (2027, 9, 45),
        (2027, 10, 46),
        (2027, 11, 45),
        (2027, 12, 46),
    ],
)
def test_month_and_days_after_the_day(year: int, month: int, days: int) -> None:
    """Every order of a month has as many days as every other, on the first day and on the last."""
    first = date(year, month, 1)
    last = invoiced_on(first) - timedelta(days=2)
    for event in (first, last):
        assert last_open_day(event, Period(1, 15, "day")) == event + timedelta(days=days)


@pytest.mark.parametrize(
    ("case", "zone", "last_open", "expected"),
    [
        ("winter", "America/New_York", "2027-02-27", "2027-02-28T05:00"),
        ("summer", "America/New_York", "2027-07-31", "2027-08-01T04:00"),
        ("the day the clock goes forward", "America/New_York", "2027-03-14", "2027-03-15T04:00"),
        ("the day before", "America/New_York", "2027-03-13", "2027-03-14T05:00"),
        ("the day the clock goes back", "America/New_York", "2027-11-07", "2027-11-08T05:00"),
        ("the day before it", "America/New_York", "2027-11-06", "2027-11-07T04:00"),
        ("east of Greenwich", "Asia/Kathmandu", "2027-01-31", "2027-01-31T18:15"),
        ("no midnight: 00:00 becomes 01:00", "America/Sao_Paulo", "2018-11-03", "2018-11-04T03:00"),
        ("no midnight in Beirut", "Asia/Beirut", "2022-03-26", "2022-03-26T22:00"),
        ("no midnight: 23:30 becomes 00:30", "America/Toronto", "1919-03-30", "1919-03-31T04:30"),
        ("a day that never was begins", "Pacific/Apia", "2011-12-29", "2011-12-30T10:00"),
        ("a day that never was ends", "Pacific/Apia", "2011-12-30", "2011-12-30T10:00"),
        ("two midnights: 01:00 becomes 00:00", "America/Havana", "2026-10-31", "2026-11-01T04:00"),
        ("two midnights: 00:01 becomes 23:01", "America/St_Johns", "2010-11-06", "2010-11-07T02:30"),
        ("one midnight: 00:00 becomes 23:00", "America/Sao_Paulo", "2019-02-16", "2019-02-17T03:00"),
    ],
)
def test_locks_at(case: str, zone: str, last_open: str, expected: str) -> None:
    """The lock is the first instant of the day after the last open day, whatever the clock does."""
    instant = datetime.fromisoformat(expected).replace(tzinfo=UTC)
    day = date.fromisoformat(last_open)
    assert locks_at(day, ZoneInfo(zone)) == instant, case
    assert lock_instants(np.array([day], "datetime64[D]"), ZoneInfo(zone)).tolist() == [
        (instant - EPOCH) // MICROSECOND
    ]


@pytest.mark.parametrize(
    ("case", "event_at", "expected"),
    [
        ("a microsecond before midnight", "2027-02-01T04:59:59.999999", "2027-01-31"),
        ("at midnight", "2027-02-01T05:00", "2027-02-01"),
        ("summer, before midnight", "2027-07-01T03:59:59.999999", "2027-06-30"),
        ("summer, at midnight", "2027-07-01T04:00", "2027-07-01"),
        ("before the epoch", "1969-12-31T04:59:59.999999", "1969-12-30"),
        ("the clock goes forward, just before", "2027-03-14T06:59:59.999999", "2027-03-14"),
        ("the end of that day", "2027-03-15T03:59:59.999999", "2027-03-14"),
        ("the next day", "2027-03-15T04:00", "2027-03-15"),
        ("the clock goes back, the end of that day", "2027-11-08T04:59:59.999999", "2027-11-07"),
    ],
)
def test_event_day(case: str, event_at: str, expected: str) -> None:
    """An action belongs to the day that the account's own clock showed."""
    instant = datetime.fromisoformat(event_at).replace(tzinfo=UTC)
    assert event_day(instant, NEW_YORK) == date.fromisoformat(expected), case


@pytest.mark.parametrize(
    ("clears", "invoiced"),
    [
        ("2027-03-20", "2027-04-02"),
        ("2027-01-31", "2027-02-02"),
        ("2027-02-01", "2027-03-02"),
        ("2027-12-31", "2028-01-02"),
    ],
)
def test_invoiced_on(clears: str, invoiced: str) -> None:
    """The invoice is drawn up on the second day of the month after clearing."""
    assert invoiced_on(date.fromisoformat(clears)) == date.fromisoformat(invoiced)


def test_open_ended() -> None:
    """An action without a locking period stays open for two years."""
    assert timedelta(days=730) == OPEN_ENDED


def test_empty_columns() -> None:
    """A column without rows gives one without rows."""
    days = event_days(np.array([], np.int64), NEW_YORK)
    period = Period(1, 15, "day")
    assert days.dtype == last_open_days(days, period).dtype == clearing_days(days, period).dtype == "datetime64[D]"
    assert lock_instants(last_open_days(days, period), NEW_YORK).tolist() == []


SOME_DAYS = st.lists(st.dates(date(1900, 1, 1), date(2200, 12, 31)), min_size=1, max_size=20)
SOME_INSTANTS = st.lists(
    st.datetimes(datetime(1900, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - UTC is added
    min_size=1,
    max_size=20,
)
PERIODS = st.one_of(
    st.builds(Period, st.just(0), st.integers(0, 27), st.sampled_from(("day", "month"))),
    st.builds(Period, st.integers(1, 24), st.integers(0, 60), st.sampled_from(("day", "month"))),
)


@given(SOME_DAYS, PERIODS)
def test_columns_of_days_agree(days: list[date], period: Period) -> None:
    """A column of days has the last open and clearing days of its rows."""
    column = np.array(days, "datetime64[D]")
    assert last_open_days(column, period).tolist() == [last_open_day(day, period) for day in days]
    assert clearing_days(column, period).tolist() == [clears_on(day, period) for day in days]


@given(SOME_DAYS, st.sampled_from(ZONES))
def test_columns_of_locks_agree(days: list[date], zone: str) -> None:
    """A column of last open days has the locks of its rows, and each lock is the first instant after its day."""
    locks = lock_instants(np.array(days, "datetime64[D]"), ZoneInfo(zone)).tolist()
    for day, lock in zip(days, locks, strict=True):
        instant = EPOCH + lock * MICROSECOND
        assert instant == locks_at(day, ZoneInfo(zone))
        assert event_day(instant - MICROSECOND, ZoneInfo(zone)) <= day < event_day(instant, ZoneInfo(zone))


@given(SOME_INSTANTS, st.sampled_from(ZONES))
def test_columns_of_instants_agree(instants: list[datetime], zone: str) -> None:
    """A column of instants has the calendar days of its rows."""
    column = np.array([(instant - EPOCH) // MICROSECOND for instant in instants], np.int64)
    assert event_days(column, ZoneInfo(zone)).tolist() == [event_day(instant, ZoneInfo(zone)) for instant in instants]


@given(st.sampled_from(ZONES), st.integers(-90_000_000_000, 90_000_000_000), st.integers(1900, 2100))
def test_columns_agree_around_a_change_of_the_clock(zone: str, shift_us: int, year: int) -> None:
    """Within a day of every change of offset in a year, the column and the scalar rule show the same calendar day."""
    place = ZoneInfo(zone)
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=each) for each in range(366 * 24)]
    offsets = [each.astimezone(place).utcoffset() for each in hours]
    changes = [hour for hour, before, after in zip(hours[1:], offsets, offsets[1:], strict=False) if before != after]
    near = [change + shift_us * MICROSECOND for change in changes]
    column = np.array([(instant - EPOCH) // MICROSECOND for instant in near], np.int64)
    assert event_days(column, place).tolist() == [event_day(instant, place) for instant in near]
