"""Prefect's server and UI on its embedded SQLite, in a process of our own so that it ends when we do."""

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from sqlalchemy import Connection

from clawback.serving.listening import unbound
from clawback.serving.part import Supervisor, run
from clawback.serving.prefect_environment import home, server_environment
from clawback.settings import Settings
from processing.errors import Unusable


class _Server(uvicorn.Server):
    """Says when it is ready; leaves signals to the part."""

    def __init__(self, config: uvicorn.Config, supervisor: Supervisor) -> None:
        super().__init__(config)
        self._supervisor = supervisor

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        self._supervisor.when_told_to_stop(self._end)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._supervisor.report(ready=True)

    def _end(self) -> None:
        # Cutting off Prefect's own event streams is no error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.should_exit = True


def serve_prefect(settings: Settings, supervisor: Supervisor, port: int) -> None:
    """Serve until told to stop; the port is known before Prefect is, whose import takes seconds."""
    listener = _bound(settings, port or settings.prefect.port)
    port = int(listener.getsockname()[1])
    supervisor.report(port=port)
    os.environ.update(server_environment(settings, port))
    config = uvicorn.Config(
        _app(settings), log_config=None, access_log=False, timeout_graceful_shutdown=1, timeout_keep_alive=5
    )
    _Server(config, supervisor).run(sockets=[listener])


def _bound(settings: Settings, port: int) -> socket.socket:
    host = settings.prefect.host
    listener = unbound(host)
    try:
        listener.bind((host, port))
        # Two servers may bind one port as long as neither listens; now is the time to know.
        if port:
            _refuse_if_taken(host, port)
    except OSError as error:
        reason = "somebody else listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise Unusable(f"Prefect cannot listen on {host}:{port}: {reason}. Give another prefect.port, or 0.") from None
    return listener


def _refuse_if_taken(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if probe.connect_ex((host, port)) == 0:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _app(settings: Settings) -> Any:  # noqa: ANN401 - an ASGI application
    import prefect  # noqa: PLC0415 - it reads its settings from the environment when imported
    from prefect.server.api.server import create_app  # noqa: PLC0415

    # There is no setting that leaves the second UI out; it would call a server on the internet.
    prefect.__ui_v2_static_path__ = home(settings) / "no-second-ui"
    _begin_to_write_at_once()
    return create_app(final=True)


def _begin_to_write_at_once() -> None:
    """Let transactions on SQLite wait for each other instead of failing.

    Prefect begins them as readers; when two then want to write, one fails and its client waits two seconds (40 runs,
    four at a time: 78 failed requests, 6 to 137 s; with this none, 5.7 s).
    """
    from prefect.server.database import configurations  # noqa: PLC0415

    def begin(_self: object, conn: Connection) -> None:
        if configurations.SQLITE_BEGIN_MODE.get() is not None:
            conn.exec_driver_sql("BEGIN IMMEDIATE")

    configurations.AioSqliteConfiguration.begin_sqlite_stmt = begin  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    run("prefect", serve_prefect)
