"""The chapter of the demonstration in which a brand's Salesforce org tells what became of its orders."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final

from clawback import pipeline
from clawback.demo import world
from clawback.demo.brand import PATIENCE_S, NoAnswer
from clawback.demo.salesforce_org import MESSAGE_ID, ORG_ID, DemoOrg
from clawback.demo.tell import Teller
from clawback.wiring import Desk
from processing import deliveries

NAME: Final = "acme-crm"
LOST, WON = "0065g0000000001AAA", "0065g0000000002AAA"
ORDERS: Final = {LOST: world.order_id(3_101), WON: world.order_id(3_103)}


@dataclass
class Crm:
    """The brand's org, and the secrets by which it and we know each other."""

    org: DemoOrg
    key: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    slug: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def secrets(self) -> dict[str, str]:
        """The variables in which its secrets stand."""
        return {"ACME_CRM_KEY": self.key, "ACME_CRM_HOOK": self.slug}

    def table(self) -> dict[str, Any]:
        """Its settings."""
        statuses = {
            "Closed Won": {"outcome": "approve", "reason": "VALIDATED"},
            "Closed Lost": {"outcome": "reverse", "reason": "RETURNED"},
            "Negotiation": {"outcome": "none"},
        }
        mapping = {
            "name": "opportunities",
            "object": "Opportunity",
            "event_type": world.SALE,
            "order_id": "OrderNumber__c",
            "status": "StageName",
            "statuses": statuses,
        }
        return {
            "name": NAME,
            "account": world.SID,
            "org_id": ORG_ID,
            "url": self.org.url,
            "ca_file": str(self.org.certificate),
            "key": "env:ACME_CRM_KEY",
            "secret": "env:ACME_CRM_KEY",
            "schedule": "10s",
            "backfill": "apply",
            "hook": "env:ACME_CRM_HOOK",
            "hook_actions": [MESSAGE_ID],
            "mapping": [mapping],
        }

    def open(self) -> None:
        """Two opportunities of orders that partners brought, still open."""
        for record, order in ORDERS.items():
            self.org.save(record, order, "Negotiation")


def told(desk: Desk, crm: Crm, teller: Teller, web: str) -> list[dict[str, Any]]:
    """One status change by an outbound message, one by polling; gives the receipts."""
    teller.chapter("Two status changes in Salesforce: one is told by an outbound message, one is found by polling")
    crm.org.save(LOST, ORDERS[LOST], "Closed Lost")
    answer = crm.org.tell(f"{web}/hooks/salesforce/{crm.slug}", LOST)
    teller.say(f"{ORDERS[LOST]} is Closed Lost. The outbound message: {answer}")
    teller.check("acknowledged, once it was durable", holds=answer == "200 <Ack>true</Ack>")
    [lost] = _receipts(desk, 1)
    teller.check("read again, and reversed", holds=lost["rows"]["applied"] == 1)
    crm.org.save(WON, ORDERS[WON], "Closed Won")
    teller.say(f"{ORDERS[WON]} is Closed Won. Nobody tells us.")
    *_, won = _receipts(desk, 2)
    teller.check("the next poll found it, and approved", holds=won["rows"]["applied"] == 1)
    return [lost, won]


def _receipts(desk: Desk, count: int) -> list[dict[str, Any]]:
    """The receipts of what the org told, oldest first, as soon as there are so many; raises NoAnswer."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with desk.store.read() as db:
            found = [one for one in deliveries.listing(db, world.SID) if one["channel"] == f"salesforce:{NAME}"]
        if len(found) >= count:
            return [pipeline.receipt(desk, one["delivery"]) for one in reversed(found)]
        time.sleep(0.2)
    raise NoAnswer(f"What Salesforce told was not applied within {PATIENCE_S} s.")
