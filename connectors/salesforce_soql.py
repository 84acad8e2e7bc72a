"""The queries that we ask of an org, as SOQL; names come from checked settings only, values are always quoted."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final
from urllib.parse import quote_plus

from simple_salesforce.format import format_soql

from connectors.salesforce_settings import Mapping_

# The address and the headers have to stay below 16 KiB, and a token may have a few of them.
_LONGEST: Final = 10_000
_MOST: Final = 500
_COMMA: Final = len("%2C")
# The first characters of an id tell its object.
_PREFIX: Final = 3


def rows(of: str, where: str, name: str) -> str:
    """One field of the rows of an object."""
    return f"SELECT {name} FROM {of}" + (f" WHERE {where}" if where else "")  # noqa: S608 - names and values of ours


def count(of: str) -> str:
    """How many records of an object there are."""
    return f"SELECT COUNT() FROM {of}"  # noqa: S608 - a name that the settings checked


def permission_sets(user: str) -> tuple[str, str, str]:
    """What gives a user its permissions, its profile among them; object, condition and field of its rows."""
    return "PermissionSetAssignment", _among("AssigneeId", [user]), "PermissionSetId"


def views_all(of: str, sets: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Those of these permission sets by which all records of an object are seen, or all of the org."""
    among = f"AND {_among('SobjectType', [of])} AND PermissionsViewAllRecords = true"
    for some in batches(sets, among):
        yield "ObjectPermissions", f"{_among('ParentId', some)} {among}"
        yield "PermissionSet", f"{_among('Id', some)} AND PermissionsViewAllData = true"


def fields(mapping: Mapping_) -> tuple[str, ...]:
    """What a query for the records of a mapping reads, each field once."""
    wanted = ["Id", "SystemModstamp", "IsDeleted", mapping.order_id, mapping.status]
    wanted += [one for one in (mapping.amounts, mapping.amounts and mapping.currency) if one]
    wanted += [one.field for one in mapping.filter]
    if mapping.has_conversions:
        wanted += ["IsConverted", "ConvertedOpportunityId"]
    if mapping.has_merges:
        wanted.append("MasterRecordId")
    return tuple(dict.fromkeys(wanted))


def changed_since(mapping: Mapping_, floor: datetime) -> str:
    """What was stamped at ``floor`` or later, oldest first; without an upper bound."""
    stamp = floor.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{_select(mapping)} WHERE SystemModstamp >= {stamp} ORDER BY SystemModstamp, Id"


def each_with_ids(mapping: Mapping_, ids: Iterable[str]) -> Iterator[str]:
    """These records, in queries of which each asks for those of one object alone."""
    for _, alike in groupby(sorted(ids), key=lambda one: one[:_PREFIX]):
        for some in batches(alike, with_ids(mapping, [""])):
            yield with_ids(mapping, some)


def each_with_orders(mapping: Mapping_, orders: Iterable[str]) -> Iterator[str]:
    """The records of these orders, in as many queries as it takes."""
    for some in batches(orders, with_orders(mapping, [""])):
        yield with_orders(mapping, some)


def with_ids(mapping: Mapping_, ids: Sequence[str]) -> str:
    """These records."""
    return f"{_select(mapping)} WHERE {_among('Id', ids)} ORDER BY SystemModstamp, Id"


def with_orders(mapping: Mapping_, orders: Sequence[str]) -> str:
    """The records of these orders."""
    return f"{_select(mapping)} WHERE {_among(mapping.order_id, orders)} ORDER BY SystemModstamp, Id"


def batches(values: Iterable[str], around: str) -> Iterator[list[str]]:
    """Values in lists that are short enough for one query each; ``around`` is the query without them."""
    some: list[str] = []
    empty = length = len(quote_plus(around))
    for value in values:
        more = len(quote_plus(format_soql("{}", value))) + _COMMA
        if some and (length + more > _LONGEST or len(some) == _MOST):
            yield some
            some, length = [], empty
        some.append(value)
        length += more
    if some:
        yield some


def _select(mapping: Mapping_) -> str:
    return f"SELECT {', '.join(fields(mapping))} FROM {mapping.object}"  # noqa: S608 - names that the settings checked


def _among(field: str, values: Iterable[str]) -> str:
    given = list(values)
    if not given:
        raise ValueError("an empty list is no SOQL")
    return f"{field} IN {format_soql('{}', given)}"
