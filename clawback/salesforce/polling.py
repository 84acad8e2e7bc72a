"""Reads what has changed in an org since a floor that nothing can commit below; the floor moves only when all was read.

A record is stamped when it is changed and seen when its transaction commits. So the floor stays behind the org's own
clock, and behind the oldest transaction that the org knows of; it never follows the newest stamp that was seen.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from clawback.salesforce.reading import Reader
from connectors.salesforce_org import Org
from connectors.salesforce_records import Record
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing import observed
from processing.errors import SourceRefused, SourceUnreachable
from processing.observed import Cursor
from processing.open_actions import oldest_open

_log = logging.getLogger(__name__)

# The org asks not to be asked more often.
_ASK_AGAIN: Final = timedelta(minutes=5)


class Readable(Protocol):
    """What is asked of an org while it is polled; see ``Org``."""

    def latest_date_covered(self, of: str, floor: datetime, now: datetime) -> datetime | None:
        """The start of the oldest transaction that may not be seen yet."""

    def changed_since(self, mapping: Mapping_, floor: datetime) -> Iterator[list[Record]]:
        """All records stamped at ``floor`` or later."""


def poll(reader: Reader, org: Org, mapping: Mapping_, *, server_now: datetime, at: datetime) -> Cursor:
    """Read what was stamped at or after the floor, page by page, then move the floor; gives the new cursor.

    ``server_now`` is the org's clock, asked before; ``at`` our instant, by which the floor never moves. Whatever is
    raised, it stays where it was.
    """
    source, settings = reader.settings.name, reader.settings
    with reader.store.read() as db:
        cursor = observed.cursor(db, source, mapping.name)
        since = None if cursor else oldest_open(db, settings.account, mapping.event_type)
    if cursor is None:
        cursor = Cursor(min(server_now, since or server_now) - timedelta(seconds=settings.lookback_s))
    moved = read(org, mapping, cursor, settings, server_now, lambda page: reader.take(mapping, page, at))
    # Locks go by our clock: of a change that either clock tells to be later, nobody knows that it was read.
    moved = replace(moved, complete_at=min(server_now, at))
    with reader.store.write() as db:
        reader.fence(db)
        observed.keep_cursor(db, source, mapping.name, moved)
    if settings.use_latest_date_covered and moved.covered is None:
        _log.warning("not_covered source=%s mapping=%s; the lookback alone holds its floor back", source, mapping.name)
    if moved.stalled:
        _log.warning("replication_stalled source=%s mapping=%s covered=%s", source, mapping.name, moved.covered)
    return moved


def read(
    org: Readable,
    mapping: Mapping_,
    cursor: Cursor,
    settings: SalesforceSettings,
    server_now: datetime,
    take: Callable[[list[Record]], None],
) -> Cursor:
    """Give ``take`` every page from the floor on; gives the cursor that is right once all were taken."""
    # In this order: the clock and what is covered are older than every row that the query can miss.
    asked = _ask(org, mapping, cursor, server_now, settings)
    for page in org.changed_since(mapping, cursor.floor):
        take(page)
    return advanced(asked, server_now, settings)


def advanced(cursor: Cursor, server_now: datetime, settings: SalesforceSettings) -> Cursor:
    """The cursor after everything from its floor on was read, reading having begun at ``server_now``; pure.

    The floor never falls back, and never comes closer to ``server_now`` than the lookback.
    """
    safe = server_now - timedelta(seconds=settings.lookback_s)
    furthest = server_now - timedelta(seconds=settings.max_window_s)
    stalled = cursor.covered is not None and cursor.covered < furthest
    if cursor.covered is not None:
        safe = min(safe, max(cursor.covered, furthest))
    return replace(cursor, floor=max(cursor.floor, safe), stalled=stalled)


def _ask(
    org: Readable, mapping: Mapping_, cursor: Cursor, server_now: datetime, settings: SalesforceSettings
) -> Cursor:
    """The cursor with what the org tells now of the oldest transaction that is not seen.

    What it told last holds until it is asked again, or cannot tell; an org that cannot tell at all leaves the lookback.
    """
    if not settings.use_latest_date_covered:
        return replace(cursor, covered=None, covered_at=None)
    if cursor.covered_at is not None and server_now - cursor.covered_at < _ASK_AGAIN:
        return cursor
    try:
        covered = org.latest_date_covered(mapping.object, cursor.floor, server_now)
    except (SourceRefused, SourceUnreachable) as error:
        _log.warning("not_asked source=%s mapping=%s because=%r", settings.name, mapping.name, str(error))
        return cursor
    return replace(cursor, covered=covered, covered_at=server_now)
