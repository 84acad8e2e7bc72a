"""What every command shares: its ``--json``, its exit code, its messages for failures and its open installation."""

import gc
import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec

import click

if TYPE_CHECKING:
    from clawback.settings import Settings
    from clawback.wiring import Desk

Params = ParamSpec("Params")

DONE: Final = 0
TROUBLE: Final = 1
USAGE: Final = 2
NOT_ALL_APPLIED: Final = 3
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command has to say: a document for programs, a text for people, and its exit code."""

    document: Any
    text: str
    code: int = DONE


def told(function: Callable[Params, Outcome]) -> Callable[Params, None]:
    """Give a command ``--json`` and let it end with its outcome printed."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
    @wraps(function)
    def run(*args: Params.args, **kwargs: Params.kwargs) -> None:
        as_json = bool(kwargs.pop("as_json"))
        click.get_current_context().meta["as_json"] = as_json
        outcome = function(*args, **kwargs)
        click.echo(json.dumps(outcome.document, indent=2, ensure_ascii=False) if as_json else outcome.text)
        raise SystemExit(outcome.code)

    return run


def is_json() -> bool:
    """Whether this command was asked for JSON."""
    return bool(click.get_current_context().meta["as_json"])


def guarded(command: click.Command) -> int:
    """Run a command and turn every failure into a message and an exit code."""
    from processing.errors import ClawbackError, NotFound, Unreadable, Unusable

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    codes = {Unusable: USAGE, NotFound: USAGE, Unreadable: NOT_ALL_APPLIED}
    try:
        command.main(standalone_mode=False)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _failed("interrupted", "Interrupted; nothing is half done.", INTERRUPTED)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" See `{context.command_path} --help`." if context else ""
        return _failed("usage", error.format_message() + hint, USAGE)
    except ClawbackError as error:
        return _failed(type(error).__name__, str(error), codes.get(type(error), TROUBLE))
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TROUBLE
    return DONE


def _failed(kind: str, message: str, code: int) -> int:
    click.echo(f"clawback: {message}", err=True)
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": kind, "message": message}, indent=2, ensure_ascii=False))
    return code


def person(_: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """The name of whoever decides, as receipts and entries tell it; an empty one is nobody's."""
    if name is not None and not (name.strip() and name.isprintable()):
        raise click.BadParameter(f"{name!r} is no name; say who it is.")
    return name if name is None else name.strip()


def by(does: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for who does something."""
    told = f"Who {does} it; by default the user here."
    return click.option("--by", default=_user, callback=person, metavar="NAME", help=told)


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        # In a container, for one.
        raise click.UsageError("The user here has no name; say with --by NAME who it is.") from None


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def settings() -> "Settings":
    """The settings of this installation."""
    from clawback.settings import load

    return load(os.environ)


@contextmanager
def desk() -> "Iterator[Desk]":
    """The open installation, telling its progress when somebody watches."""
    from clawback.wiring import open_desk

    # The libraries' objects stay. Not for servers: what is frozen is never freed.
    gc.freeze()
    with open_desk(settings(), now, _progress) as opened:
        yield opened
    if sys.stderr.isatty():
        click.echo("\r\033[K", err=True, nl=False)


def _progress(what: str, lines: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{what}: {lines:,} lines", err=True, nl=False)


def table(rows: list[dict[str, Any]], columns: dict[str, str], empty: str) -> str:
    """Rows as aligned text; ``columns`` maps a title to the key of its values."""
    if not rows:
        return empty
    cells = [list(columns), *([_cell(row.get(key)) for key in columns.values()] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _cell(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return "-" if value is None else str(value)
