"""Checks the settings of an org before it is read by them, and finds what has changed in them since the last time.

The org is asked once a day, and whenever the settings change. What does not fit the org as a whole keeps it from being
read; what does not fit a mapping keeps that mapping from being read, and the others go on.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row

from clawback.salesforce import preflight, reading
from clawback.salesforce.tally import Tally, add
from clawback.wiring import Desk
from connectors.salesforce_org import Org
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from connectors.source import Step
from processing import catalog, observed, org_claims, org_mappings
from processing.errors import SourceRefused, SourceUnreachable, Unusable
from processing.instants import instant

_log = logging.getLogger(__name__)

# What keeps one mapping from being read, while the others are.
Unread = SourceRefused | SourceUnreachable
CHECKED: Final = timedelta(days=1)
# Of what a mapping reads, the part that says which actions it is about.
_ABOUT: Final = 2
# A fifth of the records is far fewer, unless there were hardly any.
_PART_LOST: Final = 5
_MANY_LOST: Final = 10
_DROPPED: Final = "records_dropped source=%s mapping=%s before=%d now=%d"
_TAKEN_OUT: Final = "The mapping {} was taken out of the settings before this was approved. Leave the record."


@dataclass(frozen=True, slots=True)
class _Before:
    """What is known of a mapping from the last times, beside the ``digest`` that it has now."""

    known: Row[Any] | None
    digest: str

    @property
    def is_same(self) -> bool:
        """Whether this is the one that was found right last."""
        return self.known is not None and self.known.checked == self.digest

    @property
    def is_another(self) -> bool:
        """Whether another one was found right last."""
        return self.known is not None and self.known.checked not in {None, self.digest}

    @property
    def is_refused(self) -> bool:
        """Whether this one was found wrong last."""
        return self.known is not None and self.known.refused == self.digest

    @property
    def is_right(self) -> bool:
        """Whether nothing was found wrong with it since."""
        return self.is_same and self.known is not None and self.known.refused is None

    @property
    def because(self) -> str:
        """Why it was found wrong."""
        return "" if self.known is None else str(self.known.because)

    def records(self, mapping: Mapping_, at: datetime) -> int | None:
        """How many records of its object it saw about a day ago; None if that is not known, or was another object."""
        if self.known is None or self.known.reading is None or json.loads(self.known.reading)[0] != mapping.object:
            return None
        # Counted again on the same day, for it was changed or in doubt: that takes nothing back.
        found = self.known.records_before if self._is_counted(at) else self.known.records
        return None if found is None else int(found)

    def is_drop(self, mapping: Mapping_, records: int, at: datetime) -> bool:
        """Whether these are far fewer than about a day ago, and that was not found before."""
        earlier = self.records(mapping, at)
        if self.known is None or earlier is None or not _is_drop(earlier, records):
            return False
        return not self._is_counted(at) or not _is_drop(earlier, self.known.records)

    def _is_counted(self, at: datetime) -> bool:
        """Whether its records were counted less than a day ago."""
        counted_at = None if self.known is None else self.known.counted_at
        return counted_at is not None and at - instant(counted_at) < CHECKED

    def is_younger(self, at: datetime, than: timedelta) -> bool:
        """Whether it was looked at less than so long ago."""
        return _is_younger(self.known, at, than)


def dropped(desk: Desk, settings: SalesforceSettings) -> dict[str, tuple[int, int]]:
    """The mappings that see far fewer records of their object than about a day before: how many then, and how many now.

    Nobody says that a permission was taken away, or that sharing was narrowed: what it hides is only missing.
    """
    with desk.store.read() as db:
        known = org_mappings.known(db, settings.name)
    counts = {
        one.name: (known[one.name].records_before, known[one.name].records)
        for one in settings.mappings
        if one.name in known
    }
    return {
        name: (before, now) for name, (before, now) in counts.items() if before is not None and _is_drop(before, now)
    }


def _is_drop(before: int, now: int) -> bool:
    lost = before - now
    return lost * _PART_LOST >= before and (lost >= _MANY_LOST or now == 0 < before)


def check(
    desk: Desk, settings: SalesforceSettings, org: Org, *, patience: timedelta = timedelta(0)
) -> tuple[dict[str, Unread], int]:
    """Gives why mappings cannot be read, by their names, and how many records the others would judge otherwise now.

    A mapping that was refused less than ``patience`` ago is refused without asking again; one that cannot be checked
    now is not read, and checked the next time. Raises SourceRefused when the org cannot be read at all.
    """
    at = desk.spool.clock()
    _check_org(desk, settings, org, at)
    with desk.store.read() as db:
        known, terms = org_mappings.known(db, settings.name), catalog.read_terms(db, settings.account)
    refused, judged_otherwise = dict[str, Unread](), list[Mapping_]()
    for mapping in settings.mappings:
        before = _Before(known.get(mapping.name), _digest(mapping.model_dump_json()))
        if before.is_right and before.is_younger(at, CHECKED):
            continue
        if before.is_refused and before.is_younger(at, patience):
            refused[mapping.name] = SourceRefused(before.because)
            continue
        try:
            because = _red(preflight.of_mapping(org, settings, mapping, terms, is_running=before.is_same))
        except SourceUnreachable as error:
            refused[mapping.name] = error
            org.stop_waiting()
            continue
        records = None if because else org.count(mapping.object)
        with desk.store.write() as db:
            if because:
                because = f"Mapping {mapping.name} of source {settings.name} is not started: {because}"
                org_mappings.refused(db, settings.name, mapping.name, digest=before.digest, because=because, at=at)
                refused[mapping.name] = SourceRefused(because)
                continue
            if before.known is not None and before.is_another and _take_on(db, settings, mapping, before.known):
                judged_otherwise.append(mapping)
            reads = reading_of(mapping)
            org_mappings.checked(db, settings.name, mapping.name, digest=before.digest, reading=reads, at=at)
            if records is not None:
                earlier = before.records(mapping, at)
                org_mappings.counted(db, settings.name, mapping.name, records=records, before=earlier, at=at)
                if before.is_drop(mapping, records, at):
                    _log.error(_DROPPED, settings.name, mapping.name, earlier, records)
    _drop(desk, settings, known)
    return refused, otherwise(desk, settings, at, judged_otherwise).changed if judged_otherwise else 0


def reading_of(mapping: Mapping_) -> str:
    """What a mapping reads, and of which actions it speaks: records read by another one cannot be compared."""
    fields = (mapping.order_id, mapping.status, mapping.amounts, mapping.amounts and mapping.currency)
    conditions = [one.model_dump(mode="json") for one in mapping.filter]
    return json.dumps([mapping.object, mapping.event_type, *fields, conditions])


def check_as_read(db: Connection, settings: SalesforceSettings) -> None:
    """Raise Unusable when what is known of records was read by other mappings than those of today.

    By a new filter or another field they may say something else than they did, and nobody has looked.
    """
    known = org_mappings.known(db, settings.name)
    for mapping in settings.mappings:
        its, cursor = known.get(mapping.name), observed.cursor(db, settings.name, mapping.name)
        if its is not None and its.reading is not None and (cursor is None or its.reading != reading_of(mapping)):
            raise Unusable(
                f"Mapping {mapping.name} was changed in what it reads, and its records were not all read again since: "
                f"`clawback sources pull {settings.name}` does that."
            )


def otherwise(
    desk: Desk, settings: SalesforceSettings, at: datetime, mappings: Sequence[Mapping_] | None = None
) -> Tally:
    """What judging all records of some mappings anew, or of all, would come to today; nothing is written.

    Raises as ``check_as_read`` does for all.
    """
    tally = Tally()
    with desk.store.read() as db:
        if mappings is None:
            check_as_read(db, settings)
        for mapping in settings.mappings if mappings is None else mappings:
            add(tally, reading.otherwise(db, settings, mapping, at))
    if tally.changed:
        _log.warning("judged_otherwise source=%s records=%d", settings.name, tally.changed)
    return tally


def _check_org(desk: Desk, settings: SalesforceSettings, org: Org, at: datetime) -> None:
    digest = _digest(settings.model_dump_json(exclude={"mappings"}))
    with desk.store.read() as db:
        known = org_claims.find(db, settings.name)
    if known is not None and known.checked == digest and _is_younger(known, at, CHECKED):
        return
    because = _red(preflight.of_org(org, settings, at))
    with desk.store.write() as db:
        org_claims.checked(db, settings.name, None if because else digest, at)
    if because:
        raise SourceRefused(f"Source {settings.name} is not started: {because}")


def _take_on(db: Connection, settings: SalesforceSettings, mapping: Mapping_, known: Row[Any]) -> bool:
    """Make way for a mapping that was changed; whether what was read by the old one is to be judged by the new one.

    One of which nothing was ever applied begins anew. One that reads other fields, or by another filter, reads
    everything again, and what that comes to waits to be approved: nobody has seen yet what it would do. So does one
    that still waits for that; what the old one would have done is forgotten.
    """
    source, name, reads = settings.name, mapping.name, reading_of(mapping)
    if known.approved_at is None and not observed.was_delivered(db, source, name):
        observed.forget(db, source, name)
        return False
    if known.approved_at is not None and known.reading == reads:
        return True
    if json.loads(known.reading)[:_ABOUT] == json.loads(reads)[:_ABOUT]:
        dropped = observed.drop_undelivered(db, source, name) if known.approved_at is None else set[str]()
        reading.compare_anew(db, source, name, dropped)
    else:
        # What was asked for its records was asked of other actions.
        observed.forget_read(db, source, name)
    org_mappings.withdraw(db, source, name)
    _log.warning("reads_otherwise source=%s mapping=%s", source, name)
    return False


def _drop(desk: Desk, settings: SalesforceSettings, known: dict[str, Row[Any]]) -> None:
    """Let go of mappings that were taken out of the settings before what they had read was approved.

    One of which nothing was ever applied is forgotten. What another had read waits for a person.
    """
    gone = [name for name in known if settings.mapping(name) is None and known[name].approved_at is None]
    for name in gone:
        with desk.store.write() as db:
            if observed.was_delivered(db, settings.name, name):
                observed.hold_undelivered(db, settings.name, name, _TAKEN_OUT.format(name))
            else:
                observed.forget(db, settings.name, name)
            org_mappings.forget(db, settings.name, name)


def _red(steps: Sequence[Step]) -> str:
    return " ".join(step.message for step in steps if not step.ok)


def _is_younger(found: Row[Any] | None, at: datetime, than: timedelta) -> bool:
    return found is not None and found.checked_at is not None and at - instant(found.checked_at) < than


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
