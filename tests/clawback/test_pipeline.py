"""A delivery through the whole pipeline, on both stores."""

from pathlib import Path

from clawback.loading import load_actions, load_catalog
from clawback.wiring import Desk

CATALOGUE = """
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
    [[account.program.contract]]
    partner = { id = 501, name = "Trail Blog" }
    effective = 2026-01-01
    locking = { months = 0, days = 27, after = "month" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { percent = "5.00" }
"""


def test_load(desk: Desk, tmp_path: Path) -> None:
    """."""
    (tmp_path / "c.toml").write_text(CATALOGUE)
    load_catalog(desk, tmp_path / "c.toml")
    (tmp_path / "a.csv").write_text(
        "ActionId,CampaignId,ActionTrackerId,MediaPartnerId,Oid,EventDate,Amount,Currency\n"
        "1000.1,1000,16027,501,O-1,2027-01-15T10:00:00-05:00,100.00,USD\n"
    )
    print(load_actions(desk, tmp_path / "a.csv"))
