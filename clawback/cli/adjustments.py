"""``clawback adjustments``: what came too late to change an action."""

import csv
import io
import re
from typing import Any, Final

import click

from clawback.cli.running import Outcome, desk, table, told

NAMED: Final = ("order_id", "partner_name", "reason")


@click.group()
def adjustments() -> None:
    """Proposed adjustments: what lines asked for after their action had locked; nothing applies them by itself."""


@adjustments.command("list")
@click.option("--account", "sid", metavar="SID", help="Only this brand's.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, to be settled in a spreadsheet.")
@told
def list_adjustments(sid: str | None, *, as_csv: bool) -> Outcome:
    """Late lines with what each adds to those before it, in order of arrival; the same line again adds nothing.

    \b
    Example:
      clawback adjustments list --account IRacme1
      clawback adjustments list --csv > adjustments.csv
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.adjustments import listing

    with desk() as opened, opened.store.read() as db:
        document = list(listing(db, sid))
    return Outcome(document, _csv(document) if as_csv else _text(document))


def _text(document: list[dict[str, Any]]) -> str:
    columns = {
        "account": "account",
        "action": "action_id",
        "partner": "partner_name",
        "change": "change",
        "reason": "reason",
        "": "currency",
        "payout before": "payout_before",
        "after": "payout_after",
        "difference": "payout_difference",
        "locked": "locks_at",
        "delivery": "delivery",
        "line": "line",
    }
    return table(document, columns, "No line came too late.")


def _csv(document: list[dict[str, Any]]) -> str:
    from schemas.result import FORMULA

    out = io.StringIO()
    for row in document:
        # What brands named may be a formula to a spreadsheet.
        named = {name: f"'{row[name]}" for name in NAMED if re.match(FORMULA, row[name] or "")}
        writer = csv.DictWriter(out, list(row), lineterminator="\n")
        if not out.tell():
            writer.writeheader()
        writer.writerow(row | named)
    return out.getvalue().rstrip("\n")
