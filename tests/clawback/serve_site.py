"""A real ``clawback serve`` in processes of its own, on free ports, with real clients."""

import atexit
import ftplib
import io
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import select

from clawback.loading import load_actions, load_catalog
from clawback.serving.prefect_environment import home, server_environment
from clawback.settings import Settings
from clawback.wiring import Desk, credentials_folder, open_desk
from connectors.credentials import Credentials
from processing.tables import delivery

SID: Final = "IRacme1"
PASSWORD: Final = "correct horse battery staple"
PATIENCE_S: Final = 120
LOG_LINES: Final = 60
PARTS: Final = ("ftp", "prefect", "worker", "web")
# Web Services cost seconds of each start; for servers that are started for something else.
WITHOUT_WEB: Final = {"CLAWBACK_WEB_SERVE": "off"}
CATALOGUE: Final = """
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
    effective = 2020-01-01
    locking = { months = 1, days = 27, after = "month" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { percent = "5.00" }
"""
Found = TypeVar("Found")


def now() -> datetime:
    """The real time."""
    return datetime.now(UTC)


def load_world(settings: Settings, actions: int, *, fresh: bool = False) -> None:
    """A catalogue, its actions of yesterday, and the brand's password; Prefect's database unless ``fresh``."""
    settings.state.mkdir(parents=True, exist_ok=True)
    if not fresh:
        shutil.copytree(empty_prefect(), home(settings))
    catalogue, file = settings.state / "catalog.toml", settings.state / "actions.csv"
    catalogue.write_text(CATALOGUE)
    day = (now() - timedelta(days=1)).isoformat()
    lines = (f"1000.{n},1000,16027,501,O-{n},{day},100.00,USD\n" for n in range(actions))
    header = "ActionId,CampaignId,ActionTrackerId,MediaPartnerId,Oid,EventDate,Amount,Currency\n"
    file.write_text(header + "".join(lines))
    with open_desk(settings, now) as desk:
        load_catalog(desk, catalogue)
        assert load_actions(desk, file).added == actions
    Credentials(credentials_folder(settings)).set_password(SID, "ftp", PASSWORD)


@cache
def empty_prefect() -> Path:
    """A home of Prefect whose database has all its tables, which takes seconds and is the same each time."""
    settings = Settings(state=Path(tempfile.mkdtemp(prefix="clawback-prefect-")))
    environ = os.environ | server_environment(settings, 0)
    upgrade = (sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes")
    subprocess.run(upgrade, env=environ, check=True, stdout=subprocess.DEVNULL)
    atexit.register(shutil.rmtree, settings.state)
    return home(settings)


def returns(numbers: Iterable[int], cents: int = 5000) -> bytes:
    """A delivery that sets the amounts of these actions."""
    lines = (f"1000.{n},{cents // 100}.{cents % 100:02d},ITEM_RETURNED\n" for n in numbers)
    return ("ActionId,Amount,Reason\n" + "".join(lines)).encode()


def until(found: Callable[[], Found | None], what: str, *, look_s: float = 0.02, log: Callable[[], str] = str) -> Found:
    """What ``found`` gives as soon as it gives something; the end of ``log`` is shown when it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(look_s)
    end = "\n".join(log().splitlines()[-LOG_LINES:])
    raise AssertionError(f"Not within {PATIENCE_S} s: {what}\n{end}")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Site:
    """A state folder and the server on it."""

    settings: Settings
    environ: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    program: str = "from clawback.cli import main; main()"
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """All that the server has said on standard error."""
        path = self.settings.state / "serve.log"
        return path.read_text() if path.exists() else ""

    @property
    def said(self) -> str:
        """All that the server has said on standard output."""
        return (self.settings.state / "serve.out").read_text()

    @property
    def places(self) -> dict[str, Any]:
        """Where everything listens; empty while it is not ready."""
        try:
            places: dict[str, Any] = json.loads((self.settings.state / "serve.json").read_text())
        except FileNotFoundError:
            return {}
        return places

    @property
    def pids(self) -> list[int]:
        """All processes of the server, the supervisor first."""
        places = self.places
        return [places["pid"], *(places[part]["pid"] for part in PARTS)]

    def started(self, part: str) -> list[int]:
        """The processes that a part has had, by the log."""
        return [int(pid) for pid in re.findall(rf"event=started part={part} pid=(\d+)", self.log)]

    def has_said(self, text: str, since: int) -> bool:
        """Whether this is in the log behind so many characters."""
        return text in self.log[since:]

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server and don't wait."""
        state = self.settings.state
        state.mkdir(parents=True, exist_ok=True)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("CLAWBACK_", "PREFECT_"))}
        environ |= {
            "CLAWBACK_STATE": str(state),
            "CLAWBACK_STORE": self.settings.store_url,
            "CLAWBACK_FTP_PORT": "0",
            "CLAWBACK_WEB_PORT": "0",
            "CLAWBACK_PREFECT_PORT": "0",
            **self.environ,
        }
        command = [*self.prefix, sys.executable, "-c", self.program, "serve"]
        with (state / "serve.log").open("ab") as log, (state / "serve.out").open("ab") as out:
            self.process = subprocess.Popen(command, env=environ, stdout=out, stderr=log, start_new_session=True)
        return self.process

    def start(self) -> None:
        """Start the server and wait until all of it is ready."""
        before = self.places.get("pid")
        process = self.launch()

        def ready() -> bool:
            assert process.poll() is None, self.log
            # A server that was killed leaves its file.
            return self.places.get("pid", before) != before

        until(ready, "the server is ready", log=lambda: self.log)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the server in order; gives its exit code."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(30)

    def kill_all(self) -> None:
        """Kill every process of the server at once, as a power cut would."""
        assert self.process is not None
        # The supervisor began a process group, and its parts are in it.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not self.group(), "every process is gone")

    def group(self) -> list[int]:
        """The processes of the server's group that are alive."""
        assert self.process is not None
        alive = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with suppress(FileNotFoundError, ProcessLookupError):
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[2]) == self.process.pid and fields[0] != "Z":
                        alive.append(int(folder.name))
        return alive

    @contextmanager
    def logged_in(self) -> Iterator[ftplib.FTP_TLS]:
        """A brand's session over FTPS."""
        context = ssl.create_default_context(cafile=str(self.settings.state / "tls" / "certificate.pem"))
        with ftplib.FTP_TLS(context=context, timeout=30) as client:  # noqa: S321 - it is what brands use
            client.connect("localhost", self.places["ftp"]["port"])
            client.login(SID, PASSWORD)
            client.prot_p()
            yield client

    def upload(self, name: str, content: bytes) -> float:
        """Upload a file; gives the instant (monotonic) of the 226."""
        with self.logged_in() as client:
            assert client.storbinary(f"STOR {name}", io.BytesIO(content)).startswith("226")
            return time.monotonic()

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """The installation, beside the server."""
        with open_desk(self.settings, now) as desk:
            yield desk

    def until_done(self, *names: str) -> None:
        """Wait until these deliveries are applied and answered."""
        results = self.settings.state / "ftp" / SID / "results"
        with self.desk() as desk:
            for name in names:
                until(partial(is_done, desk, name), f"{name} is applied", log=lambda: self.log)
        for name in names:
            until((results / f"result_{name}").exists, f"{name} is answered")


def is_done(desk: Desk, name: str) -> bool:
    """Whether the newest delivery of this name is applied."""
    with desk.store.read() as db:
        query = select(delivery.c.state).where(delivery.c.name == name).order_by(delivery.c.id.desc()).limit(1)
        return db.execute(query).scalar() == "done"


@contextmanager
def serving(settings: Settings, prefix: tuple[str, ...] = (), **environ: str) -> Iterator[Site]:
    """A server that is ready, and gone afterwards whatever happens."""
    site = Site(settings, environ, prefix)
    try:
        site.start()
        yield site
    finally:
        if site.process is not None:
            site.kill_all()
