"""``clawback check``: whether a file is sound, without asking the ledger."""

from pathlib import Path
from typing import Any

import click

from clawback.cli.running import DONE, NOT_ALL_APPLIED, Outcome, table, told

SHOWN_PROBLEMS = 20


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--event-type", type=int, metavar="ID", help="The event type of lines that name none.")
@click.option("--ignore", multiple=True, metavar="COLUMN", help="A column to ignore; may be repeated.")
@click.option("--encoding", metavar="NAME", help="The encoding of a file that is not Unicode.")
@told
def check(file: Path, event_type: int | None, ignore: tuple[str, ...], encoding: str | None) -> Outcome:
    """Read FILE as a delivery and judge its text: no account, no action and no store is needed.

    \b
    Example:
      clawback check returns.csv
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from schemas.check import check as judge
    from schemas.document import Document

    document = Document.open(file, file.name, declared_encoding=encoding, ignore=ignore)
    read = 0
    problems: list[dict[str, Any]] = []
    for chunk in document.chunks():
        checked = judge(chunk, document.columns, reversals=document.kind == "reversals", event_type=event_type)
        read += len(checked.good) + len(checked.bad)
        problems += [{"line": one.line, "code": one.code, "message": one.message} for one in checked.bad]
    found = {
        "file": file.name,
        "format": document.format,
        "encoding": document.encoding.name,
        "columns": list(document.header),
        "complete": document.terminated is not False,
        "read": read,
        "problems": problems,
    }
    return Outcome(found, _text(found), NOT_ALL_APPLIED if problems or not found["complete"] else DONE)


def _text(found: dict[str, Any]) -> str:
    problems, read = found["problems"], found["read"]
    text = f"{found['file']}: {found['format']}, {found['encoding']}, {read:,} lines, {len(problems):,} with problems"
    if not found["complete"]:
        text += "\nThe last line does not end with a line break: the file may have been cut off, and would be held."
    if problems:
        text += "\n\n" + table(problems[:SHOWN_PROBLEMS], {"line": "line", "code": "code", "problem": "message"}, "")
    if len(problems) > SHOWN_PROBLEMS:
        text += f"\n… and {len(problems) - SHOWN_PROBLEMS:,} more; --json lists all."
    return text
