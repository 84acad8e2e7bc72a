"""Requests to servers that brands name, only to addresses that may be reached: each is checked as it is connected to.

A name is resolved once, and the connection goes to the very address that was checked, so that a name server which
answers otherwise a moment later changes nothing. Redirects are told, never followed; proxies of the environment are
not used.
"""

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpcore

from connectors.places import Guard, Place
from processing.errors import SourceRefused, SourceUnreachable, Unusable

_AGENT: Final = "Clawback"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: what it may reach, how patient it is with each step and (``total_s``) with all of them together."""

    guard: Guard
    timeout_s: float
    total_s: float | None = None
    ca_file: Path | None = None

    @contextmanager
    def ask(
        self, method: str, place: Place, headers: Mapping[str, str], content: bytes | None = None
    ) -> Iterator[httpcore.Response]:
        """The answer to one request, its body unread; raises SourceUnreachable and SourceRefused."""
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self.timeout_s)
        sent = {"Host": place.authority, "User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
        if content is not None:
            sent["Content-Length"] = str(len(content))
        url = httpcore.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target)
        backend = _Checked(self, place)
        with (
            _telling(place),
            httpcore.ConnectionPool(ssl_context=trust(self.ca_file), network_backend=backend) as pool,
            pool.stream(
                method, url, headers=list(sent.items()), content=content, extensions={"timeout": timeout}
            ) as answer,
        ):
            yield answer


def header(answer: httpcore.Response, name: str) -> str:
    """A header of an answer as text; empty where there is none."""
    return next((value.decode("latin-1") for key, value in answer.headers if key.decode("latin-1").lower() == name), "")


@cache
def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Whose certificates are believed: the system's authorities, or one of the settings' own."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Unusable(f"The certificates in {ca_file} cannot be read: {error.strerror or error}.") from None


class _Checked(httpcore.NetworkBackend):
    """Connects to an address of the place that was checked, and to no other."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._place = place
        self._plain = httpcore.SyncBackend()
        self._until = None if client.total_s is None else time.monotonic() + client.total_s

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - httpcore's signature; the place has it
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        *others, last = self._client.guard.addresses(self._place)
        for address in others:
            try:
                return self._connected(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connected(last, port, timeout, local_address, socket_options)

    def _connected(self, address: str, port: int, timeout: float | None, *options: Any) -> httpcore.NetworkStream:  # noqa: ANN401 - httpcore's
        stream = self._plain.connect_tcp(address, port, left(self._until, timeout), *options)
        return _Timed(stream, self._until)

    def sleep(self, seconds: float) -> None:
        """Wait between tries, of which there are none."""
        self._plain.sleep(seconds)


class _Timed(httpcore.NetworkStream):
    """A connection whose every wait ends when all the time is used up: a server cannot stretch it byte by byte."""

    def __init__(self, stream: httpcore.NetworkStream, until: float | None) -> None:
        self._stream = stream
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come."""
        return self._stream.read(max_bytes, left(self._until, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send it all."""
        self._stream.write(buffer, left(self._until, timeout))

    def close(self) -> None:
        """Hang up."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Go on encrypted."""
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left(self._until, timeout)), self._until)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's
        """What httpcore asks of the connection."""
        return self._stream.get_extra_info(info)


def left(until: float | None, timeout: float | None, clock: Callable[[], float] = time.monotonic) -> float | None:
    """How long a step may take; raises TimeoutError when all the time is used up."""
    if until is None:
        return timeout
    rest = until - clock()
    if rest <= 0:
        raise TimeoutError
    return rest if timeout is None else min(timeout, rest)


@contextmanager
def _telling(place: Place) -> Iterator[None]:
    """Turn what httpcore raises into our errors, in words."""
    try:
        yield
    except (httpcore.TimeoutException, TimeoutError):
        raise SourceUnreachable(f"{place} did not answer in time.") from None
    except httpcore.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            why = error.__cause__.verify_message
            raise SourceRefused(f"{place} does not prove itself: {why}. Nothing was sent.") from None
        raise SourceUnreachable(f"{place} cannot be reached.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError):
        raise SourceUnreachable(f"The connection to {place} broke.") from None
