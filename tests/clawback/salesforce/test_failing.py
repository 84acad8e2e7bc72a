"""One object of an org fails: the others are read, and the round's error names whatever failed."""

from datetime import timedelta
from pathlib import Path

import pytest

from connectors.salesforce_org import Org
from processing.errors import SourceRefused, SourceUnreachable
from tests.clawback.salesforce.site import LEADS, Crm, mapping_table, settings_for
from tests.clawback.salesforce.test_pausing import near_the_lock
from tests.salesforce_org.server import Fault, refusal
from tests.worlds import LOCK

ALWAYS = 10_000
POLL = r"queryAll.*FROM(\+|%20)Opportunity"
LOOK_UP = POLL + r".*Order_Number__c(\+|%20)IN"
FAILED = (SourceUnreachable, SourceRefused)


def two(crm: Crm, folder: Path, **values: str) -> str:
    """An opportunity and a lead, each with a mapping of its own, read once; gives the lead."""
    crm.settings = settings_for(crm.org, mapping=[mapping_table(), LEADS], **values)
    crm.sell(folder, "O-1", "O-2")
    crm.opportunity("O-1")
    lead = crm.world.add("Lead", Order_Number__c="O-2", Status="Open")
    crm.round()
    return lead


@pytest.mark.parametrize(
    ("status", "code"), [(400, "QUERY_TIMEOUT"), (500, "UNKNOWN_EXCEPTION"), (400, "OPERATION_TOO_LARGE")]
)
def test_a_poll_that_fails_leaves_the_other_mappings(crm: Crm, tmp_path: Path, status: int, code: str) -> None:
    """Whether it passes or not."""
    lead = two(crm, tmp_path)
    crm.pass_by(minutes=5)
    crm.world.change(lead, Status="Rejected")
    crm.org.fault(refusal(status, code), POLL, ALWAYS)
    with pytest.raises(FAILED, match=code):
        crm.round()
    assert crm.values("O-2")[0] == "REVERSED"


@pytest.mark.parametrize("code", ["QUERY_TIMEOUT", "OPERATION_TOO_LARGE"])
def test_a_look_up_that_fails_leaves_the_other_mappings(crm: Crm, tmp_path: Path, code: str) -> None:
    """What only a look-up can find is found for the others."""
    crm.settings = settings_for(crm.org)
    lead = two(crm, tmp_path, on_stale="lock_anyway")
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=3)
    crm.round()
    crm.world.recalculate(lead, Status="Rejected")
    crm.org.fault(refusal(400, code), LOOK_UP, ALWAYS)
    crm.pass_by(hours=1, minutes=1)
    with pytest.raises(FAILED, match=code):
        crm.round()
    assert crm.values("O-2")[0] == "REVERSED"


@pytest.mark.parametrize("code", ["QUERY_TIMEOUT", "OPERATION_TOO_LARGE"])
def test_a_mapping_whose_poll_fails_is_looked_up(crm: Crm, tmp_path: Path, code: str) -> None:
    """The query by order numbers is another one, and may be answered."""
    near_the_lock(crm, tmp_path)
    crm.org.fault(refusal(400, code), r"queryAll.*SystemModstamp(\+|%20)(%3E|>)", ALWAYS)
    with pytest.raises(FAILED, match=code):
        crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


def test_a_describe_that_fails_leaves_the_other_mappings(crm: Crm, tmp_path: Path) -> None:
    """The mapping is checked with the next round, and not read before."""
    lead = two(crm, tmp_path)
    crm.pass_by(days=1)
    crm.world.change(lead, Status="Rejected")
    crm.org.fault(Fault(status=500, body=b"[]"), "/sobjects/Opportunity/describe", 6)
    with pytest.raises(SourceUnreachable, match="Opportunity/describe"):
        crm.round()
    assert crm.values("O-2")[0] == "REVERSED"
    assert crm.round().error is None


def test_the_error_names_everything_that_failed(crm: Crm, tmp_path: Path) -> None:
    """Also what another failure would hide."""
    two(crm, tmp_path)
    crm.pass_by(minutes=5)
    crm.org.fault(refusal(400, "QUERY_TIMEOUT"), POLL, ALWAYS)
    crm.org.fault(refusal(400, "OPERATION_TOO_LARGE"), "FROM.*Lead", ALWAYS)
    with pytest.raises(SourceUnreachable, match=r"Opportunity.*QUERY_TIMEOUT.*Lead.*OPERATION_TOO_LARGE"):
        crm.round()


def test_an_org_that_is_down_is_waited_for_once_a_round(crm: Crm, tmp_path: Path) -> None:
    """Six tries for the first mapping, one for each question after that."""
    two(crm, tmp_path)
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=3)
    waits = list[float]()
    crm.org.fault(refusal(500, "UNKNOWN_EXCEPTION"), "queryAll", ALWAYS)
    before = len(crm.org.calls)

    class Waiting(Crm):
        def opened(self, _settings: object = None) -> Org:
            return Org(self.settings, self.environ, pause=waits.append)

    with pytest.raises(SourceUnreachable):
        Waiting(crm.desk, crm.org, crm.clock, crm.settings).round()
    assert (len(waits), sum(one.endswith("/queryAll/") for one in crm.org.calls[before:])) == (5, 6 + 3)
