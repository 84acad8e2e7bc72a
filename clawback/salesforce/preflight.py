"""Whether the settings of an org fit it, the catalogue and each other: a list of what is right and what is wrong.

What is wrong keeps a source from being read; what is only unusual is right, and says so.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.salesforce_org import Org
from connectors.salesforce_settings import Mapping_, SalesforceSettings
from connectors.source import Step
from processing.catalog import Terms
from processing.errors import SourceRefused
from processing.reasons import FOR_MODIFICATIONS_ONLY, FOR_REVERSALS_ONLY, RESET, STANDARD_REASONS

_SKEW: Final = timedelta(minutes=5)
_NUMBERS: Final = frozenset({"currency", "double", "int", "percent"})
_LISTS: Final = frozenset({"picklist", "combobox"})
_MISUSED: Final = {"reverse": FOR_MODIFICATIONS_ONLY, "modify": FOR_REVERSALS_ONLY}


def steps(org: Org, settings: SalesforceSettings, terms: Terms, at: datetime) -> list[Step]:
    """All checks, one after the other; raises SourceUnreachable and SourceExhausted when there is no asking."""
    found: list[Step] = []
    try:
        skew = abs(org.server_time() - at)
        found.append(Step(skew <= _SKEW, f"logged in; the clocks differ by {skew.total_seconds():.0f} s"))
        identity = org.identity()
    except SourceRefused as error:
        return [*found, Step(ok=False, message=str(error))]
    same = identity == settings.org_id
    found.append(Step(same, f"org {identity}" if same else f"this is org {identity}, org_id is {settings.org_id}"))
    if org.usage is not None:
        used = f"{org.usage.used:,} of {org.usage.quota:,} API calls of the day are used"
        low = org.usage.percent > 100 - settings.api_reserve_percent
        # No fault of the settings, and the reserve is there to be used: for the look-up before the lock.
        found.append(Step(ok=True, message=f"{used}; what is left is for what locks soon" if low else used))
    for mapping in settings.mappings:
        found += _mapping(org, settings, mapping, terms)
    return found


def _mapping(org: Org, settings: SalesforceSettings, mapping: Mapping_, terms: Terms) -> Iterator[Step]:
    found = [*_reasons(mapping, terms), *_heirs(settings, mapping)]
    try:
        told = org.describe(mapping.object)
        found += [*_object(mapping, told), *_fields(org, mapping, told)]
    except SourceRefused:
        found.append(Step(ok=False, message=f"the object {mapping.object} does not exist, or the user may not see it"))
    for one in found:
        yield Step(one.ok, f"{mapping.name}: {one.message}")


def _object(mapping: Mapping_, told: dict[str, Any]) -> Iterator[Step]:
    for what in ("queryable", "replicateable"):
        ok = bool(told.get(what))
        yield Step(ok, f"{mapping.object} is {'' if ok else 'not '}{what}")


def _fields(org: Org, mapping: Mapping_, told: dict[str, Any]) -> Iterator[Step]:
    wanted = {"order_id": mapping.order_id, "status": mapping.status}
    wanted |= {name: path for name in ("amount", "currency") if (path := getattr(mapping, name)) is not None}
    wanted |= {f"filter {at}": one.field for at, one in enumerate(mapping.filter, 1)}
    for name, path in wanted.items():
        field = _resolved(org, told, path)
        if field is None:
            message = f"{name}: {path} does not exist, or is hidden from the user (field-level security)"
            yield Step(ok=False, message=message)
            continue
        yield from _field(mapping, name, path, field)


def _field(mapping: Mapping_, name: str, path: str, field: dict[str, Any]) -> Iterator[Step]:
    if field.get("calculated"):
        # A formula moves without its record being stamped, so neither polling nor triggers would see it.
        yield Step(ok=False, message=f"{name}: {path} is a formula; use the field that it is computed from")
        return
    if "." in path and not name.startswith("filter"):
        note = "a change there does not touch the record: it is seen with the next touch, or before the lock"
        yield Step(ok=True, message=f"{name}: {path} belongs to a parent; {note}")
    if name == "order_id":
        if not field.get("filterable"):
            yield Step(ok=False, message=f"order_id: {path} cannot be filtered, so orders cannot be looked up")
            return
        unique = field.get("unique") or field.get("externalId")
        yield Step(ok=True, message=f"order_id: {path}" + ("" if unique else " is not unique; an order twice is held"))
    elif name == "status":
        yield from _status(mapping, path, field)
    elif name == "amount":
        number = field.get("type") in _NUMBERS
        yield Step(number, f"amount: {path} is a {field.get('type')}" + ("" if number else "; it has to be a number"))
    else:
        yield Step(ok=True, message=f"{name}: {path}")


def _status(mapping: Mapping_, path: str, field: dict[str, Any]) -> Iterator[Step]:
    if field.get("type") not in _LISTS:
        yield Step(ok=True, message=f"status: {path} is no picklist; what it may say cannot be checked")
        return
    active = [one["value"] for one in field.get("picklistValues", []) if one.get("active")]
    gone = [one for one in mapping.statuses if one not in active]
    yield Step(
        not gone,
        f"status: {path} has no active value {', '.join(map(repr, gone))}; API names count, with their case"
        if gone
        else f"status: {path}, {len(mapping.statuses)} values mapped",
    )
    unmapped = [one for one in active if one not in mapping.statuses]
    if unmapped:
        what = "held" if mapping.on_unmapped == "hold" else "ignored"
        yield Step(ok=True, message=f"status: {', '.join(map(repr, unmapped))} not mapped; {what} when they occur")


def _resolved(org: Org, told: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The field at a path, following relationships; None if there is none that the user may see."""
    first, _, rest = path.partition(".")
    key = "relationshipName" if rest else "name"
    field: dict[str, Any] | None = next((one for one in told.get("fields", []) if one.get(key) == first), None)
    if not rest or field is None:
        return field
    parents = field.get("referenceTo") or []
    return _resolved(org, org.describe(parents[0]), rest) if len(parents) == 1 else None


def _reasons(mapping: Mapping_, terms: Terms) -> Iterator[Step]:
    if mapping.event_type not in terms.event_types:
        yield Step(ok=False, message=f"account {terms.sid} has no event type {mapping.event_type}")
        return
    own = terms.dispositions.get(mapping.event_type, {})
    asked = {(one.outcome, one.reason) for one in mapping.statuses.values() if one.reason is not None}
    if mapping.deleted_reason is not None:
        asked.add(("reverse", mapping.deleted_reason))
    for outcome, reason in sorted(asked):
        if reason in own:
            fits = own[reason].value == outcome
            why = f"is a disposition that would {own[reason].value}"
        else:
            misused = outcome == "approve" or reason == RESET or reason in _MISUSED.get(outcome, ())
            fits = reason in STANDARD_REASONS and not misused
            why = "needs a disposition code of the catalogue" if outcome == "approve" else "is no reason for that"
        yield Step(fits, f"reason {reason} for {outcome}" + ("" if fits else f": it {why}"))


def _heirs(settings: SalesforceSettings, mapping: Mapping_) -> Iterator[Step]:
    if mapping.follows_leads and mapping.on_converted == "follow" and not settings.of_object("Opportunity"):
        yield Step(
            ok=False, message="on_converted is follow: add a mapping of Opportunity, which converted leads become"
        )
