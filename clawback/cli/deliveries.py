"""``clawback deliveries``: what arrived and what became of it."""

import shutil
import sys
from typing import Any, Final

import click

from clawback.cli.receipts import most_lines, receipt_code, receipt_text, state_text
from clawback.cli.running import Outcome, by, desk, now, person, table, told

PREVIEW: Final = click.option("--preview", is_flag=True, help="Say what would happen and write nothing.")


@click.group()
def deliveries() -> None:
    """Deliveries: list them, show one, print its receipt; release, reject, replay or undo one."""


@deliveries.command("list")
@click.option("--account", "sid", metavar="SID", help="Only this brand's.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@told
def list_deliveries(sid: str | None, limit: int) -> Outcome:
    """The newest deliveries first; "lines held" are those that waited for their actions and need a person now.

    \b
    Example:
      clawback deliveries list --account IRacme1
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.deliveries import listing

    with desk() as opened, opened.store.read() as db:
        document = listing(db, sid, limit=limit)
    verdicts = ("read", "applied", "unchanged", "rejected", "refused", "waiting", "held")
    rows = [{**one, **one["rows"], "state": state_text(one)} for one in document]
    columns = {"delivery": "delivery", "account": "account", "name": "name", "state": "state"}
    return Outcome(document, table(rows, columns | {name: name for name in verdicts}, "There is no delivery yet."))


@deliveries.command()
@click.argument("delivery")
@told
def show(delivery: str) -> Outcome:
    """One delivery: its state, the equation of its lines, its money, and the lines that were not applied.

    It tells, too, until when lines wait for their action, and when and why lines were judged again.

    \b
    Example:
      clawback deliveries show 20270115T093000000000-1a2b3c4d
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import pipeline

    with desk() as opened:
        document = pipeline.receipt(opened, delivery, most_lines())
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
@by("releases")
@told
def release(delivery: str, by: str) -> Outcome:
    """Apply a held delivery after all; its own arrival still counts against the locks.

    One that may have been cut off is weighed then, and is held anew if it would do unusual harm. Of one that is done
    and holds lines that waited for their actions, these are applied.

    \b
    Example:
      clawback deliveries release 20270115T093000000000-1a2b3c4d --by dana
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import deciding, pipeline

    with desk() as opened:
        deciding.release(opened, delivery, by=by, at=now())
        document = pipeline.receipt(opened, delivery, most_lines())
    return Outcome(document, receipt_text(document), receipt_code(document))


@deliveries.command()
@click.argument("delivery")
@by("rejects")
@told
def reject(delivery: str, by: str) -> Outcome:
    """Give up a held or broken delivery: nothing of it is applied, and no lock waits for it any more.

    Of one that is done and holds lines that waited for their actions, these are refused as NOT_RELEASED; what was
    applied before stays.

    \b
    Example:
      clawback deliveries reject 20270115T093000000000-1a2b3c4d --by dana
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import deciding

    with desk() as opened:
        document: dict[str, Any] = deciding.reject(opened, delivery, by=by, at=now())
    return Outcome(document, receipt_text(document))


@deliveries.command()
@click.argument("delivery")
@click.option(
    "--by", callback=person, metavar="NAME", help="Who has looked at it; needed for one that would do unusual harm."
)
@PREVIEW
@told
def replay(delivery: str, by: str | None, *, preview: bool) -> Outcome:
    """Judge again the lines of a delivery that were not applied, after a fix of the catalogue.

    They are judged with the terms of now and the arrival of then. A delivery that was rejected as a whole, also by a
    person, is judged anew from the beginning, holds included; one that is held is to be released instead. Lines that
    are held since their actions were loaded, or that a person rejected then, stay as they are. A replay that would make
    the delivery mostly bad, or reverse much of what is open, is made only with --by, and the receipt says who did it.

    \b
    Example:
      clawback deliveries replay 20270115T093000000000-1a2b3c4d --preview
      clawback deliveries replay 20270115T093000000000-1a2b3c4d
      clawback deliveries replay 20270115T093000000000-1a2b3c4d --by dana
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import revising

    with desk() as opened:
        if preview:
            return _previewed(revising.preview_replay(opened, delivery, by=by, at=now()))
        document = revising.replay(opened, delivery, by=by, at=now())
    return Outcome(document, receipt_text(document), receipt_code(document))


@deliveries.command()
@click.argument("delivery")
@by("undoes")
@click.option("--reason", metavar="TEXT", help="Why, for the receipt and the history of its actions.")
@PREVIEW
@told
def undo(delivery: str, by: str, reason: str | None, *, preview: bool) -> Outcome:
    """Return each action that a delivery changed, and nobody since, to what it was.

    The undo is a delivery of its own, with a line for each action: one that was changed since is refused as
    CHANGED_SINCE, a locked one as ACTION_LOCKED. Lines that still wait for their action wait no longer. The same file
    may be sent again afterwards. An undo can be undone. Of a gzip or zip the deliveries of its files are undone, one by
    one.

    \b
    Example:
      clawback deliveries undo 20270115T093000000000-1a2b3c4d --by dana --preview
      clawback deliveries undo 20270115T093000000000-1a2b3c4d --by dana --reason "last year's file"
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import revising

    with desk() as opened:
        if preview:
            return _previewed(revising.preview_undo(opened, delivery, by=by, reason=reason, at=now()))
        document = revising.undo(opened, delivery, by=by, reason=reason, at=now())
    return Outcome(document, receipt_text(document), receipt_code(document))


def _previewed(receipt: dict[str, Any]) -> Outcome:
    text = "PREVIEW: nothing was written.\n\n" + receipt_text(receipt)
    return Outcome({"preview": True, **receipt}, text, receipt_code(receipt))
