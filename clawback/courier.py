"""Tells programs of accounts what happened: posts the events that are due in the outbox to their webhooks."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from clawback.web.representation import Single, as_json
from clawback.web.shapes import Shaper
from clawback.wiring import Desk
from connectors.outside import Client
from connectors.webhook_post import Gone, Post, Secrets, post
from processing import outbox, update_pages, webhooks
from processing.errors import ClawbackError
from processing.instants import instant
from processing.outbox import Entry
from processing.webhooks import OUTBOX, EventKind

_log = logging.getLogger(__name__)

# Programs are told side by side, so that a slow one keeps few waiting.
AT_ONCE: Final = 8
# How long one program is told without a break; the rest is for the next round.
LONGEST_S: Final = 45.0


@dataclass(slots=True)
class Told:
    """What one round through the events did."""

    sent: int = 0
    put_off: int = 0
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class Courier:
    """Who posts: the installation, how webhooks are reached, and their secrets."""

    desk: Desk
    client: Client
    secrets: Secrets
    clock: Callable[[], datetime]

    def send_due(self) -> Told:
        """Post all that is due; a webhook that fails is left alone for the rest of the round."""
        with self.desk.store.read() as db:
            hooks = outbox.recipients(db, OUTBOX, at=self.clock())
        with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="webhook") as pool:
            rounds = list(pool.map(self._send_to, hooks))
        return Told(*(sum(getattr(one, name) for one in rounds) for name in ("sent", "put_off", "given_up")))

    def _send_to(self, name: str) -> Told:
        told, until = Told(), time.monotonic() + LONGEST_S
        while time.monotonic() < until and (entry := self._claimed(name)) is not None:
            try:
                url, event = self._written(entry)
                post(self.client, url, event, self.secrets.of(name), at=self.clock())
            except Exception as error:  # noqa: BLE001 - it is tried again; the other programs go on
                self._put_off(entry, error, told)
                break
            with self.desk.store.write() as db:
                outbox.sent(db, entry, at=self.clock())
            told.sent += 1
            _log.info("told webhook=%s event=%s", name, entry.delivery)
        return told

    def _claimed(self, name: str) -> Entry | None:
        with self.desk.store.write() as db:
            return outbox.claim_due(db, (OUTBOX,), at=self.clock(), recipient=name)

    def _put_off(self, entry: Entry, error: Exception, told: Told) -> None:
        ours = isinstance(error, ClawbackError)
        says = str(error) if ours else f"The event could not be written ({type(error).__name__})."
        with self.desk.store.write() as db:
            over = outbox.failed(db, entry, says, at=self.clock(), for_ever=isinstance(error, Gone))
        told.given_up += over
        told.put_off += not over
        event = "given_up" if over else "put_off"
        _log.error(
            "%s webhook=%s event=%s because=%r",
            event,
            entry.recipient,
            entry.delivery,
            says,
            exc_info=None if ours else error,
        )

    def _written(self, entry: Entry) -> tuple[str, Post]:
        with self.desk.store.read() as db:
            url = webhooks.find(db, entry.recipient).url
            return url, Post(entry.delivery, as_json(Single(_body(db, webhooks.event(db, entry.delivery)))))


def _body(db: Connection, event: Row[Any]) -> dict[str, Any]:
    """An event as its program reads it: a receipt's head, or ActionUpdates as Web Services give them."""
    made_at = instant(event.made_at)
    head = {
        "Id": event.event,
        "Type": event.kind,
        "AccountId": event.sid,
        "CreatedDate": made_at.isoformat(timespec="microseconds"),
        "DeliveryId": event.delivery,
    }
    if event.kind != EventKind.CHANGED:
        return {**head, "Receipt": webhooks.receipt_of(event)}
    shaper = Shaper.of(db, event.sid, made_at)
    rows = update_pages.of_lines(db, event.delivery_id, webhooks.lines_of(event))
    return {**head, "ActionUpdates": [shaper.update(row) for row in rows]}
