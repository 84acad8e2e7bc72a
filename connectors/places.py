"""Places that URLs name, and which of them may be reached: public addresses, and private networks that are named."""

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from processing.errors import SourceRefused, SourceUnreachable, Unusable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PORTS: Final = {"http": 80, "https": 443}
# IPv4 addresses in the clothes of IPv6: whoever translates them reaches the address inside.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# Others of which only their own network knows what is reached by them.
_LOCAL: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96", "fec0::/10")))


@dataclass(frozen=True, slots=True)
class Place:
    """A server and a path on it, as a URL names them; ``target`` may hold a secret, so it is never shown."""

    scheme: str
    host: str
    port: int
    path: str
    target: str

    def __str__(self) -> str:
        return f"{self.base}{self.path}"

    @property
    def base(self) -> str:
        """The URL of the server."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as a URL and the header Host have them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

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
        return cls(parts.scheme, host, port or PORTS[parts.scheme], parts.path or "/", target)


def _ascii(host: str) -> str:
    """A host as the network knows it; addresses stay as they are."""
    return host if ":" in host else host.encode("idna").decode()


def _check(url: str, parts: SplitResult, host: str) -> None:
    wrong = None
    if parts.scheme not in PORTS or not host:
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

    Without TLS only the latter, since nobody else is on the way to them, unless ``plain`` allows more.
    """

    private: tuple[Network, ...] = ()
    plain: bool = False
    resolve: Callable[..., list[Any]] = socket.getaddrinfo

    def allows(self, address: str, *, tls: bool) -> bool:
        """Whether this very address may be connected to."""
        inside = _inside(ipaddress.ip_address(address.partition("%")[0]))
        if any(inside in network for network in self.private):
            return True
        public = inside.is_global and not inside.is_multicast and not any(inside in network for network in _LOCAL)
        return (tls or self.plain) and public

    def addresses(self, place: Place) -> list[str]:
        """The addresses of a place that may be connected to; raises SourceUnreachable, and SourceRefused for none."""
        try:
            found = self.resolve(place.host, place.port, type=socket.SOCK_STREAM)
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
