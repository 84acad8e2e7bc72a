"""Requests to outside: what may be reached, and what is told of the rest."""

import itertools

import pytest

from connectors.outside import left
from connectors.places import Guard, Place, networks
from processing.errors import SourceRefused, Unusable

OURS = Guard(networks("10.1.0.0/16, fd00:1::/32"))


@pytest.mark.parametrize(
    ("address", "tls", "plain"),
    [
        ("93.184.215.14", True, False),
        ("2606:2800:21f::1", True, False),
        ("10.1.2.3", True, True),
        ("10.2.2.3", False, False),
        ("fd00:1::5", True, True),
        ("fd00:2::5", False, False),
        ("127.0.0.1", False, False),
        ("0.0.0.0", False, False),  # noqa: S104 - an address that must not be reached
        ("169.254.169.254", False, False),
        ("192.168.1.1", False, False),
        ("100.64.0.1", False, False),
        ("224.0.0.251", False, False),
        ("255.255.255.255", False, False),
        ("::1", False, False),
        ("::", False, False),
        ("fe80::1%eth0", False, False),
        ("ff02::1", False, False),
        ("::ffff:127.0.0.1", False, False),
        ("::ffff:10.1.2.3", True, True),
        ("64:ff9b::7f00:1", False, False),
        ("64:ff9b::5db8:d70e", True, False),
        ("64:ff9b:1::7f00:1", False, False),
        ("::ffff:0:127.0.0.1", False, False),
        ("::7f00:1", False, False),
        ("fec0::1", False, False),
        ("2002:7f00:1::", False, False),
        ("2002:c0a8:101::1", False, False),
    ],
)
def test_what_may_be_reached(address: str, tls: bool, plain: bool) -> None:  # noqa: FBT001 - parameters of the test
    """Public addresses by TLS, and the networks that are named; an IPv4 address also in the clothes of IPv6."""
    assert (OURS.allows(address, tls=True), OURS.allows(address, tls=False)) == (tls, plain)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "[::1]"])
def test_other_names_of_this_machine(host: str) -> None:
    """However it is written."""
    with pytest.raises(SourceRefused, match="nothing was sent"):
        Guard().addresses(Place.parse(f"https://{host}/"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://brand.example/returns?key=s3cret", "https://brand.example/returns"),
        ("HTTPS://Brand.Example:443", "https://brand.example/"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/"),
    ],
)
def test_places_are_told_without_what_may_be_secret(url: str, told: str) -> None:
    """Scheme, host, port and path."""
    assert str(Place.parse(url)) == told


@pytest.mark.parametrize(
    "url",
    [
        "",
        "brand.example",
        "ftp://brand.example/",
        "file:///etc/passwd",
        "https://",
        "https://user:s3cret@brand.example/",
        "https://brand.example:99999/",
        "https://brand.example/#s3cret",
        "https://brand.example/a b",
        "https://brand.example/a\r\nHost: x",
        "https://" + "a" * 70 + ".example/",
    ],
)
def test_what_is_no_place(url: str) -> None:
    """Refused without repeating what may be a secret."""
    with pytest.raises(Unusable) as error:
        Place.parse(url)
    assert "s3cret" not in str(error.value)


def test_networks_have_to_be_some() -> None:
    """The text is named."""
    with pytest.raises(Unusable, match=r"'10\.0\.0\.1/8' is no list of networks"):
        networks("10.0.0.1/8")


def test_no_step_outlasts_the_whole() -> None:
    """A step has its own time, or what is left of all."""
    clock = itertools.count(100.0, 3.0).__next__
    assert [left(110.0, 5.0, clock) for _ in range(3)] == [5.0, 5.0, 4.0]
    assert left(None, 5.0, clock) == 5.0
    assert left(110.0, 5.0, clock) == 1.0
    with pytest.raises(TimeoutError):
        left(110.0, 5.0, clock)
