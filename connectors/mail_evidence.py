"""What is known about the sender of a message, and whose word is taken for it."""

import ipaddress
from dataclasses import dataclass

from processing.errors import ClawbackError, Unusable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class DnsUnavailable(ClawbackError):
    """The domain name system did not answer; who sent the message is not known yet."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Whether the sender is who it says, and what shows it or is missing."""

    proven: bool
    told: str


@dataclass(frozen=True, slots=True)
class Trust:
    """An upstream server whose ``Authentication-Results`` are believed when a message comes from its networks.

    It has to remove headers with its own name that others wrote, as RFC 8601 5 asks.
    """

    name: str = ""
    networks: tuple[Network, ...] = ()

    def covers(self, peer: str) -> bool:
        """Whether this peer is that server."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return bool(self.name) and any(address in network for network in self.networks)


def trust_of(name: str, networks: str) -> Trust:
    """The upstream server with this name, at networks and addresses separated by commas; raises Unusable."""
    try:
        known = tuple(ipaddress.ip_network(one.strip()) for one in networks.split(",") if one.strip())
    except ValueError:
        raise Unusable(f"smtp.trusted_networks is {networks!r}. Give networks such as 10.0.0.0/8, 192.0.2.7.") from None
    if name and not known:
        raise Unusable("smtp.trusted_relay is believed from no network. Give its addresses as smtp.trusted_networks.")
    return Trust(name, known)
