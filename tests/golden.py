"""The golden cases: each folder of ``fixtures/`` is a delivery and what became of it, to be read by people.

``python -m tests.golden [CASE …]`` writes the answers anew; read its diff before you keep it. All cases meet the world
of ``fixtures/catalog.toml`` and ``fixtures/actions.csv``, those called ``items-…`` that of ``fixtures/items.csv``. A
case is one delivery that arrives at ``ARRIVED``, unless its ``steps.txt`` tells more; each step is a minute later.
``allow 100`` lets later deliveries have a hundred bytes; ``preview`` tells what a file would do, and changes nothing.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from clawback import deciding, pipeline, revising
from clawback.intake import arrival_of
from clawback.loading import load_actions, load_catalog, load_rates
from clawback.preview import preview
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing import adjustments, history
from schemas.sidecar import described

FIXTURES: Final = Path(__file__).parent.parent / "fixtures"
SID: Final = "IRacme1"
ARRIVED: Final = datetime(2027, 1, 20, 12, tzinfo=UTC)
CASES: Final = sorted({path.parent.name for path in FIXTURES.glob("*/delivery.*")})
STEPS: Final = "steps.txt"
# What differs from run to run.
_OF_THE_RUN: Final = ("delivery", "duplicate_of", "sha256")
_ANSWERS: Final = ("receipt*.json", "preview*.json", "result*", "fix*", "ledger.json", "adjustments.json")


class Story:
    """A case as it is told: its steps, the deliveries they made and what previews said, by the name of their file."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.desk, self.folder, self.at = desk, folder, ARRIVED
        self.made: dict[str, str] = {}
        self.previewed: dict[str, dict[str, Any]] = {}
        self._verbs: dict[str, Callable[[str], object]] = {
            "ingest": self._ingest,
            "preview": self._preview,
            "allow": self._allow,
            "load-actions": lambda name: load_actions(desk, folder / name),
            "load-catalog": lambda name: load_catalog(desk, folder / name),
            "load-rates": lambda name: load_rates(desk, folder / name),
            "collect": lambda _: pipeline.collect(desk, at=self.at),
            "release": lambda name: deciding.release(desk, self.made[name], by="dana", at=self.at),
            "reject": lambda name: deciding.reject(desk, self.made[name], by="dana", at=self.at),
            "undo": self._undo,
            "replay": lambda name: revising.replay(desk, self.made[name], at=self.at),
        }

    def tell(self) -> None:
        """Take every step, each a minute after the one before; ``wait 30`` lets thirty days pass."""
        for step in steps(self.folder):
            verb, _, what = step.partition(" ")
            if verb == "wait":
                self.at += timedelta(days=int(what))
                continue
            self._verbs[verb](what)
            self.at += timedelta(minutes=1)

    def _ingest(self, name: str) -> None:
        content = (self.folder / name).read_bytes()
        landed = self.desk.spool.land(content, account=SID, channel="ftp", name=name, received_at=self.at)
        self.made[name] = landed.delivery
        pipeline.ingest(self.desk, landed.delivery, at=self.at)

    def _preview(self, name: str) -> None:
        file = self.folder / name
        arrival = arrival_of(file, event_type=None, again=False, received_at=self.at)
        self.previewed[name] = preview(self.desk, replace(arrival, channel="ftp"), SID, file)

    def _allow(self, most_bytes: str) -> None:
        self.desk = replace(self.desk, most_bytes=int(most_bytes))

    def _undo(self, name: str) -> None:
        undone = revising.undo(self.desk, self.made[name], by="dana", reason=None, at=self.at)
        self.made[f"undo-of-{name}"] = undone["delivery"]


def steps(folder: Path) -> list[str]:
    """What happens in a case."""
    if (folder / STEPS).exists():
        return (folder / STEPS).read_text().splitlines()
    [sent] = folder.glob("delivery.*")
    return [f"ingest {sent.name}"]


def kept(case: str) -> dict[str, bytes]:
    """The answers that a case's folder keeps, by file name."""
    return {path.name: path.read_bytes() for pattern in _ANSWERS for path in (FIXTURES / case).glob(pattern)}


def answered(desk: Desk, case: str) -> dict[str, bytes]:
    """Tell a case; gives its answers, the ledger after it and the adjustments that it proposes, by file name."""
    load_catalog(desk, FIXTURES / "catalog.toml")
    load_actions(desk, FIXTURES / ("items.csv" if case.startswith("items-") else "actions.csv"))
    story = Story(desk, FIXTURES / case)
    story.tell()
    files = {}
    for name, delivery in story.made.items():
        receipt = _same_in_every_run(pipeline.receipt_with_files(desk, delivery))
        main = name.startswith("delivery.") and described(name) is None
        files["receipt.json" if main else f"receipt_{name}.json"] = _json(receipt)
    files |= {f"preview_{name}.json": _json(_same_in_every_run(one)) for name, one in story.previewed.items()}
    for path in (desk.brands / SID / "results").glob("[rf]*"):
        if not path.name.startswith("receipt_"):
            files[path.name.replace("_delivery", "")] = path.read_bytes()
    with desk.store.read() as db:
        ledger = [history.show(db, SID, one["action_id"]) for one in history.listing(db, SID)]
        files["ledger.json"] = _json([_short(one) for one in ledger])
        if proposed := list(adjustments.listing(db, SID)):
            files["adjustments.json"] = _json(proposed)
    return {name: _named(content, story.made) for name, content in files.items()}


def _same_in_every_run(receipt: dict[str, Any]) -> dict[str, Any]:
    same = {name: value for name, value in receipt.items() if name not in _OF_THE_RUN}
    return same | ({"files": [_same_in_every_run(one) for one in same["files"]]} if "files" in same else {})


def _named(content: bytes, made: dict[str, str]) -> bytes:
    """The content with the names of files for the ids of their deliveries, which differ from run to run."""
    for name, delivery in made.items():
        content = content.replace(delivery.encode(), f"<{name}>".encode())
    return content


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
        for name in kept(case):
            (FIXTURES / case / name).unlink()
        for name, content in files.items():
            (FIXTURES / case / name).write_bytes(content)
        sys.stdout.write(f"{case}: {', '.join(sorted(files))}\n")


if __name__ == "__main__":
    main()
