"""A brand's program on the loopback that is told of events, and a courier that tells it."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from clawback.courier import Courier
from clawback.wiring import Desk
from connectors.outside import Client
from connectors.places import Guard, networks
from connectors.webhook_post import Secrets
from processing import webhooks
from processing.catalog import read_terms
from processing.webhooks import EventKind
from tests.conftest import Clock
from tests.worlds import SID

LOOPBACK = Guard(networks("127.0.0.0/8"))
ALL = tuple(EventKind)


@dataclass
class Program:
    """What the program was told, in order; ``answer`` gives the status of each."""

    url: str = ""
    answer: Callable[[dict[str, Any]], int] = lambda _event: 204
    heard: list[dict[str, Any]] = field(default_factory=list)
    raw: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    def ids(self) -> list[str]:
        """The ids of what it was told."""
        return [one["Id"] for one in self.heard]

    def kinds(self) -> list[str]:
        """The kinds of what it was told."""
        return [one["Type"] for one in self.heard]


@contextmanager
def program() -> Iterator[Program]:
    """A program that is told; gone afterwards."""
    found = Program()

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            event = json.loads(body)
            found.raw.append((dict(self.headers.items()), body))
            found.heard.append(event)
            self.send_response(found.answer(event))
            self.send_header("Location", f"{found.url}elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def listen(desk: Desk, url: str, *kinds: EventKind, sid: str = SID, at: Clock) -> str:
    """Add a webhook."""
    with desk.store.write() as db:
        return webhooks.add(db, read_terms(db, sid).account_id, url, kinds or ALL, at=at())


def courier(desk: Desk, folder: Path, clock: Clock, guard: Guard = LOOPBACK, **patience: float) -> Courier:
    """Who tells programs on this machine."""
    client = Client(guard, **({"timeout_s": 5.0, "total_s": 10.0} | patience))  # type: ignore[arg-type]
    return Courier(desk, client, Secrets(folder), clock)


def is_signed(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether a program that knows the secret believes what it was told, as docs/api.md says."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return hmac.compare_digest(headers["webhook-signature"], f"v1,{expected}")
