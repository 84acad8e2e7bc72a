"""The product beside the oracle: an account of it loaded with a random world, and what both say in the same shape."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import select

from clawback.judging import Case
from clawback.loading import load_actions
from clawback.wiring import Desk
from processing import adjustments, catalog, deliveries, exchange, lock
from processing.catalog import read_terms
from processing.codes import Code, Verdict
from processing.exchange import Rate
from processing.instants import instant
from processing.store import Store
from processing.tables import account, action, item
from tests import oracle_worlds
from tests.oracle import Delivery, Fate, Outcome
from tests.oracle_catalog import RATES
from tests.oracle_text import EXPONENTS
from tests.oracle_worlds import ItemSale, World
from tests.worlds import actions_csv, judged, written

_numbers = itertools.count(1)
SIDES = ("amount_before", "amount_after", "payout_before", "payout_after")
NOTICES = {
    Code.NEWEST_OF_MANY: "the newest was taken",
    Code.AMOUNT_RAISED: "higher than the old one",
    Code.CURRENCY_CONVERTED: "was converted",
    Code.CATEGORY_DIFFERS: "has another category",
}


@dataclass
class Product:
    """One account of the product, loaded with a world's actions."""

    store: Store
    folder: Path
    sid: str
    case: type[Case] = field(default=Case)

    @classmethod
    def load(cls, desk: Desk, folder: Path, world: World) -> "Product":
        """A new account in a database that has others already."""
        number = next(_numbers)
        sid, program = f"IR{number}", 1000 + number
        _, loadable = world.ledger()
        with desk.store.write() as db:
            catalog.save(db, [oracle_worlds.catalogued(world.account, sid, program)])
            exchange.save(db, [Rate(*pair, int(rate.scaleb(exchange.DECIMALS))) for pair, rate in RATES.items()])
        of_items = [sale for sale in loadable if isinstance(sale, ItemSale)]
        orders = [sale for sale in loadable if sale not in of_items]
        columns = ",".join(f"Sku{at},Category{at},Quantity{at},Amount{at}" for at in (1, 2, 3))
        with_items = "\n".join([f"{actions_csv([]).strip()},{columns}", *(sale.item_row() for sale in of_items)])
        for sales, rows in ((orders, actions_csv(orders)), (of_items, with_items)):
            if sales:
                file = written(folder, "actions.csv", rows.replace(",1000,", f",{program},") + "\n")
                loaded = load_actions(desk, file)
                assert (loaded.added, loaded.problems) == (len(sales), [])
        return cls(desk.store, folder, sid)

    def ingest(self, delivery: Delivery) -> dict[str, Any]:
        """The receipt with lines."""
        known = {name: getattr(delivery, name) for name in ("received_at", "event_type", "again")}
        return judged(self.store, self.folder, delivery.content, sid=self.sid, case=self.case, **known)

    def lock(self, as_of: datetime) -> None:
        """Run the lock sweep."""
        with self.store.write() as db:
            lock.lock_due(db, read_terms(db, self.sid), as_of, ())

    def proposes(self, number: str) -> bool:
        """Whether an undo of a delivery takes proposals back, of which the oracle knows nothing."""
        with self.store.read() as db:
            return adjustments.speaks_of(db, deliveries.find(db, number))

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Every action as it stands."""
        query = select(action).join(account, account.c.id == action.c.account_id).where(account.c.sid == self.sid)
        with self.store.read() as db:
            rows = db.execute(query.order_by(action.c.id)).all()
            items: dict[int, dict[str, tuple[int, int]]] = {row.id: {} for row in rows}
            for one in db.execute(select(item).where(item.c.action_id.in_(items))):
                items[one.action_id][one.sku] = one.quantity, one.amount
        same = ("state", "amount", "payout", "customer_status", "clears_on", "changes")
        return {
            row.action_id: {
                **{name: getattr(row, name) for name in same},
                "locked": row.locked_at is not None,
                "locks_at": instant(row.locks_at),
                "items": items[row.id],
            }
            for row in rows
        }


def seen(receipt: dict[str, Any]) -> dict[str, Any]:
    """What a receipt says, without numbers and instants that differ from run to run."""
    lines = [
        (line["line"], line["verdict"], line["code"], line["action_id"], notices(line["message"]))
        for line in receipt["lines"]
    ]
    return {name: receipt[name] for name in ("state", "code", "rows", "money", "partners", "nearest_lock")} | {
        "lines": lines
    }


def notices(message: str | None) -> tuple[str, ...]:
    """The notices whose sentence a message has."""
    return tuple(code.value for code, sentence in NOTICES.items() if sentence in (message or ""))


def expected(outcome: Outcome) -> dict[str, Any]:
    """The same of the oracle's outcome."""
    currencies = sorted({currency for _, currency in outcome.money})
    totals = {
        one: tuple(map(sum, zip(*(side for (_, own), side in outcome.money.items() if own == one), strict=True)))
        for one in currencies
    }
    counts = {verdict.value: outcome.rows[verdict.value] for verdict in Verdict}
    return {
        "state": outcome.state,
        "code": outcome.code,
        "rows": {"read": sum(counts.values()), **counts},
        "money": {one: texts(total, one) for one, total in totals.items()},
        "partners": [
            {
                "partner": partner,
                "name": f"Partner {partner}",
                "currency": currency,
                "lines": outcome.changed[partner, currency],
                **texts(sides, currency),
            }
            for (partner, currency), sides in sorted(outcome.money.items())
        ],
        "nearest_lock": outcome.nearest_lock.isoformat() if outcome.nearest_lock else None,
        "lines": [told(fate) for fate in outcome.fates if fate.verdict != "applied" or fate.notices],
    }


def texts(sides: Sequence[Decimal | int], currency: str) -> dict[str, str]:
    """Money as receipts write it."""
    return {name: f"{side:.{EXPONENTS[currency]}f}" for name, side in zip(SIDES, sides, strict=True)}


def told(fate: Fate) -> tuple[Any, ...]:
    """A line's fate as ``seen`` gives it; its code is that of its first notice if it has none."""
    return fate.line, fate.verdict, fate.code or next(iter(fate.notices), None), fate.action_id, fate.notices
