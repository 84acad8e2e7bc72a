"""What late lines would leave of their action, one after the other: the arithmetic of proposed adjustments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from processing.model import Change

_BRINGING_BACK: Final = (Change.APPROVE, Change.RESTORE)
_REVIVING: Final = (*_BRINGING_BACK, Change.RESET)

Items = Mapping[str, tuple[int, int]]
"""Quantity and amount of each item by its SKU."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What an action has, in minor units; its ``items`` only if there are several, for one is its action's."""

    amount: int
    payout: int
    items: Items

    def gone(self) -> "Worth":
        """The same once it is reversed."""
        return Worth(0, 0, dict.fromkeys(self.items, (0, 0)))

    @property
    def amounts(self) -> dict[str, int]:
        """The amount of each item."""
        return {sku: amount for sku, (_, amount) in self.items.items()}

    @property
    def is_empty(self) -> bool:
        """Whether it has several items, and all of them are returned."""
        return bool(self.items) and not any(quantity for quantity, _ in self.items.values())


@dataclass(frozen=True, slots=True)
class Late:
    """What a late line asks for, and the amount and payout that it would leave if it were about the whole action.

    ``items``: what it makes of some of several items, quantity None where it leaves that; of a reset, what was tracked.
    """

    change: Change
    amount: int
    payout: int
    items: Mapping[str, tuple[int | None, int]]


@dataclass(frozen=True, slots=True)
class Standing:
    """What an action comes to with its proposals so far.

    ``locked``: what it locked with, or had before it was reversed in time; ``alive``: it did not lock reversed, or was
    brought back since; ``prior``: what its reversal took, if that was the last thing that moved it.
    """

    worth: Worth
    locked: Worth
    alive: bool
    prior: Worth | None = None

    @classmethod
    def of(cls, worth: Worth, *, is_reversed: bool) -> "Standing":
        """Without proposals; ``worth`` of one that is reversed is what it had before."""
        if is_reversed:
            return cls(worth.gone(), worth, alive=False, prior=worth)
        return cls(worth, worth, alive=True)

    def then(self, late: Late, rate: Callable[[Mapping[str, int]], int]) -> "Standing":
        """With one more late line; ``rate`` gives the payout, on the line's day, for the amounts of all items."""
        worth, alive = self._asked(late, rate), self.alive or late.change in _REVIVING
        if worth == self.worth:
            return replace(self, alive=alive)
        reverses = worth.is_empty if late.items else late.change == Change.REVERSE
        return Standing(worth, self.locked, alive, self.worth if reverses else None)

    def _asked(self, late: Late, rate: Callable[[Mapping[str, int]], int]) -> Worth:
        if late.change in _BRINGING_BACK:
            return self.prior or self.worth
        if late.change == Change.RESET:
            tracked = {sku: (quantity or 0, amount) for sku, (quantity, amount) in late.items.items()}
            return Worth(late.amount, late.payout, tracked)
        if late.items:
            return self._of_items(late.items, rate) if self.alive else self.worth
        if late.change == Change.REVERSE:
            return self.worth.gone()
        # What does not move the amount asks for no money, whatever its own day would pay for the same amount.
        if not self.alive or late.amount == self.worth.amount:
            return self.worth
        # A line that takes back what lines before it said leaves the action as it locked.
        return self.locked if late.amount == self.locked.amount else Worth(late.amount, late.payout, {})

    def _of_items(self, asked: Mapping[str, tuple[int | None, int]], rate: Callable[[Mapping[str, int]], int]) -> Worth:
        """The same of a line about some of several items: what was said of the others holds."""
        items = dict(self.worth.items)
        for sku, (quantity, amount) in asked.items():
            has = items[sku][0]
            if quantity is None and has == 0 and amount > 0:
                # How many of a returned item there are again, nobody says.
                return self.worth
            items[sku] = has if quantity is None else quantity, amount
        after = replace(self.worth, items=items)
        if after.is_empty:
            return after.gone()
        if after.amounts == self.locked.amounts:
            return replace(self.locked, items=items)
        if after.amounts == self.worth.amounts:
            return after
        return Worth(sum(after.amounts.values()), rate(after.amounts), items)
