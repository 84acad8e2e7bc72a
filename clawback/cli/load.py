"""``clawback load``: catalogues, actions and exchange rates."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from clawback.cli.running import DONE, NOT_ALL_APPLIED, Outcome, desk, now, table, told

if TYPE_CHECKING:
    from processing.actions import Load

FILE: Final = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
SHOWN_PROBLEMS: Final = 20


@click.group()
def load() -> None:
    """Load a catalogue (TOML), actions or exchange rates (CSV); loading the same again changes nothing."""


@load.command()
@FILE
@told
def catalog(file: Path) -> Outcome:
    """Add or update the accounts, programs, event types and contracts of FILE.

    \b
    Example:
      clawback load catalog catalog.toml
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.loading import load_catalog

    with desk() as opened:
        accounts = load_catalog(opened, file)
    document = [
        {
            "account": one.sid,
            "programs": len(one.programs),
            "event_types": sum(len(program.event_types) for program in one.programs),
            "contracts": sum(len(program.contracts) for program in one.programs),
        }
        for one in accounts
    ]
    columns = {"account": "account", "programs": "programs", "event types": "event_types", "contracts": "contracts"}
    return Outcome(document, table(document, columns, "The catalogue has no account."))


@load.command()
@FILE
@told
def actions(file: Path) -> Outcome:
    """Add the actions of FILE to their accounts.

    Columns: ActionId, CampaignId, ActionTrackerId, MediaPartnerId, Oid, EventDate, Amount, Currency; CustomerStatus,
    CreationDate and LockingDate may be added. Actions of an event type that is tracked by item have Sku1, Category1,
    Quantity1, Amount1, Sku2 and so on in place of an Amount, or one line an item. Lines with problems are listed and
    left out; the others are loaded. Lines of deliveries that waited for these actions are judged now, as arrived when
    they arrived; those that would do unusual harm are held, for `clawback deliveries release` or `reject`.

    \b
    Example:
      clawback load actions actions.csv
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.loading import load_actions
    from clawback.pipeline import settle_waiting

    with desk() as opened:
        done = load_actions(opened, file)
        settled = settle_waiting(opened, at=now())
    problems = _problems(done)
    document = {
        "read": done.read,
        "added": done.added,
        "known": done.known,
        "problems": problems,
        "judged_again": settled.revised,
        "held": settled.held,
        "not_judged": {delivery: str(error) for delivery, error in settled.failures.items()},
    }
    text = f"{done.read:,} read = {done.added:,} added + {done.known:,} known already + {len(problems):,} not loaded"
    if settled.revised:
        text += f"\nLines that waited were judged: {', '.join(settled.revised)}"
    if settled.held:
        text += f"\nLines that waited are held until somebody releases or rejects them: {', '.join(settled.held)}"
    if settled.failures:
        text += f"\nLines that waited could not be judged, and are tried again: {', '.join(settled.failures)}"
    return _loaded(document, text, problems)


@load.command()
@FILE
@told
def rates(file: Path) -> Outcome:
    """Add the exchange rates of FILE; one that is there for the same day and currencies is replaced.

    Columns: Day, From, To, Rate (how much one unit of From is worth in To). An amount that a brand gives in another
    currency is converted with the rate of the day of its action.

    \b
    Example:
      clawback load rates rates.csv
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.loading import load_rates

    with desk() as opened:
        done = load_rates(opened, file)
    problems = _problems(done)
    document = {"read": done.read, "added": done.added, "problems": problems}
    return _loaded(document, f"{done.read:,} read = {done.added:,} loaded + {len(problems):,} not loaded", problems)


def _problems(done: "Load") -> list[dict[str, Any]]:
    return [{"line": one.line, "message": one.message} for one in done.problems]


def _loaded(document: dict[str, Any], text: str, problems: list[dict[str, Any]]) -> Outcome:
    if problems:
        text += "\n\n" + table(problems[:SHOWN_PROBLEMS], {"line": "line", "problem": "message"}, "")
    if len(problems) > SHOWN_PROBLEMS:
        text += f"\n… and {len(problems) - SHOWN_PROBLEMS:,} more; --json lists all."
    return Outcome(document, text, NOT_ALL_APPLIED if problems else DONE)
