"""What the ledger does with each line: the decisions of the design's section 4.3, on columns.

Several lines for one action are decided in line order: wave n holds the n-th line of each action, and an action
carries its values from wave to wave.
"""

from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
import pandas as pd

from processing.catalog import Terms
from processing.codes import Code
from processing.columns import NONE, Bools, Ints, Objects, blank, missing
from processing.intent import Asked
from processing.items import Basket, ItemEntries, Proposal
from processing.match import NOBODY, Actions, Matched
from processing.model import Basis, Change, Level, SameOrder, State
from processing.rate import Rates

MOST_CHANGES: Final = 1_000


@dataclass(slots=True)
class Entries:
    """One applied change a row, in line order: before and after; money in minor units of the action's currency."""

    position: Ints
    row: Ints
    version: Ints
    state_before: Objects
    state_after: Objects
    amount_before: Ints
    amount_after: Ints
    payout_before: Ints
    payout_after: Ints
    status_before: Objects
    status_after: Objects

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True, slots=True)
class Decided:
    """The fate of each line of a chunk.

    ``applied`` and ``unchanged`` are masks over the lines; every other line has its ``code``. ``notices`` holds, for
    each notice, the mask of the lines that carry it; ``late`` what lines that came after the lock say of the money of
    their actions: those that only the lock refused, and those that say what it is.
    """

    code: Objects
    applied: Bools
    unchanged: Bools
    notices: dict[Code, Bools]
    entries: Entries
    late: Entries
    items: ItemEntries | None = None


def decide(
    asked: Asked, matched: Matched, terms: Terms, rates: Rates, received_at: int, basket: Basket | None = None
) -> Decided:
    """Decide every line and move ``matched.actions``, and the items of ``basket``, to their values after the chunk.

    ``received_at``: the delivery's arrival in microseconds; it alone counts against the lock. ``basket`` is None where
    no line is about items; a line that returns the last item of its action becomes a reversal in ``asked``.
    """
    code = asked.code.copy()
    _unmatched(code, asked, matched, terms)
    if basket is not None:
        _unlike_items(code, asked, matched, terms, basket)
    applied = np.zeros(len(asked), dtype=np.bool_)
    desk = _Desk(asked, matched.actions, terms, rates, received_at, code, applied, basket)
    waves = [desk.wave(at) for at in _waves(np.flatnonzero(missing(code)), asked.row)]
    entries = _in_line_order(waves)
    raised = np.zeros(len(asked), dtype=np.bool_)
    by_modify = asked.change[entries.position] == Change.MODIFY
    raised[entries.position[by_modify & (entries.amount_after > entries.amount_before)]] = True
    newest = (matched.candidates > 1) & (code != Code.AMBIGUOUS_ORDER)
    unchanged = missing(code) & ~desk.applied
    notices = {Code.NEWEST_OF_MANY: newest, Code.AMOUNT_RAISED: raised, Code.CURRENCY_CONVERTED: asked.converted}
    late = _in_line_order(desk.late)
    if basket is None:
        return Decided(code, desk.applied, unchanged, notices, entries, late)
    notices[Code.CATEGORY_DIFFERS] = missing(code) & basket.other_category()
    return Decided(code, desk.applied, unchanged, notices, entries, late, ItemEntries.joined(basket.entries))


def _unmatched(code: Objects, asked: Asked, matched: Matched, terms: Terms) -> None:
    free = missing(code)
    code[free & (asked.row == NOBODY)] = Code.UNKNOWN_ACTION
    holding = [number for number, kind in terms.event_types.items() if kind.same_order is SameOrder.HOLD]
    if not holding:
        return
    many = np.flatnonzero(free & (matched.candidates > 1))
    code[many[np.isin(matched.actions.event_type_id[asked.row[many]], holding)]] = Code.AMBIGUOUS_ORDER


def _unlike_items(code: Objects, asked: Asked, matched: Matched, terms: Terms, basket: Basket) -> None:
    """Refuse lines that speak of items where there are none, of none where there are several, or of unknown ones."""
    # What is returned has no price, in whatever currency the others are.
    asked.foreign[basket.returns] = False
    free = np.flatnonzero(missing(code))
    row = asked.row[free]
    kind = matched.actions.event_type_id[row]
    # A click is no such line: that it cannot be changed at all is said first.
    clicks = np.isin(kind, [number for number, one in terms.event_types.items() if one.basis is Basis.CLICK])
    by_item = np.isin(kind, [number for number, one in terms.event_types.items() if one.level is Level.ITEM])
    named, modify = basket.asked.named[free], asked.change[free] == Change.MODIFY
    for fault, holds in (
        (Code.ITEM_LINES_NEEDED, modify & (asked.amount[free] != NONE) & basket.several(row)),
        (Code.ITEM_UNKNOWN, basket.unknown()[free]),
        (Code.NOT_ITEM_LEVEL, named & ~by_item),
    ):
        code[free[holds & ~clicks]] = fault


def _waves(open_lines: Ints, row: Ints) -> list[Ints]:
    nth = pd.Series(row[open_lines]).groupby(row[open_lines]).cumcount().to_numpy()
    order = np.argsort(nth, kind="stable")
    if len(nth) == 0:
        return []
    return np.split(open_lines[order], np.cumsum(np.bincount(nth))[:-1])


@dataclass(slots=True)
class _Values:
    """What a change can move, for the actions of one wave."""

    state: Objects
    amount: Ints
    payout: Ints
    customer_status: Objects
    prior_amount: Ints
    prior_payout: Ints

    @classmethod
    def of(cls, actions: Actions, row: Ints) -> "_Values":
        return cls(**{one.name: getattr(actions, one.name)[row] for one in fields(cls)})

    def where(self, chosen: Bools) -> "_Values":
        return _Values(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})

    def put(self, actions: Actions, row: Ints, where: Bools) -> None:
        for one in fields(self):
            getattr(actions, one.name)[row[where]] = getattr(self, one.name)[where]


@dataclass(frozen=True, slots=True)
class _Desk:
    """Everything a wave reads, the two columns in which it marks its lines, and the items that it moves."""

    asked: Asked
    actions: Actions
    terms: Terms
    rates: Rates
    received_at: int
    code: Objects
    applied: Bools
    basket: Basket | None
    late: list[Entries] = field(default_factory=list)

    def wave(self, at: Ints) -> Entries:
        """Decide lines that all mean different actions, and move those actions."""
        row = self.asked.row[at]
        before = _Values.of(self.actions, row)
        after = self._after(at)
        items = self._items(after, at)
        change = self.asked.change[at]
        moved = (
            (after.state != before.state)
            | (after.amount != before.amount)
            | (after.customer_status != before.customer_status)
            | ((change == Change.RESET) & (after.payout != before.payout))
        )
        unclear = np.zeros(len(at), dtype=np.bool_)
        if items is not None:
            moved, unclear = (moved | items.moved) & ~self._returns_again(at), items.unclear
        refusal, too_late = self._refusals(at, moved, unclear)
        done = moved & missing(refusal)
        self.code[at] = refusal
        self.applied[at[done]] = True
        late = self._is_to_settle(at, moved, ~missing(refusal), too_late)
        if late.any():
            version = self.actions.version[row[late]]
            self.late.append(_entries(at[late], row[late], version, before.where(late), after.where(late)))
        after.put(self.actions, row, done)
        if self.basket is not None and items is not None:
            self.basket.take(items, at, done)
        self.actions.version[row[done]] += 1
        self.actions.changes[row[done]] += 1
        return _entries(at[done], row[done], self.actions.version[row[done]], before.where(done), after.where(done))

    def _after(self, at: Ints) -> _Values:
        """The values each line would leave behind, refused or not."""
        row, change = self.asked.row[at], self.asked.change[at]
        to = _Values.of(self.actions, row)
        dead = to.state == State.REVERSED
        back = dead & ((change == Change.APPROVE) | (change == Change.RESTORE))
        to.amount[back], to.payout[back] = to.prior_amount[back], to.prior_payout[back]
        to.state[back] = State.PENDING.value
        to.state[~dead & (change == Change.APPROVE)] = State.APPROVED.value
        gone = ~dead & (change == Change.REVERSE)
        to.prior_amount[gone], to.prior_payout[gone] = to.amount[gone], to.payout[gone]
        to.amount[gone] = to.payout[gone] = 0
        to.state[gone] = State.REVERSED.value
        self._reset(to, row, change == Change.RESET)
        to.prior_amount[back] = to.prior_payout[back] = NONE
        self._modify(to, at, change == Change.MODIFY)
        return to

    def _reset(self, to: _Values, row: Ints, reset: Bools) -> None:
        to.amount[reset] = self.actions.tracked_amount[row[reset]]
        to.payout[reset] = self.actions.tracked_payout[row[reset]]
        to.customer_status[reset] = self.actions.tracked_status[row[reset]]
        to.state[reset] = State.PENDING.value
        to.prior_amount[reset] = to.prior_payout[reset] = NONE

    def _modify(self, to: _Values, at: Ints, modify: Bools) -> None:
        amount, status = self.asked.amount[at], self.asked.customer_status[at]
        amounts, statuses = modify & (amount != NONE), modify & ~missing(status)
        to.amount[amounts] = amount[amounts]
        to.customer_status[statuses] = status[statuses]
        to.payout[modify] = self.rates.payouts(self.actions.contract_id[self.asked.row[at]][modify], to.amount[modify])

    def _items(self, to: _Values, at: Ints) -> Proposal | None:
        """Work the items into the values that each line would leave behind; None where there are none."""
        if self.basket is None:
            return None
        row, actions = self.asked.row[at], self.actions
        dead, again = actions.state[row] == State.REVERSED, self._returns_again(at)
        # Lines that came too late may have brought the action back, for those that are proposed after them.
        items = self.basket.propose(
            at, row, self.asked.change[at], dead & ~again & ~self._is_late(row), self.asked.amount[at]
        )
        by_item, gone = items.lines, items.emptied & (again | ~dead)
        to.amount[by_item] = items.totals
        category = self.basket.items.category[items.item]
        rated = self.rates.of_items(actions.contract_id[row[by_item]], items.owner, category, items.amount)
        modify = self.asked.change[at[by_item]] == Change.MODIFY
        to.payout[by_item[modify]] = rated[modify]
        self.asked.change[at[gone]] = Change.REVERSE
        to.prior_amount[gone], to.prior_payout[gone] = actions.amount[row[gone]], actions.payout[row[gone]]
        to.amount[gone] = to.payout[gone] = 0
        to.state[gone] = State.REVERSED.value
        return items

    def _refusals(self, at: Ints, moved: Bools, unclear: Bools) -> tuple[Objects, Bools]:
        """The first reason to refuse each line, None where there is none, and which have no other than the lock."""
        row, actions = self.asked.row[at], self.actions
        clicks = [number for number, kind in self.terms.event_types.items() if kind.basis is Basis.CLICK]
        modify = self.asked.change[at] == Change.MODIFY
        # What is returned already can be returned again.
        modify &= ~self._returns_again(at)
        dead = modify & (actions.state[row] == State.REVERSED)
        # A fixed sum of the account's currency says nothing about what an action in another one pays.
        unrated = modify & moved & (actions.currency[row] != self.terms.currency)
        unrated[unrated] = self.rates.fixed(actions.contract_id[row[unrated]])
        priceless = modify & self.asked.foreign[at] | unrated
        # A line that changes nothing is answered so even after the lock: a brand that sends a file again wants to
        # hear "done" about what was done in time, not "too late".
        matters = moved | dead | priceless
        late = self._is_late(row)
        reasons = {
            Code.QUANTITY_NEEDED: unclear,
            Code.TOO_MANY_CHANGES: moved & modify & (actions.changes[row] >= MOST_CHANGES),
            Code.NO_EXCHANGE_RATE: priceless,
            Code.ACTION_REVERSED: dead,
            # Of what came too late, each line counts: a proposal adds to those before it.
            Code.SUPERSEDED: matters & ~late & self._is_overtaken(at),
            Code.ACTION_LOCKED: matters & late,
            Code.CLICKS_NOT_REVERSIBLE: np.isin(actions.event_type_id[row], clicks),
        }
        refusal, others = blank(len(row)), np.zeros(len(row), dtype=np.bool_)
        for code, holds in reasons.items():
            refusal[holds] = code
            # A late line before this one may bring a reversed action back, for what is proposed.
            if code not in {Code.ACTION_LOCKED, Code.ACTION_REVERSED}:
                others |= holds
        return refusal, reasons[Code.ACTION_LOCKED] & ~others

    def _returns_again(self, at: Ints) -> Bools:
        """Which lines return items of an action that is reversed, and do nothing else."""
        if self.basket is None:
            return np.zeros(len(at), dtype=np.bool_)
        again: Bools = self.basket.returns[at] & (self.actions.state[self.asked.row[at]] == State.REVERSED)
        return again

    def _is_late(self, row: Ints) -> Bools:
        late: Bools = (self.actions.locked_at[row] != NONE) | (self.actions.locks_at[row] <= self.received_at)
        return late

    def _is_to_settle(self, at: Ints, moved: Bools, refused: Bools, too_late: Bools) -> Bools:
        """Which late lines ask for money, those too that say what their action has: they may take others back."""
        row = self.asked.row[at]
        asks = (self.asked.change[at] != Change.MODIFY) | (self.asked.amount[at] != NONE)
        if self.basket is not None:
            asks |= self.basket.asked.named[at]
        settled: Bools = asks & (too_late | (~moved & ~refused & self._is_late(row)))
        return settled

    def _is_overtaken(self, at: Ints) -> Bools:
        """Which lines stand before one that changed their action already: a later delivery's, or a later line's."""
        row = self.asked.row[at]
        earlier: Bools = self.actions.changed_at[row] > self.received_at
        earlier |= self.asked.line[at] < self.actions.last_line[row]
        return earlier if self.basket is None else earlier & ~self.basket.spared[at]


def _entries(at: Ints, row: Ints, version: Ints, before: _Values, after: _Values) -> Entries:
    return Entries(
        position=at,
        row=row,
        version=version,
        state_before=before.state,
        state_after=after.state,
        amount_before=before.amount,
        amount_after=after.amount,
        payout_before=before.payout,
        payout_after=after.payout,
        status_before=before.customer_status,
        status_after=after.customer_status,
    )


def _in_line_order(waves: list[Entries]) -> Entries:
    if not waves:
        none = np.zeros(0, dtype=np.int64)
        empty = _Values(blank(0), none, none, blank(0), none, none)
        return _entries(none, none, none, empty, empty)
    order = np.argsort(np.concatenate([wave.position for wave in waves]), kind="stable")
    return Entries(
        **{one.name: np.concatenate([getattr(wave, one.name) for wave in waves])[order] for one in fields(Entries)}
    )
