"""``clawback check``: whether a file is sound, without asking the ledger."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clawback.cli.running import DONE, NOT_ALL_APPLIED, Outcome, table, told

if TYPE_CHECKING:
    from schemas.containers import Container, Inside

    How = dict[str, Any]

SHOWN_PROBLEMS = 20
SIDECAR = "sidecar"


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--event-type", type=int, metavar="ID", help="The event type of lines that name none.")
@click.option("--ignore", multiple=True, metavar="COLUMN", help="A column to ignore; may be repeated.")
@click.option("--encoding", metavar="NAME", help="The encoding of a file that is not Unicode.")
@told
def check(file: Path, event_type: int | None, ignore: tuple[str, ...], encoding: str | None) -> Outcome:
    """Read FILE as a delivery and judge its text: no account, no action and no store is needed.

    FILE is CSV, XML or xlsx, or a gz or zip of these.

    \b
    Example:
      clawback check returns.csv
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from schemas.containers import open_container

    how = {"declared_encoding": encoding, "ignore": ignore}
    container = open_container(file, file.name)
    if container is None:
        found = _checked(file, file.name, event_type, how)
        return Outcome(found, _text(found), _code(found))
    files = [_checked_inside(container, inside, event_type, how) for inside in container.files]
    document = {"file": file.name, "files": files, "ignored": list(container.ignored)}
    return Outcome(document, "\n\n".join(map(_text, files)), max(map(_code, files)))


def _checked_inside(container: "Container", inside: "Inside", event_type: int | None, how: "How") -> dict[str, Any]:
    """One file of a container; what is wrong with it as a whole is one problem."""
    from tempfile import NamedTemporaryFile

    from processing.errors import Unreadable

    with NamedTemporaryFile() as out:
        out.writelines(container.read(inside))
        out.flush()
        try:
            found = _checked(Path(out.name), inside.name, event_type, how)
        except Unreadable as error:
            problem = {"line": None, "code": error.code, "message": str(error)}
            return {"file": inside.name, "format": None, "read": 0, "complete": True, "problems": [problem]}
    return found | {"complete": container.proven or found["complete"]}


def _checked(file: Path, name: str, event_type: int | None, how: "How") -> dict[str, Any]:
    from schemas.check import check as judge
    from schemas.document import Document
    from schemas.sidecar import described, read_digest

    if described(name):
        digest = {"format": SIDECAR, "digest": read_digest(file), "complete": True}
        return {"file": name, **digest, "read": 0, "problems": []}
    document = Document.open(file, name, **how)
    read = 0
    problems: list[dict[str, Any]] = []
    for chunk in document.chunks():
        checked = judge(chunk, document.columns, reversals=document.kind == "reversals", event_type=event_type)
        read += len(checked.good) + len(checked.bad)
        problems += [{"line": one.line, "code": one.code, "message": one.message} for one in checked.bad]
    return {
        "file": name,
        "format": document.format,
        "encoding": document.encoding.name,
        "columns": list(document.header),
        "complete": document.terminated is not False,
        "read": read,
        "problems": problems,
    }


def _code(found: dict[str, Any]) -> int:
    return NOT_ALL_APPLIED if found["problems"] or not found["complete"] else DONE


def _text(found: dict[str, Any]) -> str:
    problems, read = found["problems"], found["read"]
    if found["format"] == SIDECAR:
        return f"{found['file']}: sidecar, of the file with the digest {found['digest']}"
    kind = f"{found['format']}, {found['encoding']}" if found["format"] else "not readable"
    text = f"{found['file']}: {kind}, {read:,} lines, {len(problems):,} with problems"
    if not found["complete"]:
        text += "\nThe last line does not end with a line break: the file may have been cut off, and would be held."
    if problems:
        text += "\n\n" + table(problems[:SHOWN_PROBLEMS], {"line": "line", "code": "code", "problem": "message"}, "")
    if len(problems) > SHOWN_PROBLEMS:
        text += f"\n… and {len(problems) - SHOWN_PROBLEMS:,} more; --json lists all."
    return text
