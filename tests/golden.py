"""The golden cases: each folder of ``fixtures/`` is a delivery and what became of it, to be read by people.

``python -m tests.golden [CASE …]`` writes the answers anew; read its diff before you keep it. All cases meet the world
of ``fixtures/catalog.toml`` and ``fixtures/actions.csv``, those called ``items-…`` that of ``fixtures/items.csv``, and
arrive at ``ARRIVED``.
"""

import json
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from clawback import pipeline
from clawback.loading import load_actions, load_catalog
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing import history

FIXTURES: Final = Path(__file__).parent.parent / "fixtures"
SID: Final = "IRacme1"
ARRIVED: Final = datetime(2027, 1, 20, 12, tzinfo=UTC)
CASES: Final = sorted(path.parent.name for path in FIXTURES.glob("*/delivery.*"))
# What differs from run to run.
_OF_THE_RUN: Final = ("delivery", "duplicate_of", "sha256")


def answered(desk: Desk, case: str) -> dict[str, bytes]:
    """Ingest a case; gives its answers and the ledger after it, by file name."""
    load_catalog(desk, FIXTURES / "catalog.toml")
    load_actions(desk, FIXTURES / ("items.csv" if case.startswith("items-") else "actions.csv"))
    [sent] = (FIXTURES / case).glob("delivery.*")
    envelope = desk.spool.land(sent.read_bytes(), account=SID, channel="ftp", name=sent.name)
    pipeline.ingest(desk, envelope.delivery, at=ARRIVED)
    receipt = pipeline.receipt(desk, envelope.delivery)
    files = {"receipt.json": _json({name: value for name, value in receipt.items() if name not in _OF_THE_RUN})}
    for path in (desk.brands / SID / "results").glob("[rf]*_delivery.*"):
        if not path.name.startswith("receipt_"):
            files[path.name.replace("_delivery", "")] = path.read_bytes()
    with desk.store.read() as db:
        ledger = [history.show(db, SID, one["action_id"]) for one in history.listing(db, SID)]
        files["ledger.json"] = _json([_short(one) for one in ledger])
    return files


def _short(action: dict[str, Any]) -> dict[str, Any]:
    short = {name: action[name] for name in ("action_id", "state", "amount", "payout", "currency", "customer_status")}
    items = {one["sku"]: f"{one['quantity']} for {one['amount']}" for one in action["items"]}
    return short | ({"items": items} if items else {})


def _json(document: object) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def main() -> None:
    """Write the answers of all cases, or of some."""
    for case in sys.argv[1:] or CASES:
        folder = Path(tempfile.mkdtemp())
        try:
            with open_desk(Settings(state=folder), lambda: ARRIVED) as desk:
                files = answered(desk, case)
        finally:
            shutil.rmtree(folder)
        for old in (FIXTURES / case).iterdir():
            if old.stem != "delivery":
                old.unlink()
        for name, content in files.items():
            (FIXTURES / case / name).write_bytes(content)
        sys.stdout.write(f"{case}: {', '.join(sorted(files))}\n")


if __name__ == "__main__":
    main()
