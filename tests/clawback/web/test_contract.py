import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clawback.wiring import Desk
from connectors.tokens import Scope
from tests.clawback.web.site import Site, serving, settings_of
from tests.conftest import Clock
from tests.worlds import SID, Sale, lines

CONFIG = Path(__file__).with_name("schemathesis.toml")
# What is refused is decided before the store is asked: its phase runs on one of them only.
PHASES = {"sqlite": "examples,coverage", "postgresql": "examples,fuzzing,stateful"}
EXAMPLES = int(os.environ.get("CLAWBACK_API_EXAMPLES", "2"))
# What a change breaks is told by the run of that change, not by a later one that drew other numbers.
SEED = os.environ.get("CLAWBACK_API_SEED", "1")


@pytest.mark.timeout(280)
def test_the_api_keeps_its_document(desk: Desk, store_url: str, tmp_path: Path, clock: Clock) -> None:
    """Schemathesis, with all its checks and along the links, finds nothing, while what it lands is being judged."""
    with serving(desk, settings_of(tmp_path, store_url, idle_timeout_s=1), clock) as site:
        site.load(tmp_path, *(Sale(f"A-{number}", f"O-{number}") for number in range(5)))
        stop = threading.Event()
        worker = threading.Thread(target=_work, args=(site, stop))
        worker.start()
        try:
            found = _schemathesis(site, PHASES[store_url.partition(":")[0]], tmp_path)
        finally:
            stop.set()
            worker.join()
    assert found.returncode == 0, found.stdout
    assert "25 selected / 25 total" in found.stdout


def _schemathesis(site: Site, phases: str, folder: Path) -> subprocess.CompletedProcess[str]:
    with site.client() as client:
        client.put("/Actions", data={"ActionId": "A-1", "Amount": "1", "Reason": "ORDER_UPDATE"})
        client.post("/Deliveries", content=lines("ActionId,Amount,Reason", "A-2,x,OTHER", "A-3,0,OTHER"))
    site.finish()
    _, secret = site.office.tokens.make(SID, Scope.WRITE, site.clock())
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{site.url}/openapi"]
    # One worker: parsing Python in two threads breaks the interpreter's parser (3.11), which Hypothesis calls.
    options = ["--checks", "all", "--phases", phases, "--max-examples", str(EXAMPLES), "--seed", SEED, "--no-color"]
    access = ["--auth", f"{SID}:{secret}", "--header", "Accept: application/json"]
    whole = [*command, *options, *access]
    # It keeps what it found in the folder in which it runs.
    return subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=250, check=False)


def _work(site: Site, stop: threading.Event) -> None:
    while not stop.wait(1):
        site.finish()
