"""A record as an org tells of it, reduced to what its mapping looks at."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from connectors.salesforce_ids import canonical
from connectors.salesforce_settings import Mapping_
from processing.errors import SourceRefused

# No store takes half of a character, as is left of an emoji that was cut, and PostgreSQL no zero.
_UNWRITABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
_SUBSTITUTE: Final = "\x1a"


@dataclass(frozen=True, slots=True)
class State:
    """What of a record counts: as long as this is the same, the record says the same.

    ``amount`` is as exact as the org told it, as text. ``matches`` says whether it meets the filter, None where that is
    not known since the mapping was changed. ``follows`` is the record that has taken this one's place, and
    ``heirless`` whether no record speaks for the order since; None while nobody has looked. One that is ``gone`` was
    read before and cannot be seen any more.
    """

    order_id: str | None
    status: str | None
    amount: str | None = None
    currency: str | None = None
    matches: bool | None = True
    deleted: bool = False
    follows: str | None = None
    gone: bool = False
    heirless: bool | None = None

    def told(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read: ``stamp`` is its SystemModstamp, in whole seconds by the org's clock."""

    id: str
    stamp: datetime
    state: State


def record_of(row: Mapping[str, Any], mapping: Mapping_) -> Record:
    """A row of a query; raises SourceRefused for one that is not what was asked for."""
    try:
        return Record(canonical(row["Id"]), instant(row["SystemModstamp"]), _state(row, mapping))
    except (KeyError, ValueError, TypeError, InvalidOperation) as error:
        name = row.get("Id") if isinstance(row, Mapping) else None
        raise SourceRefused(f"Salesforce told of a {mapping.object} {name} in a way we do not know: {error}.") from None


def instant(text: str) -> datetime:
    """An instant as the REST API or an outbound message writes it; raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return found.astimezone(UTC).replace(microsecond=0)


def _state(row: Mapping[str, Any], mapping: Mapping_) -> State:
    amount = _at(row, mapping.amounts) if mapping.amounts else None
    currency = _at(row, mapping.currency) if mapping.amounts and mapping.currency else None
    return State(
        order_id=_text(_at(row, mapping.order_id)),
        status=_text(_at(row, mapping.status)),
        amount=None if amount is None else plain(amount),
        currency=_text(currency),
        matches=all(one.keeps(_at(row, one.field)) for one in mapping.filter),
        deleted=bool(row["IsDeleted"]),
        follows=_follows(row, mapping),
    )


def plain(amount: object) -> str:
    """An amount without an exponent or needless zeros, so that equal amounts are equal texts."""
    exact = Decimal(str(amount))
    if not exact.is_finite():
        raise ValueError(f"{amount} is no amount")
    return f"{exact.normalize():f}" if exact else "0"


def _follows(row: Mapping[str, Any], mapping: Mapping_) -> str | None:
    heir = row["ConvertedOpportunityId"] if mapping.has_conversions and row["IsConverted"] else None
    heir = heir or (row["MasterRecordId"] if mapping.has_merges and row["IsDeleted"] else None)
    return None if heir is None else canonical(heir)


def _at(row: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - any JSON value
    value: Any = row
    for part in path.split("."):
        if value is None:
            return None
        value = value[part]
    return value


def _text(value: object) -> str | None:
    return None if value is None or value == "" else _UNWRITABLE.sub(_SUBSTITUTE, str(value))
