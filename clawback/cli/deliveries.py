"""``clawback deliveries``: what arrived and what became of it."""

import getpass
import shutil
import sys
from typing import Any

import click

from clawback.cli.receipts import receipt_code, receipt_text
from clawback.cli.running import Outcome, desk, now, table, told


@click.group()
def deliveries() -> None:
    """Deliveries: list them, show one, print its receipt, release or reject one that is held."""


@deliveries.command("list")
@click.option("--account", "sid", metavar="SID", help="Only this brand's.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@told
def list_deliveries(sid: str | None, limit: int) -> Outcome:
    """The newest deliveries first.

    \b
    Example:
      clawback deliveries list --account IRacme1
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.deliveries import listing

    with desk() as opened, opened.store.read() as db:
        document = listing(db, sid, limit=limit)
    verdicts = ("read", "applied", "unchanged", "rejected", "refused", "waiting", "held")
    rows = [{**one, **one["rows"]} for one in document]
    columns = {"delivery": "delivery", "account": "account", "name": "name", "state": "state"}
    return Outcome(document, table(rows, columns | {name: name for name in verdicts}, "There is no delivery yet."))


@deliveries.command()
@click.argument("delivery")
@told
def show(delivery: str) -> Outcome:
    """One delivery: its state, the equation of its lines, its money, and the lines that were not applied.

    \b
    Example:
      clawback deliveries show 20270115T093000000000-1a2b3c4d
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import pipeline

    with desk() as opened:
        document = pipeline.receipt(opened, delivery)
    return Outcome(document, receipt_text(document))


@deliveries.command()
@click.argument("delivery")
@click.option(
    "--file",
    "which",
    type=click.Choice(["receipt", "result", "fix"]),
    default="receipt",
    show_default=True,
    help="Which of the files that answer it.",
)
def receipt(delivery: str, which: str) -> None:
    """Print a file that answered a delivery: the receipt (JSON), the result or the fix file, as the brand got it.

    \b
    Example:
      clawback deliveries receipt 20270115T093000000000-1a2b3c4d --file fix > fix_returns.csv
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import pipeline
    from processing.errors import NotFound

    with desk() as opened, pipeline.answer_file(opened, delivery, which) as answer:
        if answer is None:
            raise NotFound(f"Delivery {delivery} has no {which} file; see its receipt.")
        shutil.copyfileobj(answer, sys.stdout.buffer)


@deliveries.command()
@click.argument("delivery")
@told
def release(delivery: str) -> Outcome:
    """Apply a held delivery after all; its own arrival still counts against the locks.

    \b
    Example:
      clawback deliveries release 20270115T093000000000-1a2b3c4d
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import pipeline

    with desk() as opened:
        pipeline.release(opened, delivery, at=now())
        document = pipeline.receipt(opened, delivery)
    return Outcome(document, receipt_text(document), receipt_code(document))


@deliveries.command()
@click.argument("delivery")
@click.option("--by", default=getpass.getuser, metavar="NAME", help="Who rejects it; by default the user here.")
@told
def reject(delivery: str, by: str) -> Outcome:
    """Give up a held delivery: nothing of it is applied, and no lock waits for it any more.

    \b
    Example:
      clawback deliveries reject 20270115T093000000000-1a2b3c4d --by dana
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import pipeline

    with desk() as opened:
        document: dict[str, Any] = pipeline.reject(opened, delivery, by=by, at=now())
    return Outcome(document, receipt_text(document))
