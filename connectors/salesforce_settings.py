"""How a brand's Salesforce org is reached, and what its records mean: values only."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from connectors.salesforce_ids import canonical
from connectors.source_settings import Secret, interval
from processing.errors import Unusable

Outcome = Literal["approve", "modify", "reverse", "reset", "none"]
KIND: Final = "salesforce"
# What a SOQL query may name: nothing that ends a name and begins something else gets into one.
_NAME: Final = r"[A-Za-z][A-Za-z0-9_]{0,79}"
# All names of a mapping stand in the address of a query, which has to hold values, too.
_LONGEST_NAMES: Final = 5_000
_BETWEEN: Final = len("%2C+")
# Ours are settings, and Prefect's are taken away from the processes that poll.
_NOT_PASSED_ON: Final = ("env:CLAWBACK_", "env:PREFECT_")
# Of all objects these alone have records that are converted, or merged into others.
CONVERTED: Final = "Lead"
HEIR_OF_CONVERTED: Final = "Opportunity"
_MERGED: Final = frozenset({"Account", "Case", "Contact", "Lead"})
_PREFIX: Final = {"organization": "00D", "action": "04k"}


def _secret(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any settings value
    if isinstance(value, Secret):
        return value
    if isinstance(value, str) and value.startswith(_NOT_PASSED_ON):
        raise ValueError(f"{value!r} is not passed on; name a variable that begins with neither CLAWBACK_ nor PREFECT_")
    try:
        return Secret.parse(value if isinstance(value, str) else "", _folder(info))
    except Unusable as error:
        raise ValueError(str(error)) from None


def _path(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any settings value
    return (_folder(info) / value).absolute() if isinstance(value, str) and value else value


def _folder(info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", ""))


def _interval(value: Any) -> Any:  # noqa: ANN401 - any settings value
    return value if isinstance(value, int) and not isinstance(value, bool) else interval(value)


def _decimal(value: Any) -> Any:  # noqa: ANN401 - any settings value
    if not isinstance(value, str):
        raise ValueError('money is a text such as "0.05", never a floating point number')  # noqa: TRY004 - pydantic's way
    return value


ObjectName = Annotated[str, StringConstraints(pattern=rf"^{_NAME}$")]
FieldPath = Annotated[str, StringConstraints(pattern=rf"^{_NAME}(\.{_NAME}){{0,4}}$")]
KeptSecret = Annotated[
    Secret, BeforeValidator(_secret), PlainSerializer(lambda secret: secret.reference, return_type=str)
]
KeptPath = Annotated[Path, BeforeValidator(_path)]
Seconds = Annotated[int, BeforeValidator(_interval), PlainSerializer(lambda seconds: f"{seconds}s", return_type=str)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, arbitrary_types_allowed=True)


class Status(_Table):
    """What one status of a record means for its action, and the reason that the action's change carries."""

    outcome: Outcome
    reason: Reason | None = None

    @model_validator(mode="after")
    def _has_reason(self) -> Self:
        if self.outcome in {"approve", "modify", "reverse"} and self.reason is None:
            raise ValueError(f"the outcome {self.outcome} needs a reason: a standard one, or a disposition code")
        return self


class Filter(_Table):
    """A condition that a record has to meet; judged by us, so that a record that leaves it is still seen."""

    field: FieldPath
    op: Literal["=", "!=", "in"] = "="
    value: str | StrictBool | tuple[str, ...]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if isinstance(self.value, tuple) and self.op != "in":
            # Compared as one, no record would ever say the same as the list.
            advice = 'write op = "in"' if self.op == "=" else "write a condition for each of them"
            raise ValueError(f"op is {self.op} and value a list: {advice}")
        if self.value == ():
            raise ValueError("value is an empty list: no record could ever meet it")
        return self

    def keeps(self, value: object) -> bool:
        """Whether a record with this value meets it."""
        if self.op == "in":
            return value in (self.value if isinstance(self.value, tuple) else (self.value,))
        return (value == self.value) is (self.op == "=")


class Mapping_(_Table):  # noqa: N801 - Mapping is collections.abc's
    """Which records speak of which actions, and what they say.

    ``tolerance``: differences of an amount up to it are none. The policies: what happens to a record whose status has
    no mapping, that is open again, that is deleted, and that is converted or merged into another.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
    object: ObjectName
    event_type: Annotated[int, Field(ge=1)]
    order_id: FieldPath
    status: FieldPath
    amount: FieldPath | None = None
    currency: FieldPath | None = None
    amount_applies: Literal["on_change", "ignore"] = "on_change"
    tolerance: Annotated[Decimal, BeforeValidator(_decimal)] = Decimal(0)
    filter: tuple[Filter, ...] = ()
    statuses: Mapping[str, Status]
    on_unmapped: Literal["hold", "ignore"] = "hold"
    on_reopened: Literal["reset", "hold"] = "reset"
    on_deleted: Literal["hold", "reverse"] = "hold"
    deleted_reason: Reason | None = None
    on_converted: Literal["follow", "hold"] = "follow"

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not self.statuses:
            raise ValueError("statuses is empty: no record could ever say anything")
        if self.on_deleted == "reverse" and self.deleted_reason is None:
            raise ValueError("on_deleted is reverse: give deleted_reason")
        if self.amount is None and any(one.outcome == "modify" for one in self.statuses.values()):
            raise ValueError("a status has the outcome modify: give the field amount")
        if self.tolerance < 0:
            raise ValueError("tolerance is negative")
        paths = (self.order_id, self.status, self.amount, self.currency, *(one.field for one in self.filter))
        if sum(len(path) + _BETWEEN for path in paths if path is not None) > _LONGEST_NAMES:
            raise ValueError("the names of its fields are too long for a query; give fewer filters")
        return self

    @property
    def has_conversions(self) -> bool:
        """Whether its records may be converted into opportunities."""
        return self.object == CONVERTED

    @property
    def has_merges(self) -> bool:
        """Whether its records may be merged into others."""
        return self.object in _MERGED

    @property
    def of_parents(self) -> tuple[str, ...]:
        """The fields applied that stand in a parent record: its changes leave the stamp of the record as it was."""
        return tuple(path for path in (self.status, self.amounts) if path is not None and "." in path)

    @property
    def amounts(self) -> str | None:
        """The field whose amounts are applied, if any are."""
        wanted = self.amount_applies == "on_change" or any(one.outcome == "modify" for one in self.statuses.values())
        return self.amount if wanted else None


class SalesforceSettings(_Table):
    """A brand's Salesforce org.

    ``my_domain`` is what stands before ``.salesforce.com``; ``url`` takes its place for an org behind another address.
    ``lookback_s`` is how far the floor of a poll stays behind the org's clock, ``max_window_s`` how long a stalled
    ``latestDateCovered`` may hold it back. Actions that lock within ``sweep_before_s`` are looked up by their orders
    every ``sweep_every_s``; when less than ``api_reserve_percent`` of the org's calls of a day are left, only they are.
    ``hook`` is the secret end of the address that triggers go to, ``hook_actions`` the ids of the outbound messages
    that may use it.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
    account: Annotated[str, StringConstraints(min_length=1)]
    org_id: str
    my_domain: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")] | None = None
    url: Annotated[str, StringConstraints(pattern=r"^https://[^/\s]+$")] | None = None
    auth: Literal["client_credentials", "jwt_bearer", "session", "password"] = "client_credentials"
    key: KeptSecret | None = None
    secret: KeptSecret | None = None
    private_key_file: KeptPath | None = None
    user: str | None = None
    audience: str = "https://login.salesforce.com"
    session: KeptSecret | None = None
    ca_file: KeptPath | None = None
    api_version: Annotated[str, StringConstraints(pattern=r"^\d{2,3}\.0$")] = "62.0"
    every_s: Annotated[int | None, BeforeValidator(_interval), Field(alias="schedule")] = 300
    timeout_s: Annotated[int, Field(ge=1)] = 60
    lookback_s: Annotated[Seconds, Field(alias="lookback")] = 900
    use_latest_date_covered: bool = True
    max_window_s: Annotated[Seconds, Field(alias="max_window")] = 86_400
    api_reserve_percent: Annotated[int, Field(ge=0, le=90)] = 20
    sweep_before_s: Annotated[Seconds, Field(alias="sweep_before")] = 72 * 3600
    sweep_every_s: Annotated[Seconds, Field(alias="sweep_every")] = 3600
    on_stale: Literal["hold", "lock_anyway"] = "hold"
    backfill: Literal["ask", "apply"] = "ask"
    hook: KeptSecret | None = None
    hook_actions: tuple[str, ...] = ()
    mappings: Annotated[tuple[Mapping_, ...], Field(alias="mapping", min_length=1)]

    @field_validator("org_id")
    @classmethod
    def _is_org(cls, value: str) -> str:
        return canonical(value, _PREFIX["organization"])

    @field_validator("my_domain")
    @classmethod
    def _is_before(cls, value: str | None) -> str | None:
        if value is not None and value.endswith((".salesforce.com", ".force.com")):
            raise ValueError("give only what stands before .salesforce.com, such as acme.my")
        return value

    @field_validator("hook_actions")
    @classmethod
    def _are_actions(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(canonical(value, _PREFIX["action"]) for value in values)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        needed = {
            "client_credentials": ("key", "secret"),
            "jwt_bearer": ("key", "private_key_file", "user"),
            "session": ("session", "url"),
            "password": ("key", "secret", "user", "session"),
        }[self.auth]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"auth is {self.auth}: give {' and '.join(missing)}")
        if (self.my_domain is None) is (self.url is None):
            raise ValueError("give one of my_domain and url")
        names = [one.name for one in self.mappings]
        if len(set(names)) < len(names):
            raise ValueError("two mappings have the same name")
        if self.hook is not None and not self.hook_actions:
            raise ValueError("hook is set: give hook_actions, the ids (04k…) of the outbound messages that may use it")
        return self

    @property
    def base_url(self) -> str:
        """Where tokens are asked for; where the data is, the token's answer says."""
        return self.url or f"https://{self.my_domain}.salesforce.com"

    @property
    def channel(self) -> str:
        """The channel of its deliveries."""
        return f"{KIND}:{self.name}"

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.base_url} ({self.org_id})"

    def mapping(self, name: str) -> Mapping_ | None:
        """The mapping of this name."""
        return next((one for one in self.mappings if one.name == name), None)

    def of_object(self, name: str) -> tuple[Mapping_, ...]:
        """The mappings of an object."""
        return tuple(one for one in self.mappings if one.object == name)

    def about_same(self, mapping: Mapping_) -> tuple[Mapping_, ...]:
        """The mappings about the same actions, itself among them."""
        return tuple(one for one in self.mappings if one.event_type == mapping.event_type)

    def heirs_of(self, mapping: Mapping_) -> tuple[Mapping_, ...]:
        """The mappings of the records that those of a mapping are converted into, about the same actions."""
        heirs = self.of_object(HEIR_OF_CONVERTED) if mapping.has_conversions else ()
        return tuple(one for one in heirs if one.event_type == mapping.event_type)
