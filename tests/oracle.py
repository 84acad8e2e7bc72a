"""What the ledger should do, one line at a time and as plainly as it can be said: the design's sections 4.1 to 4.5.

Written from the design, not from the product; slow, and obvious. Where the design leaves something open, this is how it
is taken:

* A line is refused for the first of CLICKS_NOT_REVERSIBLE, ACTION_LOCKED, SUPERSEDED, ACTION_REVERSED,
  NO_EXCHANGE_RATE and TOO_MANY_CHANGES that holds.
* A line that would change nothing is unchanged, even after the lock; a modification of a reversed action, or in another
  currency than the action's, is not such a line.
* A contract that pays a fixed sum of the account's currency cannot rate an action in another one: NO_EXCHANGE_RATE.
* A partner without a contract in force is rated with the contract that the action was tracked with.
* What is said of items is judged before the lock: NOT_ITEM_LEVEL, ITEM_UNKNOWN, ITEM_LINES_NEEDED; QUANTITY_NEEDED is
  the last reason of all. The rules of items are in ``oracle_items``.
* Bytes that were rejected as a whole may come again: they are no duplicate, since nothing of them was done.
* An action that is not known yet has, as far as anyone can tell, the account's currency, and a tracked amount that is
  not zero.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from tests.oracle_catalog import RATES, Account, Contract, EventType, can_rate, exchanged, rated, rated_items
from tests.oracle_items import Item, Named, after, amount_fault, has_values, named, numbers
from tests.oracle_text import EXPONENTS, Line, header_fault, text_fault

MOST_CHANGES = 1_000
LARGEST_MINOR = 99_999_999
STANDARD = {
    *("ADV_ACT_DISPUTE", "CONS_ERROR", "CONS_FRAUD", "CONS_INFO_INVALID", "CREDITED_DIFFERENT_MP", "ITEM_OUT_OF_STOCK"),
    *("ITEM_RETURNED", "MP_RETURNED", "NOT_COMPLIANCE_TERMS", "ORDER_ERROR", "ORDER_UPDATE", "OTHER", "REJECTED"),
    *("PARTNER_NOT_ACTIVE", "PUB_ACT_DISPUTE", "TEST_ACTION", "RESET"),
}
Money = tuple[Decimal, Decimal, Decimal, Decimal]


@dataclass
class Action:
    """A conversion as it stands."""

    action_id: str
    order_id: str
    event_type: EventType
    contract: Contract
    event_day: date
    currency: str
    created_at: datetime
    locks_at: datetime
    amount: Decimal
    payout: Decimal
    status: str | None
    state: str = "PENDING"
    locked: bool = False
    clears_on: date | None = None
    changes: int = 0
    # Which deliveries changed it, once for each change, and what lines that changed it or found it right said.
    changed_by: list[tuple[bytes, datetime]] = field(default_factory=list)
    said: list["Word"] = field(default_factory=list)
    prior: tuple[Decimal, Decimal] | None = None
    tracked: tuple[Decimal, Decimal, str | None] = (Decimal(0), Decimal(0), None)
    items: list[Item] = field(default_factory=list)

    def visible(self) -> tuple[object, ...]:
        """What the world can see of it."""
        return (
            *(self.state, self.amount, self.payout, self.status),
            *(self.locked, self.locks_at, self.clears_on, self.changes),
        )


@dataclass(frozen=True)
class Word:
    """That a delivery had its say on an action, or on some items of it, and whether it changed something."""

    by: tuple[bytes, datetime]
    items: frozenset[str] | None
    changed: bool

    def overtakes(self, received_at: datetime, items: frozenset[str] | None) -> bool:
        """Whether it is about what an earlier delivery has to say, too."""
        return self.by[1] > received_at and (self.items is None or items is None or bool(self.items & items))


@dataclass(frozen=True)
class Delivery:
    """A delivery whose CSV was taken apart; ``columns`` by our names, an unknown or repeated one by its own."""

    content: bytes
    received_at: datetime
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    event_type: int | None = None
    terminated: bool = True
    again: bool = False


@dataclass
class Fate:
    """What became of a line."""

    line: int
    verdict: str
    code: str | None = None
    notices: tuple[str, ...] = ()
    action_id: str | None = None


@dataclass
class Outcome:
    """What became of a delivery."""

    state: str
    code: str | None = None
    fates: list[Fate] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    money: dict[tuple[int, str], Money] = field(default_factory=dict)
    changed: Counter[tuple[int, str]] = field(default_factory=Counter)
    nearest_lock: datetime | None = None


@dataclass
class Ledger:
    """An account's actions, in the order in which they were loaded."""

    account: Account
    actions: list[Action] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    # Of each delivery, the actions as they were before it, and whether lines of it wait.
    done: dict[tuple[bytes, datetime], tuple[list[Action], bool]] = field(default_factory=dict)

    def track(  # noqa: PLR0917 - the columns of an actions file
        self,
        action_id: str,
        order_id: str,
        event_type: EventType,
        partner: int,
        event_at: datetime,
        amount: Decimal,
        currency: str,
        status: str | None = None,
        created_at: datetime | None = None,
        locks_at: datetime | None = None,
        items: Sequence[Item] = (),
    ) -> bool:
        """Load an action; gives whether it can be."""
        event_day = self.account.day(event_at)
        contract = self.account.contract(partner, event_day)
        if contract is None or not can_rate(contract, currency, self.account):
            return False
        last_open_day = contract.locking.end(event_day)
        midnight = datetime.combine(last_open_day + timedelta(days=1), time.min, self.account.zone).astimezone(UTC)
        payout = rated_items(contract, items, currency) if items else rated(contract, amount, currency)
        locks_at = locks_at or midnight
        created_at = created_at or event_at
        action = Action(
            action_id, order_id, event_type, contract, event_day, currency, created_at, locks_at, amount, payout, status
        )
        action.tracked, action.items = (amount, payout, status), list(items)
        self.actions.append(action)
        return True

    def lock(self, as_of: datetime) -> None:
        """Lock what is due."""
        for action in self.actions:
            if not action.locked and action.locks_at <= as_of:
                action.locked = True
                if action.state != "REVERSED":
                    action.state = "APPROVED"
                    last_open_day = self.account.day(action.locks_at - timedelta(microseconds=1))
                    action.clears_on = action.contract.payment.end(last_open_day)

    def ingest(self, delivery: Delivery) -> Outcome:
        """Do what a delivery asks."""
        if delivery.content in self.seen and not delivery.again:
            return Outcome("duplicate")
        fault = header_fault(delivery.columns) or ("NO_LINES" if not delivery.lines else None)
        if fault:
            return Outcome("rejected", fault)
        self.seen.add(delivery.content)
        if not delivery.terminated:
            return Outcome("held", "MAYBE_INCOMPLETE", rows=Counter(held=len(delivery.lines)))
        before = self._copied()
        outcome = _Desk(self, delivery).outcome()
        self.done[delivery.content, delivery.received_at] = before, outcome.rows["waiting"] > 0
        return outcome

    def undo(self, delivery: Delivery, at: datetime, *, proposes: bool = False) -> None:
        """Give each action that a delivery changed, and nobody since, back what it was, unless its lock has come.

        What was changed since, and undone, was not changed. If nothing comes of it, the delivery is not undone. There
        are no proposals here, so it has to be told whether the delivery ``proposes`` anything that is taken back.
        """
        key = delivery.content, delivery.received_at
        before, waits = self.done[key]
        undone = waits or proposes
        for action, was in zip(self.actions, before, strict=True):
            is_open = not action.locked and action.locks_at > at
            mine = action.changed_by.count(key)
            if mine and action.changed_by[-mine:] == [key] * mine and is_open:
                action.state, action.amount, action.payout = was.state, was.amount, was.payout
                action.status, action.items, action.prior = was.status, was.items, was.prior
                action.said = [one for one in action.said if one.by != key or not one.changed]
                action.changes += 1
                del action.changed_by[-mine:]
                undone = True
        if undone:
            self.seen.discard(delivery.content)
            for action in self.actions:
                action.said = [one for one in action.said if one.by != key or one.changed]

    def _copied(self) -> list[Action]:
        return [replace(one, items=list(one.items)) for one in self.actions]


class _Desk:
    """One delivery being worked off, line after line."""

    def __init__(self, ledger: Ledger, delivery: Delivery) -> None:
        self.ledger = ledger
        self.account = ledger.account
        self.delivery = delivery
        self.before: dict[str, tuple[Decimal, Decimal]] = {}
        # Whether the line at hand returns its items by its reason, or by saying nothing else.
        self.returning = False
        self.result = Outcome("done")

    def outcome(self) -> Outcome:
        for line in self.delivery.lines:
            fate = self._fate(line)
            self.result.fates.append(fate)
            self.result.rows[fate.verdict] += 1
        for action in self.ledger.actions:
            if action.action_id in self.before:
                key = action.contract.partner, action.currency
                amount, payout = self.before[action.action_id]
                sides = self.result.money.get(key, (Decimal(0),) * 4)
                moved = (amount, action.amount, payout, action.payout)
                a, b, c, d = (side + more for side, more in zip(sides, moved, strict=True))
                self.result.money[key] = (a, b, c, d)
        return self.result

    def _fate(self, line: Line) -> Fate:
        fault = text_fault(line, self.delivery.columns, self.delivery.event_type)
        if fault:
            return Fate(line.number, "rejected", fault)
        action, candidates = self._meant(line)
        if action and not action.locked and action.locks_at > self.delivery.received_at:
            nearest = self.result.nearest_lock
            self.result.nearest_lock = action.locks_at if nearest is None else min(nearest, action.locks_at)
        fate = Fate(line.number, "waiting", "UNKNOWN_ACTION", (), action.action_id if action else None)
        asked = self._asked(line, action)
        ambiguous = candidates > 1 and action is not None and action.event_type.same_order == "hold"
        if asked in CODES_OF_INTENT:
            fate.verdict, fate.code = "rejected", asked
        elif ambiguous:
            fate.verdict, fate.code = "held", "AMBIGUOUS_ORDER"
        elif action:
            self._decide(line, asked, action, fate)
        if candidates > 1 and fate.code != "AMBIGUOUS_ORDER":
            fate.notices = ("NEWEST_OF_MANY", *fate.notices)
        if asked not in CODES_OF_INTENT and action and self._is_converted(line, action):
            fate.notices = (*fate.notices, "CURRENCY_CONVERTED")
        if action and fate.verdict in {"applied", "unchanged"} and self._is_of_other_category(line, action):
            fate.notices = (*fate.notices, "CATEGORY_DIFFERS")
        return fate

    def _items(self, line: Line) -> list[Named]:
        return named(line, self.delivery.columns)

    def _is_of_other_category(self, line: Line, action: Action) -> bool:
        known = {one.sku: one.category for one in action.items}
        return any(one.category not in {"", known[one.sku]} for one in self._items(line))

    def _is_converted(self, line: Line, action: Action) -> bool:
        items = [] if self.returning else self._items(line)
        kept = [one.worth() or Decimal(0) for one in items if not one.quantity or int(one.quantity) > 0]
        amounts, source = [Decimal(line.get("amount") or 0), *kept], line.get("currency")
        return source not in {"", action.currency} and max(amounts) > 0 and not self._is_foreign(line, action)

    def _event_type(self, line: Line) -> int | None:
        cell = line.get("event_type")
        return int(cell) if cell else self.delivery.event_type

    def _meant(self, line: Line) -> tuple[Action | None, int]:
        """The action, and how many the line could mean."""
        if line.get("action_id"):
            found = [one for one in self.ledger.actions if one.action_id == line.get("action_id")]
        else:
            found = [
                one
                for one in self.ledger.actions
                if one.order_id == line.get("order_id") and one.event_type.id == self._event_type(line)
            ]
        newest = None
        for one in found:
            if newest is None or one.created_at >= newest.created_at:
                newest = one
        return newest, len(found)

    def _asked(self, line: Line, action: Action | None) -> str:
        """The change a line asks for, or the code of why it asks for none."""
        number = self._event_type(line)
        known = {one.id: one for one in self.account.event_types}
        if number is not None and number not in known:
            return "EVENT_TYPE_UNKNOWN"
        reason = line.get("reason")
        if action or number is not None:
            outcome = (action.event_type if action else known[number or 0]).dispositions.get(reason)
        else:
            # Nobody can tell yet which event type's code it is.
            outcome = None
            if any(reason in one.dispositions for one in known.values()):
                reason = "OTHER"
        if outcome is None and reason not in STANDARD:
            return "REASON_UNKNOWN"
        outcome = outcome or ("reset" if reason == "RESET" else None)
        amount, fault = self._amount(line, action)
        currency = line.get("currency") or (action.currency if action else self.account.currency)
        fault = fault or amount_fault(self._items(line), currency, LARGEST_MINOR)
        if fault:
            return fault
        change, meant, said = self._intent(line, action, outcome, amount)
        if outcome is None and (action or number is not None) and misplaced(line.get("reason"), meant, said):
            return "REASON_MISPLACED"
        if action and any(self._is_too_large(line, one, action) for one in (amount, *self._worths(line))):
            return "AMOUNT_TOO_LARGE"
        return change

    def _worths(self, line: Line) -> list[Decimal | None]:
        """The amounts of the items of a line, None where it gives none, or where none counts."""
        counts = [not self.returning and (not one.quantity or int(one.quantity) > 0) for one in self._items(line)]
        return [one.worth() if how else None for one, how in zip(self._items(line), counts, strict=True)]

    def _is_too_large(self, line: Line, amount: Decimal | None, action: Action) -> bool:
        own = self._own(line, amount, action)
        return own is not None and own.scaleb(EXPONENTS[action.currency]) > LARGEST_MINOR

    def _intent(
        self, line: Line, action: Action | None, outcome: str | None, amount: Decimal | None
    ) -> tuple[str, str, Decimal | None]:
        """The change, and what it means for the use of reasons: a change and the amount that says so."""
        self.returning = False
        if numbers(self.delivery.columns):
            return self._item_intent(line, outcome)
        change = self._order_intent(line, action, outcome, amount)
        return change, change, amount

    def _item_intent(self, line: Line, outcome: str | None) -> tuple[str, str, Decimal | None]:
        """The rules of files that have columns for items."""
        asked, values = self._items(line), has_values(self.delivery.columns)
        has_other = "customer_status" in self.delivery.columns or "currency" in self.delivery.columns
        other = bool(line.get("customer_status") or line.get("currency"))
        nothing = "AMOUNT_BLANK" if values else "NOTHING_TO_CHANGE"
        change = outcome or ("modify" if other else "SKU_MISSING")
        if not asked:
            change = nothing if change == "modify" and not other else change
        if not asked or outcome in {"approve", "reset"}:
            return change, change, None
        self.returning = outcome == "reverse" or (outcome is None and not values and not has_other)
        if self.returning:
            return "modify", "reverse", None
        if any(not one.returns() and one.worth() is None for one in asked):
            return nothing, nothing, None
        return "modify", "reverse" if all(one.returns() for one in asked) else "modify", Decimal(0)

    def _order_intent(self, line: Line, action: Action | None, outcome: str | None, amount: Decimal | None) -> str:
        """The five rules of section 4.2."""
        has_amount = "amount" in self.delivery.columns
        has_other = "customer_status" in self.delivery.columns or "currency" in self.delivery.columns
        other = bool(line.get("customer_status") or line.get("currency"))
        nothing = "AMOUNT_BLANK" if has_amount else "NOTHING_TO_CHANGE"
        if outcome is not None:
            return nothing if outcome == "modify" and amount is None and not other else outcome
        if amount is not None:
            reverses = amount == 0 and not (action and action.tracked[0] == 0)
            return "reverse" if reverses else "modify"
        if not has_amount and not has_other:
            return "reverse"
        return "modify" if other else nothing

    def _amount(self, line: Line, action: Action | None) -> tuple[Decimal | None, str | None]:
        cell = line.get("amount")
        if not cell:
            return None, None
        currency = line.get("currency") or (action.currency if action else self.account.currency)
        minor = Decimal(cell).scaleb(EXPONENTS[currency])
        if minor != minor.to_integral_value():
            return None, "AMOUNT_MALFORMED"
        if minor > LARGEST_MINOR:
            return None, "AMOUNT_TOO_LARGE"
        return Decimal(cell), None

    def _own(self, line: Line, amount: Decimal | None, action: Action) -> Decimal | None:
        """An amount of the line in the action's currency, None without a rate."""
        source = line.get("currency") or action.currency
        return None if amount is None else exchanged(amount, action.event_day, source, action.currency)

    def _is_foreign(self, line: Line, action: Action) -> bool:
        """Whether the line names a currency that nothing can be made of."""
        source = line.get("currency")
        if source in {"", action.currency} or (line.get("amount") and Decimal(line.get("amount")) == 0):
            return False
        return (action.event_day, source, action.currency) not in RATES

    def _decide(self, line: Line, change: str, action: Action, fate: Fate) -> None:
        """Section 4.3: refuse the change, or make it."""
        unlike = self._unlike_items(line, change, action)
        if unlike:
            fate.verdict, fate.code = "refused", unlike
            return
        of_items = self._only_items(line, change)
        items = self._items_after(line, change, action)
        again = change == "modify" and self._only_returns(line, action)
        status = line.get("customer_status") if change == "modify" else ""
        if change == "modify" and isinstance(items, list) and items and not any(one.quantity for one in items):
            change = "reverse"
        kept = action.items if change == "reverse" or isinstance(items, str) else items
        new = self._after(line, change, action, kept)
        new = (new[0], new[1], status or new[2], new[3])
        if again and action.state == "REVERSED":
            change, new, kept = "again", (action.state, action.amount, action.status, action.payout), action.items
        old = (action.state, action.amount, action.status, action.payout)
        moves = new != old if change == "reset" else new[:3] != old[:3]
        moves = moves or kept != action.items or isinstance(items, str)
        refusal = self._refusal(
            line, change, action, moves=moves, free=again, unclear=isinstance(items, str), of_items=of_items
        )
        key = self.delivery.content, self.delivery.received_at
        if refusal:
            fate.verdict, fate.code = "refused", refusal
        elif not moves:
            fate.verdict, fate.code = "unchanged", None
            if self.delivery.received_at < action.locks_at:
                action.said.append(Word(key, of_items, changed=False))
        else:
            fate.verdict, fate.code = "applied", None
            if change == "modify" and new[1] > old[1]:
                fate.notices = ("AMOUNT_RAISED",)
            named = frozenset(one.sku for one in self._items(line))
            says = named if change == "modify" and named and new[2] == old[2] else None
            action.said.append(Word(key, says, changed=True))
            self._apply(change, action, new, kept)

    def _only_items(self, line: Line, change: str) -> frozenset[str] | None:
        """The items that a line is about, None if it is about its action."""
        named = frozenset(one.sku for one in self._items(line))
        return named if named and change == "modify" and not line.get("customer_status") else None

    def _unlike_items(self, line: Line, change: str, action: Action) -> str | None:
        asked = self._items(line)
        if action.event_type.basis == "click":
            return "CLICKS_NOT_REVERSIBLE"
        if asked and action.event_type.level != "item":
            return "NOT_ITEM_LEVEL"
        if not {one.sku for one in asked} <= {one.sku for one in action.items}:
            return "ITEM_UNKNOWN"
        several = change == "modify" and line.get("amount") and len(action.items) > 1
        return "ITEM_LINES_NEEDED" if several else None

    def _only_returns(self, line: Line, action: Action) -> bool:
        known, asked = {one.sku: one for one in action.items}, self._items(line)
        returned = all(self.returning or one.returns(known[one.sku]) for one in asked)
        return bool(asked) and returned and not line.get("customer_status")

    def _items_after(self, line: Line, change: str, action: Action) -> list[Item] | str:
        """The items, if the change is made, or why there are none."""
        if change == "reset":
            return [one.back() for one in action.items]
        if change != "modify" or action.state == "REVERSED":
            return action.items
        if line.get("amount") and action.items:
            own = self._own(line, Decimal(line.get("amount")), action)
            return action.items if own is None else [replace(action.items[0], amount=own)]
        amounts = [self._own(line, worth, action) for worth in self._worths(line)]
        return after(action.items, self._items(line), amounts, returning=self.returning)

    def _after(
        self, line: Line, change: str, action: Action, items: list[Item]
    ) -> tuple[str, Decimal, str | None, Decimal]:
        """State, amount, status and payout, if the change is made."""
        state, amount, status, payout = action.state, action.amount, action.status, action.payout
        if change == "modify":
            own = self._own(line, Decimal(line.get("amount")), action) if line.get("amount") else None
            amount = amount if own is None else own
            if items and state != "REVERSED":
                amount = sum((one.amount for one in items), Decimal(0))
                return state, amount, status, rated_items(self._in_force(action), items, action.currency)
            return state, amount, status, rated(self._in_force(action), amount, action.currency)
        if change == "reverse":
            return "REVERSED", Decimal(0), status, Decimal(0)
        if change == "reset":
            return "PENDING", action.tracked[0], action.tracked[2], action.tracked[1]
        if state != "REVERSED":
            return "APPROVED", amount, status, payout
        assert action.prior is not None
        return "PENDING", action.prior[0], status, action.prior[1]

    def _in_force(self, action: Action) -> Contract:
        today = self.account.day(self.delivery.received_at)
        return self.account.contract(action.contract.partner, today) or action.contract

    def _refusal(
        self,
        line: Line,
        change: str,
        action: Action,
        *,
        moves: bool,
        free: bool,
        unclear: bool,
        of_items: frozenset[str] | None,
    ) -> str | None:
        modify = change == "modify"
        dead = modify and action.state == "REVERSED"
        # What is returned has no price in any currency.
        foreign = modify and not free and self._is_foreign(line, action)
        unrated = modify and moves and not can_rate(self._in_force(action), action.currency, self.account)
        late = action.locked or self.delivery.received_at >= action.locks_at
        matters = moves or dead or foreign
        newer = any(one.overtakes(self.delivery.received_at, of_items) for one in action.said)
        holds = {
            "ACTION_LOCKED": late and matters,
            "SUPERSEDED": newer and matters,
            "ACTION_REVERSED": dead,
            "NO_EXCHANGE_RATE": foreign or unrated,
            "TOO_MANY_CHANGES": modify and moves and action.changes >= MOST_CHANGES,
            "QUANTITY_NEEDED": unclear,
        }
        return next((code for code, true in holds.items() if true), None)

    def _apply(
        self, change: str, action: Action, new: tuple[str, Decimal, str | None, Decimal], items: list[Item]
    ) -> None:
        self.before.setdefault(action.action_id, (action.amount, action.payout))
        if change == "reverse":
            action.prior = (action.amount, action.payout)
        action.state, action.amount, action.status, action.payout = new
        action.items = items
        action.changes += 1
        action.changed_by.append((self.delivery.content, self.delivery.received_at))
        self.result.changed[action.contract.partner, action.currency] += 1


def misplaced(reason: str, change: str, amount: Decimal | None) -> bool:
    """Whether a standard reason is used for what it does not mean."""
    if change == "modify":
        return reason in {"CONS_INFO_INVALID", "MP_RETURNED", "REJECTED"}
    return change == "reverse" and amount is None and reason in {"ORDER_UPDATE", "PARTNER_NOT_ACTIVE"}


CODES_OF_INTENT = {
    *("EVENT_TYPE_UNKNOWN", "REASON_UNKNOWN", "AMOUNT_MALFORMED", "AMOUNT_TOO_LARGE"),
    *("AMOUNT_BLANK", "NOTHING_TO_CHANGE", "REASON_MISPLACED", "SKU_MISSING"),
}
