"""Web Services in processes of their own; they need the spool only, until somebody asks what the ledger says."""

import ipaddress
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import uvicorn

from clawback.serving.listening import unbound
from clawback.serving.part import Supervisor, now, run
from clawback.serving.web_loop import WebLoop
from clawback.settings import Settings, WebServer
from clawback.web.app import create_app
from clawback.web.connection import connection
from clawback.web.office import open_office
from connectors.ftp_settings import FtpSettings
from connectors.ftp_tls import ensure_certificate
from processing.errors import Unusable

_log = logging.getLogger(__name__)

BACKLOG: Final = 512
AGAIN_S: Final = 1
ENDING_S: Final = 3


class _Server(uvicorn.Server):
    """Says when it is ready; leaves signals to the part."""

    def __init__(self, config: uvicorn.Config, supervisor: Supervisor, port: int) -> None:
        super().__init__(config)
        self._supervisor = supervisor
        self._port = port

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        self._supervisor.when_told_to_stop(self._end)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._supervisor.report(port=self._port, ready=True)

    def _end(self) -> None:
        self.should_exit = True


def serve_web(settings: Settings, supervisor: Supervisor, port: int) -> None:
    """Serve until told to stop, together with as many other processes as the settings say."""
    listener = _bound(settings.web, port or settings.web.port)
    for _ in range(settings.web.workers - 1):
        threading.Thread(target=_keep_worker, args=(listener.fileno(),), daemon=True).start()
    serve_on(listener, settings, supervisor)


def serve_on(listener: socket.socket, settings: Settings, supervisor: Supervisor) -> None:
    """Serve what connects to a listening socket, which other processes may share."""
    config = uvicorn.Config(create_app(open_office(settings, now, os.environ)), **options(settings))
    _Server(config, supervisor, int(listener.getsockname()[1])).run(sockets=[listener])


def options(settings: Settings) -> dict[str, Any]:
    """Uvicorn's own settings; a forwarded header is believed from the named proxies only."""
    web = settings.web
    # Proxies speak for many, and count whom they speak for themselves.
    most_per_address = 0 if web.proxies else web.max_connections_per_address
    options: dict[str, Any] = {
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": bool(web.proxies),
        "forwarded_allow_ips": web.proxies,
        "http": connection(web.max_connections, most_per_address),
        "timeout_keep_alive": web.idle_timeout_s,
        "timeout_graceful_shutdown": ENDING_S,
        "ws": "none",
        "loop": partial(WebLoop, most_per_address),
    }
    if web.tls == "on":
        folder = settings.state / "tls"
        certificate = settings.state.parent / web.certificate if web.certificate else folder / "certificate.pem"
        key = settings.state.parent / web.key if web.key else folder / "key.pem"
        ensure_certificate(FtpSettings(certificate=certificate, key=key, host=web.host), now)
        options |= {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    return options


def _bound(web: WebServer, port: int) -> socket.socket:
    if web.tls == "off" and not web.proxies and not _is_own(web.host):
        raise Unusable(
            f"web.host is {web.host} and web.tls is off: tokens would travel in the open. "
            "Set web.tls to on, or name the proxies in front in web.proxies."
        )
    listener = unbound(web.host)
    try:
        listener.bind((web.host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror
        raise Unusable(
            f"Web Services cannot listen on {web.host}:{port}: {reason}. Give another web.port, or 0."
        ) from None
    return listener


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _keep_worker(listener: int) -> None:
    """Run another process on the same socket, and start it anew when it dies; it ends when this one does."""
    command = [sys.executable, "-m", "clawback.serving.web_worker", str(listener)]
    while True:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[listener]) as worker:  # noqa: S603 - our own program
            code = worker.wait()
        _log.error("died part=web_worker code=%s again_in_s=%g", code, AGAIN_S)
        time.sleep(AGAIN_S)


if __name__ == "__main__":
    run("web", serve_web)
