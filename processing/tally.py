"""Counts and money of a delivery, added up chunk by chunk; the equation of the receipt is asserted here."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from processing.codes import Verdict
from processing.columns import NONE, Ints
from processing.decide import Decided, Entries
from processing.instants import instant, micros
from processing.match import Actions, Matched
from processing.model import State
from processing.money import to_minor, to_text

SIDES = ("amount_before", "amount_after", "payout_before", "payout_after")


@dataclass(frozen=True, slots=True)
class Harm:
    """What the brakes weigh: how many lines there are, how many of them in vain, and the payout that they reverse.

    ``reversed`` holds minor units by currency.
    """

    lines: int = 0
    bad: int = 0
    reversed: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What a delivery did: lines by verdict, and money before and after of the actions it changed.

    ``money`` is keyed by (partner id, currency) and holds minor units in the order of ``SIDES``; ``reversed`` holds the
    payout that reversals took away, by currency, since its arrival or since a person decided about it; ``seen`` is what
    there was then. ``held_money`` is what its held lines would do to the money by currency, as a receipt tells it.
    """

    read: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    money: dict[tuple[int, str], Ints] = field(default_factory=dict)
    changed: Counter[tuple[int, str]] = field(default_factory=Counter)
    reversed: Counter[str] = field(default_factory=Counter)
    nearest_lock: int | None = None
    seen: Harm = field(default_factory=Harm)
    held_money: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        """How many lines are in vain."""
        return self.verdicts[Verdict.REJECTED] + self.verdicts[Verdict.REFUSED]

    @property
    def harm(self) -> Harm:
        """What the brakes weigh of it: all of it, but for what a person has decided about.

        Lines without a fate yet are no harm, and count as lines: what is weighed is the same in whatever order they get
        theirs.
        """
        return Harm(self.read - self.seen.lines, max(self.bad - self.seen.bad, 0), dict(self.reversed))

    def decide(self) -> None:
        """Let what comes later be weighed by itself: a person has decided about it as it is."""
        open_lines = self.verdicts[Verdict.WAITING] + self.verdicts[Verdict.HELD]
        self.seen = Harm(self.read - open_lines, self.bad)
        self.reversed.clear()

    @classmethod
    def resumed(cls, summary: Mapping[str, Any]) -> "Tally":
        """The tally that ``told`` this, to count on with."""
        rows, partners, nearest = (summary.get(name) for name in ("rows", "partners", "nearest_lock"))
        tally = cls(nearest_lock=None if nearest is None else micros(datetime.fromisoformat(nearest)))
        for verdict in Verdict:
            tally.count(verdict, (rows or {}).get(verdict.value, 0))
        for one in partners or []:
            key = one["partner"], one["currency"]
            tally.money[key] = np.array([to_minor(one[side], one["currency"]) for side in SIDES], dtype=np.int64)
            tally.changed[key] = one["lines"]
        tally.reversed.update(summary.get("reversed", {}))
        tally.seen = Harm(*summary.get("seen", ()))
        tally.held_money = summary.get("held_money", {})
        return tally

    def take_back(self, verdicts: Mapping[Verdict, int]) -> None:
        """Count lines no more that are to be judged again; they changed nothing."""
        self.verdicts.subtract(verdicts)
        self.read -= sum(verdicts.values())

    def add_up(self, other: "Tally") -> None:
        """Count what was counted apart, too; an action that both changed has its "before" in one of them."""
        self.read += other.read
        self.verdicts.update(other.verdicts)
        self.changed.update(other.changed)
        self.reversed.update(other.reversed)
        for key, sides in other.money.items():
            self.money[key] = self.money.get(key, np.zeros(4, dtype=np.int64)) + sides
        self._see_lock(other.nearest_lock)

    def count(self, verdict: Verdict, lines: int) -> None:
        """Count lines that reached their verdict before the ledger was asked."""
        self.read += lines
        self.verdicts[verdict] += lines

    def refuse(self, verdicts: Mapping[Verdict, int]) -> Mapping[Verdict, int]:
        """Count lines as refused that had these verdicts, and changed nothing; gives what they have become."""
        self.take_back(verdicts)
        self.count(Verdict.REFUSED, sum(verdicts.values()))
        return {Verdict.REFUSED: sum(verdicts.values())}

    def add(self, decided: Decided, matched: Matched, received_at: int, delivery_id: int, first: Ints) -> None:
        """Add a decided chunk; ``first`` holds the position in ``decided.entries`` of each action's first entry."""
        codes = Counter(one.meaning.verdict for one in decided.code if one is not None)
        codes[Verdict.APPLIED] = len(decided.entries)
        codes[Verdict.UNCHANGED] = int(decided.unchanged.sum())
        self.verdicts.update(codes)
        self.read += len(decided.code)
        gone = decided.entries.state_after == State.REVERSED
        taken = decided.entries.payout_before[gone]
        currencies = matched.actions.currency[decided.entries.row[gone]]
        for currency in set(currencies.tolist()):
            self.reversed[currency] += int(taken[currencies == currency].sum())
        self._add_money(decided.entries, matched.actions, delivery_id, first)
        self._see_locks(matched.actions, received_at)

    def _add_money(self, entries: Entries, actions: Actions, delivery_id: int, first: Ints) -> None:
        # An action that an earlier chunk of this delivery changed has its "before" counted already.
        fresh = first[actions.changed_by[entries.row[first]] != delivery_id]
        fresh_mask = np.zeros(len(entries), dtype=np.bool_)
        fresh_mask[fresh] = True
        moved = pd.DataFrame(
            {
                "partner": actions.partner_id[entries.row],
                "currency": actions.currency[entries.row],
                "amount": np.where(fresh_mask, entries.amount_before, 0),
                "payout": np.where(fresh_mask, entries.payout_before, 0),
                "amount_moved": entries.amount_after - entries.amount_before,
                "payout_moved": entries.payout_after - entries.payout_before,
                "lines": 1,
            }
        )
        sums: Any = moved.groupby(["partner", "currency"], sort=False).sum().to_dict("index")
        for key, one in sums.items():
            total = self.money.setdefault(key, np.zeros(4, dtype=np.int64))
            amount, payout = one["amount"], one["payout"]
            total += [amount, amount + one["amount_moved"], payout, payout + one["payout_moved"]]
            self.changed[key] += one["lines"]

    def _see_locks(self, actions: Actions, received_at: int) -> None:
        open_locks = actions.locks_at[(actions.locked_at == NONE) & (actions.locks_at > received_at)]
        if len(open_locks):
            self._see_lock(int(open_locks.min()))

    def _see_lock(self, locks_at: int | None) -> None:
        self.nearest_lock = min((one for one in (locks_at, self.nearest_lock) if one is not None), default=None)

    def told(self, partners: Mapping[int, str]) -> dict[str, Any]:
        """What a receipt tells: rows, money by currency and partner, the nearest lock, ``held_money`` if there is any.

        ``reversed`` and ``seen`` are for ``resumed``.
        """
        rows = {verdict.value: self.verdicts[verdict] for verdict in Verdict}
        assert self.read == sum(rows.values())  # noqa: S101 - a line without a fate is a bug that must stop us
        currencies = sorted({currency for _, currency in self.money})
        totals = {one: sum(side for (_, own), side in self.money.items() if own == one) for one in currencies}
        return {
            "rows": {"read": self.read, **rows},
            "money": {one: _sides(total, one) for one, total in totals.items()},
            "partners": [
                {
                    "partner": number,
                    "name": partners.get(number, ""),
                    "currency": currency,
                    "lines": self.changed[number, currency],
                    **_sides(sides, currency),
                }
                for (number, currency), sides in sorted(self.money.items())
            ],
            "nearest_lock": None if self.nearest_lock is None else instant(self.nearest_lock).isoformat(),
            **({"held_money": self.held_money} if self.held_money else {}),
            **({"reversed": dict(self.reversed)} if self.reversed else {}),
            **({"seen": [self.seen.lines, self.seen.bad]} if self.seen.lines else {}),
        }


def _sides(minor: Any, currency: str) -> dict[str, str]:  # noqa: ANN401 - sum() of arrays is typed as Any
    return {name: to_text(int(value), currency) for name, value in zip(SIDES, minor, strict=True)}
