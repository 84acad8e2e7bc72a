"""Whether the settings of an org fit it, the catalogue and each other: a list of what is right and what is wrong.

What is wrong keeps a source from being read; what is only unusual is right, and says so.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from clawback.salesforce.asking import AMOUNT_CHANGED
from connectors.salesforce_ids import canonical
from connectors.salesforce_org import Org
from connectors.salesforce_settings import HEIR_OF_CONVERTED, Filter, Mapping_, SalesforceSettings
from connectors.source import Step
from processing.catalog import Terms
from processing.errors import SourceRefused
from processing.model import Change
from processing.reasons import FOR_MODIFICATIONS_ONLY, FOR_REVERSALS_ONLY, RESET, STANDARD_REASONS

# Clocks that differ by more are worth a word, and by much more they are wrong.
SKEW: Final = timedelta(minutes=1)
MOST_SKEW: Final = timedelta(minutes=5)
_NUMBERS: Final = frozenset({"currency", "double", "int", "percent"})
_NO_TEXTS: Final = _NUMBERS | {"long", "boolean", "date", "datetime", "time"}
_LISTS: Final = frozenset({"picklist", "combobox"})
_IDS: Final = frozenset({"id", "reference"})
# Only orgs with several currencies have it.
_CURRENCY: Final = "CurrencyIsoCode"
# What most currencies have.
_DECIMALS: Final = 2
_MISUSED: Final = {"reverse": FOR_MODIFICATIONS_ONLY, "modify": FOR_REVERSALS_ONLY}


def steps(org: Org, settings: SalesforceSettings, terms: Terms, at: datetime) -> list[Step]:
    """All checks, one after the other; raises SourceUnreachable and SourceExhausted when there is no asking."""
    found: list[Step] = []
    try:
        found += of_org(org, settings, at)
        for mapping in settings.mappings:
            found += of_mapping(org, settings, mapping, terms)
    except SourceRefused as error:
        found.append(Step(ok=False, message=str(error)))
    return found


def of_org(org: Org, settings: SalesforceSettings, at: datetime) -> list[Step]:
    """Whether the org is the right one; raises as ``steps`` does, and SourceRefused when it lets us not in."""
    skew = abs(org.server_time() - at)
    advice = "; have this machine's clock set by NTP, locks go by it" if skew > SKEW else ""
    identity = org.identity()
    same = identity == settings.org_id
    found = [
        Step(skew <= MOST_SKEW, f"logged in; the clocks differ by {skew.total_seconds():.0f} s{advice}"),
        Step(same, f"org {identity}" if same else f"this is org {identity}, org_id is {settings.org_id}"),
    ]
    if org.usage is not None:
        used = f"{org.usage.used:,} of {org.usage.quota:,} API calls of the day are used"
        # No fault of the settings, and the reserve is there to be used: for the look-up before the lock.
        found.append(Step(ok=True, message=f"{used}; what is left is for what locks soon" if org.is_low else used))
    return found


def of_mapping(
    org: Org, settings: SalesforceSettings, mapping: Mapping_, terms: Terms, *, is_running: bool = False
) -> list[Step]:
    """Whether a mapping fits the org and the catalogue; raises as ``of_org`` does.

    One that ``is_running`` was found right before: a status that has gone from the org since then is no reason to stop
    it. Records that say another one now are held, as those of any status without a mapping.
    """
    found = [*_reasons(mapping, terms), *_heirs(settings, mapping)]
    try:
        told = org.describe(mapping.object)
        found += [*_object(mapping, told), _sharing(org, mapping), *_fields(org, mapping, told, is_running=is_running)]
    except SourceRefused:
        if org.is_shut:
            raise
        found.append(Step(ok=False, message=f"the object {mapping.object} does not exist, or the user may not see it"))
    return [Step(one.ok, f"{mapping.name}: {one.message}") for one in found]


def _object(mapping: Mapping_, told: dict[str, Any]) -> Iterator[Step]:
    for what in ("queryable", "replicateable"):
        ok = bool(told.get(what))
        yield Step(ok, f"{mapping.object} is {'' if ok else 'not '}{what}")


def _sharing(org: Org, mapping: Mapping_) -> Step:
    """What sharing hides is missing without a word, so that no right list can be told from a short one."""
    sees_all = org.sees_all(mapping.object)
    if sees_all:
        return Step(ok=True, message=f"the user sees all records of {mapping.object}")
    doubt = "it cannot be told whether the user has" if sees_all is None else "the user does not have"
    then = f"what sharing hides of {mapping.object} is not read"
    return Step(ok=True, message=f"{doubt} View All on {mapping.object}; {then}")


def _fields(org: Org, mapping: Mapping_, told: dict[str, Any], *, is_running: bool) -> Iterator[Step]:
    wanted = {"order_id": mapping.order_id, "status": mapping.status}
    wanted |= {name: path for name in ("amount", "currency") if (path := getattr(mapping, name)) is not None}
    conditions = {f"filter {at}": one for at, one in enumerate(mapping.filter, 1)}
    wanted |= {name: one.field for name, one in conditions.items()}
    for name, path in wanted.items():
        field = _resolved(org, told, path)
        if field is None:
            message = f"{name}: {path} does not exist, or is hidden from the user (field-level security)"
            yield Step(ok=False, message=message)
            continue
        yield from _field(mapping, name, path, field, is_running=is_running)
        if name in conditions and not field.get("calculated"):
            yield _condition(name, conditions[name], field, is_running=is_running)
    if mapping.amounts is not None and mapping.currency is None and _resolved(org, told, _CURRENCY) is not None:
        note = f"currency: {mapping.object} has {_CURRENCY} and it is not read; amounts count in the action's"
        yield Step(ok=True, message=note)


def _field(mapping: Mapping_, name: str, path: str, field: dict[str, Any], *, is_running: bool) -> Iterator[Step]:
    if field.get("calculated"):
        # A formula moves without its record being stamped, so neither polling nor triggers would see it.
        yield Step(ok=False, message=f"{name}: {path} is a formula; use the field that it is computed from")
        return
    if "." in path and not name.startswith("filter"):
        note = "a change there does not touch the record: it is seen with the next touch, or before the lock"
        yield Step(ok=True, message=f"{name}: {path} belongs to a parent; {note}")
    if name == "order_id":
        yield _order_id(path, field)
    elif name == "status":
        yield from _status(mapping, path, field, is_running=is_running)
    elif name == "amount":
        yield _amount(path, field)
    elif name == "currency":
        yield Step(ok=True, message=f"{name}: {path}")


def _condition(name: str, its: Filter, field: dict[str, Any], *, is_running: bool) -> Step:
    """Whether a record can say what a condition compares it with: one that cannot be met shuts all of them out."""
    kind, given = field.get("type"), its.value if isinstance(its.value, tuple) else (its.value,)
    truth = isinstance(its.value, bool)
    texts = [one for one in given if isinstance(one, str)]
    if kind in _NUMBERS | {"long"}:
        return Step(ok=False, message=f"{name}: {its.field} is a {kind}; conditions compare texts, true and false")
    if truth is not (kind == "boolean"):
        wanted = "write true or false, without quotes" if kind == "boolean" else "it has to be compared with a text"
        return Step(ok=False, message=f"{name}: {its.field} is a {kind}; {wanted}")
    if kind in _IDS and (wrong := [one for one in texts if not _is_id(one)]):
        return Step(ok=False, message=f"{name}: {its.field} is an id, and {_listed(wrong)} is none of 18 characters")
    values = {one["value"] for one in field.get("picklistValues") or []}
    if kind in _LISTS and (gone := [one for one in texts if one not in values]):
        why = "no record meets that" if is_running else "API names count, with their case"
        return Step(is_running, f"{name}: {its.field} has no value {_listed(gone)}; {why}")
    return Step(ok=True, message=f"{name}: {its.field}")


def _is_id(text: str) -> bool:
    try:
        return canonical(text) == text
    except ValueError:
        return False


def _order_id(path: str, field: dict[str, Any]) -> Step:
    if not field.get("filterable"):
        return Step(ok=False, message=f"order_id: {path} cannot be filtered, so orders cannot be looked up")
    if field.get("type") in _NO_TEXTS:
        return Step(ok=False, message=f"order_id: {path} is a {field['type']}; an order number has to be text")
    unique = field.get("unique") or field.get("externalId")
    return Step(ok=True, message=f"order_id: {path}" + ("" if unique else " is not unique; an order twice is held"))


def _amount(path: str, field: dict[str, Any]) -> Step:
    if field.get("type") not in _NUMBERS:
        return Step(ok=False, message=f"amount: {path} is a {field.get('type')}; it has to be a number")
    decimals = int(field.get("scale") or 0)
    finer = f" with {decimals} decimals; an amount finer than its currency is rejected" if decimals > _DECIMALS else ""
    return Step(ok=True, message=f"amount: {path} is a {field['type']}{finer}")


def _status(mapping: Mapping_, path: str, field: dict[str, Any], *, is_running: bool) -> Iterator[Step]:
    if field.get("type") not in _LISTS:
        yield Step(ok=True, message=f"status: {path} is no picklist; what it may say cannot be checked")
        return
    is_active = {one["value"]: bool(one.get("active")) for one in field.get("picklistValues", [])}
    gone = [one for one in mapping.statuses if one not in is_active]
    if gone:
        why = (
            "what its records say now is held if it is not mapped" if is_running else "API names count, with their case"
        )
        yield Step(is_running, f"status: {path} has no value {_listed(gone)}; {why}")
    else:
        yield Step(ok=True, message=f"status: {path}, {len(mapping.statuses)} values mapped")
    if retired := [one for one in mapping.statuses if is_active.get(one) is False]:
        yield Step(ok=True, message=f"status: {_listed(retired)} inactive; only records that have it already say so")
    if unmapped := [one for one, active in is_active.items() if active and one not in mapping.statuses]:
        what = "held" if mapping.on_unmapped == "hold" else "ignored"
        yield Step(ok=True, message=f"status: {_listed(unmapped)} not mapped; {what} when they occur")


def _listed(values: Iterable[str]) -> str:
    return ", ".join(map(repr, values))


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
    for code, meant in _our_own(mapping).items():
        if own.get(code, meant) is not meant:
            other = f"event type {mapping.event_type} has a disposition {code} that would {own[code].value}"
            yield Step(ok=False, message=f"{other}; lines of ours need it for {meant.value}")


def _our_own(mapping: Mapping_) -> dict[str, Change]:
    """The reasons of lines that no status names, and what they are for; a catalogue may make them something else."""
    approves = any(one.outcome == "approve" for one in mapping.statuses.values())
    with_amount = {AMOUNT_CHANGED: Change.MODIFY} if approves and mapping.amounts is not None else {}
    return {RESET: Change.RESET, **with_amount}


def _heirs(settings: SalesforceSettings, mapping: Mapping_) -> Iterator[Step]:
    if mapping.has_conversions and mapping.on_converted == "follow" and not settings.heirs_of(mapping):
        missing = f"a mapping of {HEIR_OF_CONVERTED}, which they become, with event_type {mapping.event_type}"
        yield Step(ok=False, message=f"on_converted is follow: add {missing}; or hold those that are converted")
