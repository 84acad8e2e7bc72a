"""A brand that publishes files by HTTP or HTTPS on the loopback."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from connectors.source_settings import HttpSettings, SourceSettings
from tests.connectors.brands import authority
from tests.connectors.source_site import PASSWORD, PASSWORD_AT, Brand, free_port


@dataclass
class Manners:
    """How the server behaves, and what it heard: the method, path and headers of each request."""

    etags: bool = True
    dates: bool = True
    head: bool = True
    empty_heads: bool = False
    moved: dict[str, str] = field(default_factory=dict)
    compressed: bool = False
    status: int = 0
    heard: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@dataclass
class Publisher(Brand):
    """A brand's web server; what it publishes is ``returns.csv`` unless the test says otherwise."""

    manners: Manners = field(default_factory=Manners)
    scheme: str = "http"

    def settings(self, **values: object) -> SourceSettings:
        """How it is reached, and what else the test wants."""
        given: dict[str, Any] = {"name": "acme", "account": "IRacme1", "timeout_s": 10} | self.values | values
        host, port, path = given.pop("host"), given.pop("port"), given.pop("path", "/returns.csv")
        return HttpSettings(**{"url": f"{self.scheme}://{host}:{port}{path}"} | given)


@contextmanager
def publishing(folder: Path, *, tls: bool = False) -> Iterator[Publisher]:
    """A web server of a folder, which lets in who knows the password."""
    folder.mkdir(parents=True, exist_ok=True)
    manners, port = Manners(), free_port()
    running: list[Callable[[], None]] = []

    def start() -> None:
        running.append(_serve(folder, port, manners, tls=tls))

    def stop() -> None:
        while running:
            running.pop()()

    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "authorization": PASSWORD_AT,
        "private_networks": "127.0.0.0/8",
    }
    if tls:
        values["ca_file"] = authority()[1]
    start()
    try:
        yield Publisher("http", folder, values, start, stop, None, manners, "https" if tls else "http")
    finally:
        stop()


def _serve(folder: Path, port: int, manners: Manners, *, tls: bool) -> Callable[[], None]:
    """Serve until what is given back is called, which breaks off whatever is under way."""
    sockets: list[socket.socket] = []

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def process_request(self, request: Any, address: Any) -> None:  # noqa: ANN401 - the server's own
            sockets.append(request)
            super().process_request(request, address)

        def handle_error(self, request: Any, address: Any) -> None:  # noqa: ANN401 - the server's own
            """Say nothing: clients hang up."""

    server = Server(("127.0.0.1", port), partial(_Desk, manners, directory=str(folder)))
    if tls:
        certificate = folder.parent / "web.pem"
        authority()[0].issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
            str(certificate)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    return end


class _Desk(SimpleHTTPRequestHandler):
    def __init__(self, manners: Manners, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the server's own
        self.manners = manners
        super().__init__(*args, **kwargs)

    def send_head(self) -> Any:  # noqa: ANN401 - the server's own
        manners = self.manners
        path = self.path.partition("?")[0]
        manners.heard.append((self.command, self.path, dict(self.headers.items())))
        if path in manners.moved:
            self.send_response(302)
            self.send_header("Location", manners.moved[path])
            self.end_headers()
            return None
        if self.headers.get("Authorization") != PASSWORD or manners.status:
            self.send_error(manners.status or 401)
            return None
        if self.command == "HEAD" and not manners.head:
            self.send_error(405)
            return None
        return super().send_head()

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Last-Modified" and not self.manners.dates:
            return
        if keyword == "Content-Length" and self.command == "HEAD" and self.manners.empty_heads:
            value = "0"
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if self.manners.etags and path.is_file():
            found = path.stat()
            self.send_header("ETag", f'"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"')
        if self.manners.compressed:
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def published(brand: Publisher, content: bytes) -> None:
    """Publish the file anew, whole."""
    path = brand.folder / "returns.csv"
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").replace(path)
