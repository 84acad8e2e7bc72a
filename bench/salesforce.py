"""Measures a poll of an org where a job has touched everything, and runs the cursor's rule in many random worlds.

    .venv/bin/python bench/salesforce.py                    100,000 records touched, 1,000 of them changed
    .venv/bin/python bench/salesforce.py --worlds 10000     and as many seeded worlds

The org is the fake of the tests, in a process of its own.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clawback.loading import load_actions, load_catalog
from clawback.salesforce import rounds
from clawback.salesforce_tables import parse
from clawback.settings import Settings
from clawback.wiring import open_desk
from connectors.salesforce_org import Org
from tests.clawback.salesforce.site import ENVIRON, table
from tests.clawback.salesforce.worlds import Reader, history, ours
from tests.conftest import START, Clock
from tests.salesforce_org.server import serving
from tests.worlds import CATALOGUE, Sale, actions_csv

MEGA = 1_000_000
MOST_S = 60
# What polling may need beyond what the process has had for its actions, however many records it reads.
MOST_MORE_MB = 64


def serve(records: int, changed: int) -> None:
    """Be the org: make its records, and touch them all when told to."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as org:
        ids = [org.world.add("Opportunity", Order_Number__c=f"O-{n}", StageName="Negotiation") for n in range(records)]
        print(org.url, org.ca_file, flush=True)
        sys.stdin.readline()
        org.world.pass_by(minutes=5)
        for number, one in enumerate(ids):
            lost = {"StageName": "Closed Lost"} if number % (records // changed) == 0 else {}
            org.world.change(one, **lost)
        print("touched", flush=True)
        sys.stdin.readline()


def memory(of: str) -> float:
    """What this process has in memory now (VmRSS), or has had at most since the last ``forget`` (VmHWM), in MB."""
    found = re.search(rf"^{of}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024 / MEGA


def forget() -> None:
    """Measure the most memory from now on: making the ledger needs more than polling does, and would hide it."""
    Path("/proc/self/clear_refs").write_text("5")


def poll(records: int, changed: int) -> None:
    """Poll before and after everything was touched."""
    command = [sys.executable, __file__, "--serve", "--records", str(records), "--changed", str(changed)]
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as fake,
    ):
        assert fake.stdin
        assert fake.stdout
        url, ca_file = fake.stdout.readline().split()
        folder, clock = Path(name), Clock()
        settings = parse(table(url=url, ca_file=ca_file), folder, "bench")
        (folder / "catalog.toml").write_text(CATALOGUE)
        (folder / "actions.csv").write_text(actions_csv(Sale(f"A-{n}", f"O-{n}") for n in range(records)))
        with open_desk(Settings(state=folder), clock) as desk:
            load_catalog(desk, folder / "catalog.toml")
            load_actions(desk, folder / "actions.csv")
            forget()
            before = memory("VmRSS")
            rounds.run(desk, settings, Org(settings, ENVIRON))
            print("touched", file=fake.stdin, flush=True)
            fake.stdout.readline()
            clock.now = START + timedelta(minutes=5)
            began = time.perf_counter()
            done = rounds.run(desk, settings, Org(settings, ENVIRON))
            took = time.perf_counter() - began
            assert done is not None
            lines = sum(one["rows"]["read"] for one in done.deliveries)
        print("done", file=fake.stdin, flush=True)
    print(f"* {records:,} touched, {changed:,} changed: {took:.1f} s, {done.records['read']:,} read, {lines:,} lines")
    most = memory("VmHWM")
    print(f"* memory before {before:.0f} MB, at most {most:.0f} MB")
    assert (done.records["read"], done.records["changed"], lines) == (records, changed, changed)
    assert took < MOST_S
    assert most - before < MOST_MORE_MB


def worlds(count: int) -> None:
    """The rule in seeded worlds, half of them with transactions of ten minutes, half of an hour."""
    began = time.perf_counter()
    lost = [
        seed for seed in range(count) if Reader(ours).loses(history(seed, timedelta(minutes=60 if seed % 2 else 10)))
    ]
    print(f"* {count:,} worlds, {len(lost)} of them lost an update, {time.perf_counter() - began:.0f} s")
    assert lost == []


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--changed", type=int, default=1_000)
    parser.add_argument("--worlds", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.pop("CLAWBACK_CONFIG", None)
    if given.serve:
        serve(given.records, given.changed)
        return
    poll(given.records, given.changed)
    if given.worlds:
        worlds(given.worlds)


if __name__ == "__main__":
    main()
