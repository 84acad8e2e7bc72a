"""When an org is left alone: its last calls of a day are for what locks soon, and one that has none is asked later."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from clawback.wiring import Desk
from connectors.salesforce_settings import SalesforceSettings
from processing import org_claims
from processing.errors import SourceExhausted
from processing.instants import instant
from processing.open_actions import locking_until

_log = logging.getLogger(__name__)

# Gives a part of one by which a pause is spread, so that not all who share an org's calls come back at once.
Spread = Callable[[], float]
PAUSE: Final = timedelta(minutes=15)
_SPREAD: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Paused:
    """Until when polls and triggers wait, and until when look-ups before a lock do, too; None where nothing waits."""

    polls: datetime | None
    look_ups: datetime | None


def paused(desk: Desk, settings: SalesforceSettings) -> Paused:
    """What waits now."""
    with desk.store.read() as db:
        return Paused(*org_claims.paused(db, settings.name, desk.spool.clock()))


def pause(desk: Desk, settings: SalesforceSettings, spread: Spread, *, look_ups: bool = False) -> datetime:
    """Have polls and triggers wait, and ``look_ups`` as well if they met the limit themselves; gives until when."""
    until = desk.spool.clock() + PAUSE + spread() * _SPREAD
    with desk.store.write() as db:
        org_claims.pause(db, settings.name, until, look_ups=look_ups)
    return until


def exhausted(
    desk: Desk, settings: SalesforceSettings, error: SourceExhausted, spread: Spread, *, look_ups: bool
) -> SourceExhausted:
    """Pause an org that has no calls left; gives the error with what locks soon and may not be read before."""
    until = pause(desk, settings, spread, look_ups=look_ups)
    soon = desk.spool.clock() + timedelta(seconds=settings.sweep_before_s)
    with desk.store.read() as db:
        locks = [
            one.locks_at
            for event_type in {one.event_type for one in settings.mappings}
            for one in locking_until(db, settings.account, event_type, soon)
        ]
    if not locks:
        _log.warning("calls_used_up source=%s paused_until=%s", settings.name, until)
        return error
    first = instant(min(locks))
    _log.error(
        "calls_used_up source=%s paused_until=%s locking=%d first_lock=%s", settings.name, until, len(locks), first
    )
    at = first.isoformat(timespec="seconds")
    return SourceExhausted(f"{error} {len(locks):,} open actions that it speaks of lock soon, the first at {at}.")
