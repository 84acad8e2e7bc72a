"""``clawback serve`` end to end: one command, real processes, real clients."""

import json
import os
import signal
import socket
import sqlite3
import statistics
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from clawback.serving.prefect_environment import home
from clawback.settings import Settings
from tests.clawback.serve_site import (
    PARTS,
    SID,
    WITHOUT_WEB,
    Site,
    is_alive,
    is_done,
    load_world,
    returns,
    serving,
    until,
)

pytestmark = pytest.mark.xdist_group("serve")
FILES = 8
LINES = 100


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for the tests that leave it running."""
    settings = Settings(state=tmp_path_factory.mktemp("serve") / "var")
    load_world(settings, 3000, fresh=True)
    with serving(settings, CLAWBACK_SCHEDULE_COLLECT_EVERY_S="4", CLAWBACK_SCHEDULE_LOCK_EVERY_S="5") as site:
        yield site


def ask(site: Site, path: str, **body: object) -> Any:  # noqa: ANN401 - any JSON
    """What Prefect's API answers."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{site.places['prefect']['api']}{path}",
        json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
        return json.load(answer)


def runs(site: Site, flow: str, **run: object) -> list[dict[str, Any]]:
    """The newest flow runs of a flow."""
    found: list[dict[str, Any]] = ask(
        site,
        "/flow_runs/filter",
        flows={"name": {"any_": [flow]}},
        flow_runs=run,
        sort="START_TIME_DESC",
        limit=20,
    )
    return found


def test_says_where_everything_is(site: Site) -> None:
    """One line each on standard output, once all is ready, and a file for programs."""
    places = site.places
    until(lambda: "Ready" in site.said, "it says that it is ready")
    assert site.said.splitlines() == [
        f"FTP      127.0.0.1:{places['ftp']['port']}, TLS required",
        f"Web      {places['web']['url']}",
        f"Prefect  {places['prefect']['url']}",
        f"Store    {site.settings.store_url}",
        f"State    {site.settings.state}",
        "Ready. Ctrl-C ends it.",
    ]
    assert all(is_alive(pid) for pid in site.pids)


def test_applies_soon_and_says_how_soon(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """From the client's 226 to applied, for files of 100 lines one after the other."""
    took = []
    with site.desk() as desk:
        for number in range(FILES):
            name = f"quick{number}.csv"
            done = site.upload(name, returns(range(number * LINES, (number + 1) * LINES)))
            until(partial(is_done, desk, name), f"{name} is applied", look_s=0.005)
            took.append(time.monotonic() - done)
    with capsys.disabled():
        told = f"median {statistics.median(took):.2f} s, slowest {max(took):.2f} s"
        print(f"\n226 to applied, {FILES} files of {LINES} lines: {told}")  # noqa: T201 - a measurement
    assert statistics.median(took) < 10
    site.until_done(*(f"quick{number}.csv" for number in range(FILES)))
    with site.logged_in() as client:
        assert f"result_quick{FILES - 1}.csv" in client.nlst("results")


def test_prefect_tells_what_happened(site: Site) -> None:
    """A delivery's flow run is named after its account and carries its counts."""
    site.upload("seen.csv", returns(range(1000, 1010)))
    site.until_done("seen.csv")
    run = until(
        lambda: next((run for run in runs(site, "ingest") if "applied 10" in (run["state"]["message"] or "")), None),
        "the flow run is completed",
    )
    assert run["name"].startswith(f"{SID} 20")
    assert run["state"]["type"] == "COMPLETED"


def test_schedules_are_deployments_that_run(site: Site) -> None:
    """Prefect shows, plans and counts them; what was planned has run."""
    wanted = {"ingest", "collect", "lock_due", "observe", "pull", "send"}

    def are_there() -> bool:
        deployments = ask(site, "/deployments/filter", limit=10)
        return {one["entrypoint"].rpartition(":")[2] for one in deployments} == wanted

    # That of pulls comes when all is ready.
    until(are_there, "all deployments are there")
    for flow in ("collect", "lock_due"):
        planned = {"tags": {"all_": ["auto-scheduled"]}, "state": {"type": {"any_": ["COMPLETED"]}}}
        until(partial(runs, site, flow, **planned), f"{flow} has run as planned")


def test_ui_is_ours_alone(site: Site) -> None:
    """The UI asks our own port and offers no second UI, which would call a server on the internet."""
    url = site.places["prefect"]["url"]
    with urllib.request.urlopen(url, timeout=10) as page:  # noqa: S310 - our own server
        assert b"<html" in page.read()
    with urllib.request.urlopen(f"{url}/ui-settings", timeout=10) as answer:  # noqa: S310 - our own server
        told = json.load(answer)
    assert told["api_url"] == f"{url}/api"
    assert told["available_uis"] == ["v1"]


def test_second_server_is_refused(site: Site) -> None:
    """On the same state folder, with a clear sentence and exit code 1."""
    second = Site(site.settings)
    command = second.launch()
    assert command.wait(60) == 1
    assert f"Another clawback serve (process {site.pids[0]}) works in {site.settings.state}." in site.log
    assert is_alive(site.pids[0])


@pytest.mark.parametrize("setting", ["CLAWBACK_FTP_PORT", "CLAWBACK_PREFECT_PORT"])
def test_taken_port_is_said(setting: str, tmp_path: Path) -> None:
    """A port that somebody else has is a sentence and exit code 1, and no process stays."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        site = Site(Settings(state=tmp_path / "var"), {setting: port})
        assert site.launch().wait(60) == 1
    assert port in site.log.splitlines()[-1]
    assert site.log.splitlines()[-1].startswith("clawback: ")
    assert not site.group()


@pytest.mark.parametrize("part", PARTS)
def test_dead_part_is_replaced(site: Site, part: str) -> None:
    """Killed, it is started again at the same place; deliveries go on."""
    before = site.places
    os.kill(before[part]["pid"], signal.SIGKILL)
    if part != "ftp":
        # The server goes on taking files meanwhile.
        site.upload(f"during-{part}.csv", returns(range(2000, 2010), cents=1000 + PARTS.index(part)))
    until(lambda: site.places[part]["pid"] not in {None, before[part]["pid"]}, f"{part} is back", log=lambda: site.log)
    site.upload(f"after-{part}.csv", returns(range(2000, 2010), cents=2000 + PARTS.index(part)))
    site.until_done(f"after-{part}.csv", *([] if part == "ftp" else [f"during-{part}.csv"]))
    assert site.places["ftp"]["port"] == before["ftp"]["port"]
    assert site.places["prefect"]["url"] == before["prefect"]["url"]
    assert f"event=died part={part}" in site.log


def test_hanging_part_is_replaced(tmp_path: Path) -> None:
    """A part that does not become ready is killed and started again; its log says where it hung."""
    patient = "import clawback.serve; clawback.serve.READY_S = 8; "
    site = Site(Settings(state=tmp_path / "var"), WITHOUT_WEB)
    site.program = patient + site.program
    load_world(site.settings, 100)
    try:
        site.start()
        before = site.places["ftp"]
        os.kill(before["pid"], signal.SIGKILL)
        hung = until(lambda: next((pid for pid in site.started("ftp") if pid != before["pid"]), None), "it is started")
        os.kill(hung, signal.SIGSTOP)
        until(lambda: site.places["ftp"]["pid"] not in {None, before["pid"], hung}, "ftp is back", log=lambda: site.log)
        site.upload("after.csv", returns(range(100)))
        site.until_done("after.csv")
        assert site.places["ftp"]["port"] == before["port"]
        assert "was not ready after 8 s" in site.log
    finally:
        site.kill_all()


def test_parts_tell_where_they_are(site: Site) -> None:
    """SIGUSR1 makes a part say what its threads are doing, and changes nothing else."""
    for part in PARTS:
        before = len(site.log)
        os.kill(site.places[part]["pid"], signal.SIGUSR1)
        until(partial(site.has_said, "most recent call first", before), f"{part} tells")
    assert all(is_alive(pid) for pid in site.pids)


def test_frozen_prefect_holds_nothing_up(site: Site) -> None:
    """A Prefect that takes requests and never answers is worse than a dead one."""
    frozen = site.places["prefect"]["pid"]
    os.kill(frozen, signal.SIGSTOP)
    began = time.monotonic()
    try:
        for name in ("frozen1.csv", "frozen2.csv"):
            site.upload(name, returns(range(2100, 2110), cents=int(name[6]) * 100))
        site.until_done("frozen1.csv", "frozen2.csv")
        assert time.monotonic() - began < 20
    finally:
        os.kill(frozen, signal.SIGCONT)
    assert "event=prefect_away" in site.log
    until(lambda: site.log.rfind("prefect_answers") > site.log.rfind("prefect_away"), "Prefect is back")


def test_broken_delivery_does_not_stop_the_others(site: Site) -> None:
    """Damaged bytes in the spool are put off with growing waits; what came later is applied."""
    worker = site.places["worker"]["pid"]
    os.kill(worker, signal.SIGSTOP)
    site.upload("damaged.csv", returns(range(2200, 2210)))
    (landed,) = (site.settings.state / "spool" / "new").iterdir()
    content = landed / "content"
    content.write_bytes(content.read_bytes().replace(b"50.00", b"99.99"))
    site.upload("sound.csv", returns(range(2210, 2220)))
    os.kill(worker, signal.SIGCONT)
    site.until_done("sound.csv")
    time.sleep(3)
    tries = site.log.count(f"event=put_off delivery={landed.name}")
    assert 1 <= tries <= 4
    for path in sorted(landed.iterdir()):
        path.unlink()
    landed.rmdir()


def test_locked_prefect_holds_nothing_up(site: Site) -> None:
    """A Prefect that says it is well while its database is locked: deliveries are applied, and a worker starts."""
    before = site.places["worker"]["pid"]
    database = sqlite3.connect(home(site.settings) / "prefect.db", isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        site.upload("locked.csv", returns(range(2120, 2130)))
        site.until_done("locked.csv")
        os.kill(before, signal.SIGKILL)
        until(lambda: site.places["worker"]["pid"] not in {None, before}, "the worker is back", log=lambda: site.log)
    finally:
        database.close()


def test_ends_in_order(tmp_path: Path) -> None:
    """SIGTERM and SIGINT end everything within seconds, exit code 0; what was in hand is finished at the next start."""
    site = Site(Settings(state=tmp_path / "var"))
    load_world(site.settings, 100)
    site.start()
    site.upload("last.csv", returns(range(100)))
    began = time.monotonic()
    assert site.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 10
    assert not site.group()
    assert not site.places
    site.start()
    site.until_done("last.csv")
    assert site.stop(signal.SIGINT) == 0
    assert not site.group()


def test_nobody_outlives_the_supervisor(tmp_path: Path) -> None:
    """SIGKILL of the supervisor alone: its parts end by themselves, and a new server starts at once."""
    site = Site(Settings(state=tmp_path / "var"))
    load_world(site.settings, 100)
    site.start()
    pids = site.pids
    os.kill(pids[0], signal.SIGKILL)
    assert site.process is not None
    site.process.wait()
    with serving(site.settings) as again:
        assert not any(is_alive(pid) for pid in pids)
        again.upload("again.csv", returns(range(100)))
        again.until_done("again.csv")


def test_needs_no_prefect(tmp_path: Path) -> None:
    """With Prefect held away for good, deliveries are applied and both schedules still run."""
    site = Site(Settings(state=tmp_path / "var"), {"CLAWBACK_SCHEDULE_COLLECT_EVERY_S": "2"})
    load_world(site.settings, 100)
    try:
        site.start()
        # The next ones cannot even be imported, so it never comes back.
        broken = site.settings.state / "prefect" / "logging.yml"
        broken.write_text("]")
        os.kill(site.places["prefect"]["pid"], signal.SIGKILL)
        site.upload("alone.csv", returns(range(100)))
        site.until_done("alone.csv")
        until(lambda: "running flow=collect without=prefect" in site.log, "collect runs without Prefect")
        assert site.stop() == 0
    finally:
        site.kill_all()


def test_password_of_the_store_is_nowhere(tmp_path: Path) -> None:
    """Neither on standard output, nor in the log, nor in the file for programs, also when the store fails."""
    secret = "s3cr%26t"
    settings = Settings(state=tmp_path / "var", store=f"postgresql://clawback:{secret}@127.0.0.1:1/none")
    with serving(settings, CLAWBACK_SCHEDULE_COLLECT_EVERY_S="1") as site:
        until(lambda: "StoreUnavailable" in site.log or "failed" in site.log, "the store does not answer")
        said = site.said + site.log + json.dumps(site.places)
        assert "postgresql://clawback:***@127.0.0.1:1/none" in said
        assert secret not in said
        assert "s3cr&t" not in said


def test_calls_nobody(tmp_path: Path) -> None:
    """No process of the server connects or sends to anything but the loopback, nor asks anybody for a name."""
    log = tmp_path / "calls"
    settings = Settings(state=tmp_path / "var")
    load_world(settings, 100, fresh=True)
    # connect() and sendto() of every process, with their addresses.
    trace = ("strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-e", "signal=none", "-o", str(log))
    with serving(settings, trace) as site:
        site.upload("offline.csv", returns(range(100)))
        site.until_done("offline.csv")
    calls = [line for line in log.read_text(errors="replace").splitlines() if "sin_addr" in line or "sin6_addr" in line]
    outside = [line for line in calls if ("127.0.0.1" not in line and '"::1"' not in line) or "htons(53)" in line]
    assert calls
    assert outside == []
