"""``clawback accounts``: the brands of the catalogue, their passwords, tokens, e-mail addresses and senders."""

import sys
from typing import TYPE_CHECKING

import click

from clawback.cli.running import Outcome, desk, now, settings, table, told

if TYPE_CHECKING:
    from connectors.mail_book import MailBook


@click.group()
def accounts() -> None:
    """Accounts (brands): list them, give them passwords, tokens and e-mail addresses, say who may send."""


@accounts.command("list")
@told
def list_accounts() -> Outcome:
    """All accounts with their time zone, currency and number of actions.

    \b
    Example:
      clawback accounts list --json
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.catalog import accounts as read

    with desk() as opened, opened.store.read() as db:
        document = read(db)
    columns = {
        "account": "account",
        "name": "name",
        "time zone": "timezone",
        "currency": "currency",
        "actions": "actions",
    }
    return Outcome(document, table(document, columns, "There is no account yet; load a catalogue."))


@accounts.command()
@click.argument("sid")
@click.option("--scope", type=click.Choice(["read", "write"]), help="Make a token that may read, or write as well.")
@click.option("--list", "listed", is_flag=True, help="List the account's tokens.")
@click.option("--revoke", metavar="ID", help="Let a token in no more.")
@told
def token(sid: str, scope: str | None, revoke: str | None, *, listed: bool) -> Outcome:
    """Tokens by which programs of account SID use Web Services: make one, list them, revoke one.

    A token is printed once, when it is made, and kept only as a digest. An account may have several.

    \b
    Example:
      clawback accounts token IRacme1 --scope write
      clawback accounts token IRacme1 --list
      clawback accounts token IRacme1 --revoke 1a2b3c4d
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.wiring import credentials_folder
    from connectors.tokens import Scope, Tokens
    from processing.catalog import read_terms

    if (scope is not None) + listed + (revoke is not None) != 1:
        raise click.UsageError("Give one of --scope, --list and --revoke.")
    with desk() as opened, opened.store.read() as db:
        read_terms(db, sid)
    tokens = Tokens(credentials_folder(settings()))
    if scope is not None:
        made, secret = tokens.make(sid, Scope(scope), now())
        document = {"account": sid, "id": made.token_id, "scope": scope, "token": secret}
        return Outcome(document, secret)
    if revoke is not None:
        tokens.revoke(sid, revoke)
        return Outcome({"account": sid, "revoked": revoke}, f"Token {revoke} of {sid} is revoked.")
    rows = [
        {"id": one.token_id, "scope": one.scope.value, "made_at": one.made_at.isoformat()} for one in tokens.of(sid)
    ]
    columns = {"id": "id", "scope": "scope", "made at": "made_at"}
    return Outcome(rows, table(rows, columns, f"{sid} has no token; make one with --scope read or write."))


@accounts.command()
@click.argument("sid")
@click.option("--channel", type=click.Choice(["ftp"]), required=True, help="What the password opens.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin instead of making one.")
@told
def password(sid: str, channel: str, *, password_stdin: bool) -> Outcome:
    """Give account SID a new password for a channel; the old one stops working.

    A password that Clawback makes is printed once and kept only as an argon2 hash.

    \b
    Example:
      clawback accounts password IRacme1 --channel ftp
      pass show acme | clawback accounts password IRacme1 --channel ftp --password-stdin
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.wiring import credentials_folder
    from connectors.credentials import Credentials, new_password
    from processing.catalog import read_terms
    from processing.errors import Unusable

    with desk() as opened, opened.store.read() as db:
        read_terms(db, sid)
    secret = sys.stdin.readline().rstrip("\r\n") if password_stdin else new_password()
    if not secret:
        raise Unusable("The password on stdin is empty; nothing was changed.")
    Credentials(credentials_folder(settings())).set_password(sid, channel, secret)
    document = {"account": sid, "channel": channel, "password": None if password_stdin else secret}
    text = f"The {channel} password of {sid} is set." if password_stdin else secret
    return Outcome(document, text)


@accounts.command()
@click.argument("sid")
@click.option("--event-type", type=int, metavar="ID", help="The event type meant by lines that name none.")
@click.option("--list", "list_all", is_flag=True, help="List the account's addresses instead of making one.")
@click.option("--revoke", metavar="ADDRESS", help="Take no more messages at ADDRESS.")
@told
def address(sid: str, event_type: int | None, revoke: str | None, *, list_all: bool) -> Outcome:
    """Make an address for account SID: files mailed to it are its deliveries.

    Nobody can guess it; treat it like a password all the same, and say with `clawback accounts senders` who may send.

    \b
    Example:
      clawback accounts address IRacme1 --event-type 16027
      clawback accounts address IRacme1 --list
      clawback accounts address IRacme1 --revoke 3k5v...@returns.example
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.catalog import read_terms
    from processing.errors import Unusable

    domain = settings().smtp.domain
    if not domain:
        raise Unusable("There is no e-mail inbox yet; set smtp.domain to the domain of its addresses.")
    book = _book()
    if list_all:
        made = [{"address": f"{box.local}@{domain}", "event_type": box.event_type} for box in book.mailboxes(sid)]
        return Outcome(made, table(made, {"address": "address", "event type": "event_type"}, f"{sid} has no address."))
    if revoke:
        book.close_mailbox(sid, revoke.partition("@")[0])
        return Outcome({"account": sid, "revoked": revoke}, f"{revoke} takes no more messages.")
    with desk() as opened, opened.store.read() as db:
        terms = read_terms(db, sid)
    if event_type is not None and event_type not in terms.event_types:
        raise Unusable(f"{event_type} is none of the event types of {sid}.")
    made_address = f"{book.open_mailbox(sid, event_type).local}@{domain}"
    return Outcome({"account": sid, "event_type": event_type, "address": made_address}, made_address)


@accounts.command()
@click.argument("sid")
@click.option("--allow", multiple=True, metavar="SENDER", help="An address, or a domain with all its addresses.")
@click.option("--remove", multiple=True, metavar="SENDER", help="Allow it no more.")
@click.option("--contact", metavar="ADDRESS", help="Who is told of messages that were not believed; '' for nobody.")
@told
def senders(sid: str, allow: tuple[str, ...], remove: tuple[str, ...], contact: str | None) -> Outcome:
    """Who may send for account SID by e-mail, if SPF or DKIM prove that it was them; lists them.

    Messages of others are quarantined (`clawback mail list`). At first nobody may send.

    \b
    Example:
      clawback accounts senders IRacme1
      clawback accounts senders IRacme1 --allow acme.example --allow erp@brand.example --contact it@acme.example
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.catalog import read_terms

    with desk() as opened, opened.store.read() as db:
        read_terms(db, sid)
    book = _book()
    if allow or remove or contact is not None:
        known = book.change_senders(sid, allow=allow, remove=remove, contact=contact)
    else:
        known = book.senders(sid)
    document = {"account": sid, "allowed": list(known.allowed), "contact": known.contact}
    allowed = "\n".join(known.allowed) or "Nobody may send; --allow an address or a domain."
    return Outcome(document, f"{allowed}\nContact: {known.contact or 'nobody'}")


def _book() -> "MailBook":
    from clawback.wiring import mail_folder
    from connectors.mail_book import MailBook

    return MailBook(mail_folder(settings()))
