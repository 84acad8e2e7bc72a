"""The lock sweep's questions to the orgs: read them once more, and what may not lock yet."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from clawback.salesforce import rounds
from clawback.salesforce.checking import reading_of
from clawback.wiring import Desk, org_of
from connectors.salesforce_org import Org
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from processing import observed, org_mappings
from processing.instants import micros
from processing.lock import Doubts
from processing.open_actions import due_of_type, due_with_orders

_log = logging.getLogger(__name__)

# Opens the org of these settings.
Open = Callable[[SalesforceSettings], Org]


@dataclass(frozen=True, slots=True)
class OrgWatch:
    """The orgs of an installation, as the lock sweep sees them; ``busy`` are those that somebody else reads now."""

    orgs: Sequence[SalesforceSettings]
    opened: Open
    busy: set[str] = field(default_factory=set)

    def freshen(self, desk: Desk, sid: str, as_of: datetime) -> None:
        """Read the orgs of an account once more; one that cannot be read is found to be stale afterwards."""
        for settings in self._of(sid):
            self.busy.discard(settings.name)
            try:
                if rounds.run(desk, settings, self.opened(settings), until=as_of) is None:
                    self.busy.add(settings.name)
            except Exception as error:  # noqa: BLE001 - whatever it was: what was not read is not fresh
                _log.warning("not_fresh source=%s because=%r", settings.name, str(error))

    def doubts(self, db: Connection, sid: str, account_id: int, as_of: datetime) -> Doubts:
        """The due actions of which a record may say something that was not read, or says something not applied yet.

        What was read holds the lock, be it held for a person itself; what was not read does unless the source locks
        anyway, and then, too, while somebody reads it: the lock sweep comes back soon.
        """
        found = Doubts()
        for settings in self._of(sid):
            known = org_mappings.known(db, settings.name)
            unread = set[int]()
            for mapping in settings.mappings:
                its = known.get(mapping.name)
                is_read = its is not None and its.reading == reading_of(mapping)
                unread |= _unread(db, settings, mapping, account_id, as_of, is_read=is_read)
            waiting = _waiting(db, settings, account_id, as_of)
            if settings.on_stale == "lock_anyway" and settings.name not in self.busy:
                if unread - waiting:
                    found.unread[settings.channel] = unread - waiting
                    _log.warning("locked_anyway source=%s actions=%d", settings.name, len(unread - waiting))
                unread = set()
            if unread | waiting:
                found.deferred[settings.channel] = unread | waiting
        return found

    def _of(self, sid: str) -> list[SalesforceSettings]:
        return [one for one in self.orgs if one.account == sid]


def watch(orgs: Sequence[SalesforceSettings], environ: Mapping[str, str]) -> OrgWatch:
    """These orgs; ``environ`` holds the secrets that their settings refer to."""
    return OrgWatch(orgs, lambda settings: org_of(settings, environ))


def _unread(
    db: Connection, settings: SalesforceSettings, mapping: Mapping_, account_id: int, as_of: datetime, *, is_read: bool
) -> set[int]:
    """The actions that lock after the last reading began, or were not there yet: nobody knows all that is said of them.

    A change in between may not have been read, nor one of long ago, of an order for which nobody asked. A mapping that
    was read as another one was not read.
    """
    cursor = observed.cursor(db, settings.name, mapping.name) if is_read else None
    read = None if cursor is None or cursor.swept_at is None else cursor.complete_at
    if cursor is None or cursor.swept_at is None or read is None:
        return due_of_type(db, account_id, mapping.event_type, as_of)
    after, newest = micros(min(read, cursor.swept_at)), cursor.swept_to or 0
    return due_of_type(db, account_id, mapping.event_type, as_of, after=after, newest=newest)


def _waiting(db: Connection, settings: SalesforceSettings, account_id: int, as_of: datetime) -> set[int]:
    """The actions of which a record says something that was read and is not applied, held or not."""
    return set[int]().union(
        *(
            due_with_orders(db, account_id, event_type, sorted(orders), as_of)
            for event_type, orders in observed.unsettled(db, settings.name).items()
        )
    )
