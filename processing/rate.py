"""Rates payouts with the contract in force on a day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from processing.catalog import StoredContract, Terms
from processing.columns import NONE, Bools, Ints, Objects
from processing.money import rate_percent


@dataclass(frozen=True, slots=True)
class Rates:
    """Payout rates by the row id of the contract that an action was tracked with."""

    by_contract: Mapping[int, StoredContract]

    @classmethod
    def tracked(cls, terms: Terms) -> "Rates":
        """The rates of the very contracts the actions were tracked with."""
        return cls(terms.contracts)

    @classmethod
    def on(cls, day: date, terms: Terms) -> "Rates":
        """The rates in force on a day of the account's calendar.

        An action whose partner has no contract in force that day keeps the one it was tracked with.
        """
        current = {
            (one.program_id, one.partner_id): one
            for one in sorted(terms.contracts.values(), key=lambda one: one.effective)
            if one.effective <= day
        }
        return cls({one.id: current.get((one.program_id, one.partner_id), one) for one in terms.contracts.values()})

    def fixed(self, contract_id: Ints) -> Bools:
        """Which contracts pay a fixed sum, which is one of the account's currency."""
        ids, at = np.unique(contract_id, return_inverse=True)
        found = np.array([self.by_contract[int(one)].fixed_minor is not None for one in ids], dtype=np.bool_)
        return np.asarray(found[at], dtype=np.bool_)

    def payouts(self, contract_id: Ints, amount: Ints) -> Ints:
        """The payout at each amount, both in minor units of the action's currency."""
        ids, at = np.unique(contract_id, return_inverse=True)
        chosen = [self.by_contract[int(one)] for one in ids]
        ppm = np.array([one.percent_ppm or 0 for one in chosen], dtype=np.int64)
        fixed = np.array([NONE if one.fixed_minor is None else one.fixed_minor for one in chosen], dtype=np.int64)
        return np.where(fixed[at] != NONE, fixed[at], rate_percent(amount, ppm[at]))

    def of_items(self, contract_id: Ints, owner: Ints, category: Objects, amount: Ints) -> Ints:
        """The payout of actions by their items: each is rated by its category and rounded by itself, then summed up.

        ``contract_id``: one an action; ``owner``: which of them each item belongs to; ``amount`` in minor units.
        """
        kind, names = pd.factorize(category)
        # An item without a category is numbered -1.
        pairs, at = np.unique(contract_id[owner] * (len(names) + 1) + kind + 1, return_inverse=True)
        known = [None, *names.tolist()]
        ppm = np.array([self._ppm(pair // len(known), known[pair % len(known)]) for pair in pairs.tolist()], np.int64)
        payout = np.zeros(len(contract_id), dtype=np.int64)
        np.add.at(payout, owner, rate_percent(amount, ppm[at]))
        fixed = self.fixed(contract_id)
        payout[fixed] = self.payouts(contract_id[fixed], payout[fixed])
        return payout

    def _ppm(self, contract_id: int, category: str | None) -> int:
        contract = self.by_contract[contract_id]
        return contract.categories.get(category or "", contract.percent_ppm or 0)
