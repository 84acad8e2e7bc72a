"""Measures Web Services: pages of a long list, changes against the bare cost of a durable write, and a file's way.

.venv/bin/python bench/web.py                                     the whole measurement
.venv/bin/python bench/web.py --actions 200000 --lines 20000      a quick look
"""

import argparse
import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import anyio
import httpx
import uvicorn
from fastapi import FastAPI, Request

from clawback import pipeline
from clawback.loading import load_actions, load_catalog
from clawback.settings import Settings, WebServer, as_environment
from clawback.wiring import Desk, credentials_folder, open_desk
from connectors.tokens import Scope, Tokens

SID = "IRbench"
CLIENTS = 32
CATALOGUE = """\
[[account]]
sid = "IRbench"
name = "Bench"
timezone = "America/New_York"
currency = "USD"
  [[account.program]]
  id = 1000
  name = "Bench"
    [[account.program.event_type]]
    id = 16027
    name = "Sale"
    level = "order"
    basis = "sale"
    [[account.program.contract]]
    partner = { id = 501, name = "Partner" }
    effective = 2020-01-01
    locking = { months = 3, days = 27, after = "month" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { percent = "5.00" }
"""


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def main() -> None:
    """Measure and print."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--actions", type=int, default=5_000_000)
    ask.add_argument("--lines", type=int, default=1_000_000)
    ask.add_argument("--seconds", type=float, default=10)
    ask.add_argument("--store", default="", help="a database URL; by default a SQLite file")
    ask.add_argument("--bare", metavar="FOLDER", help=argparse.SUPPRESS)
    asked = ask.parse_args()
    if asked.bare:
        uvicorn.run(bare(Path(asked.bare)), port=int(os.environ["PORT"]), log_config=None, access_log=False)
        return
    with tempfile.TemporaryDirectory(prefix="clawback-bench-") as name:
        web = WebServer(port=0, requests_per_hour=0, max_connections=10_000, max_connections_per_address=0)
        settings = Settings(state=Path(name), store=asked.store, web=web)
        _, secret = Tokens(credentials_folder(settings)).make(SID, Scope.WRITE, now())
        with open_desk(settings, now) as desk:
            load(desk, Path(name), asked.actions)
            with served(settings) as (port, server):
                client = httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=(SID, secret), timeout=600)
                pages(client)
                changes(port, secret, asked.seconds, Path(name))
                large(client, server)
                for envelope in desk.spool.pending():
                    desk.spool.acknowledge(envelope.delivery)
                upload(client, desk, Path(name), asked.lines)


def load(desk: Desk, folder: Path, actions: int) -> None:
    """A brand whose actions are all of the last 40 days."""
    (folder / "catalog.toml").write_text(CATALOGUE)
    load_catalog(desk, folder / "catalog.toml")
    step = timedelta(days=40) / actions
    first = now() - timedelta(days=40)
    with (folder / "actions.csv").open("w") as out:
        out.write("ActionId,CampaignId,ActionTrackerId,MediaPartnerId,Oid,EventDate,Amount,Currency\n")
        out.writelines(
            f"1000.{n},1000,16027,501,O-{n},{(first + n * step).isoformat(timespec='seconds')},100.00,USD\n"
            for n in range(actions)
        )
    assert load_actions(desk, folder / "actions.csv").added == actions


@contextmanager
def served(settings: Settings) -> Iterator[tuple[int, int]]:
    """The web server in a process of its own; gives its port and its process."""
    command = [sys.executable, "-m", "clawback.serving.web_part", "0"]
    environ = os.environ | as_environment(replace(settings, store=settings.store_url))
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        report = json.loads(process.stdout.readline())
        assert "ready" in report, report
        yield report["port"], process.pid
        process.terminate()


def pages(client: httpx.Client) -> None:
    """Every page, along the URIs."""
    start, end = (now() - timedelta(days=41)).isoformat(), now().isoformat()
    params = {"CampaignId": "1000", "StartDate": start, "EndDate": end}
    uri = str(httpx.URL(f"/Advertisers/{SID}/Actions.json", params=params))
    took, page = [], {}
    while uri:
        began = time.perf_counter()
        page = client.get(uri).json()
        took.append(time.perf_counter() - began)
        uri = page["@nextpageuri"]
    began = time.perf_counter()
    client.get(page["@lastpageuri"])
    last = time.perf_counter() - began
    longest = max(took[1:], default=0)
    print(
        f"pages: {len(took)}, the first {took[0]:.2f} s, others at most {longest:.2f} s, the last by URI {last:.2f} s"
    )


def changes(port: int, secret: str, seconds: float, folder: Path) -> None:
    """PUTs of 32 clients, here and against a route that only writes the body down."""
    basic = base64.b64encode(f"{SID}:{secret}".encode()).decode()
    ours = asyncio.run(rate(port, f"/Advertisers/{SID}/Actions.json", basic, seconds))
    (folder / "bare").mkdir()
    environ = os.environ | {"PORT": "8431"}
    with subprocess.Popen([sys.executable, __file__, "--bare", str(folder / "bare")], env=environ) as process:
        for _ in range(100):
            time.sleep(0.2)
            try:
                httpx.get("http://127.0.0.1:8431/")
                break
            except httpx.TransportError:
                continue
        plain = asyncio.run(rate(8431, "/bare", basic, seconds))
        process.terminate()
    print(f"changes: {ours:.0f}/s, a bare route {plain:.0f}/s, {ours / plain:.0%}")


def bare(folder: Path) -> FastAPI:
    """A route that writes the body to a file and fsyncs it."""
    app = FastAPI()

    def write(body: bytes) -> None:
        handle = os.open(folder / uuid4().hex, os.O_WRONLY | os.O_CREAT)
        os.write(handle, body)
        os.fsync(handle)
        os.close(handle)

    @app.put("/bare")
    async def put(request: Request) -> dict[str, str]:
        await anyio.to_thread.run_sync(write, await request.body())
        return {"Status": "QUEUED"}

    return app


async def rate(port: int, path: str, basic: str, seconds: float) -> float:
    """Requests a second of clients that each wait for their answer."""
    body = b"ActionId=1000.1&Amount=79.90&Reason=ORDER_UPDATE"
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {basic}\r\n"
    request = (
        f"{head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    until = time.perf_counter() + seconds

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while time.perf_counter() < until:
            writer.write(request)
            told = await reader.readuntil(b"\r\n\r\n")
            assert told.startswith(b"HTTP/1.1 200"), told
            length = next(line for line in told.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            count += 1
        writer.close()
        return count

    return sum(await asyncio.gather(*(client() for _ in range(CLIENTS)))) / seconds


def large(client: httpx.Client, server: int) -> None:
    """A body of 1 GiB, and what it adds to the server's memory."""
    block = b"1000.1,50.00,ORDER_UPDATE\n" * (2**20 // 26)
    blocks = 2**30 // len(block)
    # From here on the peak counts anew.
    Path(f"/proc/{server}/clear_refs").write_text("5")
    before_mib = memory_mib(server, "VmRSS")
    began = time.perf_counter()
    body = (block for _ in range(blocks))
    client.post(f"/Advertisers/{SID}/Deliveries.json", content=body).raise_for_status()
    took = time.perf_counter() - began
    mib, peak_mib = blocks * len(block) / 2**20, memory_mib(server, "VmHWM")
    print(f"a body of {mib:,.0f} MiB: {mib / took:.0f} MiB/s, the server's memory {before_mib} MiB, at most {peak_mib}")


def memory_mib(process: int, what: str) -> int:
    """A process's memory, by its name in /proc."""
    [kib] = re.findall(rf"{what}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(kib) // 1024


def upload(client: httpx.Client, desk: Desk, folder: Path, lines: int) -> None:
    """A file by HTTP, to disk and to the ledger, and another by the command line's way."""
    took = {}
    for way, cents in (("http", 20), ("ingest", 10)):
        file = folder / f"{way}.csv"
        file.write_text(
            "ActionId,Amount,Reason\n" + "".join(f"1000.{n},50.{cents},ORDER_UPDATE\n" for n in range(lines))
        )
        began = time.perf_counter()
        if way == "http":
            with file.open("rb") as content:
                delivery = client.post(f"/Advertisers/{SID}/Deliveries.json", content=content).json()["DeliveryId"]
            stored = time.perf_counter() - began
        else:
            delivery = desk.spool.land(file.read_bytes(), account=SID, channel="cli", name=file.name).delivery
        receipt = pipeline.ingest(desk, delivery, at=now())
        took[way] = time.perf_counter() - began
        assert receipt["rows"]["applied"] == lines, receipt["rows"]
    size = (folder / "http.csv").stat().st_size / 2**20
    print(f"upload: {size:.0f} MiB stored in {stored:.2f} s ({size / stored:.0f} MiB/s)")
    print(
        f"the whole way: {took['http']:.1f} s, ingest {took['ingest']:.1f} s, {took['http'] / took['ingest']:.2f} times"
    )


if __name__ == "__main__":
    main()
