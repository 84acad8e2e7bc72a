"""Random worlds for the oracle: an account, its actions and what happens to them, and the same for the product."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from processing import model, money
from processing.terms import Period as StoredPeriod
from tests import oracle
from tests.oracle import Delivery, Ledger
from tests.oracle_catalog import Account, Contract, EventType, Period
from tests.oracle_text import COLUMNS, EXPONENTS, Line
from tests.worlds import Sale

BASE = datetime(2027, 1, 20, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
MOMENTS = [BASE + gap for gap in (-TICK, 0 * HOUR, TICK, 2 * HOUR, 12 * HOUR, 17 * HOUR, 240 * HOUR, 960 * HOUR)]
ORDERS = ["O-1", "O-1", "O-2", "o-1", 'Ö "3", 1;2|\\.']
SPELLINGS = {
    "action_id": ["ActionId", "ActionID", "action_id", "Action Id", "ACTION-ID"],
    "order_id": ["Oid", "OrderId", "OID", "order id"],
    "event_type": ["ActionTrackerId", "ActionTrackerID", "EventTypeId", "event_type_id"],
    "amount": ["Amount", "AMOUNT", " amount "],
    "currency": ["currencyCode", "Currency", "CURRENCY_CODE"],
    "customer_status": ["CustomerStatus", "customer status"],
    "reason": ["Reason", "DispositionCode", "disposition-code"],
    "comment": ["Comment"],
}
AMOUNTS = ["0", "12.34", "", "100", "0.00", "0.30", "10.10", "99.99", "100.00", "250.5", "1", "00012.50", "250"]
STATUSES = ["", "", "NEW", "EXISTING", "NULL", '"', "\\.", "x" * 40, "=1+1", "新しい"]
REASONS = ["OTHER", "RESET", "PRICE", "PAY", "BACK", "OTHER", "UNDO", "ORDER_UPDATE", "PAY", "PRICE", "REJECTED"]
BAD = {
    "action_id": ["", "A-404", "A/1", "x" * 65, "A-\x85"],
    "order_id": ["", "O-404", " O-1", "x" * 65],
    "event_type": ["", "1", "2", "99", "1.5", "12345678901"],
    "amount": ["12.345", "1000000.00", "99999.999", "99999999", "100000000", "0.0001", "-5", "1,5"],
    "currency": ["USD", "EUR", "JPY", "usd", "XXX"],
    "customer_status": ["x" * 41, " NEW", "NE\x07W"],
    "reason": ["", " ", "pay", "OTHER ", "NOBODY_KNOWS"],
}
PERIODS = [Period(0, 27, "month"), Period(1, 0, "month"), Period(1, 15, "day"), Period(0, 3, "day")]
EVENT_TYPES = (
    EventType(1, dispositions={"PAY": "approve", "BACK": "reverse", "PRICE": "modify", "UNDO": "reset"}),
    EventType(2, "lead", "hold", {"PAY": "modify", "RESET": "approve"}),
    EventType(3, "click", dispositions={"PAY": "approve"}),
)


@dataclass(frozen=True)
class World:
    """An account, its actions, and steps: a delivery, or an instant for which the lock sweep runs."""

    account: Account
    sales: tuple[Sale, ...]
    steps: tuple[Delivery | datetime, ...]

    def ledger(self) -> tuple[Ledger, list[Sale]]:
        """The oracle's ledger before the first step, and the actions that can be loaded."""
        ledger = Ledger(self.account)
        known = {one.id: one for one in self.account.event_types}
        loadable = [
            sale
            for sale in self.sales
            if ledger.track(
                sale.action_id,
                sale.order_id,
                known[sale.event_type],
                sale.partner,
                datetime.fromisoformat(sale.event_at),
                Decimal(sale.amount),
                sale.currency,
                sale.status or None,
                datetime.fromisoformat(sale.created_at) if sale.created_at else None,
                datetime.fromisoformat(sale.locks_at) if sale.locks_at else None,
            )
        ]
        return ledger, loadable


def catalogued(account: Account, sid: str, program: int) -> model.Account:
    """The account for the product's catalogue."""
    return model.Account(
        sid,
        sid,
        account.zone.key,
        account.currency,
        (
            model.Program(
                program,
                "Program",
                tuple(_event_type(one) for one in account.event_types),
                tuple(_contract(one, account.currency) for one in account.contracts),
            ),
        ),
        # The oracle knows no brakes.
        brakes=model.Brakes(lines=1_000_000),
    )


def _event_type(one: EventType) -> model.EventType:
    changes = {code: model.Change(change) for code, change in one.dispositions.items()}
    kind, same = model.Basis(one.basis), model.SameOrder(one.same_order)
    return model.EventType(one.id, f"Type {one.id}", model.Level.ORDER, kind, changes, same)


def _contract(one: Contract, currency: str) -> model.Contract:
    payout = model.Payout(
        None if one.percent is None else money.percent_ppm(str(one.percent)),
        None if one.fixed is None else money.to_minor(one.fixed, currency),
    )
    return model.Contract(
        model.Partner(one.partner, f"Partner {one.partner}"),
        one.effective,
        _period(one.locking),
        _period(one.payment),
        payout,
    )


def _period(one: Period) -> StoredPeriod:
    return StoredPeriod.parse({"months": one.months, "days": one.days, "after": one.after})


@st.composite
def contracts(draw: st.DrawFn, currency: str) -> tuple[Contract, ...]:
    """Two partners with contracts that change; the first has one from the beginning."""
    later = [date(2027, 1, 12), date(2027, 1, 20), date(2027, 1, 21), date(2027, 2, 20)]
    found = []
    for partner in (501, 502):
        days = [date(2026, 1, 1), *sorted(draw(st.sets(st.sampled_from(later), min_size=1, max_size=3)))]
        for day in days[partner == 502 and len(days) > 1 :]:
            pays = draw(st.sampled_from(["5.00", "2.5", None, "33.3333", "12.5", None, "100"]))
            percent = None if pays is None else Decimal(pays)
            fixed = Decimal(12).scaleb(-EXPONENTS[currency]) * 100 if pays is None else None
            locking, payment = draw(st.sampled_from(PERIODS)), draw(st.sampled_from(PERIODS))
            found.append(Contract(partner, day, locking, payment, percent, fixed))
    return tuple(found)


@st.composite
def sale_rows(draw: st.DrawFn, at: int, currency: str) -> Sale:
    """An action near its lock, or one that locks by its contract."""
    own = draw(st.sampled_from([currency, currency, "JPY", "KWD", "USD"]))
    locks_at = draw(st.sampled_from([None, None, None, None, *MOMENTS[3:]]))
    created_at = draw(st.sampled_from([None, BASE - 48 * HOUR, BASE - 24 * HOUR]))
    event_at = draw(st.sampled_from([BASE - 240 * HOUR, BASE - 200 * HOUR, BASE - 24 * HOUR - TICK]))
    amount = draw(st.sampled_from(["0", "100", "100", "12", "99999999", "7"]))
    if EXPONENTS[own] == 3 or (EXPONENTS[own] == 2 and amount == "7"):
        amount += ".05"
    return Sale(
        f"A-{at}",
        draw(st.sampled_from(ORDERS)).replace(",", "").replace('"', ""),
        amount,
        own,
        draw(st.sampled_from([1, 1, 1, 1, 1, 2, 2, 1, 1, 3])),
        draw(st.sampled_from([501, 501, 502])),
        event_at=event_at.isoformat(),
        status=draw(st.sampled_from(["", "NEW", "EXISTING"])),
        created_at=created_at.isoformat() if created_at else "",
        locks_at=locks_at.isoformat() if locks_at else "",
    )


@st.composite
def delivery_lines(draw: st.DrawFn, columns: Sequence[str], sales: Sequence[Sale]) -> list[dict[str, str]]:
    """The cells of some lines, several for the same action; one cell of some lines is bad."""
    rows = []
    for _ in range(0 if rarely(draw) else draw(st.integers(4, 14))):
        meant = draw(st.sampled_from(sales))
        good = {
            "action_id": [meant.action_id],
            "order_id": [meant.order_id],
            "event_type": [str(meant.event_type)],
            "amount": [one for one in AMOUNTS if len(one.partition(".")[2]) <= EXPONENTS[meant.currency]],
            "currency": ["", "", meant.currency, meant.currency, "EUR"],
            "customer_status": STATUSES,
            "reason": REASONS,
        }
        row = {column: draw(st.sampled_from(good.get(column, ["x"]))) for column in columns}
        if draw(st.integers(0, 9)) == 6:
            column = draw(st.sampled_from(columns))
            row[column] = draw(st.sampled_from(BAD.get(column, ["x"])))
        rows.append(row)
    return rows


def rarely(draw: st.DrawFn) -> bool:
    """One time in thirty; the ends of a range come more often than others."""
    return draw(st.integers(0, 29)) == 17


@st.composite
def delivery_files(draw: st.DrawFn, sales: Sequence[Sale]) -> Delivery:
    """A CSV file, taken apart beside."""
    identity = draw(
        st.sampled_from([["action_id"], ["order_id", "event_type"], ["order_id"], ["order_id", "action_id"]])
    )
    amount, status, currency = ["amount"], ["customer_status"], ["currency"]
    optional = draw(
        st.sampled_from(
            [
                *(amount, amount + status, amount + status + currency, amount + currency, amount + status, []),
                *(status, status + currency, currency, amount),
            ]
        )
    )
    columns = draw(st.permutations([*identity, *optional, "reason"]))
    if rarely(draw):
        columns = [*columns, draw(st.sampled_from(["comment", columns[0]]))]
    if rarely(draw):
        columns = [column for column in columns if column != "reason"] + ["amount"] * ("amount" not in columns)
    rows = draw(delivery_lines(columns, sales))
    types = [1, 1, 1, 1, 2, 2, 99] if identity == ["order_id"] else [None, None, 1]
    delimiter = draw(st.sampled_from(",;\t|"))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerow([draw(st.sampled_from(SPELLINGS[column])) for column in columns])
    lines, number = [], 2
    for row in rows:
        if rarely(draw):
            out.write("\n")
            number += 1
        cells, whole = [row[column] for column in columns], not rarely(draw)
        writer.writerow(cells if whole else [*cells, "more"])
        lines.append(Line(number, row, whole=whole))
        number += 1
    text = out.getvalue()
    terminated = not rarely(draw) or not rows
    return Delivery(
        (text if terminated else text.rstrip("\r\n")).encode(),
        draw(st.sampled_from(MOMENTS)),
        tuple(columns),
        tuple(lines),
        draw(st.sampled_from(types)),
        terminated,
        again=rarely(draw),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world of up to six actions and five steps."""
    currency = draw(st.sampled_from(["USD", "USD", "JPY", "KWD"]))
    zone = ZoneInfo(draw(st.sampled_from(["America/New_York", "Asia/Tokyo", "UTC", "Pacific/Kiritimati"])))
    account = Account(zone, currency, EVENT_TYPES, draw(contracts(currency)))
    drawn = tuple(draw(sale_rows(at, currency)) for at in range(draw(st.integers(2, 6))))
    # What cannot be loaded is only an action that nobody knows.
    _, sales = World(account, drawn, ()).ledger()
    step = st.one_of(*[delivery_files(sales or drawn)] * 5, st.sampled_from(MOMENTS))
    return World(account, drawn, tuple(draw(st.lists(step, min_size=2, max_size=5))))


def told(action: oracle.Action) -> dict[str, Any]:
    """An action of the oracle as the product keeps it."""
    return {
        "state": action.state,
        "amount": money.to_minor(action.amount, action.currency),
        "payout": money.to_minor(action.payout, action.currency),
        "customer_status": action.status,
        "locked": action.locked,
        "locks_at": action.locks_at,
        "clears_on": action.clears_on,
        "changes": action.changes,
    }


assert set(SPELLINGS) == {*COLUMNS, "comment"}
