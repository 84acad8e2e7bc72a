"""``clawback sources`` for Salesforce orgs: what a round did, what is held, and the first reading."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from clawback.cli.running import DONE, TROUBLE, Outcome, desk, settings, table, told

if TYPE_CHECKING:
    from clawback.salesforce.rounds import Round
    from clawback.wiring import Desk
    from connectors.salesforce_settings import SalesforceSettings

NAME: Final = click.argument("name")
HELD_COLUMNS: Final = {
    "mapping": "mapping",
    "record": "record",
    "order": "order_id",
    "status": "status_after",
    "observed": "observed_at",
    "held because": "held",
}
NEWS: Final = timedelta(days=1)
RECEIPT_COLUMNS: Final = {"delivery": "delivery", "file": "name", "": "outcome"}


@click.command()
@NAME
@click.option(
    "--preview", is_flag=True, help="Only show what would be applied, in money, up to the second change of one order."
)
@told
def start(name: str, preview: bool) -> Outcome:  # noqa: FBT001 - click's way
    """Apply what the first rounds of the org NAME found, and from now on whatever changes there.

    A mapping of which no round has read all records yet is not started: nobody has seen what it would do.

    \b
    Example:
      clawback sources start acme-crm --preview
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.cli.running import now
    from clawback.salesforce.rehearsing import rehearse
    from clawback.salesforce.rounds import approve, unread

    if not preview:
        return _done(name, approve)
    its = settings().org(name)
    with desk() as opened:
        receipts = rehearse(opened, its, at=now())
        with opened.store.read() as db:
            missing = unread(db, its)
    text = "\n".join([_told(receipts, "Nothing would be applied."), *_unread(name, missing)])
    return Outcome({"source": name, "unread": missing, "receipts": receipts}, text)


@click.command()
@NAME
@click.option("--all", "everything", is_flag=True, help="All records that were read, not only those that are held.")
@click.option("--preview", is_flag=True, help="Only count what would change; of all records.")
@told
def reconsider(name: str, everything: bool, preview: bool) -> Outcome:  # noqa: FBT001 - click's way
    """Judge the held records of the org NAME anew, after its mapping was changed or a doubt was removed.

    \b
    Example:
      clawback sources reconsider acme-crm --all
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.cli.running import now
    from clawback.salesforce.checking import otherwise
    from clawback.salesforce.rounds import reconsider as run

    if not preview:
        return _done(name, partial(run, everything=everything))
    its = settings().org(name)
    with desk() as opened:
        found = otherwise(opened, its, now()).told()
    lines = [f"{found['read']} records, {found['changed']} would change, {found['held']} would wait for a person"]
    return Outcome({"source": name, "records": found}, "\n".join([*lines, *found["holds"]]))


@click.command()
@NAME
@told
def held(name: str) -> Outcome:
    """The records of the org NAME that wait for a person, and why.

    \b
    Example:
      clawback sources held acme-crm
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing import observed
    from processing.instants import instant

    its = settings().org(name)
    with desk() as opened, opened.store.read() as db:
        found = observed.held(db, its.name)
    document = [
        {key: getattr(one, key) for key in HELD_COLUMNS.values()}
        | {"observed_at": instant(one.observed_at).isoformat(timespec="seconds")}
        for one in found
    ]
    return Outcome(document, table(document, HELD_COLUMNS, "No record is held."))


@click.command()
@NAME
@click.argument("record")
@told
def leave(name: str, record: str) -> Outcome:
    """Leave the action of the held RECORD of the org NAME as it is: nothing is applied, and no lock waits for it.

    \b
    Example:
      clawback sources leave acme-crm 0065g00000AbCdEAAV
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.cli.running import now
    from connectors.salesforce_ids import canonical
    from processing import observed
    from processing.errors import NotFound

    its = settings().org(name)
    # Salesforce's own pages and reports show ids of 15 characters; what is no id is found to be none of those held.
    with suppress(ValueError):
        record = canonical(record)
    with desk() as opened, opened.store.write() as db:
        ended = observed.let_go(db, its.name, record, now())
    if not ended:
        raise NotFound(f"No record {record} of {name} is held; `clawback sources held {name}` shows those that are.")
    return Outcome({"source": name, "record": record, "ended": ended}, f"{record} is left as it is.")


def doubts(last: dict[str, Any]) -> list[str]:
    """What the last round of an org left to somebody."""
    found = [f"{count} records {what}" for what in ("held", "unapproved") if (count := last.get(what))]
    found += [f"{name}: replication {what}" for what in ("stalled", "uncovered") for name in last.get(what, [])]
    for name, (before, now) in last.get("dropped", {}).items():
        found.append(f"{name}: {now:,} records where {before:,} were seen the day before; deleted, or hidden from us?")
    if last.get("skew_s"):
        found.append(f"its clock is {last['skew_s']:+} s from ours")
    if until := last.get("paused_until"):
        found.append(("few API calls are left; " if last.get("low") else "") + f"polls wait until {until}")
    return found


def forged(refused: dict[str, Any] | None, at: datetime) -> list[str]:
    """What came to the hook of an org and was none of its messages; what is older than a day is no news."""
    if refused is None or at - datetime.fromisoformat(refused["last_at"]) >= NEWS:
        return []
    return [
        f"{refused['messages']:,} messages at its hook refused, the last at {refused['last_at']}: {refused['because']}"
    ]


def checked(its: "SalesforceSettings") -> list[dict[str, Any]]:
    """The preflight of an org, step by step."""
    from clawback.cli.running import now
    from clawback.salesforce.preflight import steps
    from clawback.wiring import org_of
    from processing.catalog import read_terms

    with desk() as opened, opened.store.read() as db:
        terms = read_terms(db, its.account)
    with org_of(its, os.environ) as org:
        found = [{"ok": one.ok, "message": one.message} for one in steps(org, its, terms, now())]
    return [*found, *_hook(its)]


def _hook(its: "SalesforceSettings") -> list[dict[str, Any]]:
    """Whether the address of an org's triggers is open; polling goes on without it."""
    from connectors.salesforce_messages import slug_of
    from processing.errors import Unusable

    if its.hook is None:
        return []
    try:
        slug_of(its.hook, os.environ)
    except Unusable as error:
        return [{"ok": False, "message": f"hook: its address is closed. {error}"}]
    return [{"ok": True, "message": f"hook: {its.hook.reference} is the end of an address"}]


def observe(its: "SalesforceSettings") -> Outcome:
    """One round of an org."""
    from clawback.salesforce.rounds import run
    from clawback.wiring import org_of

    return _done(its.name, lambda opened, found: run(opened, found, org_of(found, os.environ)))


def _done(name: str, act: "Callable[[Desk, SalesforceSettings], Round | None]") -> Outcome:
    from clawback.cli.receipts import receipt_code

    its = settings().org(name)
    with desk() as opened:
        done = act(opened, its)
    if done is None:
        busy = {"source": name, "busy": True}
        return Outcome(busy, f"Source {name} is being read already; nothing was done.", TROUBLE)
    read = done.records
    lines = [_told(done.deliveries)]
    lines.append(f"{read.get('read', 0)} read, {read.get('changed', 0)} changed, {done.held} held")
    lines += _unread(name, done.unread)
    if done.unapproved:
        lines.append(f"{done.unapproved} changes wait; `clawback sources start {name} --preview` shows what they do.")
    if done.otherwise:
        hint = f"`clawback sources reconsider {name} --all` applies that, `--preview` counts it."
        lines.append(f"The settings were changed; {done.otherwise} records would be judged otherwise. {hint}")
    if done.paused_until:
        lines.append(f"The org's API calls of the day run out; polls and triggers wait until {done.paused_until}.")
    is_left = done.paused_until or done.unread
    code = max([receipt_code(one) for one in done.deliveries] + [TROUBLE if is_left else DONE])
    return Outcome({"busy": False, **done.told()}, "\n".join(lines), code)


def _unread(name: str, mappings: list[str]) -> list[str]:
    pull = f"`clawback sources pull {name}` does, or says what is wrong"
    return [f"{one} is not started: no round has read all its records yet; {pull}." for one in mappings]


def _told(receipts: list[dict[str, Any]], none: str = "Nothing was applied.") -> str:
    rows = []
    for one in receipts:
        counts = ", ".join(f"{verdict} {lines}" for verdict, lines in one["rows"].items() if lines)
        money = "; ".join(
            f"{currency} payout {its['payout_before']} → {its['payout_after']}"
            for currency, its in one["money"].items()
        )
        rows.append({**one, "outcome": f"{one['state']}: {counts or one['message']} {money}".rstrip()})
    return table(rows, RECEIPT_COLUMNS, none)
