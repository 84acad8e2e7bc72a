"""One more process of the web server, on the socket that it inherits."""

import socket

from clawback.serving.part import Supervisor, run
from clawback.serving.web_part import serve_on
from clawback.settings import Settings


def serve_more(settings: Settings, supervisor: Supervisor, listener: int) -> None:
    """Serve until the first process ends; the number that it was given is the socket's."""
    serve_on(socket.socket(fileno=listener), settings, supervisor)


if __name__ == "__main__":
    run("web", serve_more)
