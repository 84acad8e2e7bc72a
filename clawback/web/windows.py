"""The date filters of lists, with the limits that are documented for them."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import Query

from clawback.web.refusal import invalid
from processing.errors import Unusable
from processing.instants import instant, micros, parsed

Span = tuple[int, int]

LONGEST: Final = timedelta(days=45)
OLDEST: Final = timedelta(days=3 * 365 + 1)
USUAL: Final = timedelta(days=7)
DATE: Final = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+ -]\d\d:?\d\d)?)?$"
# A plus sign that nobody encoded arrives as a blank.
_LOST_PLUS: Final = re.compile(r" (\d\d:?\d\d)$")

Date = Annotated[
    str | None,
    Query(
        pattern=DATE,
        description="ISO 8601; without an offset it is in the account's time zone.",
        examples=["2027-01-15T00:00:00-05:00"],
    ),
]


def window(names: tuple[str, str], given: tuple[str | None, str | None], zone: ZoneInfo) -> Span | None:
    """The span between two dates, None where neither is given; raises Refusal where only one is."""
    if given == (None, None):
        return None
    for name, value, other in zip(names, given, reversed(names), strict=True):
        if value is None:
            raise invalid(name, f"{other} needs {name} beside it.")
    low, high = (_moment(name, value or "", zone) for name, value in zip(names, given, strict=True))
    if low > high:
        raise invalid(names[0], f"{names[0]} is later than {names[1]}.")
    return micros(low), micros(high)


def limited(name: str, span: Span | None, at: datetime, zone: ZoneInfo) -> Span | None:
    """The same span; raises Refusal when it is longer than 45 days or more than three years old.

    The days are those of the calendar in ``zone`` as well: one of them has 25 hours where summer ends.
    """
    if span is not None:
        low, high = instant(span[0]), instant(span[1])
        if high - low > LONGEST and _calendar(low, high, zone) > LONGEST:
            raise invalid(name, f"The window is longer than {LONGEST.days} days; ask for shorter ones.")
        if at - low > OLDEST:
            raise invalid(name, "The window begins more than three years ago.")
    return span


def _calendar(low: datetime, high: datetime, zone: ZoneInfo) -> timedelta:
    """How long it is by the clocks of ``zone``, as long as there is a calendar."""
    try:
        return high.astimezone(zone).replace(tzinfo=None) - low.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        return high - low


def usual(at: datetime) -> Span:
    """The last seven days."""
    return micros(at - USUAL), micros(at)


def kept(names: tuple[str, str], span: Span | None) -> Mapping[str, str]:
    """The parameters that make the next page mean the same span."""
    if span is None:
        return {}
    return {name: instant(end).isoformat() for name, end in zip(names, span, strict=True)}


def _moment(name: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        return parsed(_LOST_PLUS.sub(r"+\1", text) if len(text) > len("2027-01-15 10:00") else text, zone)
    except (Unusable, OverflowError):
        raise invalid(name, f"{text!r} is not an instant; write it like 2027-01-15T00:00:00-05:00.") from None
