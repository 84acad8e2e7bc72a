"""A brand with an org: the fake one, a desk on each store, and the settings that join them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from clawback import sweep as locks
from clawback.salesforce import rounds
from clawback.salesforce.locking import OrgWatch
from clawback.salesforce.rounds import Round
from clawback.salesforce_tables import parse
from clawback.wiring import Desk
from connectors.salesforce_org import Org
from connectors.salesforce_settings import SalesforceSettings
from processing import hints
from processing.hints import Hint
from processing.record_tables import observation
from processing.tables import entry
from tests.conftest import START, Clock
from tests.salesforce_org.server import KEY, SECRET, serving
from tests.salesforce_org.server import Org as FakeOrg
from tests.salesforce_org.world import ORG_ID, World
from tests.worlds import SALE, SID, Sale, load, values

ENVIRON = {"SF_KEY": KEY, "SF_SECRET": SECRET, "SF_SESSION": "hunter2TOKEN", "SF_HOOK": "s3cretSlugOfTheHook00"}
STATUSES: dict[str, Any] = {
    "Closed Won": {"outcome": "approve", "reason": "VALIDATED"},
    "Closed Lost": {"outcome": "reverse", "reason": "ORDER_ERROR"},
    "Returned": {"outcome": "reverse", "reason": "RETURNED"},
    "Partly Returned": {"outcome": "modify", "reason": "ORDER_UPDATE"},
    "Negotiation": {"outcome": "none"},
}

# A condition of a mapping.
PARTNERS: dict[str, Any] = {"field": "RecordType.DeveloperName", "value": "Partner"}


def mapping_table(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - of Mapping_
    """A mapping as its TOML table; by default opportunities as sales."""
    known = {
        "name": "sales",
        "object": "Opportunity",
        "event_type": SALE,
        "order_id": "Order_Number__c",
        "status": "StageName",
        "amount": "Amount",
        "statuses": STATUSES,
    }
    return {name: one for name, one in {**known, **values}.items() if one is not None}


LEADS = mapping_table(name="leads", object="Lead", status="Status", amount=None, on_converted="hold")
LEADS["statuses"] = {"Rejected": STATUSES["Closed Lost"]}


def table(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - of SalesforceSettings
    """The table ``[[salesforce]]``."""
    known: dict[str, Any] = {
        "name": "crm",
        "account": SID,
        "org_id": ORG_ID,
        "url": "https://127.0.0.1:1",
        "key": "env:SF_KEY",
        "secret": "env:SF_SECRET",
        "backfill": "apply",
        "timeout_s": 5,
        "mapping": [mapping_table()],
    }
    return {name: one for name, one in {**known, **values}.items() if one is not None}


def settings_for(org: FakeOrg, **values: Any) -> SalesforceSettings:  # noqa: ANN401 - of SalesforceSettings
    """The settings of a running fake."""
    return parse(table(**{"url": org.url, "ca_file": str(org.ca_file), **values}), Path(), "test")


@dataclass
class Crm:
    """A desk and a fake org whose clocks go together."""

    desk: Desk
    org: FakeOrg
    clock: Clock
    settings: SalesforceSettings
    environ: dict[str, str] = field(default_factory=lambda: dict(ENVIRON))

    @property
    def world(self) -> World:
        """The org's data."""
        return self.org.world

    def opened(self, _settings: SalesforceSettings | None = None) -> Org:
        """What reads the org; it does not wait between two tries."""
        return Org(self.settings, self.environ, pause=lambda _seconds: None)

    def pass_by(self, **parts: float) -> None:
        """Time goes on, for both."""
        self.clock.pass_by(**parts)
        self.world.now = self.clock.now

    def round(self, **how: Any) -> Round:  # noqa: ANN401 - of rounds.run
        """One round."""
        done = rounds.run(self.desk, self.settings, self.opened(), **{"spread": lambda: 0.0} | how)
        assert done is not None
        return done

    def listen(self) -> Round:
        """Only what triggers told."""
        done = rounds.listen(self.desk, self.settings, self.opened(), spread=lambda: 0.0)
        assert done is not None
        return done

    def sell(self, folder: Path, *orders: str, **how: Any) -> None:  # noqa: ANN401 - of Sale
        """Actions of these orders, each called A- and its order."""
        load(self.desk, folder, [Sale(f"A-{order}", order, **how) for order in orders])

    def opportunity(self, order: str, stage: str = "Negotiation", **fields: Any) -> str:  # noqa: ANN401 - of any type
        """A record of an order."""
        return self.world.add("Opportunity", Order_Number__c=order, StageName=stage, **{"Amount": 100.0} | fields)

    def values(self, order: str) -> tuple[str, str, str]:
        """State, amount and payout of an order's action."""
        return values(self.desk.store, f"A-{order}")

    def hint(self, *hints_of: tuple[str, str]) -> None:
        """Triggers told of records of objects."""
        with self.desk.store.write() as db:
            told = [Hint(f"{self.clock.now}{one}", of, one) for of, one in hints_of]
            hints.take(db, self.settings.name, told, self.clock.now)

    def lock(self) -> list[locks.Swept]:
        """The lock sweep."""
        watch = OrgWatch([self.settings], self.opened)
        return locks.lock_due(self.desk, as_of=self.clock(), at=self.clock(), feeds=watch)

    def entries(self) -> list[tuple[str, str, str]]:
        """What was applied: change, state before, state after."""
        with self.desk.store.read() as db:
            query = select(entry.c.change, entry.c.state_before, entry.c.state_after).order_by(
                entry.c.delivery_id, entry.c.line
            )
            return [tuple(one) for one in db.execute(query)]

    def held(self) -> list[str]:
        """Why records are held."""
        with self.desk.store.read() as db:
            query = select(observation.c.held).where(observation.c.held.is_not(None), observation.c.ended_at.is_(None))
            return [str(one) for one in db.execute(query).scalars()]


@contextmanager
def crm_at(desk: Desk, clock: Clock, folder: Path, **values: Any) -> Iterator[Crm]:  # noqa: ANN401 - of SalesforceSettings
    """A brand with a fresh org."""
    with serving(folder, World(now=START)) as org:
        clock.now = START
        yield Crm(desk, org, clock, settings_for(org, **values))
