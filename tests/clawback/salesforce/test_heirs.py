"""Records that are converted or merged: whether another one speaks for their orders afterwards."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.clawback.salesforce.site import STATUSES, Crm, mapping_table, settings_for
from tests.salesforce_org.world import MERGED, OBJECTS, SYSTEM, Field
from tests.worlds import LOCK


@pytest.mark.parametrize("policy", ["follow", "hold"])
def test_s29_a_record_whose_heir_has_another_order_is_held(crm: Crm, tmp_path: Path, policy: str) -> None:
    """Nobody speaks for its order any more; when the heir does, also in the same look-up, the hold is over."""
    leads = mapping_table(name="leads", object="Lead", status="Status", amount=None, on_converted=policy)
    leads["statuses"] = {"Open": {"outcome": "none"}}
    crm.settings = settings_for(crm.org, mapping=[leads, mapping_table()])
    crm.sell(tmp_path, "O-1", "O-2", "O-3")
    lead, winner, loser = (crm.world.add("Lead", Order_Number__c=one, Status="Open") for one in ("O-1", "O-2", "O-3"))
    heir = crm.opportunity("")
    crm.round()
    crm.world.convert(lead, heir)
    crm.world.merge(winner, loser)
    crm.pass_by(hours=1)
    crm.round(until=LOCK)
    more = "" if policy == "hold" else ", and no record speaks for order '{}' any more"
    lost = [f"The record became {one}{more.format(order)}." for one, order in ((heir, "O-1"), (winner, "O-3"))]
    assert sorted(crm.held()) == sorted(lost)
    for _ in range(2):
        crm.pass_by(minutes=5)
        crm.world.change(lead, Status="Qualified")
        crm.round(until=LOCK)
        assert sorted(crm.held()) == sorted(lost)
    crm.world.change(heir, Order_Number__c="O-1", StageName="Closed Lost")
    crm.round(until=LOCK)
    assert (crm.values("O-1")[0], sorted(crm.held())) == ("REVERSED", sorted(lost[0 if policy == "hold" else 1 :]))


def test_s29_cases_that_are_merged(crm: Crm, tmp_path: Path) -> None:
    """Not only leads are: the winner speaks for its own order, nobody for the loser's."""
    fields = (*SYSTEM, replace(MERGED, refers_to="Case"), Field("Order_Number__c", unique=True), Field("Status"))
    crm.world.objects = {**OBJECTS, "Case": ("500", fields)}
    cases = mapping_table(object="Case", status="Status", amount=None)
    cases["statuses"] = {"Refunded": STATUSES["Returned"], "New": {"outcome": "none"}}
    crm.settings = settings_for(crm.org, mapping=[cases])
    crm.sell(tmp_path, "O-1", "O-2")
    winner, loser = (crm.world.add("Case", Order_Number__c=one, Status="New") for one in ("O-1", "O-2"))
    crm.round()
    crm.world.merge(winner, loser)
    crm.world.change(winner, Status="Refunded")
    crm.round(until=LOCK)
    assert [crm.values(order)[0] for order in ("O-1", "O-2")] == ["REVERSED", "PENDING"]
    assert crm.held() == [f"The record became {winner}, and no record speaks for order 'O-2' any more."]


def test_a_record_of_a_third_mapping_may_take_the_order(crm: Crm, tmp_path: Path) -> None:
    """Neither what the lead became nor another lead: whoever carries the order speaks for it, in the same round."""
    fields = (*SYSTEM, replace(MERGED, refers_to="Case"), Field("Order_Number__c", unique=True), Field("Status"))
    crm.world.objects = {**OBJECTS, "Case": ("500", fields)}
    statuses = {"New": {"outcome": "none"}, "Open": {"outcome": "none"}}
    leads, cases = (
        mapping_table(name=of.lower(), object=of, status="Status", amount=None, statuses={one: statuses[one]})
        for of, one in (("Lead", "Open"), ("Case", "New"))
    )
    crm.settings = settings_for(crm.org, mapping=[leads, cases, mapping_table()])
    crm.sell(tmp_path, "O-1")
    lead = crm.world.add("Lead", Order_Number__c="O-1", Status="Open")
    crm.round()
    crm.world.convert(lead, crm.opportunity(""))
    crm.world.add("Case", Order_Number__c="O-1", Status="New")
    crm.pass_by(hours=1)
    crm.round(until=LOCK)
    assert crm.held() == []
