"""A session in which every call to an org comes to an end: after a time in all, and with an answer of a bounded size.

The time limit of requests is one for each read, so a server that sends a byte now and then would be read for ever.
"""

import ssl
import time
from collections.abc import Iterator
from typing import Any, Final, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse

from connectors.outside import left

# The ids of all the changes that an org tells at once, 600,000, are not half of it.
MOST_BYTES: Final = 32 * 1024 * 1024


class Endless(Exception):
    """An answer took too long in all, or is too long; the message says which, and by what limit."""


def session(total_s: float) -> requests.Session:
    """A session whose calls, redirects and all, take ``total_s`` at most, and go nowhere without TLS."""
    return _Session(_Trust(total_s))


def cause(error: Exception) -> str:
    """What kept a call from being answered, without the addresses that an error quotes: they name orders."""
    return str(error) if isinstance(error, Endless) else type(error).__name__


class _Session(requests.Session):
    def __init__(self, trust: "_Trust") -> None:
        super().__init__()
        self._trust = trust
        self.adapters.clear()
        self.mount("https://", _Adapter(trust))

    def request(self, *which: Any, **how: Any) -> requests.Response:  # noqa: ANN401 - of requests
        """Ask, with all the time there is for one call."""
        self._trust.begin()
        return super().request(*which, **how)


class _Adapter(HTTPAdapter):
    def __init__(self, trust: "_Trust") -> None:
        self._trust = trust
        super().__init__()

    def init_poolmanager(self, *sizes: Any, **how: Any) -> None:  # noqa: ANN401 - of requests
        """Let all connections be of the limited kind."""
        super().init_poolmanager(*sizes, ssl_context=self._trust, **how)

    def proxy_manager_for(self, proxy: str, **how: Any) -> Any:  # noqa: ANN401 - of requests
        """Let those through a proxy be so, too."""
        return super().proxy_manager_for(proxy, ssl_context=self._trust, **how)

    def build_response(self, req: requests.PreparedRequest, resp: BaseHTTPResponse) -> requests.Response:
        """Give an answer whose body is limited."""
        answer = super().build_response(req, resp)
        answer.raw = _Body(resp)
        return answer


class _Body:
    """The body of an answer, which is read up to a size; what was compressed counts as what it becomes."""

    def __init__(self, body: BaseHTTPResponse) -> None:
        self._body = body

    def stream(self, *sizes: Any, **how: Any) -> Iterator[bytes]:  # noqa: ANN401 - of urllib3
        """Read on."""
        size_bytes = 0
        for block in self._body.stream(*sizes, **how):
            size_bytes += len(block)
            if size_bytes > MOST_BYTES:
                self._body.close()
                raise Endless(f"the answer has more than {MOST_BYTES:,} bytes")
            yield block

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else requests asks for
        return getattr(self._body, name)


class _Socket(ssl.SSLSocket):
    """A connection of which no read outlasts the call that it is for."""

    def read(self, *how: Any) -> Any:  # noqa: ANN401 - of ssl
        """Read what has come; everything that receives goes this way."""
        trust = _trust(self.context)
        try:
            self.settimeout(left(trust.until, self.gettimeout()))
            return super().read(*how)
        except TimeoutError:
            trust.check()
            raise


class _Inner(ssl.SSLObject):
    """A connection inside of that to a proxy, which itself knows no time but that of each read."""

    def read(self, *how: Any) -> Any:  # noqa: ANN401 - of ssl
        """Read what has come."""
        _trust(self.context).check()
        return super().read(*how)


class _Trust(ssl.SSLContext):
    """What makes the connections, and the time that the call has which they are used for."""

    sslsocket_class = _Socket
    sslobject_class = _Inner
    total_s: float
    until: float | None

    def __new__(cls, total_s: float) -> Self:
        """A context for what asks servers, with nothing switched off."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        made.total_s, made.until = total_s, None
        return made

    def begin(self) -> None:
        """A call begins."""
        self.until = time.monotonic() + self.total_s

    def check(self) -> None:
        """Raise Endless when the time of the call is used up."""
        if self.until is not None and time.monotonic() >= self.until:
            raise Endless(f"the answer took more than {self.total_s:g} s in all") from None


def _trust(context: ssl.SSLContext) -> _Trust:
    assert isinstance(context, _Trust)  # noqa: S101 - it alone makes such connections
    return context
