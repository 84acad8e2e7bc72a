"""Whether the address in From is really the sender's: SPF, DKIM and their alignment (RFC 7208, 6376, 7489).

The claim holds if a DKIM signature of the From domain is right, or if SPF passes for a return path of that domain;
"of that domain" as its DMARC record says, by default any domain of the same organisation. Whether it publishes a policy
changes nothing else: what is not proven is not believed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from email import policy
from email.message import Message
from email.parser import BytesHeaderParser
from functools import cache
from typing import Any, Final

import authres
import authres.dmarc
import dkim
import dns.exception
import dns.resolver
import spf
from publicsuffixlist import PublicSuffixList

from connectors.mail_evidence import DnsUnavailable, Evidence, Trust
from processing.errors import Unusable

_LIFETIME_S: Final = 5.0
_SPF_S: Final = 20
_MOST_SIGNATURES: Final = 5
_LEAST_KEY_BITS: Final = 1024
_AUTHRES: Final = authres.FeatureContext(authres.dmarc)
_DATA: Final = {"A": "address", "AAAA": "address"}

Answers = list[tuple[tuple[str, str], Any]]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How near a domain has to be to that of From, as its DMARC record says: strictly the same, or one organisation."""

    domain: str
    strict_dkim: bool = False
    strict_spf: bool = False

    def holds(self, other: str, *, strict: bool) -> bool:
        """Whether the other domain speaks for this one."""
        name = other.lower().rstrip(".")
        return name == self.domain or (not strict and organisation(name) == organisation(self.domain))


class Verifier:
    """Asks the domain name system through its resolver."""

    def __init__(self, resolver: dns.resolver.Resolver, trust: Trust) -> None:
        self._resolver = resolver
        self._trust = trust

    def verify(self, raw: bytes, sender: str, trace: dict[str, str]) -> Evidence:
        """Whether ``sender`` sent this message; raises DnsUnavailable if that cannot be told now."""
        domain = sender.rpartition("@")[2]
        if not domain:
            return Evidence(proven=False, told="The message has not exactly one sender.")
        trusted = self._trust.covers(trace["peer"])
        if trusted and (passed := self._passed(raw, domain)):
            return Evidence(proven=True, told=passed)
        told, silent = [], False
        with _asking(self._resolver):
            alignment = self._alignment(domain)
            for check in (self._relayed if trusted else self._spf, self._dkim):
                try:
                    evidence = check(raw, trace, alignment)
                except DnsUnavailable as error:
                    silent, evidence = True, Evidence(proven=False, told=str(error))
                if evidence.proven:
                    return evidence
                told.append(evidence.told)
        if silent:
            raise DnsUnavailable(f"Nobody can tell whether {domain} sent it: {' '.join(told)}")
        return Evidence(proven=False, told=" ".join(told))

    def _alignment(self, domain: str) -> Alignment:
        for name in dict.fromkeys((domain, organisation(domain))):
            try:
                record = txt(f"_dmarc.{name}", b"v=DMARC1")
            except DnsUnavailable:
                # Strictly the same domain is near enough whatever the record would say.
                return Alignment(domain, strict_dkim=True, strict_spf=True)
            if record is not None:
                tags = {
                    key.strip(): value.strip() for key, _, value in (tag.partition("=") for tag in record.split(";"))
                }
                return Alignment(domain, tags.get("adkim") == "s", tags.get("aspf") == "s")
        return Alignment(domain)

    def _spf(self, _raw: bytes, trace: dict[str, str], alignment: Alignment) -> Evidence:
        path = trace["mail_from"]
        domain = path.rpartition("@")[2].lower()
        if not domain:
            return Evidence(proven=False, told="SPF: the message has no return path.")
        result, _ = spf.check2(i=trace["peer"], s=path, h=trace["helo"], querytime=_SPF_S)
        if result == "temperror":
            raise DnsUnavailable(f"SPF: the name servers of {domain} do not answer.")
        if result != "pass":
            return Evidence(proven=False, told=f"SPF: {result} for {domain} from {trace['peer']}.")
        aligned = alignment.holds(domain, strict=alignment.strict_spf)
        return Evidence(aligned, f"SPF: pass for {domain}{'' if aligned else f', which is not {alignment.domain}'}.")

    def _dkim(self, raw: bytes, _trace: dict[str, str], alignment: Alignment) -> Evidence:
        count = min(len(_headers(raw).get_all("DKIM-Signature", [])), _MOST_SIGNATURES)
        found = [self._signature(raw, index, alignment) for index in range(count)]
        proven = [one for one in found if one.proven]
        told = " ".join(one.told for one in found) or "DKIM: not signed."
        return proven[0] if proven else Evidence(proven=False, told=told)

    def _signature(self, raw: bytes, index: int, alignment: Alignment) -> Evidence:
        checked = dkim.DKIM(raw, minkey=_LEAST_KEY_BITS)
        try:
            right = checked.verify(idx=index, dnsfunc=_dkim_key)
        except dkim.DnsTimeoutError as error:
            raise DnsUnavailable("DKIM: the name servers of the key do not answer.") from error
        except (dkim.DKIMException, ValueError, LookupError, TypeError, AttributeError) as error:
            return Evidence(proven=False, told=f"DKIM: {_sentence(error)}")
        fields = checked.signature_fields
        domain = fields.get(b"d", b"").decode("ascii", "replace")
        if not right:
            return Evidence(proven=False, told=f"DKIM: the signature of {domain} is not right.")
        if b"l" in fields:
            return Evidence(proven=False, told=f"DKIM: the signature of {domain} leaves the end of the message out.")
        aligned = alignment.holds(domain, strict=alignment.strict_dkim)
        return Evidence(aligned, f"DKIM: signed by {domain}{'' if aligned else f', which is not {alignment.domain}'}.")

    def _passed(self, raw: bytes, domain: str) -> str:
        """What the upstream server said if DMARC passed there, "" otherwise: then there is nothing to look up."""
        for one in self._results(raw):
            if one.method == "dmarc" and one.result == "pass" and str(one.header_from or "").lower() == domain:
                return f"{self._trust.name}: {one}."
        return ""

    def _relayed(self, raw: bytes, _trace: dict[str, str], alignment: Alignment) -> Evidence:
        found = self._results(raw)
        for one in found:
            if one.result == "pass" and _says(one, alignment):
                return Evidence(proven=True, told=f"{self._trust.name}: {one}.")
        return Evidence(proven=False, told=f"{self._trust.name}: {'; '.join(map(str, found)) or 'no results'}.")

    def _results(self, raw: bytes) -> list[Any]:
        """What the upstream server found out, in its own words."""
        found = []
        for value in _headers(raw).get_all("Authentication-Results", []):
            try:
                parsed = _AUTHRES.parse_value(" ".join(str(value).split()))
            except authres.AuthResError:
                continue
            if str(parsed.authserv_id).lower() == self._trust.name.lower():
                found += parsed.results
        return found


def resolver_of(address: str) -> dns.resolver.Resolver:
    """A resolver that asks the name server at ``host:port``, by default those of the system; raises Unusable."""
    try:
        resolver = dns.resolver.Resolver(configure=not address)
        if address:
            host, _, port = address.rpartition(":") if address.count(":") == 1 else (address, "", "")
            resolver.nameservers = [host]
            resolver.port = int(port or 53)
    except (ValueError, dns.exception.DNSException):
        raise Unusable(f"smtp.dns is {address!r}. Give the address of a name server such as 127.0.0.1:53.") from None
    resolver.lifetime = _LIFETIME_S
    resolver.cache = dns.resolver.LRUCache()
    return resolver


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def organisation(domain: str) -> str:
    """The domain that somebody registered, of which this is a part: ``acme.example`` of ``mail.acme.example``."""
    return _suffixes().privatesuffix(domain.lower()) or domain.lower()


# pyspf has no way to give it a resolver: it calls a function of its module, which we replace by one that asks ours.
_resolver: ContextVar[dns.resolver.Resolver] = ContextVar("resolver")


@contextmanager
def _asking(resolver: dns.resolver.Resolver) -> Iterator[None]:
    token = _resolver.set(resolver)
    try:
        yield
    finally:
        _resolver.reset(token)


def _ask(name: str, kind: str, timeout_s: float) -> list[Any]:
    """The records of a name, none if it has none; raises DnsUnavailable."""
    try:
        resolver = _resolver.get()
        return list(resolver.resolve(name, kind, lifetime=min(timeout_s, resolver.lifetime), search=False))
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN, dns.exception.SyntaxError, UnicodeError):
        return []
    except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.BadEscape):
        return []
    except (dns.exception.DNSException, OSError) as error:
        raise DnsUnavailable(f"The name servers of {name} do not answer.") from error


def _lookup(name: str, kind: str, _strict: object, timeout: float) -> Answers:
    try:
        found = _ask(name, kind, timeout)
    except DnsUnavailable as error:
        raise spf.TempError(str(error)) from error
    return [((name, kind), _value(kind, one)) for one in found]


def _value(kind: str, record: Any) -> Any:  # noqa: ANN401 - as pyspf wants them
    if kind == "MX":
        return record.preference, record.exchange.to_text(omit_final_dot=True)
    if kind == "PTR":
        return record.target.to_text(omit_final_dot=True)
    return getattr(record, _DATA.get(kind, "strings"))


spf.DNSLookup = _lookup


def _dkim_key(name: bytes, timeout: float = _LIFETIME_S) -> bytes | None:
    try:
        found = _ask(name.decode("ascii", "replace"), "TXT", timeout)
    except DnsUnavailable as error:
        raise dkim.DnsTimeoutError(str(error)) from error
    return b"".join(found[0].strings) if found else None


def txt(name: str, start: bytes) -> str | None:
    """The one text record of a name that begins like this; None if there is none or are several."""
    records = [b"".join(one.strings) for one in _ask(name, "TXT", _LIFETIME_S)]
    found = [one for one in records if one.startswith(start)]
    return found[0].decode("ascii", "replace") if len(found) == 1 else None


def _headers(raw: bytes) -> Message:
    return BytesHeaderParser(policy=policy.compat32).parsebytes(raw)


def _says(one: Any, alignment: Alignment) -> bool:  # noqa: ANN401 - authres has no types
    """Whether a result of the upstream server is about the domain of From."""
    if one.method == "dkim":
        return alignment.holds(str(one.header_d or ""), strict=alignment.strict_dkim)
    if one.method == "spf":
        return alignment.holds(str(one.smtp_mailfrom or "").rpartition("@")[2], strict=alignment.strict_spf)
    return False


def _sentence(error: Exception) -> str:
    text = str(error).strip() if isinstance(error, dkim.DKIMException) else "a signature cannot be understood"
    return f"{text[:200].rstrip('.')}."
