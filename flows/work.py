"""What the flows do, as plain functions: read the clock and the settings, open the desk, call the pipeline."""

import os
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypedDict

from clawback import pipeline, postman, pulling, sweep
from clawback.courier import Courier
from clawback.salesforce import rounds
from clawback.salesforce.locking import watch
from clawback.settings import load
from clawback.wiring import claims_folder, credentials_folder, open_desk, open_spool, org_of, source_of, webhook_client
from connectors.webhook_post import Secrets
from processing import hints
from processing.errors import ClawbackError, Unusable


class Round(TypedDict):
    """One round through the spool: how many deliveries were finished, and what went wrong with the others."""

    finished: int
    failures: dict[str, str]


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def account_of(delivery: str) -> str:
    """The account that sent a landed delivery."""
    return open_spool(load(os.environ), now).find(delivery).account


def _nobody() -> None:
    """Nobody wants to know."""


# Told when the work of a delivery begins: between asking Prefect for a run and that lies all that can hang.
on_begin: ContextVar[Callable[[], None]] = ContextVar("on_begin", default=_nobody)


def finish(delivery: str) -> dict[str, Any]:
    """Bring one delivery to its end and answer it; gives its receipt's head."""
    on_begin.get()()
    with open_desk(load(os.environ), now) as desk:
        return pipeline.ingest(desk, delivery, at=now())


def finish_all() -> Round:
    """Bring all that waits in the spool to its end, oldest first."""
    with open_desk(load(os.environ), now) as desk:
        collected = pipeline.collect(desk, at=now())
    failures = {delivery: _named(error) for delivery, error in collected.failures.items()}
    return {"finished": len(collected.receipts), "failures": failures}


def pull(source: str) -> dict[str, Any] | None:
    """One round of a source; None when it is being pulled already."""
    settings = load(os.environ)
    its = settings.server(source)
    with open_desk(settings, now) as desk:
        pulled = pulling.pull(desk, its, source_of(its, os.environ), claims=claims_folder(settings))
    return None if pulled is None else pulled.told()


def observe(source: str) -> dict[str, Any] | None:
    """One round of an org; None when somebody reads it already."""
    settings = load(os.environ)
    its = settings.org(source)
    with open_desk(settings, now) as desk:
        done = rounds.run(desk, its, org_of(its, os.environ))
    return None if done is None else done.told()


def heed() -> int:
    """Read again what triggers told of; gives the number of records that were read.

    Every source is heeded, whatever became of the others; then the first error is raised.
    """
    settings = load(os.environ)
    read, wrong = 0, list[ClawbackError]()
    with open_desk(settings, now) as desk:
        with desk.store.read() as db:
            names = hints.waiting(db, [one.name for one in settings.orgs], now())
        for name in names:
            its = settings.org(name)
            try:
                done = rounds.listen(desk, its, org_of(its, os.environ))
            except ClawbackError as error:
                wrong.append(error)
            else:
                read += 0 if done is None else done.hints
    if wrong:
        raise wrong[0]
    return read


def _named(error: Exception) -> str:
    """What Prefect may keep: our own sentences, and of anything else only its kind."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, ClawbackError) else name


def send() -> dict[str, int]:
    """Send what is due in the outbox, by mail and to webhooks; what nobody takes is tried again."""
    settings = load(os.environ)
    with open_desk(settings, now) as desk:
        # Mail first: one relay is soon asked, and programs that hang may take a minute.
        mailed = postman.send_due(desk, clock=now)
        told = Courier(desk, webhook_client(settings), Secrets(credentials_folder(settings)), now).send_due()
    posted = asdict(told)
    return {what: lines + posted[what] for what, lines in asdict(mailed).items()}


def lock(as_of: str | None = None) -> list[dict[str, Any]]:
    """Lock what is due at ``as_of``, an ISO 8601 instant with its time zone; by default now."""
    at = now()
    instant = at if as_of is None else _instant(as_of)
    settings = load(os.environ)
    with open_desk(settings, now) as desk:
        return [
            swept.told() for swept in sweep.lock_due(desk, as_of=instant, at=at, feeds=watch(settings.orgs, os.environ))
        ]


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise Unusable(f"as_of is {text!r}. Give an instant such as 2027-02-28T00:00:00-05:00.")
    return instant
