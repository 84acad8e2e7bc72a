"""Opens what the settings name: the store, the spool and the folders. The only place that knows concrete parts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clawback.settings import MailRelay, Settings
from connectors.mail_book import MailBook
from connectors.mail_evidence import Evidence, trust_of
from connectors.salesforce_settings import SalesforceSettings
from connectors.source import Source
from connectors.source_settings import HttpSettings, SftpSettings, SourceSettings
from connectors.spool import Spool
from processing.store import Store
from schemas.containers import MOST_BYTES

if TYPE_CHECKING:
    from connectors.outside import Client
    from connectors.salesforce_org import Org

Progress = Callable[[str, int], None]
# A raw message, the address in its From, and what its session told.
Verify = Callable[[bytes, str, dict[str, str]], Evidence]


def silent(what: str, lines: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Mail:
    """The e-mail side of an installation: who may write, how that is proven, and who takes our replies.

    ``folder`` is where the settings' relative paths begin.
    """

    book: MailBook
    verify: Verify
    domain: str
    relay: MailRelay
    folder: Path


@dataclass(frozen=True, slots=True)
class Desk:
    """An open installation: what the pipeline works on."""

    store: Store
    spool: Spool
    brands: Path
    mail: Mail
    progress: Progress = silent
    most_bytes: int = MOST_BYTES


@contextmanager
def open_desk(settings: Settings, clock: Callable[[], datetime], progress: Progress = silent) -> Iterator[Desk]:
    """The installation of these settings, its tables brought up to date; closed at the end.

    ``progress`` is told the name of what is being read, and its lines so far.
    """
    store = Store(settings.store_url)
    try:
        store.migrate()
        spool = open_spool(settings, clock)
        brands, mail = brands_folder(settings), open_mail(settings)
        yield Desk(store, spool, brands, mail, progress, settings.max_delivery_bytes)
    finally:
        store.close()


def open_spool(settings: Settings, clock: Callable[[], datetime]) -> Spool:
    """The spool alone: a receiver needs no store."""
    return Spool(settings.state / "spool", clock=clock)


def open_mail(settings: Settings) -> Mail:
    """The e-mail side alone; raises Unusable."""
    smtp = settings.smtp
    trust = trust_of(smtp.trusted_relay, smtp.trusted_networks)

    def verify(raw: bytes, sender: str, trace: dict[str, str]) -> Evidence:
        # Its libraries take a quarter of a second to import, which only a message needs.
        from connectors.mail_identity import Verifier, resolver_of  # noqa: PLC0415

        return Verifier(resolver_of(smtp.dns), trust).verify(raw, sender, trace)

    return Mail(MailBook(mail_folder(settings)), verify, smtp.domain, settings.relay, settings.state.parent)


def brands_folder(settings: Settings) -> Path:
    """The folder that holds one folder per account, as the hosted FTP server shows it."""
    return settings.state / "ftp"


def requests_file(settings: Settings) -> Path:
    """The file in which the web server's processes count requests."""
    return settings.state / "web" / "requests.db"


def credentials_folder(settings: Settings) -> Path:
    """The folder of the accounts' hashed passwords."""
    return settings.state / "credentials"


def mail_folder(settings: Settings) -> Path:
    """The folder of the inbox's addresses and of who may send."""
    return settings.state / "mail"


def source_of(settings: SourceSettings, environ: Mapping[str, str]) -> Source:
    """The source of these settings, not connected yet; ``environ`` holds the secrets they refer to."""
    # Each kind's library is slow to import, and of no use to who does not pull.
    if isinstance(settings, SftpSettings):
        from connectors.sftp_source import SftpSource  # noqa: PLC0415

        return SftpSource(settings, environ)
    if isinstance(settings, HttpSettings):
        from connectors.http_source import HttpSource  # noqa: PLC0415

        return HttpSource(settings, environ)
    from connectors.ftp_source import FtpSource  # noqa: PLC0415

    return FtpSource(settings, environ)


def webhook_client(settings: Settings) -> "Client":
    """Who posts to webhooks: a program has to answer at once, or is asked again later; raises Unusable."""
    from connectors.outside import Client  # noqa: PLC0415 - slow, and of use to few
    from connectors.places import Guard, networks  # noqa: PLC0415 - likewise

    webhooks = settings.webhooks
    guard = Guard(networks(webhooks.private_networks))
    return Client(guard, timeout_s=webhooks.timeout_s, total_s=2 * webhooks.timeout_s)


def org_of(settings: SalesforceSettings, environ: Mapping[str, str]) -> "Org":
    """The org of these settings, not connected yet; ``environ`` holds the secrets they refer to."""
    from connectors.salesforce_org import Org  # noqa: PLC0415 - as slow to import

    return Org(settings, environ)


def claims_folder(settings: Settings) -> Path:
    """The folder of the claims by which a source is pulled by one process at a time."""
    return settings.state / "sources"
