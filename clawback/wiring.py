"""Opens what the settings name: the store, the spool and the folders. The only place that knows concrete parts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clawback.settings import MailRelay, Settings
from connectors.mail_book import MailBook
from connectors.mail_evidence import Evidence, trust_of
from connectors.spool import Spool
from processing.store import Store

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


@contextmanager
def open_desk(settings: Settings, clock: Callable[[], datetime], progress: Progress = silent) -> Iterator[Desk]:
    """The installation of these settings, its tables brought up to date; closed at the end.

    ``progress`` is told the name of what is being read, and its lines so far.
    """
    store = Store(settings.store_url)
    try:
        store.migrate()
        yield Desk(store, open_spool(settings, clock), brands_folder(settings), open_mail(settings), progress)
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


def credentials_folder(settings: Settings) -> Path:
    """The folder of the accounts' hashed passwords."""
    return settings.state / "credentials"


def mail_folder(settings: Settings) -> Path:
    """The folder of the inbox's addresses and of who may send."""
    return settings.state / "mail"
