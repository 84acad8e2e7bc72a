"""The short way to a function that takes a change: a request that is as it should be goes past FastAPI's machinery.

Finding the route, solving its parameters and cleaning up after them is a quarter of what a change costs. Whatever is
unusual about a request, it goes the long way, where the same function serves it, or it is told what is wrong.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from clawback.web.access import BASIC, may_write
from clawback.web.changes import KEY, KEY_HEADER

Change = Callable[[Request, str, str | None], Awaitable[Response]]

_KEY: Final = re.compile(KEY)


class ShortWay(Route):
    """Stands before FastAPI's routes of the same path and functions; ``changes`` are by their methods."""

    def __init__(self, path: str, changes: Mapping[str, Change]) -> None:
        super().__init__(path, self, methods=list(changes), include_in_schema=False)
        self._changes = changes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request may go this way: without parameters that may be unknown, and with a key only if it fits."""
        match, found = super().matches(scope)
        if match is not Match.FULL or scope["query_string"]:
            return Match.NONE, {}
        key = Headers(scope=scope).get(KEY_HEADER)
        return (match, found) if key is None or _KEY.fullmatch(key) else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        request = Request(scope, receive, send)
        sid = await may_write(request, request.path_params["AccountSID"], await BASIC(request))
        response = await self._changes[request.method](request, sid, request.headers.get(KEY_HEADER))
        await response(scope, receive, send)
