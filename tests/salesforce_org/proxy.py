"""A proxy that opens tunnels, and remembers to where."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """A running proxy: its address, and where it was asked to connect to."""

    url: str
    tunnels: list[str] = field(default_factory=list)


@contextmanager
def tunnelling(context: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy that answers, by TLS if it is given a ``context``; gone afterwards."""

    class Tunnel(socketserver.StreamRequestHandler):
        """One CONNECT, and the bytes of both sides from then on."""

        def handle(self) -> None:
            """Connect to where it is asked."""
            method, target, _ = self.rfile.readline().decode().split()
            while self.rfile.readline().strip():
                continue
            assert method == "CONNECT"
            proxy.tunnels.append(target)
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as far:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pour, args=(far, self.connection), daemon=True)
                back.start()
                _pour(self.connection, far)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.daemon_threads = True
        scheme = "http"
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            scheme = "https"
        proxy = Proxy(f"{scheme}://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65_536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
