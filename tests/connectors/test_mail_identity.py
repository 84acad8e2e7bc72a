"""Who a message is really from: SPF, DKIM and DMARC alignment, against a real name server."""

import time
from collections.abc import Iterator

import pytest

from connectors.mail_evidence import DnsUnavailable, Evidence, trust_of
from connectors.mail_identity import Verifier, resolver_of
from processing.errors import Unusable
from tests.connectors.smtp_site import mail
from tests.mail_world import BRAND, Signer, Zone, name_server, raw

SENDER = f"ops@{BRAND}"
TO = "x@returns.example"


@pytest.fixture(scope="module")
def server() -> Iterator[Zone]:
    """One name server for all tests."""
    with name_server() as zone:
        yield zone


@pytest.fixture
def zone(server: Zone) -> Zone:
    """Its records: the brand sends from the loopback's first address."""
    server.texts.clear()
    server.silent.clear()
    server.texts[BRAND] = [b"v=spf1 ip4:127.0.0.1 -all"]
    return server


@pytest.fixture(scope="module")
def signer() -> Signer:
    """The brand's key."""
    return Signer()


@pytest.fixture
def published(zone: Zone, signer: Signer) -> Signer:
    """The same, its key published."""
    zone.texts |= signer.records
    return signer


def verify(
    zone: Zone, message: bytes, *, path: str = SENDER, peer: str = "192.0.2.1", sender: str = SENDER, relay: str = ""
) -> Evidence:
    """What is known of the sender."""
    trace = {"mail_from": path, "peer": peer, "helo": "mail.acme.example", "tls": "", "recipient": TO}
    resolver = resolver_of(f"127.0.0.1:{zone.port}")
    resolver.lifetime = 0.3
    return Verifier(resolver, trust_of(relay, "192.0.2.1" if relay else "")).verify(message, sender, trace)


def test_spf_passes_for_the_domain_of_from(zone: Zone) -> None:
    """From an address that it lists; a return path in the same organisation will do."""
    zone.texts[f"bounces.{BRAND}"] = [b"v=spf1 include:acme.example -all"]
    for path in (SENDER, f"b-17@bounces.{BRAND}"):
        found = verify(zone, raw(mail(TO)), path=path, peer="127.0.0.1")
        assert found == Evidence(proven=True, told=f"SPF: pass for {path.partition('@')[2]}.")


@pytest.mark.parametrize(
    ("path", "peer", "told"),
    [
        (SENDER, "192.0.2.1", "SPF: fail for acme.example from 192.0.2.1. DKIM: not signed."),
        ("x@evil.example", "127.0.0.1", "SPF: pass for evil.example, which is not acme.example. DKIM: not signed."),
        ("x@nobody.example", "127.0.0.1", "SPF: none for nobody.example from 127.0.0.1. DKIM: not signed."),
        ("x@soft.example", "192.0.2.1", "SPF: softfail for soft.example from 192.0.2.1. DKIM: not signed."),
        ("x@broken.example", "192.0.2.1", "SPF: permerror for broken.example from 192.0.2.1. DKIM: not signed."),
        ("", "127.0.0.1", "SPF: the message has no return path. DKIM: not signed."),
    ],
)
def test_spf_proves_nothing(zone: Zone, path: str, peer: str, told: str) -> None:
    """A pass of another domain is as good as none: that is how senders are forged."""
    zone.texts["evil.example"] = [b"v=spf1 ip4:127.0.0.1 -all"]
    zone.texts["soft.example"] = [b"v=spf1 ~all"]
    zone.texts["broken.example"] = [b"v=spf1 nonsense -all"]
    assert verify(zone, raw(mail(TO)), path=path, peer=peer) == Evidence(proven=False, told=told)


def test_dkim(zone: Zone, published: Signer) -> None:
    """Right, by the brand or within its organisation, whoever brings the message."""
    found = verify(zone, published.signed(raw(mail(TO))), path="x@elsewhere.example")
    assert found == Evidence(proven=True, told="DKIM: signed by acme.example.")
    part = mail(TO, From="ops@shop.acme.example")
    assert verify(zone, published.signed(raw(part)), sender="ops@shop.acme.example", path="").proven


def test_dkim_is_broken(zone: Zone, published: Signer) -> None:
    """By a changed body, a changed sender, another brand's key, or a key that is gone."""
    signed = published.signed(raw(mail(TO)))
    assert not verify(zone, signed.replace(b"QWN0", b"QWN1"), path="").proven
    assert not verify(zone, signed.replace(b"ops@acme", b"boss@acme"), path="", sender=f"boss@{BRAND}").proven
    other = Signer("evil.example")
    zone.texts |= other.records
    told = verify(zone, other.signed(raw(mail(TO))), path="").told
    assert told == "SPF: the message has no return path. DKIM: signed by evil.example, which is not acme.example."
    assert verify(zone, other.signed(signed), path="").proven
    zone.texts = {}
    assert not verify(zone, signed, path="").proven


def test_dkim_has_expired(zone: Zone, published: Signer) -> None:
    """A signature says until when it is good; dkimpy allows for clocks that are ten hours wrong."""
    message = raw(mail(TO))
    signed = published.signed(message)
    now = int(time.time())
    for expires, proven in ((now + 3600, True), (now - 11 * 3600, False)):
        found = verify(zone, published.signed(message, expires=expires), path="")
        assert found.proven is proven
    assert verify(zone, signed, path="").proven


def test_dkim_that_leaves_the_end_out(zone: Zone, published: Signer) -> None:
    """Anybody could append a file to such a message."""
    found = verify(zone, published.signed(raw(mail(TO)), length=True), path="")
    assert found.told.endswith("DKIM: the signature of acme.example leaves the end of the message out.")
    assert not found.proven


@pytest.mark.parametrize(
    ("record", "proven"), [(b"v=DMARC1; p=none; adkim=s; aspf=s", False), (b"v=DMARC1; p=none", True)]
)
def test_dmarc_says_how_near_is_near_enough(zone: Zone, published: Signer, record: bytes, *, proven: bool) -> None:
    """Strictly the same domain, or the same organisation; the organisation's record counts for its parts."""
    zone.texts[f"_dmarc.{BRAND}"] = [record]
    zone.texts[f"bounces.{BRAND}"] = [b"v=spf1 ip4:127.0.0.1 -all"]
    assert verify(zone, raw(mail(TO)), path=f"b@bounces.{BRAND}", peer="127.0.0.1").proven is proven
    part = mail(TO, From="ops@shop.acme.example")
    assert verify(zone, published.signed(raw(part)), sender="ops@shop.acme.example", path="").proven is proven
    assert verify(zone, published.signed(raw(mail(TO))), path="").proven


def test_neighbours_are_not_one_organisation(zone: Zone) -> None:
    """The public suffix list tells where one begins."""
    zone.texts["evil.co.uk"] = [b"v=spf1 ip4:127.0.0.1 -all"]
    assert not verify(zone, raw(mail(TO)), path="x@evil.co.uk", peer="127.0.0.1", sender="ops@acme.co.uk").proven


def test_name_servers_that_do_not_answer(zone: Zone, published: Signer) -> None:
    """Then nobody can tell, unless something else proves it; silence about the policy is no reason to believe more."""
    zone.silent.add(BRAND)
    with pytest.raises(DnsUnavailable, match=r"Nobody can tell whether acme\.example sent it"):
        verify(zone, published.signed(raw(mail(TO))))
    zone.silent = {f"_dmarc.{BRAND}"}
    assert verify(zone, published.signed(raw(mail(TO))), path="").proven
    part = mail(TO, From="ops@shop.acme.example")
    assert not verify(zone, published.signed(raw(part)), sender="ops@shop.acme.example", path="").proven


@pytest.mark.parametrize(
    ("header", "proven"),
    [
        ("mx.acme.net; dmarc=pass header.from=acme.example", True),
        ("mx.acme.net; dmarc=fail header.from=acme.example", False),
        ("mx.acme.net; dmarc=pass header.from=evil.example", False),
        ("mx.acme.net; dkim=pass header.d=acme.example", True),
        ("mx.acme.net; spf=pass smtp.mailfrom=bounces.acme.example", True),
        ("mx.acme.net; spf=pass smtp.mailfrom=x@evil.example", False),
        ("mx.elsewhere.net; dmarc=pass header.from=acme.example", False),
        ("mx.acme.net; none", False),
        ("not a header;;=", False),
    ],
)
def test_upstream_server_is_believed(zone: Zone, header: str, *, proven: bool) -> None:
    """Only under its own name, only about this domain, and only from its own addresses."""
    message = f"Authentication-Results: {header}\r\n".encode() + raw(mail(TO))
    assert verify(zone, message, relay="mx.acme.net").proven is proven
    assert not verify(zone, message, relay="mx.acme.net", peer="192.0.2.2").proven
    assert not verify(zone, message).proven


def test_upstream_server_that_says_nothing(zone: Zone, published: Signer) -> None:
    """A signature is as good by way of it; its own address proves nothing."""
    zone.texts[BRAND] = [b"v=spf1 ip4:192.0.2.1 -all"]
    message = raw(mail(TO))
    found = verify(zone, message, relay="mx.acme.net")
    assert found == Evidence(proven=False, told="mx.acme.net: no results. DKIM: not signed.")
    assert verify(zone, published.signed(message), relay="mx.acme.net").proven


def test_no_sender(zone: Zone) -> None:
    """Nothing to prove."""
    assert not verify(zone, raw(mail(TO)), sender="").proven


def test_settings_that_cannot_be_used() -> None:
    """Named."""
    with pytest.raises(Unusable, match=r"smtp\.dns is 'nowhere'"):
        resolver_of("nowhere")
    with pytest.raises(Unusable, match=r"smtp\.trusted_networks is '10\.0\.0\.0/99'"):
        trust_of("mx.acme.net", "10.0.0.0/99")
    with pytest.raises(Unusable, match=r"smtp\.trusted_relay is believed from no network"):
        trust_of("mx.acme.net", "")
