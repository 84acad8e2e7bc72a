"""What the fake org holds: objects with typed fields, and records whose stamp and commit are two different instants.

A change is stamped when it is made and seen when its transaction commits: whoever reads in between sees the record as
it was, and the stamp of what appears later lies in the past.
"""

import threading
from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from tests.salesforce_org.ids import check, checked
from tests.salesforce_org.soql import KINDS, TEXTUAL, Query, Refused, parse

START: Final = datetime(2027, 1, 20, 12, tzinfo=UTC)
ORG_ID: Final = "00D5g000004XyZzEAK"
# The recycle bin keeps what was deleted for so long.
BIN: Final = timedelta(days=15)
_BLANKS: Final = " \t\r\n"


@dataclass(frozen=True)
class Field:
    """A field as describe tells of it."""

    name: str
    type: str = "string"
    calculated: bool = False
    unique: bool = False
    external: bool = False
    filterable: bool = True
    values: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    scale: int = 2
    refers_to: str = ""
    relationship: str = ""

    def told(self) -> dict[str, Any]:
        """Its part of a describe."""
        every = [(one, True) for one in self.values] + [(one, False) for one in self.retired]
        return {
            "name": self.name,
            "label": self.name,
            "type": self.type,
            "calculated": self.calculated,
            "unique": self.unique,
            "externalId": self.external,
            "idLookup": self.external,
            "filterable": self.filterable,
            "scale": self.scale,
            "precision": 18,
            "referenceTo": [self.refers_to] if self.refers_to else [],
            "relationshipName": self.relationship or None,
            "picklistValues": [
                # What people see of a value is never what the API calls it.
                {"value": one, "label": f"{one} (label)", "active": active}
                for one, active in every
            ],
        }


# Our user, and what it is allowed.
USER_ID: Final = checked("0055g00000AbCdE")
PERMISSION_SET: Final = checked("0PS5g0000000001")
SYSTEM: Final = (
    Field("Id", "id"),
    Field("SystemModstamp", "datetime"),
    Field("CreatedDate", "datetime"),
    Field("IsDeleted", "boolean"),
)
MERGED: Final = Field("MasterRecordId", "reference", refers_to="Lead", relationship="MasterRecord")
STAGES: Final = ("Negotiation", "Closed Won", "Closed Lost", "Returned", "Partly Returned")
RECORD_TYPE: Final = Field("RecordTypeId", "reference", refers_to="RecordType", relationship="RecordType")
OBJECTS: Final[dict[str, tuple[str, tuple[Field, ...]]]] = {
    "Opportunity": (
        "006",
        (
            *SYSTEM,
            Field("Name"),
            Field("Order_Number__c", unique=True, external=True),
            Field("StageName", "picklist", values=STAGES, retired=("Old",)),
            Field("Amount", "currency"),
            Field("CurrencyIsoCode", "picklist", values=("USD", "EUR", "JPY")),
            Field("Description", "textarea", filterable=False),
            Field("Health__c", calculated=True),
            RECORD_TYPE,
        ),
    ),
    "Lead": (
        "00Q",
        (
            *SYSTEM,
            MERGED,
            Field("Order_Number__c", unique=True, external=True),
            Field("Status", "picklist", values=("Open", "Qualified", "Rejected")),
            Field("IsConverted", "boolean"),
            Field("ConvertedOpportunityId", "reference", refers_to="Opportunity", relationship="ConvertedOpportunity"),
        ),
    ),
    "Order": (
        "801",
        (*SYSTEM, Field("OrderNumber", unique=True), Field("Status", "picklist", values=("Draft", "Activated"))),
    ),
    "OrderItem": (
        "802",
        (
            *SYSTEM,
            Field("OrderId", "reference", refers_to="Order", relationship="Order"),
            Field("Return_Status__c", "picklist", values=("Kept", "Sent Back")),
            Field("TotalPrice", "currency"),
        ),
    ),
    "RecordType": ("012", (*SYSTEM, Field("DeveloperName"))),
    "Organization": ("00D", (*SYSTEM, Field("Name"))),
    "PermissionSet": ("0PS", (*SYSTEM, Field("PermissionsViewAllData", "boolean"))),
    "PermissionSetAssignment": (
        "0Pa",
        (
            *SYSTEM,
            Field("AssigneeId", "reference", refers_to="User", relationship="Assignee"),
            Field("PermissionSetId", "reference", refers_to="PermissionSet", relationship="PermissionSet"),
        ),
    ),
    "ObjectPermissions": (
        "110",
        (
            *SYSTEM,
            Field("ParentId", "reference", refers_to="PermissionSet", relationship="Parent"),
            Field("SobjectType", "picklist"),
            Field("PermissionsViewAllRecords", "boolean"),
        ),
    ),
}


@dataclass(frozen=True, order=True)
class Version:
    """A record from its commit on."""

    seen_at: datetime
    number: int
    stamp: datetime = field(compare=False)
    fields: dict[str, Any] = field(compare=False)
    deleted: bool = field(default=False, compare=False)


@dataclass
class World:
    """An org's data and its clock, which the test moves."""

    now: datetime = START
    objects: dict[str, tuple[str, tuple[Field, ...]]] = field(default_factory=lambda: dict(OBJECTS))
    stalled_at: datetime | None = None
    hidden_records: set[str] = field(default_factory=set)
    hidden_fields: set[tuple[str, str]] = field(default_factory=set)
    unable: set[tuple[str, str]] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)
    _records: dict[str, dict[str, list[Version]]] = field(default_factory=dict)
    _open: dict[int, datetime] = field(default_factory=dict)
    _count: int = 0
    _claim: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        self._put("Organization", ORG_ID, {"Name": "Acme"}, long_ago, long_ago)
        self._put("PermissionSet", PERMISSION_SET, {"PermissionsViewAllData": True}, long_ago, long_ago)
        assigned = {"AssigneeId": USER_ID, "PermissionSetId": PERMISSION_SET}
        self._put("PermissionSetAssignment", checked("0Pa5g0000000001"), assigned, long_ago, long_ago)

    def pass_by(self, **parts: float) -> datetime:
        """Move the clock on."""
        self.now += timedelta(**parts)
        return self.now

    def add(self, of: str, commits_after: timedelta = timedelta(), **fields: Any) -> str:  # noqa: ANN401 - of any type
        """Make a record; gives its id."""
        with self._claim:
            self._count += 1
            identity = checked(f"{self.objects[of][0]}5g{self._count:010d}")
            known = {one.name: None for one in self.objects[of][1]}
            self._save(of, identity, {**known, "CreatedDate": self._stamp()} | fields, commits_after)
            return identity

    def change(
        self,
        identity: str,
        commits_after: timedelta = timedelta(),
        **fields: Any,  # noqa: ANN401 - of any type
    ) -> None:
        """Change a record: stamped now, seen once its transaction commits."""
        with self._claim:
            newest = self._history(identity)[-1]
            self._save(
                self.object_of(identity), identity, newest.fields | fields, commits_after, deleted=newest.deleted
            )

    def touch_all(self, identities: list[str]) -> None:
        """One bulk job over all of these: equal stamps, nothing else changes."""
        for one in identities:
            self.change(one)

    def recalculate(self, identity: str, **fields: Any) -> None:  # noqa: ANN401 - of any type
        """A formula has another value now; its record is not stamped."""
        with self._claim:
            history = self._history(identity)
            history[-1] = replace(history[-1], fields=history[-1].fields | fields)

    def delete(self, identity: str, *, deleted: bool = True) -> None:
        """Put a record into the recycle bin, or take it out again."""
        with self._claim:
            fields = self._history(identity)[-1].fields
            self._save(self.object_of(identity), identity, fields, timedelta(), deleted=deleted)

    def merge(self, winner: str, loser: str) -> None:
        """The loser is deleted and names the winner."""
        self.change(loser, MasterRecordId=winner)
        self.delete(loser)
        self.change(winner)

    def convert(self, lead: str, opportunity: str) -> None:
        """A lead has become an opportunity."""
        self.change(lead, IsConverted=True, ConvertedOpportunityId=opportunity, Status="Qualified")

    @contextmanager
    def long_transaction(self) -> Iterator[None]:
        """Something else on the instance that holds latestDateCovered back."""
        with self._claim:
            self._count += 1
            number = self._count
            self._open[number] = self.now
        yield
        with self._claim:
            del self._open[number]

    def latest_date_covered(self) -> datetime:
        """The start of the oldest transaction that is not committed."""
        with self._claim:
            pending = [one.stamp for its in self._records.values() for one in self._uncommitted(its)]
            return min([self.now.replace(microsecond=0), *pending, *self._open.values(), *self._stall()])

    def updated(self, of: str, start: datetime, end: datetime) -> list[str]:
        """The ids of what was stamped between two instants."""
        found = self._current(of)
        return [one for one, its in found if start <= its.stamp <= end and not its.deleted]

    def deleted(self, of: str, start: datetime, end: datetime) -> list[tuple[str, datetime]]:
        """The ids of what lies in the recycle bin, and was put there between two instants."""
        found = self._current(of)
        return [(one, its.stamp) for one, its in found if its.deleted and start <= its.stamp <= end]

    def earliest_deleted(self, of: str) -> datetime:
        """How far back the delete log goes: two weeks and a day, or to what was removed from it for good."""
        gone = [self._history(one)[-1].stamp for one in self.purged if self.object_of(one) == of]
        return max([(self.now - BIN).replace(microsecond=0), *gone])

    def read(self, identity: str) -> dict[str, Any] | None:
        """A record as it is seen now; None for one that does not exist or that the reader may not see."""
        found = self._seen(self.object_of(identity), identity)
        return None if found is None else self._shown(identity, found)

    def object_of(self, identity: str) -> str:
        """The object that an id's first three characters name."""
        return next(name for name, (prefix, _) in self.objects.items() if identity.startswith(prefix))

    def field(self, of: str, name: str) -> Field | None:
        """A field that the reader may see; a path leads through relationships."""
        first, _, rest = name.partition(".")
        if not rest:
            visible = (one for one in self.objects[of][1] if (of, one.name) not in self.hidden_fields)
            return next((one for one in visible if one.name.lower() == name.lower()), None)
        through = next((one for one in self.objects[of][1] if one.relationship.lower() == first.lower()), None)
        return None if through is None or not through.refers_to else self.field(through.refers_to, rest)

    def query(self, text: str, *, deleted_too: bool) -> tuple[Query, list[dict[str, Any]]]:
        """The rows that a query gives; raises Refused like the org."""
        with self._claim:
            query = parse(text)
            self._check(query)
            rows = []
            for identity, version in self._current(query.of):
                if version.deleted and not deleted_too:
                    continue
                row = self._shown(identity, version)
                if query.keeps(lambda path, row=row: self._value(query.of, row, path)):  # type: ignore[misc]
                    rows.append(row)
            for name, descending in reversed(query.order):
                rows.sort(key=lambda row: self._sortable(query.of, row, name), reverse=descending)
            return query, rows[: query.limit]

    def value(self, of: str, row: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - of any type
        """What a row has at a path."""
        return self._value(of, row, path)

    def _check(self, query: Query) -> None:
        if query.of not in self.objects:
            raise Refused("INVALID_TYPE", f"sObject type '{query.of}' is not supported.")
        for name in (*query.fields, *(path for path, _ in query.paths), *(path for path, _ in query.order)):
            if self.field(query.of, name) is None:
                raise Refused("INVALID_FIELD", f"No such column '{name}' on entity '{query.of}'.")
        for path, kind in query.paths:
            found = self.field(query.of, path)
            assert found
            if not found.filterable:
                raise Refused("INVALID_FIELD", f"field '{path}' can not be filtered in a query call")
            if kind != "null" and found.type not in KINDS.get(kind, TEXTUAL):
                raise Refused("INVALID_FIELD", f"value of filter criterion for field '{path}' must be of type")

        for path, text in query.texts:
            self._check_id(query.of, path, text)

    def _check_id(self, of: str, path: str, text: str) -> None:
        """Refuse what is compared with an id and cannot be one of the object that is meant."""
        *way, name = path.split(".")
        for step in way:
            of = next(one.refers_to for one in self.objects[of][1] if one.relationship.lower() == step.lower())
        found = self.field(of, name)
        assert found
        if found.type not in {"id", "reference"}:
            return
        meant = of if found.type == "id" else found.refers_to
        check(text, USER_ID[:3] if meant == "User" else self.objects[meant][0])

    def _sortable(self, of: str, row: dict[str, Any], name: str) -> tuple[bool, Any]:
        value = self._value(of, row, name)
        return value is not None, value

    def _value(self, of: str, row: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - of any type
        first, _, rest = path.partition(".")
        if not rest:
            found = self.field(of, path)
            assert found
            value = row[found.name]
            return Decimal(str(value)) if isinstance(value, float | int) and not isinstance(value, bool) else value
        through = next(one for one in self.objects[of][1] if one.relationship.lower() == first.lower())
        parent = self._seen(through.refers_to, row[through.name]) if row[through.name] else None
        return None if parent is None else self._value(through.refers_to, self._shown(row[through.name], parent), rest)

    def _shown(self, identity: str, version: Version) -> dict[str, Any]:
        return {**version.fields, "Id": identity, "SystemModstamp": version.stamp, "IsDeleted": version.deleted}

    def _current(self, of: str) -> list[tuple[str, Version]]:
        with self._claim:
            found = ((one, self._seen(of, one)) for one in self._records.get(of, {}))
            return [(one, its) for one, its in found if its is not None]

    def _seen(self, of: str, identity: str) -> Version | None:
        if identity in self.hidden_records or identity in self.purged:
            return None
        history = self._records.get(of, {}).get(identity, [])
        return next((one for one in reversed(history) if one.seen_at <= self.now), None)

    def _history(self, identity: str) -> list[Version]:
        return self._records[self.object_of(identity)][identity]

    def _uncommitted(self, histories: dict[str, list[Version]]) -> Iterator[Version]:
        return (one for its in histories.values() for one in its[-3:] if one.seen_at > self.now)

    def _stall(self) -> list[datetime]:
        return [] if self.stalled_at is None else [self.stalled_at]

    def _stamp(self) -> datetime:
        return self.now.replace(microsecond=0)

    def _save(
        self, of: str, identity: str, fields: dict[str, Any], commits_after: timedelta, *, deleted: bool = False
    ) -> None:
        texts = {one.name for one in self.objects[of][1] if one.type in {"string", "textarea"}}
        # An org keeps no blanks around a text.
        kept = {
            name: value.strip(_BLANKS) or None if name in texts and isinstance(value, str) else value
            for name, value in fields.items()
        }
        self._put(of, identity, kept, self._stamp(), self.now + commits_after, deleted=deleted)

    def _put(
        self,
        of: str,
        identity: str,
        fields: dict[str, Any],
        stamp: datetime,
        seen_at: datetime,
        *,
        deleted: bool = False,
    ) -> None:
        self._count += 1
        histories = self._records.setdefault(of, {})
        insort(histories.setdefault(identity, []), Version(seen_at, self._count, stamp, fields, deleted))
