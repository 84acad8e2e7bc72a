"""Counts what reading records of an org came to."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from clawback.salesforce.asking import Answer


@dataclass(slots=True)
class Tally:
    """What reading came to: every record that was read is one of changed, unchanged, idle, held or stale."""

    read: int = 0
    changed: int = 0
    unchanged: int = 0
    # It says something else, and that asks nothing of the ledger.
    idle: int = 0
    held: int = 0
    stale: int = 0
    holds: Counter[str] = field(default_factory=Counter)

    def told(self) -> dict[str, Any]:
        """As JSON shows it."""
        parts = ("read", "changed", "unchanged", "idle", "held", "stale")
        return {name: getattr(self, name) for name in parts} | {"holds": dict(self.holds.most_common(20))}


def count(tally: Tally, found: Collection[Answer]) -> None:
    """Add a record that was read, by what it asks."""
    held = [answer.held for answer in found if answer.held]
    tally.held += bool(held)
    tally.changed += not held and any(answer.lines for answer in found)
    tally.idle += not held and not any(answer.lines for answer in found)
    tally.holds.update(held)


def add(tally: Tally, more: Tally) -> None:
    """Add what another part came to."""
    for name in ("read", "changed", "unchanged", "idle", "held", "stale"):
        setattr(tally, name, getattr(tally, name) + getattr(more, name))
    tally.holds.update(more.holds)
