"""The command line: thin verbs over the pipeline. Commands are imported when they are called, so help is instant."""

import gc
import importlib
import sys
from typing import Final

import click

COMMANDS: Final = {
    "load": "clawback.cli.load:load",
    "accounts": "clawback.cli.accounts:accounts",
    "template": "clawback.cli.template:template",
    "check": "clawback.cli.check:check",
    "ingest": "clawback.cli.ingest:ingest",
    "deliveries": "clawback.cli.deliveries:deliveries",
    "mail": "clawback.cli.mail:mail",
    "webhooks": "clawback.cli.webhooks:webhooks",
    "actions": "clawback.cli.actions:actions",
    "adjustments": "clawback.cli.adjustments:adjustments",
    "sources": "clawback.cli.sources:sources",
    "lock": "clawback.cli.lock:lock",
    "terms": "clawback.cli.terms:terms",
    "serve": "clawback.cli.serve:serve",
    "demo": "clawback.cli.demo:demo",
}


class _Commands(click.Group):
    """Finds a command's module by its name, in the order in which people meet them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="clawback", prog_name="clawback")
def cli() -> None:
    """Clawback, the returns desk of a partner programme.

    Brands send modification and reversal files; every line is applied before its action locks, or answered why not.

    \b
    Example:
      clawback load catalog catalog.toml
      clawback load actions actions.csv
      clawback ingest returns.csv --account IRacme1

    Exit codes: 0 done, 1 our trouble, 2 usage, 3 some lines were not applied.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


def main() -> None:
    """Run the command line."""
    from clawback.cli.running import guarded

    # Imports and chunks of lines make hundreds of thousands of objects; the collector would walk over all of the
    # libraries' again and again to find none of them dead.
    gc.set_threshold(50_000, 20, 50)
    sys.exit(guarded(cli))
