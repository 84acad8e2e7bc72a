"""The event loop of the web server: TLS has seconds to begin and to end, not a minute."""

import asyncio
from typing import Any, Final

# Nothing else counts a connection before its handshake is over.
HANDSHAKE_S: Final = 5


class WebLoop(asyncio.SelectorEventLoop):
    """Asyncio's own, for uvicorn, which has no option for these times."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:  # noqa: ANN401 - asyncio's own
        """Serve what connects."""
        if options.get("ssl"):
            options |= {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": HANDSHAKE_S}
        return await super().create_server(*arguments, **options)
