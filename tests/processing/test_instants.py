from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from processing.errors import Unusable
from processing.instants import instant, micros, parsed, told

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime(2027, 2, 28, tzinfo=NEW_YORK), 1_803_790_800_000_000),
        (datetime(2027, 2, 28, 5, 0, 0, 1, tzinfo=UTC), 1_803_790_800_000_001),
    ],
)
def test_an_instant_and_its_number_are_the_same(moment: datetime, number: int) -> None:
    """Whole microseconds since the epoch, there and back."""
    assert (micros(moment), instant(number)) == (number, moment)
    assert instant(number).tzinfo is UTC


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1_803_790_800_000_000, "2027-02-28T00:00:00-05:00"),
        (1_803_790_800_000_001, "2027-02-28T00:00:00.000001-05:00"),
        (1_820_000_000_000_000, "2027-09-03T15:33:20-04:00"),
    ],
)
def test_told_in_the_accounts_zone(number: int, text: str) -> None:
    """To the second, unless there is a fraction; with the offset of that day."""
    assert told(number, NEW_YORK) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-02-27T23:59:00-05:00", datetime(2027, 2, 28, 4, 59, tzinfo=UTC)),
        ("2027-02-28T04:59:00Z", datetime(2027, 2, 28, 4, 59, tzinfo=UTC)),
        ("2027-02-27T23:59", datetime(2027, 2, 28, 4, 59, tzinfo=UTC)),
        ("2027-02-27", datetime(2027, 2, 27, tzinfo=timezone(timedelta(hours=-5)))),
    ],
)
def test_an_instant_as_a_person_types_it(text: str, moment: datetime) -> None:
    """In the account's zone where it names none."""
    assert parsed(text, NEW_YORK) == moment


def test_what_is_no_instant_is_told() -> None:
    """With an example of one."""
    with pytest.raises(Unusable, match=r"'tomorrow' is not an instant; write it like 2027-02-27T23:59:00-05:00\."):
        parsed("tomorrow", NEW_YORK)
