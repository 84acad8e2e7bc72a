"""``clawback webhooks``: where programs of brands are told what became of deliveries and actions."""

from typing import Final

import click

from clawback.cli.running import Outcome, desk, now, settings, table, told

KINDS: Final = ("delivery.finished", "delivery.held", "action.changed")
COLUMNS: Final = {
    "webhook": "webhook",
    "account": "account",
    "url": "url",
    "events": "kinds",
    "sent": "sent",
    "waiting": "waiting",
    "given up": "given_up",
    "": "last_error",
}


@click.group()
def webhooks() -> None:
    """Webhooks: tell a brand's program of finished and held deliveries and of changed actions."""


@webhooks.command()
@click.argument("sid")
@click.argument("url")
@click.option("--event", "kinds", type=click.Choice(KINDS), multiple=True, help="Only this kind; may be repeated.")
@told
def add(sid: str, url: str, kinds: tuple[str, ...]) -> Outcome:
    """Tell the program at URL what happens to deliveries and actions of account SID from now on.

    Prints the secret that signs what it is told, this once.

    \b
    Example:
      clawback webhooks add IRacme1 https://hooks.acme.example/clawback
      clawback webhooks add IRacme1 https://hooks.acme.example/held --event delivery.held
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.wiring import credentials_folder, webhook_client
    from connectors.places import Place
    from connectors.webhook_post import Secrets
    from processing.catalog import read_terms
    from processing.webhooks import EventKind
    from processing.webhooks import add as record

    place, every = Place.parse(url), settings()
    webhook_client(every).guard.addresses(place)
    chosen = [EventKind(one) for one in kinds or KINDS]
    with desk() as opened, opened.store.write() as db:
        name = record(db, read_terms(db, sid).account_id, url, chosen, at=now())
    secret = Secrets(credentials_folder(every)).of(name)
    document = {"webhook": name, "account": sid, "url": url, "events": [one.value for one in chosen], "secret": secret}
    return Outcome(document, f"{name}\n{secret}")


@webhooks.command("list")
@click.option("--account", "sid", metavar="SID", help="Only this brand's.")
@told
def list_webhooks(sid: str | None) -> Outcome:
    """All webhooks, with what was sent, what waits, what was given up, and the newest error.

    \b
    Example:
      clawback webhooks list --account IRacme1
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.webhooks import listing

    with desk() as opened, opened.store.read() as db:
        document = listing(db, sid)
    rows = [{**one, "kinds": ", ".join(one["events"])} for one in document]
    return Outcome(document, table(rows, COLUMNS, "There is no webhook; make one with `clawback webhooks add`."))


@webhooks.command()
@click.argument("webhook")
@told
def remove(webhook: str) -> Outcome:
    """Tell WEBHOOK nothing more, not even what is queued for it.

    \b
    Example:
      clawback webhooks remove wh_0123456789abcdef
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.webhooks import remove as forget

    with desk() as opened, opened.store.write() as db:
        forget(db, webhook)
    return Outcome({"webhook": webhook, "removed": True}, f"{webhook} is told nothing more.")


@webhooks.command()
@click.argument("webhook")
@click.option("--delivery", metavar="ID", help="What happened to this delivery.")
@click.option("--since", metavar="INSTANT", help="What happened since, such as 2027-01-20T00:00:00-05:00.")
@told
def replay(webhook: str, delivery: str | None, since: str | None) -> Outcome:
    """Tell WEBHOOK once more, in order, what it was told before or what was given up; each event keeps its id.

    \b
    Example:
      clawback webhooks replay wh_0123456789abcdef --delivery 20270115T093000000000-1a2b3c4d
      clawback webhooks replay wh_0123456789abcdef --since 2027-01-20T00:00:00-05:00
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.instants import UTC_ZONE, parsed
    from processing.webhooks import replay as queue

    if (delivery is None) is (since is None):
        raise click.UsageError("Give one of --delivery and --since.")
    start = None if since is None else parsed(since, UTC_ZONE)
    with desk() as opened, opened.store.write() as db:
        count = queue(db, webhook, at=now(), delivery=delivery, since=start)
    return Outcome({"webhook": webhook, "queued": count}, f"{count} events are queued for {webhook} again.")
