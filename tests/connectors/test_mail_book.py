"""The address book: who has which address, and who may send."""

from pathlib import Path

import pytest

from connectors.mail_book import MailBook, Mailbox, Senders, canonical
from processing.errors import NotFound, Unusable


@pytest.fixture
def book(tmp_path: Path) -> MailBook:
    """An empty book."""
    return MailBook(tmp_path)


def test_addresses_are_found_until_they_are_revoked(book: MailBook, tmp_path: Path) -> None:
    """By another process too, and in any case."""
    first, second = book.open_mailbox("IRacme1", 16027), book.open_mailbox("IRacme1")
    assert len(first.local) == 32
    assert first.local != second.local
    other = MailBook(tmp_path)
    assert other.find(first.local.upper()) == Mailbox(first.local, "IRacme1", 16027)
    assert sorted(other.mailboxes("IRacme1"), key=str) == sorted([first, second], key=str)
    assert other.mailboxes("IRbrix2") == []
    book.close_mailbox("IRacme1", first.local)
    assert other.find(first.local) is None


def test_nobodys_addresses(book: MailBook) -> None:
    """What cannot be one of ours is never looked for on the disk."""
    box = book.open_mailbox("IRacme1")
    for local in ("", "..", "../senders/IRacme1", box.local[:-1], f"{box.local}a", "a" * 32):
        assert book.find(local) is None
    with pytest.raises(NotFound, match="IRbrix2 has no such address"):
        book.close_mailbox("IRbrix2", box.local)
    with pytest.raises(Unusable, match="cannot be an account"):
        book.open_mailbox("../IRacme1")


def test_senders(book: MailBook) -> None:
    """Addresses and domains, written in any way; a domain is not its subdomains."""
    assert book.senders("IRacme1") == Senders()
    senders = book.change_senders("IRacme1", allow=("Ops@Acme.Example", "brand.example."), contact="it@acme.example")
    assert senders == book.senders("IRacme1") == Senders(("brand.example", "ops@acme.example"), "it@acme.example")
    assert senders.allow("OPS@acme.example")
    assert senders.allow("anybody@brand.example")
    assert not senders.allow("other@acme.example")
    assert not senders.allow("anybody@sub.brand.example")
    assert not senders.allow("anybody@evilbrand.example")
    assert book.change_senders("IRacme1", remove=("ops@acme.example",), contact="") == Senders(("brand.example",))


@pytest.mark.parametrize("text", ["", "@", "ops@", "@acme.example", "ac me", "a..b", "-a.example"])
def test_what_is_no_sender(book: MailBook, text: str) -> None:
    """Said, and nothing is changed."""
    with pytest.raises(Unusable, match="neither an address nor a domain"):
        book.change_senders("IRacme1", allow=("ops@acme.example", text))
    assert book.senders("IRacme1") == Senders()


def test_unknown_sender_and_contact(book: MailBook) -> None:
    """A misspelt one is not passed over in silence."""
    with pytest.raises(NotFound, match=r"ops@acme\.example is not among the senders of IRacme1"):
        book.change_senders("IRacme1", remove=("ops@acme.example",))
    with pytest.raises(Unusable, match="is not an address"):
        book.change_senders("IRacme1", contact="acme.example")


def test_canonical() -> None:
    """Small letters, domains in ASCII."""
    assert canonical(" Büro@Bücher.Example. ") == "büro@xn--bcher-kva.example"
