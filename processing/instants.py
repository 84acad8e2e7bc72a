"""Instants as the store keeps them: whole microseconds since the epoch, UTC."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from processing.errors import Unusable

UTC_ZONE = ZoneInfo("UTC")
DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """The store's number for an aware instant."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(number: int) -> datetime:
    """The aware UTC instant of a number of the store."""
    return _EPOCH + number * _MICROSECOND


def told(number: int, zone: ZoneInfo) -> str:
    """ISO 8601 in a time zone, to the second unless there is a fraction."""
    return instant(number).astimezone(zone).isoformat()


def parsed(text: str, zone: ZoneInfo) -> datetime:
    """An instant as a person types it: ISO 8601, in the zone where it names none. Raises Unusable."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Unusable(f"{text!r} is not an instant; write it like 2027-02-27T23:59:00-05:00.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
