"""Web Services on a real socket: the application of an open desk, in a thread of the test."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from clawback import pipeline
from clawback.serving.listening import unbound
from clawback.serving.web_part import options
from clawback.settings import Settings, WebServer
from clawback.web.app import create_app
from clawback.web.office import Office, open_office
from clawback.wiring import Desk
from connectors.tokens import Scope
from tests.conftest import Clock
from tests.worlds import SID, Sale, load

# Making one takes longer than most requests.
TRUST = ssl.create_default_context()
FREE = WebServer(requests_per_hour=0, idle_timeout_s=5)


@dataclass
class Site:
    """A server, its desk, and a token of each scope for each account that was asked for."""

    desk: Desk
    office: Office
    clock: Clock
    url: str

    def client(self, sid: str = SID, scope: Scope = Scope.WRITE, **headers: str) -> httpx.Client:
        """A program of an account, which wants JSON."""
        _, secret = self.office.tokens.make(sid, scope, self.clock())
        return httpx.Client(
            base_url=f"{self.url}/Advertisers/{sid}",
            auth=(sid, secret),
            headers={"Accept": "application/json"} | headers,
            verify=TRUST,
            trust_env=False,
            timeout=60,
        )

    def finish(self) -> list[dict[str, Any]]:
        """Bring what has landed to its end, as the worker would."""
        return pipeline.collect(self.desk, at=self.clock()).receipts

    def load(self, folder: Path, *sales: Sale) -> None:
        """Load the catalogue and some actions."""
        load(self.desk, folder, sales)


@contextmanager
def serving(desk: Desk, settings: Settings, clock: Clock, environ: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A server that is ready; gone afterwards."""
    office = open_office(settings, clock, environ or {})
    server = uvicorn.Server(uvicorn.Config(create_app(office), **options(settings)))
    with unbound("127.0.0.1") as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Site(desk, office, clock, f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join()


def settings_of(folder: Path, store_url: str, web: WebServer = FREE, **changes: Any) -> Settings:  # noqa: ANN401 - of WebServer
    """The settings of a test's installation."""
    return Settings(state=folder, store=store_url, web=replace(web, **changes))
