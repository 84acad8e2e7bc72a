"""Requests to servers that brands name, only to addresses that may be reached: each is checked as it is connected to.

A name is resolved once, and the connection goes to the very address that was checked, so that a name server which
answers otherwise a moment later changes nothing. Redirects are told, never followed; proxies of the environment are
not used.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import httpcore

from processing.errors import SourceRefused, SourceUnreachable, Unusable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_PORTS: Final = {"http": 80, "https": 443}
# IPv4 addresses in the clothes of IPv6: whoever translates them reaches the address inside.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_AGENT: Final = "Clawback"


@dataclass(frozen=True, slots=True)
class Place:
    """A server and a path on it, as a URL names them; ``target`` may hold a secret, so it is never shown."""

    scheme: str
    host: str
    port: int
    path: str
    target: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: who is spoken to."""
        return self.scheme, self.host, self.port

    @classmethod
    def parse(cls, url: str) -> "Place":
        """The place that a URL names; raises Unusable, without repeating what may be a secret."""
        try:
            parts = urlsplit(url)
            port = parts.port
            host = _ascii(parts.hostname or "")
        except (ValueError, UnicodeError):
            raise Unusable("The URL cannot be read. Write it like https://brand.example/returns.") from None
        _check(url, parts, host)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], parts.path or "/", target)


def _ascii(host: str) -> str:
    """A host as the network knows it; addresses stay as they are."""
    return host if ":" in host else host.encode("idna").decode()


def _check(url: str, parts: SplitResult, host: str) -> None:
    wrong = None
    if parts.scheme not in _PORTS or not host:
        wrong = "it is none of http:// or https:// with a host"
    elif parts.username is not None or parts.password is not None:
        wrong = "it holds a user name or a password"
    elif parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        wrong = "it holds a fragment, or letters that are to be percent-encoded"
    if wrong:
        raise Unusable(f"The URL cannot be used: {wrong}. Write it like https://brand.example/returns.")


def networks(text: str) -> tuple[Network, ...]:
    """Networks as a setting lists them (``"10.0.0.0/8, 192.0.2.7"``); raises Unusable."""
    try:
        return tuple(ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip())
    except ValueError as error:
        raise Unusable(f"{text!r} is no list of networks: {error}. Write them like 10.1.0.0/16, 192.0.2.7.") from None


@dataclass(frozen=True, slots=True)
class Guard:
    """Which addresses may be reached: all that are public, and the ``private`` networks that are named.

    Without TLS only the latter: nobody else is on the way to them.
    """

    private: tuple[Network, ...] = ()

    def allows(self, address: str, *, tls: bool) -> bool:
        """Whether this very address may be connected to."""
        plain = _inside(ipaddress.ip_address(address.partition("%")[0]))
        if any(plain in network for network in self.private):
            return True
        return tls and plain.is_global and not plain.is_multicast

    def addresses(self, place: Place) -> list[str]:
        """The addresses of a place that may be connected to; raises SourceUnreachable, and SourceRefused for none."""
        try:
            found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise SourceUnreachable(f"{place}: there is no address of {place.host}.") from None
        named = list(dict.fromkeys(str(one[4][0]) for one in found))
        allowed = [one for one in named if self.allows(one, tls=place.scheme == "https")]
        if not allowed:
            why = "is not a public one" if place.scheme == "https" else "may not be reached without TLS"
            raise SourceRefused(
                f"{place}: the address {named[0]} {why}; nothing was sent. If it is meant, name its network in "
                "private_networks."
            )
        return allowed


def _inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that is reached in the end."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


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
        sent = {"Host": _host(place), "User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
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


def _host(place: Place) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return host if place.port == _PORTS[place.scheme] else f"{host}:{place.port}"


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
    """How long a step may take; raises ReadTimeout when all the time is used up."""
    if until is None:
        return timeout
    rest = until - clock()
    if rest <= 0:
        raise httpcore.ReadTimeout
    return rest if timeout is None else min(timeout, rest)


@contextmanager
def _telling(place: Place) -> Iterator[None]:
    """Turn what httpcore raises into our errors, in words."""
    try:
        yield
    except httpcore.TimeoutException:
        raise SourceUnreachable(f"{place} did not answer in time.") from None
    except httpcore.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            why = error.__cause__.verify_message
            raise SourceRefused(f"{place} does not prove itself: {why}. Nothing was sent.") from None
        raise SourceUnreachable(f"{place} cannot be reached.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError):
        raise SourceUnreachable(f"The connection to {place} broke.") from None
