"""``clawback sources``: brands' own servers from which deliveries are fetched."""

import os
from datetime import datetime
from typing import Any, Final

import click

from clawback.cli import orgs
from clawback.cli.running import DONE, TROUBLE, Outcome, desk, settings, table, told

LIST_COLUMNS: Final = {
    "source": "source",
    "kind": "kind",
    "account": "account",
    "place": "place",
    "pattern": "pattern",
    "after": "after",
    "every": "every",
    "last pull": "ended_at",
    "fetched": "fetched",
    "known": "known",
    "outcome": "outcome",
}
PULL_COLUMNS: Final = {"file": "name", "": "outcome"}
NAME: Final = click.argument("name")


@click.group()
def sources() -> None:
    """Sources ([[sftp]], [[ftp]], [[http]] and [[salesforce]] in the settings): list, check, scan and pull them."""


for _command in (orgs.start, orgs.held, orgs.reconsider, orgs.leave):
    sources.add_command(_command)


@sources.command("list")
@told
def list_sources() -> Outcome:
    """All sources with what their last pull did, and the files that are still growing.

    \b
    Example:
      clawback sources list
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.cli.running import now
    from connectors.salesforce_settings import KIND, SalesforceSettings
    from connectors.source_settings import kind_of
    from processing import org_claims
    from processing.fetched import rounds

    every = settings().sources
    with desk() as opened, opened.store.read() as db:
        last = dict(rounds(db))
        refused = {one.name: org_claims.refused(db, one.name) for one in every}
    document = [
        {
            "source": one.name,
            "kind": KIND if isinstance(one, SalesforceSettings) else kind_of(one),
            "account": one.account,
            "place": one.place,
            "pattern": getattr(one, "pattern", None),
            "after": getattr(one, "after", None),
            "every_s": one.every_s,
            "pinned": bool(getattr(one, "host_key", True)),
            "last": last.get(one.name),
            "refused": refused[one.name],
        }
        for one in every
    ]
    rows = [_listed(one, now()) for one in document]
    return Outcome(document, table(rows, LIST_COLUMNS, "There is no source yet; write [[sftp]] in the settings."))


@sources.command()
@NAME
@told
def scan(name: str) -> Outcome:
    """Show the host keys of the SFTP source NAME, to be confirmed by the brand and pinned in the settings.

    Nothing is sent to the server but the request for its keys: no user name, no password.

    \b
    Example:
      clawback sources scan acme
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from connectors.sftp_session import scan as read
    from connectors.source_settings import SftpSettings
    from processing.errors import Unusable

    source = settings().source(name)
    if not isinstance(source, SftpSettings):
        raise Unusable(f"Source {name} is no SFTP server: it proves itself by its certificate and has no host key.")
    keys = read(source)
    document = [
        {"kind": key.kind, "fingerprint": key.fingerprint, "host_key": str(key), "pinned": key in source.host_key}
        for key in keys
    ]
    shown = "\n\n".join(
        f'{key.kind}  {key.fingerprint}{"  (pinned)" if key in source.host_key else ""}\nhost_key = "{key}"'
        for key in keys
    )
    ask = "Ask the brand by another way whether the fingerprint is its server's; then put one line into the settings."
    return Outcome(document, f"{shown}\n\n{ask}")


@sources.command()
@NAME
@told
def check(name: str) -> Outcome:
    """Log in to source NAME, try what a pull needs there, and say what is wrong.

    Of a server that is its folder, and a write where something is to be written; of a Salesforce org its objects and
    fields, and whether the mapping fits them.

    \b
    Example:
      clawback sources check acme
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.wiring import source_of
    from connectors.salesforce_settings import SalesforceSettings

    its = settings().source(name)
    if isinstance(its, SalesforceSettings):
        steps = orgs.checked(its)
    else:
        with source_of(its, os.environ) as source:
            steps = [{"ok": True, "message": f"logged in to {its.place}"}]
            steps += [{"ok": step.ok, "message": step.message} for step in source.check()]
    text = "\n".join(f"{'✓' if step['ok'] else '✗'} {step['message']}" for step in steps)
    return Outcome({"source": name, "steps": steps}, text, DONE if all(step["ok"] for step in steps) else TROUBLE)


@sources.command()
@NAME
@told
def pull(name: str) -> Outcome:
    """Fetch what is new on source NAME now, and apply it; a server's answers go into its result folder.

    \b
    Example:
      clawback sources pull acme
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.pulling import pull as run
    from clawback.wiring import claims_folder, source_of
    from connectors.salesforce_settings import SalesforceSettings

    every = settings()
    its = every.source(name)
    if isinstance(its, SalesforceSettings):
        return orgs.observe(its)
    with desk() as opened:
        pulled = run(opened, its, source_of(its, os.environ), claims=claims_folder(every))
    if pulled is None:
        return Outcome(
            {"source": name, "busy": True}, f"Source {name} is being pulled already; nothing was done.", TROUBLE
        )
    document = {"busy": False, **pulled.told()}
    return Outcome(document, _pulled(document), _code(document))


def _listed(one: dict[str, Any], at: datetime) -> dict[str, Any]:
    last = one["last"] or {}
    parts = [f"{file} still growing" for file in last.get("growing", [])]
    parts += [f"{file}: {why}" for file, why in last.get("failed", {}).items()]
    parts += orgs.doubts(last) + orgs.forged(one["refused"], at)
    outcome = "; ".join([*filter(None, [last.get("error")]), *parts]) or ("ok" if last else None)
    every = "by hand" if one["every_s"] is None else _every(one["every_s"])
    of_records = {"fetched": last.get("deliveries"), "known": last.get("records", {}).get("unchanged")}
    return {
        **one,
        **of_records,
        **last,
        "every": every,
        "outcome": outcome if one["pinned"] else "no host_key: scan it",
    }


def _every(seconds: int) -> str:
    for unit, its_s in {"d": 86400, "h": 3600, "m": 60}.items():
        if seconds % its_s == 0:
            return f"{seconds // its_s}{unit}"
    return f"{seconds}s"


def _pulled(document: dict[str, Any]) -> str:
    rows = [{"name": one["name"], "outcome": f"{one['delivery']} {_verdict(one)}"} for one in document["fetched"]]
    rows += [{"name": name, "outcome": "still growing; left for the next pull"} for name in document["growing"]]
    rows += [{"name": name, "outcome": why} for name, why in document["failed"].items()]
    counts = f"{len(document['fetched'])} fetched, {document['known']} known already, {document['returned']} answered"
    return table(rows, PULL_COLUMNS, "Nothing new.") + f"\n\n{counts}"


def _verdict(one: dict[str, Any]) -> str:
    if one["state"] is None:
        return "landed; it is applied later"
    counts = ", ".join(f"{verdict} {lines}" for verdict, lines in one["rows"].items() if lines)
    return f"{one['state']}: {counts or one['message'] or 'no lines'}"


def _code(document: dict[str, Any]) -> int:
    """1 when a file could not be had, 3 when lines of one were not applied."""
    from clawback.cli.receipts import receipt_code

    if document["failed"]:
        return TROUBLE
    return max((receipt_code(one) for one in document["fetched"] if one["state"] is not None), default=DONE)
