"""Prints the demonstration: what happened, what was checked, and the ledger before and after."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROWS = ("read", "applied", "unchanged", "rejected", "refused", "waiting", "held")


class Teller:
    """Tells the story on a terminal and keeps count of what was not as it should be."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self.failed: list[str] = []
        self.checks: list[dict[str, Any]] = []

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._console.print(f"\n[bold cyan]{escape(title)}[/]")

    def say(self, text: str) -> None:
        """A sentence."""
        self._console.print(f"  {escape(text)}")

    def check(self, what: str, *, holds: bool) -> None:
        """A fact that must hold; all of them decide the exit code."""
        self.checks.append({"check": what, "holds": holds})
        if not holds:
            self.failed.append(what)
        self._console.print(f"  {'[green]✓[/]' if holds else '[bold red]✗[/]'} {escape(what)}")

    def receipts(self, receipts: list[dict[str, Any]]) -> None:
        """One column a delivery: the equation, and what it did to the payout."""
        table = Table("", *(one["name"].removesuffix(".csv") for one in receipts), box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        table.add_row("state", *(one["state"] for one in receipts))
        for row in ROWS:
            table.add_row(row, *(f"{one['rows'][row]:,}" for one in receipts))
        for side in ("payout_before", "payout_after"):
            money = [one["money"].get("USD", {}).get(side, "-") for one in receipts]
            table.add_row(side.replace("_", " "), *money)
        self._console.print(table)

    def ledger(self, before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> None:
        """The ledger by state, before and after."""
        table = Table(
            "state", "actions", "amount", "payout", "", "actions", "amount", "payout", box=None, pad_edge=False
        )
        for column in table.columns[1:]:
            column.justify = "right"
        for state in sorted(before.keys() | after.keys()):
            table.add_row(state, *_cells(before.get(state)), "→", *_cells(after.get(state)))
        self._console.print(table)


def _cells(side: dict[str, Any] | None) -> list[str]:
    return [f"{side['actions']:,}", side["amount"], side["payout"]] if side else ["0", "0.00", "0.00"]
