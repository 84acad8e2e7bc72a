"""``clawback template``: files for a brand to fill in and send."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from clawback.cli.running import desk, now

if TYPE_CHECKING:
    from processing.editable import Editable, EditableItem
    from schemas.template import Kind, Row

# As schemas.template has them; help does not wait for the readers.
KINDS: Final = ("order-csv", "item-csv", "order-xml", "item-xml")
SHEET: Final = ".xlsx"
RISKY: Final = "risky"
WHAT: Final = {
    "order-csv": "action ids look like numbers or days",
    "item-csv": "action ids or SKUs look like numbers, days or formulas",
}
# Where a line of an item has it.
_SKU: Final = 4


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--editable-actions", is_flag=True, help="Fill in the actions that can still be changed.")
@click.option("--account", "sid", metavar="SID", help="The brand whose actions they are.")
@click.option("--event-type", type=int, metavar="ID", help="The event type of the examples, or of the actions.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write it; by default stdout. A name that ends in .xlsx makes a spreadsheet of texts.",
)
def template(
    kind: "Kind", sid: str | None, event_type: int | None, out: Path | None, *, editable_actions: bool
) -> None:
    """Print a file of KIND to fill in: examples, or the actions of an account that are still open.

    Those are listed with their current amounts, the one that locks first first. Delete the lines that shall not
    change; in the others change the amount (0 reverses) and give a reason. A line left as it is changes nothing.

    \b
    Example:
      clawback template order-csv
      clawback template order-csv --editable-actions --account IRacme1 --out open.xlsx
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    sheet = out is not None and out.suffix.lower() == SHEET
    _refuse_nonsense(kind, sid, editable_actions=editable_actions, sheet=sheet)
    from schemas import template as files

    filled = files.write_filled if editable_actions else files.write_examples
    write = files.write_sheet if sheet else filled
    seen: Counter[str] = Counter()
    with _rows(kind, sid, event_type, seen) as rows, _opened(out) as file:
        count = write(kind, rows, file)
    if seen[RISKY] and not sheet and not files.is_xml(kind):
        click.echo(
            f"{seen[RISKY]:,} {WHAT[kind]}, which a spreadsheet writes differently: edit the file as text, or have it "
            f"written to a name that ends in {SHEET}.",
            err=True,
        )
    if out is not None:
        click.echo(f"{count:,} lines written to {out}.")
    elif not count:
        click.echo("No action is open; the file has no lines.", err=True)


def _refuse_nonsense(kind: "Kind", sid: str | None, *, editable_actions: bool, sheet: bool) -> None:
    if editable_actions != (sid is not None):
        raise click.UsageError("--editable-actions and --account go together.")
    if sheet and kind.endswith("xml"):
        raise click.UsageError(f"A file named {SHEET} is no XML; ask for a csv template.")


@contextmanager
def _rows(kind: "Kind", sid: str | None, event_type: int | None, seen: "Counter[str]") -> "Iterator[Iterable[Row]]":
    """The lines of a template: examples, or the open actions of an account; ``seen`` counts ids at risk."""
    from schemas.template import examples

    if sid is None:
        yield examples(kind) if event_type is None else examples(kind, event_type)
        return
    from processing.catalog import read_terms
    from processing.editable import editable, editable_items
    from processing.errors import Unusable

    with desk() as opened, opened.store.read() as db:
        terms = read_terms(db, sid)
        if event_type is not None and event_type not in terms.event_types:
            raise Unusable(f"Account {sid} has no event type {event_type}; it has {[*terms.event_types]}.")
        has_items = kind.startswith("item")
        find = editable_items if has_items else editable
        yield _counted(rows_of(find(db, terms, at=now(), event_type=event_type)), seen, has_items=has_items)


def _counted(rows: "Iterable[Row]", seen: "Counter[str]", *, has_items: bool) -> "Iterator[Row]":
    from schemas.template import harmless, looks_like_a_number

    for row in rows:
        seen[RISKY] += looks_like_a_number(row[0])
        if has_items:
            seen[RISKY] += looks_like_a_number(row[_SKU]) or not harmless(row[_SKU])
        yield row


def rows_of(found: "Iterable[Editable | EditableItem]") -> "Iterator[Row]":
    """The lines of a template for what can be changed, their reasons blank."""
    from processing.editable import EditableItem
    from schemas.template import harmless

    for one in found:
        named = (one.action_id, harmless(one.order_id), str(one.event_type))
        if isinstance(one, EditableItem):
            yield *named, "", one.sku, harmless(one.category), str(one.quantity), one.amount
        else:
            yield *named, one.amount, ""


@contextmanager
def _opened(out: Path | None) -> Iterator[BinaryIO]:
    """Where the template goes; a file appears under its name when it is whole."""
    if out is None:
        yield sys.stdout.buffer
        return
    from connectors.durable import hidden_beside
    from processing.errors import Unusable

    hidden = hidden_beside(out)
    try:
        with hidden.open("wb") as file:
            yield file
        hidden.replace(out)
    except OSError as error:
        raise Unusable(f"{out} cannot be written: {error.strerror}.") from None
    finally:
        hidden.unlink(missing_ok=True)
