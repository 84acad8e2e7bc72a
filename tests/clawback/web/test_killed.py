"""Kill -9 of web server and pipeline while programs retry: every request is done once, none is lost or done twice."""

import json
import os
import random
import signal
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

import httpx
import pytest
from sqlalchemy import select

from clawback import pipeline
from clawback.settings import Settings, as_environment
from clawback.wiring import credentials_folder, open_desk
from connectors.tokens import Scope, Tokens
from processing.deliveries import DeliveryState
from processing.tables import delivery
from tests.clawback.serve_site import now
from tests.clawback.web import forked
from tests.clawback.web.site import settings_of
from tests.conftest import new_store
from tests.connectors.ftp_site import eventually
from tests.forking import FORKING
from tests.worlds import SID, Sale, action, load

CLIENTS: Final = 8
ACTIONS: Final = 5
PATIENCE_S: Final = 120
# Between two requests of a program: without it there are more of them than the pipeline judges in a test's time.
PAUSE_S: Final = 0.2


@dataclass
class Server:
    """The web server's processes, at one address whatever happens to them."""

    settings: Settings
    port: int = 0
    process: ForkServerProcess | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        theirs, self._orders = FORKING.Pipe(duplex=False)
        reports, told = FORKING.Pipe(duplex=False)
        environ = as_environment(self.settings)
        self.process = FORKING.Process(
            target=forked.serve, args=(theirs, told, self.settings.state / "web.log", environ, self.port)
        )
        self.process.start()
        theirs.close()
        told.close()
        with os.fdopen(os.dup(reports.fileno()), "rb") as lines:
            report = json.loads(lines.readline())
        assert "ready" in report, report
        self.port = report["port"]

    def kill_worker(self) -> None:
        """Kill the second process as soon as it is there; the first goes on, and starts another."""
        assert self.process is not None
        assert eventually(lambda: bool(self._workers()))
        for worker in self._workers():
            os.kill(worker, signal.SIGKILL)

    def _workers(self) -> list[int]:
        # Each thread has children of its own.
        assert self.process is not None
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for thread in threads for child in thread.read_text().split()]

    @property
    def is_alive(self) -> bool:
        """Whether its first process is there."""
        return self.process is not None and self.process.is_alive()

    def kill(self) -> None:
        """Kill all of it at once."""
        assert self.process is not None
        assert self.process.pid is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        # Another process that listened may take a little longer to die.
        assert eventually(self._is_free)

    def _is_free(self) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.settings.web.host, self.port))
            except OSError:
                return False
            return True


@dataclass
class Applying:
    """The process that applies what has landed."""

    settings: Settings
    process: ForkServerProcess | None = None

    def start(self) -> None:
        """Start it."""
        self._begun = FORKING.Event()
        log = self.settings.state / "applying.log"
        self.process = FORKING.Process(target=forked.apply, args=(log, as_environment(self.settings), self._begun))
        self.process.start()

    def kill(self) -> None:
        """Kill it wherever it is, but not before it has applied something: a slow machine would never come to that."""
        assert self.process is not None
        assert self._begun.wait(PATIENCE_S), (self.settings.state / "applying.log").read_text()
        assert self.process.is_alive(), (self.settings.state / "applying.log").read_text()
        self.end()

    def end(self) -> None:
        """End it, if it was started."""
        if self.process is not None:
            self.process.kill()
            self.process.join()


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[Server, Applying]]:
    """A server and what applies, both of which are gone afterwards."""
    server, applying = Server(settings), Applying(settings)
    try:
        server.start()
        applying.start()
        yield server, applying
    finally:
        server.kill()
        applying.end()


@dataclass
class Program:
    """A brand's program: sends each change one to five times, and again until it is answered."""

    number: int
    url: str
    auth: tuple[str, str]
    stop: threading.Event
    # What it asked for, by action in order, and all answers that each key got.
    asked: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def run(self) -> None:
        """Ask for changes until told to stop."""
        chance = random.Random(self.number)  # noqa: S311 - no secret
        with httpx.Client(auth=self.auth, trust_env=False) as client:
            turn = 0
            while not self.stop.is_set():
                turn += 1
                self._ask(client, chance, turn)

    def _ask(self, client: httpx.Client, chance: random.Random, turn: int) -> None:
        action_id = f"P{self.number}-{chance.randrange(ACTIONS)}"
        amount = f"{turn % 90 + 5}.{turn % 100:02d}"
        self.asked[action_id].append(amount)
        for _ in range(chance.randint(1, 5)):
            self._send(
                client, f"{self.number} {turn}", {"ActionId": action_id, "Amount": amount, "Reason": "ORDER_UPDATE"}
            )

    def _send(self, client: httpx.Client, key: str, body: dict[str, str]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = client.put(self.url, data=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            time.sleep(PAUSE_S)
            self.answers[key].add(answer.json()["QueuedUri"].rpartition("/A-")[2])
            return
        raise AssertionError(key)


def strike(server: Server, applying: Applying, number: int) -> None:
    """Kill one part or both, and start it again; of two web processes one alone now and then."""
    # Before the server, so that there is something to apply.
    if number % 3:
        applying.kill()
        applying.start()
    if number % 3 != 1:
        if server.settings.web.workers > 1 and number % 2:
            server.kill_worker()
        else:
            server.kill()
    if not server.is_alive:
        server.start()


@pytest.mark.parametrize(
    ("kind", "workers", "kills", "longest_s"),
    [("sqlite", 1, 94, 0.4), ("sqlite", 2, 6, 3.0), ("postgresql", 1, 20, 0.4)],
)
def test_every_request_is_done_once(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, workers: int, kills: int, longest_s: float
) -> None:
    """Eight programs, a server that dies again and again: the ledger is that of each change made once, in order."""
    settings = settings_of(tmp_path, new_store(request, kind, tmp_path), port=0, workers=workers)
    _, secret = Tokens(credentials_folder(settings)).make(SID, Scope.WRITE, now())
    stop, chance = threading.Event(), random.Random(20270120)  # noqa: S311 - the same moments every time
    with open_desk(settings, now) as desk:
        load(desk, tmp_path, [Sale(f"P{p}-{n}", locks_at="2099-01-01") for p in range(CLIENTS) for n in range(ACTIONS)])
        with serving(settings) as (server, applying):
            url = f"http://127.0.0.1:{server.port}/Advertisers/{SID}/Actions.json"
            programs = [Program(number, url, (SID, secret), stop) for number in range(CLIENTS)]
            threads = [threading.Thread(target=program.run) for program in programs]
            for thread in threads:
                thread.start()
            try:
                for number in range(kills):
                    time.sleep(chance.uniform(0.1, longest_s))
                    strike(server, applying, number)
                time.sleep(0.5)
            finally:
                stop.set()
            for thread in threads:
                thread.join()
        answers = {(p.number, key): given for p in programs for key, given in p.answers.items()}
        assert {len(given) for given in answers.values()} == {1}
        waited = len(desk.spool.pending())
        assert not pipeline.collect(desk, at=now()).failures
        with desk.store.read() as db:
            judged = (
                db.execute(select(delivery.c.delivery).where(delivery.c.state == DeliveryState.DONE)).scalars().all()
            )
        assert sorted(judged) == sorted(number for given in answers.values() for number in given)
        assert desk.spool.pending() == []
        for program in programs:
            for action_id, amounts in program.asked.items():
                entries = action(desk.store, action_id)["history"]
                assert [one["after"]["amount"] for one in entries] == _changing(amounts)
    assert len(judged) - waited > CLIENTS


def _changing(amounts: list[str]) -> list[str]:
    """What the ledger makes of amounts that are asked for one after the other: a new one each time it differs."""
    before, made = "100.00", []
    for amount in amounts:
        if amount != before:
            made.append(amount)
            before = amount
    return made
