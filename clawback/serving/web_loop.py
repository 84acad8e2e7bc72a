"""The event loop of the web server: TLS has seconds to begin and to end, and an address few beginnings at a time."""

import asyncio
import logging
import socket
from collections import Counter
from typing import Any, Final

# Nothing else counts a connection before its handshake is over.
HANDSHAKE_S: Final = 5

_log = logging.getLogger(__name__)


class WebLoop(asyncio.SelectorEventLoop):
    """Asyncio's own, for uvicorn, which has no option for these times, nor for this limit.

    An address may have ``most_handshakes`` of TLS under way (0 for any number); the next connection is closed at once.
    """

    def __init__(self, most_handshakes: int) -> None:
        super().__init__()
        self._most_handshakes = most_handshakes
        self._under_way = Counter[str]()

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:  # noqa: ANN401 - asyncio's own
        """Serve what connects."""
        if options.get("ssl"):
            options |= {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": HANDSHAKE_S}
        return await super().create_server(*arguments, **options)

    async def _accept_connection2(
        self,
        protocol_factory: Any,  # noqa: ANN401 - asyncio's own
        conn: socket.socket,
        extra: dict[str, Any],
        *how: Any,  # noqa: ANN401 - as above
    ) -> None:
        """Asyncio's own, which lasts as long as the handshake: no protocol is told of a connection before."""
        address = extra["peername"][0]
        if 0 < self._most_handshakes <= self._under_way[address]:
            _log.warning("too_many_handshakes from=%s", address)
            conn.close()
            return
        self._under_way[address] += 1
        try:
            await super()._accept_connection2(protocol_factory, conn, extra, *how)  # type: ignore[misc]
        finally:
            self._under_way[address] -= 1
            if not self._under_way[address]:
                del self._under_way[address]
