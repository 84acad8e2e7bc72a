"""What the demonstration loads and sends: a brand, its actions, and its files."""

import csv
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

SID: Final = "IRacme1"
SALE: Final = 16027
ACTIONS: Final = 4_000
# The action that a program changes; no file is about it.
ASKED: Final = 3_501

CATALOGUE: Final = """\
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
      code = "RETURNED"
      outcome = "reverse"
      [[account.program.event_type.disposition]]
      code = "VALIDATED"
      outcome = "approve"
    [[account.program.event_type]]
    id = 16090
    name = "Click"
    level = "order"
    basis = "click"
    [[account.program.contract]]
    partner = { id = 501, name = "Trail Blog" }
    effective = 2020-01-01
    locking = { months = 0, days = 27, after = "month" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { percent = "5.00" }
    [[account.program.contract]]
    partner = { id = 502, name = "Summit Deals" }
    effective = 2020-01-01
    locking = { months = 1, days = 0, after = "month" }
    payment = { months = 0, days = 15, after = "day" }
    payout = { percent = "7.50" }
    [[account.program.contract]]
    partner = { id = 503, name = "Camp Radio" }
    effective = 2020-01-01
    locking = { months = 0, days = 15, after = "day" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { fixed = "4.00" }
"""

ACTION_COLUMNS: Final = (
    "ActionId",
    "CampaignId",
    "ActionTrackerId",
    "MediaPartnerId",
    "Oid",
    "EventDate",
    "Amount",
    "Currency",
    "LockingDate",
)
CHANGE_COLUMNS: Final = ("ActionId", "Oid", "ActionTrackerId", "Amount", "Reason")
Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of the messy file, with the code that must answer it (None: it is applied)."""

    row: Row
    code: str | None


def write_world(folder: Path, now: datetime) -> tuple[Path, Path]:
    """Write catalogue and actions of a brand whose month is under way; the files load without a problem."""
    catalogue, actions = folder / "catalog.toml", folder / "actions.csv"
    catalogue.write_text(CATALOGUE)
    chance = random.Random(20270115)  # noqa: S311 - the same made-up orders every time
    rows: list[Row] = []
    for number in range(ACTIONS):
        event = now - timedelta(minutes=chance.randrange(60, 60 * 24 * 10))
        partner = chance.choice([501, 501, 501, 502, 502, 503])
        amount = f"{chance.randrange(500, 40_000) / 100:.2f}"
        rows.append([action_id(number), 1000, 16027, partner, order_id(number), event.isoformat(), amount, "USD", ""])
    # A click, and two orders that share one number: brands have both.
    day = (now - timedelta(days=1)).isoformat()
    rows.append(["1000.9999.1", 1000, 16090, 501, "CLICK-1", day, "0.00", "USD", ""])
    rows += [[f"1000.8888.{n}", 1000, 16027, 501, "ORD-TWICE", day, "30.00", "USD", ""] for n in (1, 2)]
    actions.write_bytes(as_csv(ACTION_COLUMNS, rows))
    return catalogue, actions


def locking_soon(locks_at: datetime) -> bytes:
    """Two more actions, which lock at an instant."""
    event = (locks_at - timedelta(days=27)).isoformat()
    rows = [
        [f"1000.7777.{n}", 1000, 16027, 501, f"ORD-LAST-{n}", event, "80.00", "USD", locks_at.isoformat()]
        for n in (1, 2)
    ]
    return as_csv(ACTION_COLUMNS, rows)


def clean_file() -> bytes:
    """600 returns and price corrections, half by action id, half by order id."""
    rows: list[Row] = []
    for number in range(0, 1_200, 2):
        who = [action_id(number), "", ""] if number % 4 else ["", order_id(number), 16027]
        rows.append([*who, "0", "ITEM_RETURNED"] if number % 3 else [*who, "3.50", "ORDER_UPDATE"])
    return as_csv(CHANGE_COLUMNS, rows)


def messy_lines() -> list[BadLine]:
    """One line of every kind a brand gets wrong, between good ones."""
    one, two, three = action_id(2_001), action_id(2_003), action_id(2_005)
    return [
        BadLine([one, "", "", "0", "RETURNED"], None),
        BadLine([one, "", "", "12.00", "ORDER_UPDATE"], "ACTION_REVERSED"),
        BadLine([two, "", "", "1e3", "ORDER_UPDATE"], "AMOUNT_MALFORMED"),
        BadLine([two, "", "", "1.234,56", "ORDER_UPDATE"], "AMOUNT_MALFORMED"),
        BadLine([two, "", "", "12.345", "ORDER_UPDATE"], "AMOUNT_MALFORMED"),
        BadLine([two, "", "", "-5.00", "ORDER_UPDATE"], "AMOUNT_NEGATIVE"),
        BadLine([two, "", "", "123456789.00", "ORDER_UPDATE"], "AMOUNT_TOO_LARGE"),
        BadLine([two, "", "", "", "ORDER_UPDATE"], "AMOUNT_BLANK"),
        BadLine([two, "", "", "5.00", ""], "REASON_MISSING"),
        BadLine([two, "", "", "5.00", "returned"], "REASON_UNKNOWN"),
        BadLine(["", "", "", "5.00", "ORDER_UPDATE"], "MISSING_IDENTIFIER"),
        BadLine(["1000 4001", "", "", "5.00", "ORDER_UPDATE"], "ACTION_ID_MALFORMED"),
        BadLine(["", "X" * 65, 16027, "5.00", "ORDER_UPDATE"], "ORDER_ID_TOO_LONG"),
        BadLine(["", order_id(2_007), "sale", "5.00", "ORDER_UPDATE"], "EVENT_TYPE_MALFORMED"),
        BadLine(["", order_id(2_007), 99, "5.00", "ORDER_UPDATE"], "EVENT_TYPE_UNKNOWN"),
        BadLine([two, "", "", "5.00", "ORDER_UPDATE", "one too many"], "FIELD_COUNT"),
        BadLine(["1000.0000.404", "", "", "0", "RETURNED"], "UNKNOWN_ACTION"),
        BadLine(["1000.9999.1", "", "", "0", "ITEM_RETURNED"], "CLICKS_NOT_REVERSIBLE"),
        BadLine(["", "ORD-TWICE", 16027, "0", "RETURNED"], "NEWEST_OF_MANY"),
        BadLine([three, "", "", "450.00", "ORDER_UPDATE"], "AMOUNT_RAISED"),
        BadLine([three, "", "", "450.00", "ORDER_UPDATE"], "unchanged"),
        BadLine([three, "", "", "", "VALIDATED"], None),
        BadLine([action_id(2_009), "", "", "", "RESET"], "unchanged"),
    ]


def messy_file() -> bytes:
    """The lines of ``messy_lines`` as a file."""
    return as_csv(CHANGE_COLUMNS, [one.row for one in messy_lines()])


def last_minute_file(number: int) -> bytes:
    """A reversal of one of the actions that lock soon."""
    return as_csv(CHANGE_COLUMNS, [[f"1000.7777.{number}", "", "", "0", "ITEM_RETURNED"]])


def mailed_file() -> bytes:
    """20 returns by order alone: the address they are mailed to says which event type they are about."""
    return as_csv(
        ("Oid", "Amount", "Reason"), [[order_id(number), "0", "ITEM_RETURNED"] for number in range(3_001, 3_021)]
    )


def pulled_file() -> bytes:
    """20 price corrections for the brand's own server."""
    return as_csv(
        CHANGE_COLUMNS, [[action_id(number), "", "", "3.50", "ORDER_UPDATE"] for number in range(3_101, 3_121)]
    )


def action_id(number: int) -> str:
    """The id of the nth action."""
    return f"1000.{4_000 + number % 97}.{number:06d}"


def order_id(number: int) -> str:
    """The order of the nth action."""
    return f"ORD-{number:06d}"


def as_csv(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """Rows under a header, as a brand's export writes them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()
