"""The nouns of the catalogue: who pays whom for what, and on which terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from processing.terms import Period

# How long a line waits for its action, unless the account says otherwise.
WAITING_DAYS: Final = 30


class State(StrEnum):
    """What an action is."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REVERSED = "REVERSED"


class Change(StrEnum):
    """What a valid line, or a person, asks to be done with an action."""

    MODIFY = "modify"
    REVERSE = "reverse"
    APPROVE = "approve"
    RESET = "reset"
    RESTORE = "restore"
    UNDO = "undo"


class Level(StrEnum):
    """Whether an event type's actions have an amount of their own or items with amounts."""

    ORDER = "order"
    ITEM = "item"


class Basis(StrEnum):
    """What an event type pays for."""

    SALE = "sale"
    LEAD = "lead"
    CLICK = "click"


class SameOrder(StrEnum):
    """What becomes of a line whose order id belongs to several actions: it means the newest, or is held."""

    NEWEST = "newest"
    HOLD = "hold"


class Trailer(StrEnum):
    """Whether an account's CSV files end with a trailer: one may be there, or a file without one is held."""

    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Partner:
    """Who is paid."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Payout:
    """What a partner is paid per action: parts per million of its amount, or minor units of the account's currency.

    One of the two is given, the other is ``None``.
    """

    percent_ppm: int | None
    fixed_minor: int | None


@dataclass(frozen=True, slots=True)
class Contract:
    """The terms of a partner in a program, from a day on."""

    partner: Partner
    effective: date
    locking: Period
    payment: Period
    payout: Payout


@dataclass(frozen=True, slots=True)
class EventType:
    """What is tracked; ``dispositions`` are the brand's own reason codes with what they ask for."""

    id: int
    name: str
    level: Level
    basis: Basis
    dispositions: Mapping[str, Change] = field(hash=False)
    same_order: SameOrder = SameOrder.NEWEST


@dataclass(frozen=True, slots=True)
class Program:
    """A brand's campaign, with what it tracks and whom it pays."""

    id: int
    name: str
    event_types: tuple[EventType, ...]
    contracts: tuple[Contract, ...]


@dataclass(frozen=True, slots=True)
class Brakes:
    """When a delivery of an account is held for a second pair of eyes; the design's section 4.7.

    Deliveries of fewer ``lines`` never are. One is when more than ``bad_percent`` of its lines are rejected or refused,
    when it reverses more than ``reversed_percent`` of the open payout, and, from ``large_lines`` on, when it has more
    than ``times_usual`` the median of lines.
    """

    lines: int = 20
    bad_percent: int = 50
    reversed_percent: int = 25
    large_lines: int = 1_000
    times_usual: int = 4


@dataclass(frozen=True, slots=True)
class Account:
    """A brand: who pays."""

    sid: str
    name: str
    timezone: str
    currency: str
    programs: tuple[Program, ...]
    ignore_columns: tuple[str, ...] = ()
    encoding: str | None = None
    brakes: Brakes = Brakes()
    trailer: Trailer = Trailer.OPTIONAL
    waiting_days: int = WAITING_DAYS
