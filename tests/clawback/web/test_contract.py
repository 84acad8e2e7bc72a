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
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
# Links, and values that were met in answers, are read from JSON only; requests are the same for both.
PHASES = {"application/json": "examples,coverage,fuzzing,stateful", "application/xml": "examples,fuzzing"}
EXAMPLES = int(os.environ.get("CLAWBACK_API_EXAMPLES", "2"))
# What a change breaks is told by the run of that change, not by a later one that drew other numbers.
SEED = os.environ.get("CLAWBACK_API_SEED", "1")


@pytest.mark.timeout(280)
@pytest.mark.parametrize("accepted", PHASES)
def test_the_api_keeps_its_document(desk: Desk, store_url: str, tmp_path: Path, clock: Clock, accepted: str) -> None:
    """Schemathesis, with all its checks and along the links, finds nothing, while what it lands is being judged."""
    with serving(desk, settings_of(tmp_path, store_url, idle_timeout_s=1), clock) as site:
        site.load(tmp_path, *(Sale(f"A-{number}", f"O-{number}") for number in range(5)))
        stop = threading.Event()
        worker = threading.Thread(target=_work, args=(site, stop))
        worker.start()
        try:
            found = _schemathesis(site, accepted, tmp_path)
        finally:
            stop.set()
            worker.join()
    assert found.returncode == 0, found.stdout
    assert "25 selected / 25 total" in found.stdout


def _schemathesis(site: Site, accepted: str, folder: Path) -> subprocess.CompletedProcess[str]:
    with site.client() as client:
        client.put("/Actions", data={"ActionId": "A-1", "Amount": "1", "Reason": "ORDER_UPDATE"})
        client.post("/Deliveries", content=lines("ActionId,Amount,Reason", "A-2,x,OTHER", "A-3,0,OTHER"))
    site.finish()
    _, secret = site.office.tokens.make(SID, Scope.WRITE, site.clock())
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{site.url}/openapi"]
    # One worker: parsing Python in two threads breaks the interpreter's parser (3.11), which Hypothesis calls.
    bounds = ["--phases", PHASES[accepted], "--max-examples", str(EXAMPLES), "--seed", SEED]
    options = ["--checks", "all", *bounds, "--no-color"]
    access = ["--auth", f"{SID}:{secret}", "--header", f"Accept: {accepted}"]
    whole = [*command, *options, *access]
    # It keeps what it found in the folder in which it runs.
    environ = os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)}
    return subprocess.run(whole, cwd=folder, env=environ, capture_output=True, text=True, timeout=250, check=False)


def _work(site: Site, stop: threading.Event) -> None:
    while not stop.wait(1):
        site.finish()
