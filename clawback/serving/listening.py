"""The sockets on which the parts that speak HTTP listen."""

import socket


def unbound(host: str) -> socket.socket:
    """A TCP socket of the family of ``host``, which may be bound anew at once when its process is started again.

    Its protocol is told: only then does asyncio turn Nagle's algorithm off, by which an answer in two writes waits
    up to 40 ms for the delayed acknowledgement of the first.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener
