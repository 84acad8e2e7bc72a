"""Starts ``clawback serve`` for the demonstration, on free ports and a folder of its own, and ends it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from clawback.demo.mailbox import UPSTREAM
from clawback.settings import SOURCES
from processing.errors import ClawbackError

PATIENCE_S: Final = 90
READY: Final = "serve.json"
INBOX: Final = "returns.example"


class NotServing(ClawbackError):
    """The servers did not come up, or did not go down."""


def environment(state: Path, relay_port: int, tables: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """The settings of the demonstration as the environment says them; nothing of the caller's installation.

    ``tables``: its sources by their kind; ``secrets``: the variables that they refer to.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CLAWBACK_", "PREFECT_"))}
    ports = ("CLAWBACK_FTP_PORT", "CLAWBACK_WEB_PORT", "CLAWBACK_PREFECT_PORT", "CLAWBACK_SMTP_PORT")
    own |= {"CLAWBACK_STATE": str(state), **dict.fromkeys(ports, "0")}
    own |= {"CLAWBACK_SMTP_DOMAIN": INBOX, "CLAWBACK_SMTP_TLS": "required"}
    own |= {"CLAWBACK_SMTP_TRUSTED_RELAY": UPSTREAM, "CLAWBACK_SMTP_TRUSTED_NETWORKS": "127.0.0.1"}
    own |= {"CLAWBACK_RELAY_HOST": "127.0.0.1", "CLAWBACK_RELAY_PORT": str(relay_port), "CLAWBACK_RELAY_TLS": "off"}
    return own | {SOURCES: json.dumps(tables)} | dict(secrets)


@contextmanager
def serving(state: Path, environ: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The running servers, as ``serve.json`` describes them; raises NotServing with the end of their log."""
    log = state / "serve.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "clawback", "serve"]
        process = subprocess.Popen(command, env=environ, cwd=state, stdout=out, stderr=out)  # noqa: S603 - our own program
        try:
            yield _ready(state / READY, process, log)
        finally:
            _end(process, log)


def _ready(path: Path, process: "subprocess.Popen[bytes]", log: Path) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise NotServing(f"clawback serve ended with {process.returncode}.\n{_tail(log)}")
        if path.exists():
            ready: dict[str, Any] = json.loads(path.read_text())
            return ready
        time.sleep(0.1)
    raise NotServing(f"clawback serve was not ready within {PATIENCE_S} s.\n{_tail(log)}")


def _end(process: "subprocess.Popen[bytes]", log: Path) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise NotServing(f"clawback serve did not end within {PATIENCE_S} s.\n{_tail(log)}") from None


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
