"""``clawback accounts``: the brands of the catalogue and their passwords."""

import sys

import click

from clawback.cli.running import Outcome, desk, settings, table, told


@click.group()
def accounts() -> None:
    """Accounts (brands): list them, give them passwords."""


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
