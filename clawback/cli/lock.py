"""``clawback lock``: the lock sweep by hand."""

import os

import click

from clawback.cli.running import Outcome, desk, now, settings, table, told


@click.command()
@click.option("--as-of", metavar="INSTANT", help="Lock what is due at this instant; by default now.")
@told
def lock(as_of: str | None) -> Outcome:
    """Lock the actions whose lock has come.

    Deliveries that arrived before a lock are finished first; one that cannot be finished defers the actions it names.
    Salesforce orgs are read once more; what one may still say something of is deferred too, unless its settings say
    lock_anyway.

    \b
    Example:
      clawback lock --as-of 2027-02-28T00:00:00-05:00
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.salesforce.locking import watch
    from clawback.sweep import lock_due
    from processing.instants import UTC_ZONE, parsed

    instant = now()
    due = parsed(as_of, UTC_ZONE) if as_of else instant
    with desk() as opened:
        swept = lock_due(opened, as_of=due, at=instant, feeds=watch(settings().orgs, os.environ))
    document = [one.told() for one in swept]
    columns = {"account": "account", "locked": "locked", "deferred": "deferred", "waits for": "waits_for"}
    rows = [{**one, "waits_for": ", ".join(one["waits_for"]) or None} for one in document]
    return Outcome(document, table(rows, columns, "No action is due."))
