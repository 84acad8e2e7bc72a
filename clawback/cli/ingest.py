"""``clawback ingest``: a file from this machine, as if a brand had sent it."""

from pathlib import Path

import click

from clawback.cli.receipts import most_lines, receipts_code, receipts_text
from clawback.cli.running import Outcome, desk, now, told


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--account", "sid", required=True, metavar="SID", help="The brand whose file it is.")
@click.option("--event-type", type=int, metavar="ID", help="The event type of lines that name none.")
@click.option("--received-at", metavar="INSTANT", help="When it arrived; by default now.")
@click.option("--preview", is_flag=True, help="Decide every line and write nothing.")
@click.option("--again", is_flag=True, help="Apply it although the same bytes were applied before.")
@told
def ingest(
    file: Path, sid: str, event_type: int | None, received_at: str | None, *, preview: bool, again: bool
) -> Outcome:
    """Apply FILE to the pending actions of an account and print its receipt.

    FILE is CSV, XML or xlsx, or a gz or zip of these.

    \b
    Example:
      clawback ingest returns.csv --account IRacme1 --preview
      clawback ingest returns.csv --account IRacme1
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import pipeline
    from clawback.intake import arrival_of, land_file
    from clawback.preview import preview as preview_file
    from processing.catalog import read_terms
    from processing.errors import Unusable
    from processing.instants import parsed

    with desk() as opened:
        with opened.store.read() as db:
            terms = read_terms(db, sid)
        if event_type is not None and event_type not in terms.event_types:
            raise Unusable(f"Account {sid} has no event type {event_type}; it has {[*terms.event_types]}.")
        arrived = parsed(received_at, terms.zone) if received_at else None
        if preview:
            arrival = arrival_of(file, event_type=event_type, again=again, received_at=arrived or now())
            receipt = preview_file(opened, arrival, sid, file)
            text = "PREVIEW: nothing was written.\n\n" + receipts_text(receipt)
            return Outcome({"preview": True, **receipt}, text, receipts_code(receipt))
        envelope = land_file(opened.spool, file, sid, event_type=event_type, again=again, received_at=arrived)
        pipeline.ingest(opened, envelope.delivery, at=now())
        receipt = pipeline.receipt_with_files(opened, envelope.delivery, most_lines())
    return Outcome(receipt, receipts_text(receipt), receipts_code(receipt))
