import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawback.web.refusal import Refused
from clawback.wiring import Desk
from connectors.tokens import Scope
from tests.clawback.web.site import Site, serving, settings_of
from tests.conftest import Clock
from tests.item_worlds import load_items
from tests.worlds import SID, Sale, action

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
BAG = "1000.6.1,1000,16030,501,BAG-1,2027-01-15T10:00:00-05:00,USD,BOOT-42,Shoes,2,80.00,SOCK-9,,3,20.00"
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def documented(desk: Desk, store_url: str, tmp_path: Path, clock: Clock) -> Iterator[Site]:
    """The brand of the page, and somebody who works."""
    with serving(desk, settings_of(tmp_path, store_url), clock) as site:
        load_items(desk, tmp_path, BAG)
        site.load(tmp_path, Sale("1000.4636.158133", "O9999935"), Sale("1000.4636.158134"))
        stop = threading.Event()
        worker = threading.Thread(target=lambda: [site.finish() for _ in iter(lambda: stop.wait(0.2), True)])
        worker.start()
        yield site
        stop.set()
        worker.join()


def test_the_commands_of_the_page_run_as_written(documented: Site, tmp_path: Path) -> None:
    """In their order, in one shell, with the address, the account and the token in the environment."""
    _, secret = documented.office.tokens.make(SID, Scope.WRITE, documented.clock())
    told, exported, *commands = COMMANDS
    assert told.startswith("clawback accounts token")
    names = re.findall(r"export (\w+)=", exported)
    values = (documented.url, SID, secret)
    environ = os.environ | dict(zip(names, values, strict=True))
    script = "set -eu -o pipefail\n" + "".join(commands)
    run = subprocess.run(
        ["bash", "-c", script], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert '"ErrorReason"' in run.stdout
    assert "1000.4636.158133,0,ITEM_RETURNED,applied," in run.stdout
    assert "1000.4636.158134,x,ORDER_UPDATE\n" in run.stdout
    documented.finish()
    for action_id in ("1000.4636.158133", "1000.6.1"):
        assert action(documented.desk.store, action_id)["state"] == "REVERSED"


def test_the_page_tells_every_code() -> None:
    """With its status and its sentence."""
    for one in Refused:
        assert f"| {one.status} | `{one.name}` | {one.sentence} |" in PAGE
