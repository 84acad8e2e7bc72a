"""The supervisor: starts the parts of a server, each in a process of its own, restarts what dies, ends all in order."""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from clawback.serving import logs, prefect_environment
from clawback.serving.part import TELL_WHERE, now
from clawback.settings import Settings, as_environment
from clawback.wiring import open_spool
from connectors.durable import PRIVATE_FILE, claim_or_leave, ensure_folder, replace_file
from processing.errors import ClawbackError

_log = logging.getLogger(__name__)

PLACES: Final = "serve.json"
ENDING_S: Final = 5
# How long the parts of a server that was killed may take to notice.
TAKE_OVER_S: Final = 8
TAKE_OVER_LOOK_S: Final = 0.05
FIRST_TRIES: Final = 3
LONGEST_WAIT_S: Final = 60
HEALTHY_S: Final = 60
# How long a part may take to be ready; the first time Prefect makes its database.
READY_S: Final = 60
FIRST_READY_S: Final = 300
TELLING_S: Final = 1


class NotServing(ClawbackError):
    """The server cannot start: another one runs, or what it needs is taken."""


@dataclass(slots=True)
class Part:
    """A process that the supervisor keeps alive, and what it reported."""

    name: str
    environ: Callable[[], dict[str, str]]
    process: Process | None = None
    port: int = 0
    bound: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    was_ready: bool = False
    failure: str = ""

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self.process.pid if self.process and self.process.returncode is None else None


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``tell`` is told where everything listens once all is ready.

    Raises NotServing, and Unusable for settings that cannot be used.
    """
    logs.configure("serve", settings)
    ensure_folder(settings.state)
    with _claimed(settings) as claim:
        open_spool(settings, now).sweep_leftovers()
        asyncio.run(_Server(settings, claim, tell).run())


class _Server:
    def __init__(self, settings: Settings, claim: int, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._claim = claim
        self._tell = tell
        self._stopping = asyncio.Event()
        self._told = False
        self._environ = prefect_environment.without_prefect(os.environ) | as_environment(settings)
        self._ftp = Part("ftp", lambda: self._environ)
        self._web = Part("web", lambda: self._environ)
        self._prefect = Part("prefect", lambda: self._environ)
        self._worker = Part("worker", self._worker_environ)
        self._inboxes = [Part("smtp", lambda: self._environ)] if settings.smtp.domain else []
        # They end in this order: no new files, then what is in hand, then what records it.
        web = [self._web] if settings.web.serve == "on" else []
        self._parts = (self._ftp, *web, *self._inboxes, self._worker, self._prefect)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        keepers = [asyncio.create_task(self._keep(part)) for part in self._parts]
        try:
            stopped = asyncio.create_task(self._stopping.wait())
            done, _ = await asyncio.wait([stopped, *keepers], return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            self._stopping.set()
            _log.info("stopping")
            for part in self._parts:
                await _end(part)
            await asyncio.gather(*keepers, return_exceptions=True)
            _places(self._settings).unlink(missing_ok=True)
            _log.info("stopped")

    async def _keep(self, part: Part) -> None:
        """Run a part, again and again; raises NotServing when it does not even start."""
        if part is self._worker:
            await self._until(self._prefect.bound)
        wait_s, tries = 1.0, 0
        while not self._stopping.is_set():
            started = asyncio.get_running_loop().time()
            code = await self._live(part)
            if self._stopping.is_set():
                return
            tries += 1
            if not part.was_ready and (part.failure or tries >= FIRST_TRIES):
                raise NotServing(part.failure or f"The {part.name} process died {tries} times; the log above says why.")
            if asyncio.get_running_loop().time() - started > HEALTHY_S:
                wait_s = 1.0
            _log.error("died part=%s code=%s because=%r again_in_s=%g", part.name, code, part.failure, wait_s)
            await self._until(self._stopping, wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _live(self, part: Part) -> int:
        part.failure = ""
        module = f"clawback.serving.{part.name}_part"
        command = [sys.executable, "-m", module, str(part.port)]
        part.process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=part.environ(), pass_fds=[self._claim]
        )
        if self._stopping.is_set():
            part.process.terminate()
        _log.info("started part=%s pid=%d", part.name, part.process.pid)
        assert part.process.stdout is not None  # noqa: S101 - it is a pipe
        watching = asyncio.create_task(_end_if_hung(part, part.process))
        async for line in part.process.stdout:
            self._hear(part, json.loads(line))
        code = await part.process.wait()
        watching.cancel()
        part.ready.clear()
        return code

    def _hear(self, part: Part, report: dict[str, Any]) -> None:
        part.failure = report.get("failed", "")
        if "port" in report:
            part.port = report["port"]
            part.bound.set()
        if "ready" in report:
            part.ready.set()
            part.was_ready = True
            _log.info("ready part=%s pid=%s", part.name, part.pid)
        if all(one.ready.is_set() for one in self._parts) and not self._stopping.is_set():
            self._announce()

    def _announce(self) -> None:
        places = self._told_places()
        replace_file(_places(self._settings), json.dumps(places, indent=2).encode() + b"\n")
        if not self._told:
            self._told = True
            _log.info("ready part=all")
            ftp, prefect = places["ftp"], places["prefect"]
            self._tell(f"FTP      {ftp['host']}:{ftp['port']}, TLS {ftp['tls']}")
            for smtp in (places["smtp"],) if self._inboxes else ():
                place = f"{smtp['host']}:{smtp['port']}, TLS {smtp['tls']}, for {smtp['domain']}"
                self._tell(f"E-mail   {place}, {self._settings.relay.host or 'no'} relay")
            if places["web"]:
                self._tell(f"Web      {places['web']['url']}")
            self._tell(f"Prefect  {prefect['url']}")
            self._tell(f"Store    {places['store']}")
            self._tell(f"State    {places['state']}")
            self._tell("Ready. Ctrl-C ends it.")

    def _told_places(self) -> dict[str, Any]:
        settings, prefect = self._settings, self._prefect
        api = prefect_environment.api_url(settings, prefect.port)
        smtp = settings.smtp
        inboxes = {
            part.name: {"host": smtp.host, "port": part.port, "tls": smtp.tls, "domain": smtp.domain, "pid": part.pid}
            for part in self._inboxes
        }
        return {
            "pid": os.getpid(),
            "state": str(settings.state),
            "store": logs.without_secrets(settings.store_url),
            "ftp": {"host": settings.ftp.host, "port": self._ftp.port, "tls": settings.ftp.tls, "pid": self._ftp.pid},
            **inboxes,
            "web": self._told_web() if self._web in self._parts else None,
            "prefect": {"url": api.removesuffix("/api"), "api": api, "port": prefect.port, "pid": prefect.pid},
            "worker": {"pid": self._worker.pid},
        }

    def _told_web(self) -> dict[str, Any]:
        web, port = self._settings.web, self._web.port
        host = f"[{web.host}]" if ":" in web.host else web.host
        url = f"http{'s' if web.tls == 'on' else ''}://{host}:{port}"
        return {"url": url, "port": port, "pid": self._web.pid}

    def _worker_environ(self) -> dict[str, str]:
        return self._environ | prefect_environment.client_environment(self._settings, self._prefect.port)

    async def _until(self, event: asyncio.Event, seconds: float | None = None) -> None:
        """Wait for the event, or that long, or until told to stop."""
        waits = {asyncio.create_task(event.wait()), asyncio.create_task(self._stopping.wait())}
        _, others = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for one in others:
            one.cancel()


async def _end_if_hung(part: Part, process: Process) -> None:
    """Kill a part that does not become ready: it is as good as dead, and nobody else would start it anew."""
    patience_s = READY_S if part.was_ready else FIRST_READY_S
    try:
        await asyncio.wait_for(part.ready.wait(), patience_s)
    except TimeoutError:
        part.failure = (
            f"The {part.name} process was not ready after {patience_s:g} s; the log above says where it hung."
        )
        with suppress(ProcessLookupError):
            process.send_signal(TELL_WHERE)
            await asyncio.sleep(TELLING_S)
            process.kill()


async def _end(part: Part) -> None:
    if part.process is None or part.pid is None:
        return
    with suppress(ProcessLookupError):
        part.process.terminate()
    try:
        await asyncio.wait_for(part.process.wait(), ENDING_S)
    except TimeoutError:
        _log.warning("killed part=%s after_s=%g", part.name, ENDING_S)
        with suppress(ProcessLookupError):
            part.process.kill()


@contextmanager
def _claimed(settings: Settings) -> Iterator[int]:
    """Hold the state folder, and give the claim that the parts inherit: it is free only when all of them are gone."""
    with _open(settings.state / "serve.claim") as own, _open(settings.state / "serve.parts") as parts:
        if not claim_or_leave(own):
            owner = os.pread(own, 32, 0).decode("ascii", "replace")
            raise NotServing(
                f"Another clawback serve (process {owner}) works in {settings.state}. "
                "Stop it, or set another state folder."
            )
        os.ftruncate(own, 0)
        os.pwrite(own, str(os.getpid()).encode(), 0)
        deadline = time.monotonic() + TAKE_OVER_S
        while not claim_or_leave(parts):
            if time.monotonic() > deadline:
                raise NotServing(f"Processes of an earlier clawback serve in {settings.state} do not end. Kill them.")
            time.sleep(TAKE_OVER_LOOK_S)
        _places(settings).unlink(missing_ok=True)
        yield parts


@contextmanager
def _open(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    try:
        yield handle
    finally:
        os.close(handle)


def _places(settings: Settings) -> Path:
    return settings.state / PLACES
