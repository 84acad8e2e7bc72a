"""Small worlds for tests: a catalogue, actions and deliveries as their owners would write them, and ways to load them.

The brand is Acme Outdoor in New York, account ``IRacme1``, program 1000. Its actions lock after the month: those of
January 2027 are open through 27 February, and lock on 28 February 00:00 in New York, which is ``LOCK``.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import select, text

from clawback import pipeline
from clawback.judging import Case, judge, turn_away
from clawback.loading import load_actions, load_catalog
from clawback.wiring import Desk
from processing import deliveries, history
from processing.actions import Load
from processing.catalog import StoredContract, StoredEventType, Terms, read_terms
from processing.columns import NONE, Ints
from processing.deliveries import Arrival
from processing.errors import Unreadable
from processing.instants import micros
from processing.match import Actions
from processing.model import Basis, Brakes, Change, Level, SameOrder
from processing.store import Store, claim_account
from processing.tables import metadata
from processing.terms import Period

SID: Final = "IRacme1"
OTHER_SID: Final = "IRother2"
PROGRAM: Final = 1000
SALE: Final = 16027
LEAD: Final = 16028
CLICK: Final = 16029
TRAIL, SUMMIT = 501, 502
ZONE: Final = ZoneInfo("America/New_York")
ARRIVED: Final = datetime(2027, 1, 20, 12, tzinfo=UTC)
LOCK: Final = datetime(2027, 2, 28, 5, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

CATALOGUE: Final = """
[[account]]
sid = "IRacme1"
name = "Acme Outdoor"
timezone = "America/New_York"
currency = "USD"
  [[account.program]]
  id = 1000
  name = "Acme Partners"
    [[account.program.event_type]]
    id = 16027
    name = "Online Sale"
    level = "order"
    basis = "sale"
      [[account.program.event_type.disposition]]
      code = "VALIDATED"
      outcome = "approve"
      [[account.program.event_type.disposition]]
      code = "RETURNED"
      outcome = "reverse"
      [[account.program.event_type.disposition]]
      code = "REPRICED"
      outcome = "modify"
      [[account.program.event_type.disposition]]
      code = "UNDO"
      outcome = "reset"
    [[account.program.event_type]]
    id = 16028
    name = "Newsletter"
    level = "order"
    basis = "lead"
    same_order = "hold"
    [[account.program.event_type]]
    id = 16029
    name = "Click"
    level = "order"
    basis = "click"
    [[account.program.contract]]
    partner = { id = 501, name = "Trail Blog" }
    effective = 2026-01-01
    locking = { months = 0, days = 27, after = "month" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { percent = "5.00" }
    [[account.program.contract]]
    partner = { id = 502, name = "Summit Mail" }
    effective = 2026-01-01
    locking = { months = 0, days = 27, after = "month" }
    payment = { months = 0, days = 15, after = "day" }
    payout = { fixed = "12.00" }

[[account]]
sid = "IRother2"
name = "Other Brand"
timezone = "Asia/Tokyo"
currency = "JPY"
  [[account.program]]
  id = 2000
  name = "Other Partners"
    [[account.program.event_type]]
    id = 26027
    name = "Shop"
    level = "order"
    basis = "sale"
    [[account.program.contract]]
    partner = { id = 501, name = "Trail Blog" }
    effective = 2026-01-01
    locking = { months = 1, days = 0, after = "month" }
    payment = { months = 0, days = 15, after = "day" }
    payout = { percent = "10.00" }
"""

WITH_TRAILERS: Final = CATALOGUE.replace('name = "Acme Outdoor"', 'name = "Acme Outdoor"\ntrailer = "required"')

_HEADER: Final = (
    "ActionId,CampaignId,ActionTrackerId,MediaPartnerId,Oid,EventDate,Amount,Currency,CustomerStatus,CreationDate,"
    "LockingDate"
)
_names: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sale:
    """A row of an actions file; by default 100.00 USD sold by Trail Blog on 15 January 2027, unlocked until LOCK."""

    action_id: str
    order_id: str = ""
    amount: str = "100.00"
    currency: str = "USD"
    event_type: int = SALE
    partner: int = TRAIL
    program: int = PROGRAM
    event_at: str = "2027-01-15T10:00:00-05:00"
    status: str = ""
    created_at: str = ""
    locks_at: str = ""

    def row(self) -> str:
        """The row as CSV."""
        cells = (
            self.action_id,
            self.program,
            self.event_type,
            self.partner,
            self.order_id,
            self.event_at,
            self.amount,
            self.currency,
            self.status,
            self.created_at,
            self.locks_at,
        )
        return ",".join(map(str, cells))


def actions_csv(sales: Iterable[Sale]) -> str:
    """An actions file."""
    return "\n".join([_HEADER, *(sale.row() for sale in sales)]) + "\n"


def load(desk: Desk, folder: Path, sales: Sequence[Sale] = (), *, catalogue: str = CATALOGUE) -> Load:
    """Load a catalogue and some actions through their files."""
    load_catalog(desk, written(folder, "catalogue.toml", catalogue))
    return load_actions(desk, written(folder, "actions.csv", actions_csv(sales))) if sales else Load()


def written(folder: Path, name: str, content: str | bytes) -> Path:
    """A file with this content."""
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def lines(*rows: str) -> str:
    """A CSV file of these lines, the last one terminated."""
    return "\n".join(rows) + "\n"


def land(
    desk: Desk,
    content: str | bytes,
    *,
    sid: str = SID,
    name: str = "returns.csv",
    event_type: int | None = None,
    again: bool = False,
    received_at: datetime | None = None,
) -> str:
    """Put a delivery into the spool; gives its number. It arrives now, by the desk's clock, unless told otherwise."""
    data = content.encode() if isinstance(content, str) else content
    return desk.spool.land(
        data, account=sid, channel="test", name=name, event_type=event_type, again=again, received_at=received_at
    ).delivery


def ingest(desk: Desk, content: str | bytes, *, sid: str = SID, **how: Any) -> dict[str, Any]:  # noqa: ANN401 - as land
    """Land a delivery and bring it to its end; gives its receipt with its lines."""
    delivery = land(desk, content, sid=sid, **how)
    pipeline.ingest(desk, delivery, at=desk.spool.clock())
    return pipeline.receipt(desk, delivery)


def arrival(content: bytes, received_at: datetime = ARRIVED, **values: Any) -> Arrival:  # noqa: ANN401 - of Arrival
    """What is known of these bytes on arrival, under a number of their own."""
    known = {
        "delivery": f"d-{next(_names)}",
        "channel": "test",
        "name": "returns.csv",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "received_at": received_at,
    }
    return Arrival(**{**known, **values})


def judged(
    store: Store,
    folder: Path,
    content: str | bytes,
    *,
    sid: str = SID,
    case: type[Case] = Case,
    **values: Any,  # noqa: ANN401 - those of Arrival
) -> dict[str, Any]:
    """Judge bytes without a spool; gives the receipt with its lines. ``values`` are those of the arrival."""
    file = written(folder, "delivery", content)
    known = arrival(file.read_bytes(), **values)
    try:
        with store.write() as db:
            claim_account(db, sid)
            judge(db, case(known, file, read_terms(db, sid)), at=known.received_at)
    except Unreadable as error:
        with store.write() as db:
            claim_account(db, sid)
            turn_away(db, case(known, file, read_terms(db, sid)), error, at=known.received_at)
    return receipt(store, known.delivery)


def receipt(store: Store, delivery: str) -> dict[str, Any]:
    """A delivery's receipt with its lines."""
    with store.read() as db:
        return deliveries.receipt(db, delivery)


def codes(receipt: dict[str, Any]) -> list[tuple[int, str, str | None]]:
    """Line, verdict and code of each line that a receipt tells of."""
    return [(line["line"], line["verdict"], line["code"]) for line in receipt["lines"]]


def action(store: Store, action_id: str, sid: str = SID) -> dict[str, Any]:
    """An action as `clawback actions show` tells it."""
    with store.read() as db:
        return history.show(db, sid, action_id)


def values(store: Store, action_id: str, sid: str = SID) -> tuple[str, str, str]:
    """State, amount and payout of an action."""
    found = action(store, action_id, sid)
    return found["state"], found["amount"], found["payout"]


def dump(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in the order of their keys."""
    with store.read() as db:
        tables = {
            table.name: [tuple(row) for row in db.execute(select(table).order_by(*table.primary_key.columns))]
            for table in metadata.sorted_tables
        }
        tables["alembic_version"] = [tuple(row) for row in db.execute(text("select * from alembic_version"))]
    return tables


def terms(**values: Any) -> Terms:  # noqa: ANN401 - of Terms
    """What the rules know of Acme Outdoor, as the catalogue above says it; its contracts are 1 and 2."""
    locking, schedule = Period.parse("27 days after month"), Period.parse("20 days after month")
    january = date(2026, 1, 1)
    known = {
        "account_id": 1,
        "sid": SID,
        "name": "Acme Outdoor",
        "zone": ZONE,
        "currency": "USD",
        "encoding": None,
        "ignore_columns": (),
        "brakes": Brakes(),
        "event_types": {
            SALE: StoredEventType("Online Sale", PROGRAM, Level.ORDER, Basis.SALE, SameOrder.NEWEST),
            LEAD: StoredEventType("Newsletter", PROGRAM, Level.ORDER, Basis.LEAD, SameOrder.HOLD),
            CLICK: StoredEventType("Click", PROGRAM, Level.ORDER, Basis.CLICK, SameOrder.NEWEST),
        },
        "dispositions": {
            SALE: {
                "VALIDATED": Change.APPROVE,
                "RETURNED": Change.REVERSE,
                "REPRICED": Change.MODIFY,
                "UNDO": Change.RESET,
            }
        },
        "contracts": {
            1: StoredContract(1, PROGRAM, TRAIL, january, locking, schedule, 50_000, None),
            2: StoredContract(2, PROGRAM, SUMMIT, january, locking, schedule, None, 1_200),
        },
        "partners": {TRAIL: "Trail Blog", SUMMIT: "Summit Mail"},
    }
    return Terms(**{**known, **values})


def actions(*rows: dict[str, Any]) -> Actions:
    """Actions in memory, each with the given values; by default pending, 100.00 USD with a payout of 5.00."""
    known = {
        "event_type_id": SALE,
        "partner_id": TRAIL,
        "contract_id": 1,
        "event_at": micros(ARRIVED) - 1,
        "created_at": micros(ARRIVED) - 1,
        "locks_at": micros(LOCK),
        "locked_at": NONE,
        "state": "PENDING",
        "currency": "USD",
        "amount": 10_000,
        "payout": 500,
        "customer_status": None,
        "tracked_amount": 10_000,
        "tracked_payout": 500,
        "tracked_status": None,
        "prior_amount": NONE,
        "prior_payout": NONE,
        "changes": 0,
        "version": 0,
        "changed_by": NONE,
        "changed_at": NONE,
        "last_line": 0,
    }
    filled = [{"id": at, "action_id": f"A-{at}", **known, **row} for at, row in enumerate(rows, 1)]
    columns: dict[str, Any] = {
        one.name: np.array([row[one.name] for row in filled], dtype=np.int64 if one.type == Ints else np.object_)
        for one in fields(Actions)
    }
    return Actions(**columns)
