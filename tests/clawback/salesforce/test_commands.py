"""Salesforce sources on the command line, in the flow, and in the settings of another process."""

import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback.cli import main
from clawback.cli.orgs import doubts
from clawback.salesforce_tables import as_table
from clawback.settings import as_environment, load
from clawback.wiring import open_desk
from tests.clawback.salesforce.site import ENVIRON, STATUSES, Crm, crm_at, mapping_table, settings_for
from tests.conftest import Clock
from tests.salesforce_org.server import refusal
from tests.worlds import SID
from tests.worlds import load as load_world

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crm]:
    """An installation whose settings the environment names, and its org."""
    monkeypatch.setenv("CLAWBACK_CONFIG", os.devnull)
    monkeypatch.setenv("CLAWBACK_STATE", str(tmp_path))
    for name, secret in ENVIRON.items():
        monkeypatch.setenv(name, secret)
    clock = Clock()
    with open_desk(load(os.environ), clock) as desk, crm_at(desk, clock, tmp_path) as running:
        load_world(desk, tmp_path)
        yield running


@pytest.fixture
def run(crm: Crm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command as if typed; gives its exit code and its JSON."""

    def typed(*words: str, **its: Any) -> tuple[int, Any]:  # noqa: ANN401 - of the settings
        crm.world.now = datetime.now(UTC)
        settings = settings_for(crm.org, **{"backfill": "ask", **its})
        monkeypatch.setenv("CLAWBACK_SOURCES", json.dumps({"salesforce": [as_table(settings)]}))
        monkeypatch.setattr("sys.argv", ["clawback", *words, "--json"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out = capsys.readouterr().out
        return int(str(ended.value.code or 0)), json.loads(out)

    return typed


def test_a_person_decides_on_what_a_lock_waits_for(crm: Crm, run: Run, tmp_path: Path) -> None:
    """The record said it before the lock, and is still held."""
    lock = datetime.now(UTC) - timedelta(hours=1)
    crm.sell(tmp_path, "O-1", event_at=(lock - timedelta(days=20)).isoformat(), locks_at=lock.isoformat())
    crm.world.now = lock - timedelta(hours=1)
    crm.opportunity("O-1", "Nobody knows")
    code, told = run("sources", "pull", "crm")
    assert told["held"] == 1
    code, told = run("actions", "reverse", "A-O-1", "--account", SID, "--by", "dana")
    assert (code, told["rows"]["applied"], crm.values("O-1")[0]) == (0, 1, "REVERSED")
    assert told["message"] == "It counts as received just before the lock, which waits for what a record said by then."


def test_from_the_first_reading_on(crm: Crm, run: Run, tmp_path: Path) -> None:
    """Check, pull, preview, start; then held records, judged anew or left."""
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    code, told = run("sources", "check", "crm")
    assert (code, [step["message"] for step in told["steps"] if not step["ok"]]) == (0, [])
    crm.opportunity("O-1", "Closed Won", Amount=70.0)
    code, told = run("sources", "start", "crm", "--preview")
    assert (code, told["unread"], told["receipts"]) == (0, ["sales"], [])
    assert run("sources", "start", "crm")[0] == 1
    doubtful = crm.opportunity("O-2", "Nobody knows")
    code, told = run("sources", "pull", "crm")
    assert (code, told["unapproved"], told["held"], told["deliveries"]) == (0, 1, 1, [])
    code, told = run("sources", "start", "crm", "--preview")
    assert (code, told["receipts"][0]["rows"]["applied"], crm.entries()) == (0, 2, [])
    code, told = run("sources", "start", "crm")
    assert (code, crm.values("O-1")) == (0, ("APPROVED", "70.00", "3.50"))
    code, told = run("sources", "held", "crm")
    assert [(one["record"], one["order_id"]) for one in told] == [(doubtful, "O-2")]
    statuses = {"Nobody knows": {"outcome": "reverse", "reason": "OTHER"}}
    code, told = run("sources", "reconsider", "crm", mapping=[mapping_table(statuses=statuses)])
    assert (code, told["held"], crm.values("O-2")[0]) == (0, 0, "REVERSED")
    mended = [mapping_table(statuses=STATUSES | {"Closed Won": {"outcome": "reverse", "reason": "OTHER"}})]
    code, told = run("sources", "reconsider", "crm", "--preview", mapping=mended)
    assert (code, told["records"]["changed"], crm.values("O-1")[0]) == (0, 1, "APPROVED")
    code, told = run("sources", "pull", "crm", mapping=mended)
    assert (code, told["otherwise"], crm.values("O-1")[0]) == (0, 1, "APPROVED")
    code, told = run("sources", "reconsider", "crm", "--all", mapping=mended)
    assert (code, told["records"]["changed"], crm.values("O-1")[0]) == (0, 1, "REVERSED")
    doubtful = crm.opportunity("O-3", "Nobody knows")
    run("sources", "pull", "crm")
    assert run("sources", "leave", "crm", doubtful[:15])[1] == {"source": "crm", "record": doubtful, "ended": 1}
    assert run("sources", "leave", "crm", doubtful)[0] == 2
    assert run("sources", "held", "crm")[1] == []
    run("sources", "pull", "crm")
    code, [told] = run("sources", "list")
    assert (told["kind"], told["last"]["held"]) == ("salesforce", 0)


@pytest.mark.parametrize(("secret", "why"), [("", "empty or not set"), ("short", "no end of an address")])
def test_a_hook_that_stays_closed_is_red(run: Run, monkeypatch: pytest.MonkeyPatch, secret: str, why: str) -> None:
    """All else fits, and nothing that a trigger tells would arrive."""
    hook = {"hook": "env:SF_HOOK", "hook_actions": ["04k5g00000AbCdEAAV"]}
    code, told = run("sources", "check", "crm", **hook)
    assert (code, told["steps"][-1]["message"]) == (0, "hook: env:SF_HOOK is the end of an address")
    monkeypatch.setenv("SF_HOOK", secret)
    code, told = run("sources", "check", "crm", **hook)
    [red] = [step["message"] for step in told["steps"] if not step["ok"]]
    assert (code, red.startswith("hook: its address is closed. The secret env:SF_HOOK"), why in red) == (1, True, True)


def test_what_a_round_left_is_listed(crm: Crm, run: Run) -> None:
    """In a sentence for people: of clocks, of replication, and of calls that run out."""
    run("sources", "list", backfill="apply")
    crm.org.skew, crm.org.used = timedelta(seconds=100), 95_000
    crm.org.fault(refusal(400, "INVALID_REPLICATION_DATE"), "/updated/")
    run("sources", "pull", "crm", api_reserve_percent=1)
    _, [told] = run("sources", "list")
    *first, clock = doubts(told["last"])
    assert (first, re.fullmatch(r"its clock is \+(99|100|101) s from ours", clock) is not None) == (
        ["sales: replication uncovered"],
        True,
    )
    for waited in (False, True):
        code, done = run("sources", "pull", "crm")
        assert (code, done["waited"], done["paused_until"] is not None) == (1, waited, True)
    _, [told] = run("sources", "list")
    assert doubts(told["last"])[-1] == f"few API calls are left; polls wait until {told['last']['paused_until']}"


def test_what_does_not_fit(crm: Crm, run: Run) -> None:
    """A red preflight ends with 1, and so does a pull; files cannot be fetched from an org."""
    wrong = [mapping_table(status="Health__c")]
    code, told = run("sources", "check", "crm", mapping=wrong)
    assert (code, len([step for step in told["steps"] if not step["ok"]])) == (1, 1)
    assert run("sources", "pull", "crm", mapping=wrong)[0] == 1
    assert run("sources", "scan", "crm")[0] == 2
    assert crm.entries() == []


def test_another_process_has_the_same_orgs(crm: Crm, run: Run) -> None:
    """By its environment."""
    run("sources", "list")
    settings = load(os.environ)
    assert load(as_environment(settings), Path("/")) == settings
    assert settings.org("crm").name == "crm"
    assert crm.org.calls == []


def test_the_flow_does_a_round(crm: Crm, run: Run, tmp_path: Path) -> None:
    """What the schedule runs, without Prefect around it; and the lock sweep asks the org."""
    from flows import work  # noqa: PLC0415 - slow to import

    crm.sell(tmp_path, "O-1")
    run("sources", "list", backfill="apply")
    crm.opportunity("O-1", "Closed Lost")
    done = work.observe("crm")
    assert done is not None
    assert (done["records"]["changed"], crm.values("O-1")[0]) == (1, "REVERSED")
    assert work.heed() == 0
    [swept] = work.lock("2027-03-01T00:00:00Z")
    assert (swept["locked"], swept["deferred"], swept["waits_for"]) == (0, 1, ("salesforce:crm",))
