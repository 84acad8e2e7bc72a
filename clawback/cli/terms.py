"""``clawback terms``: what a contract's phrases mean for a day."""

from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from clawback.cli.running import Outcome, told


@click.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--locking", required=True, metavar="PHRASE", help='For example "0 months 27 days after month".')
@click.option("--payment", required=True, metavar="PHRASE", help='For example "0 months 20 days after month".')
@click.option("--timezone", default="UTC", show_default=True, metavar="ZONE", help="The account's time zone.")
@told
def terms(day: datetime, locking: str, payment: str, timezone: str) -> Outcome:
    """When an action of DAY locks and is paid.

    \b
    Example:
      clawback terms --locking "0 months 27 days after month" \\
        --payment "0 months 20 days after month" --timezone America/New_York 2027-01-15
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.terms import Period, clears_on, invoiced_on, last_open_day, locks_at

    zone = _zone(timezone)
    last: date = last_open_day(day.date(), Period.parse(locking))
    cleared = clears_on(last, Period.parse(payment))
    lock = locks_at(last, zone).astimezone(zone)
    document = {
        "event_day": day.date().isoformat(),
        "timezone": timezone,
        "last_open_day": last.isoformat(),
        "locks_at": lock.isoformat(),
        "clears_on": cleared.isoformat(),
        "invoiced_on": invoiced_on(cleared).isoformat(),
    }
    text = (
        f"An action of {day.date():%d %B %Y} ({timezone})\n"
        f"  is open through  {last:%d %B %Y}\n"
        f"  locks at         {lock.isoformat()}\n"
        f"  clears on        {cleared:%d %B %Y}\n"
        f"  is invoiced on   {invoiced_on(cleared):%d %B %Y}"
    )
    return Outcome(document, text)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(f"{name!r} is no time zone; give one such as America/New_York.") from None
