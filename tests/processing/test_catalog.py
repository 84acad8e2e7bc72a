from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from clawback.wiring import Desk
from processing import catalog
from processing.catalog import StoredContract, StoredEventType, Terms, read_terms, save
from processing.errors import NotFound, Unusable
from processing.model import (
    Account,
    Basis,
    Brakes,
    Change,
    Contract,
    EventType,
    Level,
    Partner,
    Payout,
    Program,
    SameOrder,
)
from processing.terms import Period
from tests.worlds import CATALOGUE, OTHER_SID, SID, Sale, dump, load

MONTH, DAY = Period(0, 27, "month"), Period(0, 15, "day")
CONTRACT = Contract(Partner(501, "Trail"), date(2026, 1, 1), MONTH, DAY, Payout(50_000, None))
KIND = EventType(7, "Sale", Level.ORDER, Basis.SALE, {"PAY": Change.APPROVE}, SameOrder.HOLD)
PROGRAM = Program(1, "Partners", (KIND,), (CONTRACT,))
BRAKES = Brakes(10, 20, 30, 40, 50)
ACME = Account("ACME", "Acme", "Asia/Tokyo", "JPY", (PROGRAM,), ("Notes",), "cp932", BRAKES)


def saved(desk: Desk, *accounts: Account) -> Terms:
    """Save accounts and read the first one's terms."""
    with desk.store.write() as db:
        save(db, accounts)
        return read_terms(db, accounts[0].sid)


def test_terms_are_what_was_saved(desk: Desk) -> None:
    """Everything that the rules need comes back in their own types."""
    found = saved(desk, ACME)
    number = next(iter(found.contracts))
    assert found == Terms(
        account_id=found.account_id,
        sid="ACME",
        name="Acme",
        zone=ZoneInfo("Asia/Tokyo"),
        currency="JPY",
        encoding="cp932",
        ignore_columns=("Notes",),
        brakes=BRAKES,
        event_types={7: StoredEventType("Sale", 1, Level.ORDER, Basis.SALE, SameOrder.HOLD)},
        dispositions={7: {"PAY": Change.APPROVE}},
        contracts={number: StoredContract(number, 1, 501, date(2026, 1, 1), MONTH, DAY, 50_000, None)},
        partners={501: "Trail"},
    )


def test_saving_twice_is_saving_once(desk: Desk) -> None:
    """Rows keep their numbers, to which actions point."""
    saved(desk, ACME)
    before = dump(desk.store)
    saved(desk, ACME)
    assert dump(desk.store) == before


def test_saving_again_updates_what_is_named_and_keeps_the_rest(desk: Desk) -> None:
    """A contract and a name change, disposition codes are replaced, an account that is not named stays."""
    saved(desk, ACME, replace(ACME, sid="B", programs=(replace(PROGRAM, id=2),)))
    kind = replace(KIND, dispositions={"BACK": Change.REVERSE})
    contracts = (
        replace(CONTRACT, partner=Partner(501, "Trail Blog"), payout=Payout(None, 12)),
        replace(CONTRACT, partner=Partner(501, "Trail Blog"), effective=date(2027, 1, 1)),
    )
    found = saved(
        desk, replace(ACME, name="Acme Inc", programs=(replace(PROGRAM, event_types=(kind,), contracts=contracts),))
    )
    assert (found.name, found.partners, found.dispositions) == (
        "Acme Inc",
        {501: "Trail Blog"},
        {7: {"BACK": Change.REVERSE}},
    )
    assert [(one.effective, one.percent_ppm, one.fixed_minor) for one in found.contracts.values()] == [
        (date(2026, 1, 1), None, 12),
        (date(2027, 1, 1), 50_000, None),
    ]
    with desk.store.read() as db:
        assert read_terms(db, "B").dispositions == {7: {"PAY": Change.APPROVE}}


def test_a_program_may_be_empty_yet(desk: Desk) -> None:
    """Contracts and event types can come later."""
    found = saved(desk, replace(ACME, programs=(Program(1, "Partners", (), ()),)))
    assert (found.event_types, found.contracts, found.partners) == ({}, {}, {})


def test_an_event_type_without_codes_has_none(desk: Desk) -> None:
    """Codes that the catalogue no longer has are gone."""
    saved(desk, ACME)
    bare = replace(ACME, programs=(replace(PROGRAM, event_types=(replace(KIND, dispositions={}),)),))
    assert saved(desk, bare).dispositions == {}


@pytest.mark.parametrize("changed", [{"currency": "USD"}, {"timezone": "UTC"}])
def test_calendar_and_currency_stay_once_there_are_actions(changed: dict[str, Any], desk: Desk, tmp_path: Path) -> None:
    """What was computed with the old ones cannot be kept; an account without actions may change them."""
    load(desk, tmp_path, [Sale("B-1", amount="5000", currency="JPY", event_type=26027, program=2000)])
    old = Account(OTHER_SID, "Other", "Asia/Tokyo", "JPY", ())
    with pytest.raises(Unusable, match="Account IRother2 has actions in JPY and Asia/Tokyo; it cannot become"):
        saved(desk, replace(old, **changed))
    assert saved(desk, replace(old, name="Renamed")).name == "Renamed"
    empty = replace(ACME, **changed)
    saved(desk, ACME)
    assert (saved(desk, empty).currency, saved(desk, empty).zone.key) == (empty.currency, empty.timezone)


def test_a_program_belongs_to_one_account(desk: Desk) -> None:
    """Its number alone tells whose an action is."""
    saved(desk, ACME)
    with pytest.raises(Unusable, match="Program 1 belongs to another account"):
        saved(desk, replace(ACME, sid="THIEF"))
    with desk.store.read() as db:
        assert catalog.program_owners(db) == {1: "ACME"}


def test_accounts_are_listed_with_their_actions(desk: Desk, tmp_path: Path) -> None:
    """By SID, also those without any."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")], catalogue=CATALOGUE)
    with desk.store.read() as db:
        assert catalog.accounts(db) == [
            {"account": SID, "name": "Acme Outdoor", "timezone": "America/New_York", "currency": "USD", "actions": 2},
            {"account": OTHER_SID, "name": "Other Brand", "timezone": "Asia/Tokyo", "currency": "JPY", "actions": 0},
        ]
        assert catalog.program_owners(db) == {1000: SID, 2000: OTHER_SID}


def test_an_account_of_nobody_has_no_terms(desk: Desk) -> None:
    """And the message says what to do."""
    with desk.store.read() as db, pytest.raises(NotFound, match="There is no account X; load a catalogue"):
        read_terms(db, "X")
