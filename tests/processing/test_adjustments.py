from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback import pipeline, revising
from clawback.wiring import Desk
from processing import adjustments
from processing.errors import Unusable
from tests.conftest import Clock
from tests.item_worlds import load_items
from tests.worlds import CATALOGUE, LOCK, MICROSECOND, OTHER_SID, SID, Sale, codes, dump, ingest, lines, load, values

SALES = [
    Sale("A-1", "O-1"),
    Sale("A-2", "=1+1"),
    Sale("A-3"),
    Sale("A-1", "O-1", "5000", "JPY", event_type=26027, program=2000),
]

DEARER = CATALOGUE.replace('payout = { percent = "5.00" }', 'payout = { percent = "8.00" }')


@pytest.fixture
def late(desk: Desk, tmp_path: Path, clock: Clock) -> Desk:
    """Some actions after their lock; A-3 was reversed in time."""
    load(desk, tmp_path, SALES)
    ingest(desk, lines("ActionId,Reason", "A-3,OTHER"))
    clock.now = LOCK + timedelta(hours=1)
    return desk


def proposed(desk: Desk, sid: str | None = None) -> list[dict[str, Any]]:
    """All proposed adjustments."""
    with desk.store.read() as db:
        return list(adjustments.listing(db, sid))


def steps(desk: Desk) -> list[tuple[str, str, str]]:
    """Amount before and after and the difference in payout of each proposal."""
    return [(one["amount_before"], one["amount_after"], one["payout_difference"]) for one in proposed(desk)]


def test_a_late_line_is_proposed_for_the_next_cycle(late: Desk) -> None:
    """It touches nothing; what it would have done is kept with all that settling it takes."""
    receipt = ingest(late, lines("ActionId,Amount,Reason", "A-1,40.00,ORDER_UPDATE", "A-2,0,ITEM_RETURNED"))
    assert codes(receipt) == [(2, "refused", "ACTION_LOCKED"), (3, "refused", "ACTION_LOCKED")]
    assert values(late.store, "A-1") == ("PENDING", "100.00", "5.00")
    first, second = proposed(late)
    assert first == {
        "account": SID,
        "delivery": receipt["delivery"],
        "line": 2,
        "action_id": "A-1",
        "order_id": "O-1",
        "partner": 501,
        "partner_name": "Trail Blog",
        "change": "modify",
        "reason": "ORDER_UPDATE",
        "currency": "USD",
        "amount_before": "100.00",
        "amount_after": "40.00",
        "payout_before": "5.00",
        "payout_after": "2.00",
        "payout_difference": "-3.00",
        "locks_at": "2027-02-28T05:00:00+00:00",
        "received_at": "2027-02-28T06:00:00+00:00",
    }
    assert (second["change"], second["amount_after"], second["payout_difference"]) == ("reverse", "0.00", "-5.00")


@pytest.mark.parametrize(
    ("case", "header", "line"),
    [
        ("nothing to change", "ActionId,Amount,Reason", "A-1,100.00,OTHER"),
        ("reversed already", "ActionId,Amount,Reason", "A-3,0,OTHER"),
        ("a reversed action modified", "ActionId,Amount,Reason", "A-3,10.00,OTHER"),
        ("an amount that nobody can convert", "ActionId,Amount,currencyCode,Reason", "A-1,10.00,EUR,OTHER"),
        ("rejected", "ActionId,Amount,Reason", "A-1,-1,OTHER"),
    ],
)
def test_what_only_the_lock_refuses_is_proposed(case: str, header: str, line: str, late: Desk) -> None:
    """A line that could not have been applied in time either proposes nothing."""
    ingest(late, lines(header, line))
    assert proposed(late) == [], case


def test_accounts_see_their_own(late: Desk) -> None:
    """And nothing of the others."""
    ingest(late, lines("ActionId,Reason", "A-1,OTHER"))
    assert (len(proposed(late, SID)), proposed(late, OTHER_SID)) == (1, [])


def test_the_same_reversal_is_proposed_once(late: Desk, clock: Clock) -> None:
    """However often it is sent, in whatever deliveries; each line is answered that it came too late."""
    ingest(late, lines("ActionId,Amount,Reason", "A-1,0,OTHER"))
    clock.pass_by(minutes=1)
    again = ingest(late, lines("ActionId,Amount,Reason", "A-1,0,OTHER", "A-1,0,ITEM_RETURNED"))
    assert codes(again) == [(2, "refused", "ACTION_LOCKED"), (3, "refused", "ACTION_LOCKED")]
    assert steps(late) == [("100.00", "0.00", "-5.00")]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["A-1,0,OTHER", "A-1,50.00,OTHER"], [("100.00", "0.00", "-5.00"), ("0.00", "50.00", "2.50")]),
        (["A-1,40.00,OTHER", "A-1,0,OTHER"], [("100.00", "40.00", "-3.00"), ("40.00", "0.00", "-2.00")]),
        (["A-1,40.00,OTHER", "A-1,40.00,OTHER"], [("100.00", "40.00", "-3.00")]),
        (["A-1,40.00,OTHER", "A-1,,VALIDATED"], [("100.00", "40.00", "-3.00")]),
        (["A-1,,VALIDATED"], []),
        (
            ["A-1,40.00,OTHER", "A-1,0,OTHER", "A-1,0,OTHER", "A-1,,VALIDATED"],
            [("100.00", "40.00", "-3.00"), ("40.00", "0.00", "-2.00"), ("0.00", "40.00", "2.00")],
        ),
        (["A-3,,VALIDATED", "A-3,,VALIDATED"], [("0.00", "100.00", "5.00")]),
        (["A-1,40.00,OTHER", "A-1,100.00,OTHER"], [("100.00", "40.00", "-3.00"), ("40.00", "100.00", "3.00")]),
        (["A-1,40.00,OTHER", "A-1,,UNDO"], [("100.00", "40.00", "-3.00"), ("40.00", "100.00", "3.00")]),
        (["A-1,0,OTHER", "A-1,100.00,OTHER"], [("100.00", "0.00", "-5.00"), ("0.00", "100.00", "5.00")]),
        (["A-3,,VALIDATED", "A-3,0,OTHER"], [("0.00", "100.00", "5.00"), ("100.00", "0.00", "-5.00")]),
        (["A-3,,VALIDATED", "A-3,30.00,OTHER"], [("0.00", "100.00", "5.00"), ("100.00", "30.00", "-3.50")]),
        (["A-3,,UNDO", "A-3,30.00,OTHER"], [("0.00", "100.00", "5.00"), ("100.00", "30.00", "-3.50")]),
        (
            ["A-3,,VALIDATED", "A-3,0,OTHER", "A-3,30.00,OTHER"],
            [("0.00", "100.00", "5.00"), ("100.00", "0.00", "-5.00"), ("0.00", "30.00", "1.50")],
        ),
        (["A-3,30.00,OTHER", "A-3,,VALIDATED"], [("0.00", "100.00", "5.00")]),
        (["A-3,,UNDO", "A-3,100.00,OTHER"], [("0.00", "100.00", "5.00")]),
        (["A-3,30.00,OTHER", "A-3,0,OTHER"], []),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_each_proposal_adds_to_those_before_it(
    rows: list[str], expected: list[tuple[str, str, str]], late: Desk, clock: Clock, *, at_once: bool
) -> None:
    """Of the same delivery or of earlier ones; approval keeps what is proposed, unless that was a reversal."""
    for part in [rows] if at_once else [[row] for row in rows]:
        clock.pass_by(minutes=1)
        ingest(late, lines("ActionId,Amount,Reason", *part), again=True)
    assert steps(late) == expected


def test_a_status_alone_proposes_no_money(late: Desk) -> None:
    """Neither its own nor what an earlier line took."""
    rows = ("A-1,40.00,,OTHER", "A-1,,PAID,OTHER", "A-2,,PAID,OTHER")
    receipt = ingest(late, lines("ActionId,Amount,CustomerStatus,Reason", *rows))
    assert receipt["rows"]["refused"] == len(rows)
    assert steps(late) == [("100.00", "40.00", "-3.00")]


def test_what_is_taken_back_is_answered_as_before(late: Desk, clock: Clock) -> None:
    """It says what the ledger has, so it is unchanged; a status beside it takes nothing back."""
    header = "ActionId,Amount,CustomerStatus,Reason"
    ingest(late, lines(header, "A-1,40.00,,OTHER"))
    clock.pass_by(minutes=1)
    ingest(late, lines(header, "A-1,,PAID,OTHER"))
    clock.pass_by(minutes=1)
    assert codes(ingest(late, lines(header, "A-1,100.00,,OTHER"))) == [(2, "unchanged", None)]
    assert steps(late) == [("100.00", "40.00", "-3.00"), ("40.00", "100.00", "3.00")]


def test_what_is_taken_back_costs_what_it_did(late: Desk, tmp_path: Path, clock: Clock) -> None:
    """The action is left as it locked, whatever the contract of the day would pay."""
    ingest(late, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER"))
    load(late, tmp_path, catalogue=DEARER)
    clock.pass_by(minutes=1)
    ingest(late, lines("ActionId,Amount,Reason", "A-1,100.00,OTHER"))
    assert steps(late) == [("100.00", "40.00", "-3.00"), ("40.00", "100.00", "3.00")]


def test_what_was_brought_back_late_costs_what_it_did_before_its_reversal(
    late: Desk, tmp_path: Path, clock: Clock
) -> None:
    """That is what a line after others takes it back to."""
    ingest(late, lines("ActionId,Amount,Reason", "A-3,,VALIDATED", "A-3,30.00,OTHER"))
    load(late, tmp_path, catalogue=DEARER)
    clock.pass_by(minutes=1)
    ingest(late, lines("ActionId,Amount,Reason", "A-3,100.00,OTHER"))
    assert steps(late) == [("0.00", "100.00", "5.00"), ("100.00", "30.00", "-3.50"), ("30.00", "100.00", "3.50")]


ITEMS = "ActionId,Sku1,Quantity1,Amount1,Sku2,Quantity2,Amount2,Reason"
ALL_RETURNED = "A-1,BOOT,0,0,SOCK,0,0,ITEM_RETURNED"
BROUGHT_BACK = [("0.00", "100.00", "7.40"), ("0.00", "50.00", "2.50")]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([ALL_RETURNED], [("100.00", "0.00", "-7.40")]),
        ([ALL_RETURNED, ALL_RETURNED], [("100.00", "0.00", "-7.40")]),
        (["A-1,BOOT,0,0,,,,ITEM_RETURNED"], [("100.00", "20.00", "-6.40")]),
        (["A-1,BOOT,1,30.00,,,,OTHER"], [("100.00", "50.00", "-4.00")]),
        (["A-2,TENT,1,30.00,,,,OTHER"], [("50.00", "30.00", "-1.00")]),
        (["A-2,TENT,0,0,,,,ITEM_RETURNED"], [("50.00", "0.00", "-2.50")]),
    ],
)
@pytest.mark.parametrize("brings_back", ["VALIDATED", "RESET"])
def test_items_of_an_action_that_was_brought_back_late(
    brings_back: str,
    rows: list[str],
    expected: list[tuple[str, str, str]],
    desk: Desk,
    tmp_path: Path,
    clock: Clock,
) -> None:
    """A late line about them adds to the line that brought it back, and to nothing where none did."""
    load_items(desk, tmp_path)
    ingest(desk, lines("ActionId,Reason", "A-1,OTHER", "A-2,OTHER"))
    clock.now = LOCK
    ingest(desk, lines(ITEMS, *rows))
    assert steps(desk) == []
    ingest(desk, lines("ActionId,Amount,Reason", f"A-1,,{brings_back}", f"A-2,,{brings_back}"))
    clock.pass_by(minutes=1)
    before = dump(desk.store)["action"]
    ingest(desk, lines(ITEMS, *rows), again=True)
    assert steps(desk) == [*BROUGHT_BACK, *expected]
    assert dump(desk.store)["action"] == before


def test_what_arrived_first_counts_first(late: Desk, clock: Clock) -> None:
    """Whichever is applied first."""
    ingest(late, lines("ActionId,Amount,Reason", "A-1,0,OTHER"))
    ingest(late, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER"), received_at=clock.now - MICROSECOND)
    assert steps(late) == [("100.00", "40.00", "-3.00"), ("40.00", "0.00", "-2.00")]


def test_an_undone_delivery_proposes_nothing(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Until its undo is undone; what is proposed after it counts as if it had never been."""
    load(desk, tmp_path, [Sale("A-1"), Sale("B-1", event_at="2027-02-15T10:00:00-05:00")])
    clock.now = LOCK
    first = ingest(desk, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER", "B-1,0,OTHER"))
    clock.pass_by(minutes=1)
    ingest(desk, lines("ActionId,Amount,Reason", "A-1,0,OTHER"))
    undo = revising.undo(desk, first["delivery"], by="dana", reason=None, at=clock.now)
    assert steps(desk) == [("100.00", "0.00", "-5.00")]
    revising.undo(desk, undo["delivery"], by="dana", reason=None, at=clock.now)
    assert steps(desk) == [("100.00", "40.00", "-3.00"), ("40.00", "0.00", "-2.00")]


def test_a_delivery_of_late_lines_only_is_undone(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """It changed nothing, but what it proposes is taken back, and proposed again when its undo is undone."""
    load(desk, tmp_path, [Sale("A-1")])
    clock.now = LOCK
    sent = ingest(desk, lines("ActionId,Amount,Reason", "A-1,0,OTHER"))["delivery"]
    numbers = [sent]
    for expected in ([], [("100.00", "0.00", "-5.00")], []):
        clock.pass_by(minutes=1)
        undo = revising.undo(desk, numbers[-1], by="dana", reason=None, at=clock.now)
        assert (steps(desk), undo["rows"]["read"]) == (expected, 0)
        numbers.append(undo["delivery"])
    assert pipeline.receipt(desk, sent)["undone_by"] == numbers[1]
    for one in (sent, numbers[2]):
        with pytest.raises(Unusable, match="undone already"):
            revising.undo(desk, one, by="dana", reason=None, at=clock.now)
    assert values(desk.store, "A-1") == ("PENDING", "100.00", "5.00")
    assert ingest(desk, lines("ActionId,Amount,Reason", "A-1,0,OTHER"))["state"] == "done"
    assert steps(desk) == [("100.00", "0.00", "-5.00")]
