"""The items of actions: what a chunk's lines ask of them, and what each wave of lines makes of them.

Quantity and amount are absolute. An item whose quantity is 0 is returned, and worth nothing; an action whose last item
is returned is reversed. While an action is reversed its items stay as they were: the reversal is a fact of the action.
"""

from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
import pandas as pd

from processing.columns import NONE, Bools, Ints, Objects, blank, missing
from processing.match import NOBODY
from processing.model import Change

_NOTHING: Final = np.zeros(0, dtype=np.int64)


def ranges(first: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """What belongs to some rows when row n has the numbers from ``first[n]`` to ``first[n + 1]``.

    Gives the numbers, and for each the position in ``rows`` of the row it belongs to.
    """
    counts = first[rows + 1] - first[rows]
    owner = np.repeat(np.arange(len(rows)), counts)
    numbers = np.arange(len(owner)) + np.repeat(first[rows] - np.cumsum(counts) + counts, counts)
    return numbers, owner


@dataclass(slots=True)
class Items:
    """Items of a chunk's actions in the order of their actions, a column an array; they move as lines are decided.

    ``row``: the action's row in ``Actions``; ``category``: None where there is none; amounts in minor units of the
    action's currency; ``first``: where the items of each action begin, and one more number for the end.
    """

    row: Ints
    sku: Objects
    category: Objects
    quantity: Ints
    amount: Ints
    tracked_quantity: Ints
    tracked_amount: Ints
    first: Ints

    def __len__(self) -> int:
        return len(self.row)


@dataclass(slots=True)
class AskedItems:
    """What lines ask of items, an item a row, in line order.

    ``position``: the line's in the chunk; ``category`` None where the line gives none; ``quantity`` and ``amount``
    (minor units of the line's currency) are ``NONE`` where the line gives none, and quantity 0 returns the item;
    ``first``: where each line's items begin, and one more number for the end; ``blamed``: the row here that a line's
    code or notice is about, ``NONE`` for none.
    """

    position: Ints
    sku: Objects
    category: Objects
    quantity: Ints
    amount: Ints
    first: Ints
    blamed: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.blamed = np.full(len(self.first) - 1, NONE, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.position)

    @classmethod
    def none(cls, lines: int) -> "AskedItems":
        """Lines that name no item."""
        return cls(_NOTHING, blank(0), blank(0), _NOTHING, _NOTHING, np.zeros(lines + 1, dtype=np.int64))

    @property
    def named(self) -> Bools:
        """Which lines name an item."""
        return np.diff(self.first) > 0

    def blame(self, which: Bools) -> Bools:
        """Remember the first of these items of each line; gives the lines that have one."""
        rows = np.flatnonzero(which)[::-1]
        self.blamed[self.position[rows]] = rows
        guilty = np.zeros(len(self.blamed), dtype=np.bool_)
        guilty[self.position[rows]] = True
        return guilty


@dataclass(slots=True)
class ItemEntries:
    """One item that an applied line changed a row, in line order; ``position`` is the line's in the chunk."""

    position: Ints
    item: Ints
    quantity_before: Ints
    quantity_after: Ints
    amount_before: Ints
    amount_after: Ints

    def __len__(self) -> int:
        return len(self.position)

    @classmethod
    def joined(cls, waves: "list[ItemEntries]") -> "ItemEntries":
        """Those of all waves, in line order."""
        if not waves:
            return cls(*[_NOTHING] * len(fields(cls)))
        order = np.argsort(np.concatenate([wave.position for wave in waves]), kind="stable")
        return cls(*(np.concatenate([getattr(wave, one.name) for wave in waves])[order] for one in fields(cls)))


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the lines of one wave would make of their actions' items.

    ``lines``: the positions in the wave of the lines whose action's items count; ``owner``, ``item``, ``quantity``,
    ``amount``: an item of theirs a row, ``owner`` being a position in ``lines``. The masks are over the whole wave:
    ``moved`` have another item than before, ``emptied`` return the last item, ``unclear`` give a returned item an
    amount and no quantity.
    """

    lines: Ints
    owner: Ints
    item: Ints
    quantity: Ints
    amount: Ints
    moved: Bools
    emptied: Bools
    unclear: Bools

    @property
    def totals(self) -> Ints:
        """The sum of the items' amounts for each of ``lines``."""
        totals = np.zeros(len(self.lines), dtype=np.int64)
        np.add.at(totals, self.owner, self.amount)
        return totals


@dataclass(slots=True)
class Basket:
    """The items that a chunk is about, and what its lines ask of them.

    ``item``: which of ``items`` each asked one is, ``NOBODY`` for one that the action does not have; ``returns``: the
    lines that return items and do nothing else; ``spared``: those that no later line overtakes, though one had its say
    on their action; ``entries``: what was done, a wave each.
    """

    items: Items
    asked: AskedItems
    item: Ints
    returns: Bools
    entries: list[ItemEntries] = field(default_factory=list)
    spared: Bools = field(init=False)
    _place: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.spared = np.zeros(len(self.returns), dtype=np.bool_)
        self._place = np.full(len(self.items), NONE, dtype=np.int64)

    @classmethod
    def of(cls, items: Items, asked: AskedItems, row: Ints, change: Objects, status: Objects) -> "Basket":
        """``row``, ``change``, ``status``: those of the chunk's lines."""
        item = _meant(items, asked, row)
        tracked = np.full(len(asked), NONE, dtype=np.int64)
        tracked[item != NOBODY] = items.tracked_amount[item[item != NOBODY]]
        # As with orders: an amount of 0 returns, unless 0 is what was tracked.
        asked.quantity[(asked.amount == 0) & (tracked != 0)] = 0
        asked.amount[asked.quantity == 0] = 0
        keeps = np.zeros(len(row), dtype=np.bool_)
        keeps[asked.position[asked.quantity != 0]] = True
        return cls(items, asked, item, asked.named & ~keeps & (change == Change.MODIFY) & missing(status))

    def several(self, row: Ints) -> Bools:
        """Which actions have more than one item."""
        return np.diff(self.items.first)[row] > 1

    def unknown(self) -> Bools:
        """The lines that name an item which their action does not have."""
        return self.asked.blame(self.item == NOBODY)

    def other_category(self) -> Bools:
        """The lines that give an item another category than it has."""
        known = self.item != NOBODY
        differs = np.zeros(len(self.asked), dtype=np.bool_)
        differs[known] = self.asked.category[known] != self.items.category[self.item[known]]
        return self.asked.blame(differs & ~missing(self.asked.category))

    def propose(self, at: Ints, row: Ints, change: Objects, dead: Bools, amount: Ints) -> Proposal:
        """What the lines ``at`` of a wave ask, given whose actions are ``dead`` and the amounts that they give."""
        alive = (change == Change.MODIFY) & ~dead
        reset = change == Change.RESET
        lines = np.flatnonzero((alive | reset) & (np.diff(self.items.first)[row] > 0))
        item, owner = ranges(self.items.first, row[lines])
        quantity, total = self.items.quantity[item], self.items.amount[item]
        back = reset[lines][owner]
        quantity[back], total[back] = self.items.tracked_quantity[item[back]], self.items.tracked_amount[item[back]]
        whole = ~back & (amount[lines] != NONE)[owner]
        total[whole] = amount[lines][owner[whole]]
        unclear = np.zeros(len(at), dtype=np.bool_)
        unclear[lines] = self._ask(at[lines[alive[lines]]], item, owner, quantity, total, len(lines))
        differs = (quantity != self.items.quantity[item]) | (total != self.items.amount[item])
        moved, left = np.zeros(len(at), dtype=np.bool_), np.zeros(len(lines), dtype=np.int64)
        moved[lines[owner[differs]]] = True
        np.add.at(left, owner, quantity)
        emptied = np.zeros(len(at), dtype=np.bool_)
        emptied[lines] = left == 0
        return Proposal(lines, owner, item, quantity, total, moved, emptied, unclear)

    def _ask(self, at: Ints, item: Ints, owner: Ints, quantity: Ints, amount: Ints, lines: int) -> Bools:
        """Put what the lines ``at`` ask into ``quantity`` and ``amount``; gives which of ``lines`` are unclear."""
        asked, _ = ranges(self.asked.first, at)
        asked = asked[self.item[asked] != NOBODY]
        self._place[item] = np.arange(len(item))
        place = self._place[self.item[asked]]
        gives = self.asked.quantity[asked] != NONE
        unclear = np.zeros(lines, dtype=np.bool_)
        vague = ~gives & (quantity[place] == 0) & (self.asked.amount[asked] > 0)
        unclear[owner[place[vague]]] = True
        self.asked.blamed[self.asked.position[asked[vague]]] = asked[vague]
        quantity[place[gives]] = self.asked.quantity[asked[gives]]
        amount[place] = self.asked.amount[asked]
        return unclear

    def take(self, proposal: Proposal, at: Ints, done: Bools) -> None:
        """Move the items of the lines of a wave that are ``done``, but for reversals."""
        moves = (done & ~proposal.emptied)[proposal.lines][proposal.owner]
        item, quantity, amount = proposal.item[moves], proposal.quantity[moves], proposal.amount[moves]
        before, worth = self.items.quantity[item], self.items.amount[item]
        differs = (before != quantity) | (worth != amount)
        position = at[proposal.lines][proposal.owner[moves]]
        columns = (position, item, before, quantity, worth, amount)
        self.entries.append(ItemEntries(*(column[differs] for column in columns)))
        self.items.quantity[item], self.items.amount[item] = quantity, amount


def _meant(items: Items, asked: AskedItems, row: Ints) -> Ints:
    """Which item each asked one is: the one of the line's action with its SKU."""
    number, names = pd.factorize(np.concatenate([items.sku, asked.sku]))
    key = items.row * len(names) + number[: len(items)]
    wanted = row[asked.position] * len(names) + number[len(items) :]
    if len(items) == 0:
        return np.full(len(asked), NOBODY, dtype=np.int64)
    order = np.argsort(key)
    place = np.minimum(np.searchsorted(key[order], wanted), len(items) - 1)
    found = order[place]
    return np.where(key[found] == wanted, found, NOBODY)
