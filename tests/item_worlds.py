"""Acme Outdoor with an event type that is tracked by item, paid 5 % and 8 % of shoes, and ways to load its actions."""

from pathlib import Path
from typing import Any, Final

from clawback.loading import load_actions, load_catalog
from clawback.wiring import Desk
from processing.actions import Load
from processing.store import Store
from tests.worlds import CATALOGUE, action, lines, written

BASKET: Final = 16030
ITEM_CATALOGUE: Final = CATALOGUE.replace(
    """    [[account.program.contract]]
    partner = { id = 501, name = "Trail Blog" }
    effective = 2026-01-01
    locking = { months = 0, days = 27, after = "month" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { percent = "5.00" }
""",
    """    [[account.program.event_type]]
    id = 16030
    name = "Basket"
    level = "item"
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
    [[account.program.contract]]
    partner = { id = 501, name = "Trail Blog" }
    effective = 2026-01-01
    locking = { months = 0, days = 27, after = "month" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { percent = "5.00", categories = { Shoes = "8.00" } }
""",
)
HEADER: Final = (
    "ActionId,CampaignId,ActionTrackerId,MediaPartnerId,Oid,EventDate,Currency,"
    "Sku1,Category1,Quantity1,Amount1,Sku2,Category2,Quantity2,Amount2"
)
BOOTS: Final = "BOOT,Shoes,2,80.00"
SOCKS: Final = "SOCK,,3,20.00"
A1: Final = f"A-1,1000,16030,501,O-1,2027-01-15T10:00:00-05:00,USD,{BOOTS},{SOCKS}"
"""100.00 USD of boots and socks, paid 6.40 + 1.00."""

A2: Final = "A-2,1000,16030,501,O-2,2027-01-15T10:00:00-05:00,USD,TENT,,1,50.00,,,,"
"""One tent for 50.00 USD, paid 2.50."""

assert ITEM_CATALOGUE != CATALOGUE


def load_items(desk: Desk, folder: Path, *rows: str, header: str = HEADER, catalogue: str = ITEM_CATALOGUE) -> Load:
    """Load the catalogue and actions with items, by default ``A1`` and ``A2``."""
    load_catalog(desk, written(folder, "catalogue.toml", catalogue))
    return load_actions(desk, written(folder, "actions.csv", lines(header, *(rows or (A1, A2)))))


def basket(store: Store, action_id: str = "A-1") -> dict[str, Any]:
    """State, amount and payout of an action, and of each item quantity and amount."""
    found = action(store, action_id)
    items = {one["sku"]: (one["quantity"], one["amount"]) for one in found["items"]}
    return {"action": (found["state"], found["amount"], found["payout"]), **items}
