"""Loads the items of actions: judges them by the account's terms, and adds those of the actions that are new."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, func, select

from processing import bulk, item_store, tables
from processing.catalog import Terms
from processing.columns import Bools, Ints, Objects, texts
from processing.explain import shown
from processing.model import Level
from processing.money import exponents, to_minor_columns
from processing.rate import Rates
from processing.staging import staged_action

Blame = Callable[[Bools, Callable[[int], str]], None]
"""Gives the actions of a mask a fault, unless they have one, in the words for their position."""

_COMPARED: Final = ("position", "sku", "category", "quantity", "amount")


@dataclass(frozen=True, slots=True)
class Tracked:
    """Items of a chunk's actions, a column an array: ``owner`` is the action's position, amounts are minor units."""

    owner: Ints
    position: Ints
    sku: Objects
    category: Objects
    quantity: Ints
    amount: Ints

    @classmethod
    def of(cls, items: pd.DataFrame, lines: pd.DataFrame, terms: Terms, blame: Blame) -> "Tracked":
        """Items as ``actions.load`` takes them; an action has items if its event type is of that level, and only so."""
        owner = lines.index.get_indexer(items.index)
        event_type, currency = lines["event_type"].to_numpy(), lines["currency"]
        by_item = [number for number, one in terms.event_types.items() if one.level is Level.ITEM]
        has = np.isin(np.arange(len(lines)), owner)
        wants = np.isin(event_type, by_item)
        blame(has & ~wants, lambda at: f"ActionTrackerId {event_type[at]} is tracked by order; leave out the items.")
        blame(
            wants & ~has,
            lambda at: f"ActionTrackerId {event_type[at]} is tracked by item; give Sku1, Quantity1, Amount1 and so on.",
        )
        decimals = exponents(currency)[owner]
        amount, exact = to_minor_columns(items["amount_scaled"].to_numpy(np.int64), decimals)
        unlike = np.isin(np.arange(len(lines)), owner[~exact])
        blame(unlike, lambda at: f"The Amount of an item has more decimals than {currency.iloc[at]} has.")
        numbers = {name: items[name].to_numpy(np.int64) for name in ("position", "quantity")}
        return cls(owner, sku=texts(items["sku"]), category=texts(items["category"]), amount=amount, **numbers)

    def where(self, good: Bools) -> "Tracked":
        """The items of the good actions, which are numbered anew."""
        kept = good[self.owner]
        owner = (np.cumsum(good) - 1)[self.owner[kept]]
        return Tracked(owner, **{name: getattr(self, name)[kept] for name in _COMPARED})

    def payouts(self, payout: Ints, contract_id: Ints, rates: Rates) -> Ints:
        """The payouts of all actions: of those with items the sum over them, else ``payout``."""
        by_item = np.unique(self.owner)
        own = np.searchsorted(by_item, self.owner)
        result = payout.copy()
        result[by_item] = rates.of_items(contract_id[by_item], own, self.category, self.amount)
        return result


def newest(db: Connection) -> int:
    """The row id of the newest action there is; those that this transaction adds come after it."""
    return db.execute(select(func.max(tables.action.c.id))).scalar() or 0


def add(db: Connection, account_id: int, lines: Ints, items: Tracked, before: int) -> dict[int, str]:
    """Add the items of the staged actions that are newer than ``before``.

    ``lines``: the line of each staged action. Gives, by line, what is wrong with actions that have other items.
    """
    found = _staged(db, account_id)
    there = np.isin(found["line"], lines[items.owner])
    line, ids, names = (found[name][there] for name in ("line", "id", "action_id"))
    _, first = np.unique(ids, return_index=True)
    new = np.intersect1d(first, np.flatnonzero(ids > before))
    owner_line = lines[items.owner]
    mine = np.isin(owner_line, line[new])
    order = np.argsort(line[new])
    of_new = ids[new][order][np.searchsorted(line[new][order], owner_line[mine])]
    rows = {name: getattr(items, name)[mine] for name in _COMPARED}
    item_store.add(db, {"action_id": of_new, **rows})
    known = np.setdiff1d(np.arange(len(line)), new)
    return _clashes(db, line[known], ids[known], names[known], items, owner_line)


def _staged(db: Connection, account_id: int) -> dict[str, Any]:
    staged, action = staged_action, tables.action
    query = (
        select(staged.c.line, action.c.id, action.c.action_id)
        .join(action, (action.c.account_id == account_id) & (action.c.action_id == staged.c.action_id))
        .order_by(staged.c.line)
    )
    return bulk.fetch(db, query, {"line": int, "id": int, "action_id": str})


def _clashes(db: Connection, line: Ints, ids: Ints, names: Objects, items: Tracked, owner_line: Ints) -> dict[int, str]:
    """What is wrong with the lines of actions that are there with other items."""
    stored = item_store.of_actions(db, ids)
    there = pd.DataFrame(
        {
            "line": line[stored["at"]],
            **{name: stored[name] for name in ("position", "sku", "category")},
            **{name: stored[f"tracked_{name}"] for name in ("quantity", "amount")},
        }
    )
    sent = pd.DataFrame({"line": owner_line, **{name: getattr(items, name) for name in _COMPARED}})
    both = pd.concat([there, sent[np.isin(owner_line, line)]])
    other = set(both["line"][~both.duplicated(keep=False)])
    return {
        int(number): f"ActionId {shown(name)} is already there with other items; an action is tracked once, "
        "and its lines stand together."
        for number, name in zip(line, names, strict=True)
        if number in other
    }
