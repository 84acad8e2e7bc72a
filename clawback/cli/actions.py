"""``clawback actions``: look at actions, and change one by hand under the ledger's rules."""

from collections.abc import Callable
from typing import Any, Final

import click

from clawback.cli.receipts import receipt_code
from clawback.cli.running import Outcome, by, desk, now, settings, table, told

ACCOUNT: Final = click.option("--account", "sid", required=True, metavar="SID", help="The brand whose action it is.")
BY: Final = by("does")
LIST_COLUMNS: Final = {
    "action": "action_id",
    "order": "order_id",
    "state": "state",
    "locked": "locked",
    "amount": "amount",
    "payout": "payout",
    "": "currency",
    "locks at": "locks_at",
}
ITEM_COLUMNS: Final = {"item": "sku", "category": "category", "now": "now", "tracked": "tracked"}


@click.group()
def actions() -> None:
    """Actions (conversions credited to a partner): list, show, and change one by hand."""


@actions.command("list")
@ACCOUNT
@click.option("--state", type=click.Choice(["PENDING", "APPROVED", "REVERSED"]), help="Only these.")
@click.option("--order", "order_id", metavar="OID", help="Only those of one order.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@told
def list_actions(sid: str, state: str | None, order_id: str | None, limit: int) -> Outcome:
    """Actions in the order in which they lock.

    \b
    Example:
      clawback actions list --account IRacme1 --state PENDING
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.catalog import read_terms
    from processing.history import listing
    from processing.model import State

    with desk() as opened, opened.store.read() as db:
        read_terms(db, sid)
        document = listing(db, sid, state=State(state) if state else None, order_id=order_id, limit=limit)
    return Outcome(document, table(document, LIST_COLUMNS, "There is no such action."))


@actions.command()
@click.argument("action_id")
@ACCOUNT
@told
def show(action_id: str, sid: str) -> Outcome:
    """One action with its history.

    \b
    Example:
      clawback actions show 1000.4636.158133 --account IRacme1
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.history import show as read

    with desk() as opened, opened.store.read() as db:
        document = read(db, sid, action_id)
    return Outcome(document, text(document))


def _verb(name: str, summary: str, reason: str, *, takes_amount: bool = False) -> None:
    """Add the command for one change a person can make."""

    def run(action_id: str, sid: str, reason: str, by: str, amount: str | None = None) -> Outcome:
        from clawback import deciding
        from processing.model import Change
        from processing.person import Wish

        wish = Wish(action_id, Change(name), reason, amount)
        sources = [one.name for one in settings().orgs if one.account == sid]
        with desk() as opened:
            receipt = deciding.change(opened, sid, wish, by=by, at=now(), sources=sources)
        return Outcome(receipt, _granted(name, action_id, receipt), receipt_code(receipt))

    example = f"clawback actions {name} 1000.4636.158133 --account IRacme1"
    if takes_amount:
        example += " --amount 79.90"
    run.__doc__ = f"{summary}\n\n\b\nExample:\n  {example} --reason {reason}\n"
    options: list[Callable[[Any], Any]] = [
        click.argument("action_id"),
        ACCOUNT,
        click.option("--reason", default=reason, show_default=True, help="A standard reason or a disposition code."),
        BY,
    ]
    if takes_amount:
        options.append(click.option("--amount", required=True, help="The new total in the action's currency."))
    command: Callable[..., Any] = told(run)
    for option in reversed(options):
        command = option(command)
    actions.command(name)(command)


_verb("approve", "Approve an action for locking; it can still be changed until it locks.", "OTHER")
_verb("modify", "Give an action a new total; its payout is rated anew.", "ORDER_UPDATE", takes_amount=True)
_verb("reverse", "Reverse an action: its partner is paid nothing.", "ITEM_RETURNED")
_verb("restore", "Undo a reversal: the action is pending again, with the values it had.", "OTHER")
_verb("reset", "Bring an action back to how it was tracked.", "RESET")


def _granted(name: str, action_id: str, receipt: dict[str, Any]) -> str:
    if receipt["rows"]["applied"]:
        return f"{action_id}: {name} applied, as delivery {receipt['delivery']}."
    if receipt["rows"]["unchanged"]:
        return f"{action_id}: unchanged, it was so already."
    line = receipt["lines"][0]
    return f"{action_id}: {line['verdict']} {line['code']}. {line['message']}"


def text(action: dict[str, Any]) -> str:
    """An action with its items and its history, as people read it."""
    locked = (
        f"locked, clears on {action['clears_on'] or 'never'}" if action["locked"] else f"locks {action['locks_at']}"
    )
    if action["locked_unread"]:
        locked += f", though {', '.join(action['locked_unread'])} had not been read"
    head = (
        f"{action['action_id']}  {action['state']}  {action['amount']} {action['currency']}, "
        f"payout {action['payout']}\n"
        f"order {action['order_id'] or '-'}, event type {action['event_type']}, {action['partner']['name']}, "
        f"of {action['event_at']}, {locked}\n"
        f"tracked {action['tracked']['amount']}, payout {action['tracked']['payout']}"
    )
    if action["items"]:
        head += "\n\n" + table([_item(one) for one in action["items"]], ITEM_COLUMNS, "")
    rows = [
        {
            **one,
            "items": "; ".join(map(_changed, one["items"])) or None,
            "before": f"{one['before']['state']} {one['before']['amount']} / {one['before']['payout']}",
            "after": f"{one['after']['state']} {one['after']['amount']} / {one['after']['payout']}",
        }
        for one in action["history"]
    ]
    columns = {
        "received": "received_at",
        "change": "change",
        "reason": "reason",
        "before": "before",
        "after": "after",
        "by": "by",
        "delivery": "delivery",
        "line": "line",
        **({"items": "items"} if action["items"] else {}),
    }
    return head + "\n\n" + table(rows, columns, "It was never changed.")


def _item(item: dict[str, Any]) -> dict[str, Any]:
    now = _worth(item) if item["quantity"] else "returned"
    return {**item, "now": now, "tracked": _worth(item["tracked"])}


def _changed(item: dict[str, Any]) -> str:
    return f"{item['sku']} {_worth(item['before'])} → {_worth(item['after'])}"


def _worth(item: dict[str, Any]) -> str:
    return f"{item['quantity']} for {item['amount']}"
