"""A brand's program at the other end: it speaks Web Services by curl, as scripts do."""

import json
import shutil
import subprocess
import time
from typing import Any, Final

from clawback.demo.brand import LOOK_EVERY_S, PATIENCE_S, NoAnswer

CURL: Final = shutil.which("curl")


class Program:
    """One brand's script; every call is a curl of its own."""

    def __init__(self, port: int, sid: str, token: str) -> None:
        self._server = f"http://127.0.0.1:{port}"
        self._sid = sid
        self._token = token

    def put(self, **fields: str) -> dict[str, Any]:
        """Ask for a change of an action; gives the server's answer."""
        body = [word for name, value in fields.items() for word in ("--data", f"{name}={value}")]
        return self._call("--request", "PUT", *body, f"{self._server}/Advertisers/{self._sid}/Actions.json")

    def submission(self, uri: str) -> dict[str, Any]:
        """What became of it, as soon as it is complete; raises NoAnswer."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            told = self._call(f"{self._server}{uri}.json")
            if told["Status"] == "Complete":
                return told
            time.sleep(LOOK_EVERY_S)
        raise NoAnswer(f"{uri} was not complete within {PATIENCE_S} s.")

    def _call(self, *words: str) -> dict[str, Any]:
        # The token by stdin: what stands in a command line, everybody on the machine can read.
        command = [CURL or "curl", "--silent", "--show-error", "--fail-with-body", "--config", "-", *words]
        user = f'user = "{self._sid}:{self._token}"\n'
        done = subprocess.run(command, input=user, capture_output=True, text=True, timeout=PATIENCE_S, check=False)  # noqa: S603 - our own words
        if done.returncode:
            raise NoAnswer(f"curl ended with {done.returncode}: {(done.stdout or done.stderr).strip()}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
