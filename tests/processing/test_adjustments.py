from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from clawback import deciding, pipeline, revising
from clawback.wiring import Desk
from processing import adjustments
from processing.errors import Unusable
from tests.conftest import Clock
from tests.item_worlds import ITEM_CATALOGUE, load_items
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


@pytest.mark.parametrize(
    ("in_time", "late_row", "expected"),
    [
        ("A-1,80.00,OTHER", "A-1,0,OTHER", [("80.00", "0.00", "-4.00")]),
        ("A-1,80.00,OTHER", "A-1,50.00,OTHER", [("80.00", "50.00", "-1.50")]),
        ("A-1,40.00,OTHER", "A-1,100.00,OTHER", [("40.00", "100.00", "3.00")]),
        ("A-1,80.00,OTHER", "A-1,80.00,OTHER", []),
        ("A-1,80.00,OTHER", "A-1,,RESET", [("80.00", "100.00", "1.00")]),
        ("A-1,80.00,OTHER", "A-1,,VALIDATED", []),
        ("A-1,0,OTHER", "A-1,0,OTHER", []),
        ("A-1,0,OTHER", "A-1,50.00,OTHER", []),
        ("A-1,0,OTHER", "A-1,,VALIDATED", [("0.00", "100.00", "5.00")]),
        ("A-3,,VALIDATED", "A-3,30.00,OTHER", [("100.00", "30.00", "-3.50")]),
        ("A-3,,VALIDATED", "A-3,,VALIDATED", []),
        ("A-3,,VALIDATED", "A-3,0,OTHER", [("100.00", "0.00", "-5.00")]),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_late_lines_count_from_what_their_action_locked_with(
    in_time: str,
    late_row: str,
    expected: list[tuple[str, str, str]],
    desk: Desk,
    tmp_path: Path,
    clock: Clock,
    *,
    held: bool,
) -> None:
    """Be it that what arrived in time was held, and is released behind them."""
    load(desk, tmp_path, SALES)
    ingest(desk, lines("ActionId,Reason", "A-3,OTHER"))
    arrives(desk, clock, "ActionId,Amount,Reason", [in_time], [late_row], held=held)
    assert steps(desk) == expected


def arrives(desk: Desk, clock: Clock, header: str, in_time: list[str], late_rows: list[str], *, held: bool) -> None:
    """Lines in time, which may be held until others came after the lock, each of these as a delivery of its own."""
    clock.now = LOCK - MICROSECOND
    first = ingest(desk, lines(header, *in_time).removesuffix("\n" if held else ""))
    assert first["state"] == ("held" if held else "done")
    clock.now = LOCK
    for row in late_rows:
        clock.pass_by(minutes=1)
        # Under another name of a column, as no file goes on where the first one ended.
        ingest(desk, lines(header.replace("Reason", "DispositionCode"), row), again=True)
    if held:
        deciding.release(desk, first["delivery"], by="dana", at=clock.now)


ITEM: Final = "ActionId,Sku,Quantity,Amount,Reason"


@pytest.mark.parametrize(
    ("in_time", "late_rows", "expected"),
    [
        ("BOOT,2,60.00,OTHER", ["BOOT,2,50.00,OTHER"], [("80.00", "70.00", "-0.80")]),
        ("BOOT,2,60.00,OTHER", ["SOCK,3,10.00,OTHER"], [("80.00", "70.00", "-0.50")]),
        ("BOOT,2,60.00,OTHER", ["BOOT,2,80.00,OTHER"], [("80.00", "100.00", "1.60")]),
        ("BOOT,2,60.00,OTHER", ["BOOT,2,60.00,OTHER"], []),
        ("BOOT,0,,OTHER", ["BOOT,0,,OTHER"], []),
        ("BOOT,0,,OTHER", ["SOCK,0,,OTHER"], [("20.00", "0.00", "-1.00")]),
        ("BOOT,0,,OTHER", ["BOOT,1,30.00,OTHER"], [("20.00", "50.00", "2.40")]),
        ("BOOT,2,60.00,OTHER", [",,,RESET"], [("80.00", "100.00", "1.60")]),
        (",,,RETURNED", ["BOOT,1,30.00,OTHER"], []),
        (
            ",,,RETURNED",
            [",,,VALIDATED", "BOOT,1,30.00,OTHER"],
            [("0.00", "100.00", "7.40"), ("100.00", "50.00", "-4.00")],
        ),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_late_lines_about_items_count_from_what_their_action_locked_with(
    in_time: str,
    late_rows: list[str],
    expected: list[tuple[str, str, str]],
    desk: Desk,
    tmp_path: Path,
    clock: Clock,
    *,
    held: bool,
) -> None:
    """The same where they name some of its items."""
    load_items(desk, tmp_path)
    arrives(desk, clock, ITEM, [f"A-1,{in_time}"], [f"A-1,{row}" for row in late_rows], held=held)
    assert steps(desk) == expected


@pytest.mark.parametrize(
    ("late_rows", "expected"),
    [
        (["BOOT,0,,OTHER", "BOOT,0,,OTHER"], [("60.00", "20.00", "-3.20")]),
        (["BOOT,2,50.00,OTHER", "BOOT,2,40.00,OTHER"], [("60.00", "70.00", "0.80"), ("70.00", "60.00", "-0.80")]),
        ([",,,RESET", "BOOT,1,30.00,OTHER"], [("60.00", "100.00", "3.20"), ("100.00", "50.00", "-4.00")]),
        ([",,,RESET", "SOCK,0,,OTHER"], [("60.00", "100.00", "3.20"), ("100.00", "80.00", "-1.00")]),
        (["SOCK,0,,OTHER", "BOOT,0,,OTHER"], [("60.00", "40.00", "-1.00"), ("40.00", "0.00", "-3.20")]),
        (
            ["SOCK,0,,OTHER", "BOOT,0,,OTHER", ",,,VALIDATED"],
            [("60.00", "40.00", "-1.00"), ("40.00", "0.00", "-3.20"), ("0.00", "40.00", "3.20")],
        ),
        ([",,,RETURNED", "BOOT,1,30.00,OTHER"], [("60.00", "0.00", "-4.20"), ("0.00", "30.00", "2.40")]),
        ([",,,RETURNED", "SOCK,0,,OTHER"], [("60.00", "0.00", "-4.20")]),
        (["BOOT,1,40.00,OTHER", "BOOT,,50.00,OTHER"], [("60.00", "70.00", "0.80")]),
        (["BOOT,0,,OTHER", "BOOT,,50.00,OTHER"], [("60.00", "20.00", "-3.20")]),
    ],
)
def test_late_lines_about_items_add_to_those_before_them(
    late_rows: list[str], expected: list[tuple[str, str, str]], desk: Desk, tmp_path: Path, clock: Clock
) -> None:
    """Each says what its items come to, however often, and a reset what all of them do."""
    load_items(desk, tmp_path)
    arrives(desk, clock, ITEM, ["A-1,BOOT,2,40.00,OTHER"], [f"A-1,{row}" for row in late_rows], held=False)
    assert steps(desk) == expected


@pytest.mark.parametrize("reset", [False, True])
def test_late_lines_about_items_count_from_what_brought_their_action_back(
    desk: Desk, tmp_path: Path, clock: Clock, *, reset: bool
) -> None:
    """An approval gives it what it had before it was reversed in time, a reset what was tracked."""
    load_items(desk, tmp_path)
    ingest(desk, lines(ITEM, "A-1,BOOT,2,40.00,OTHER"))
    back = "RESET" if reset else "VALIDATED"
    arrives(desk, clock, ITEM, ["A-1,,,,RETURNED"], [f"A-1,,,,{back}", "A-1,BOOT,2,30.00,OTHER"], held=False)
    has, payout, less = ("100.00", "7.40", "-4.00") if reset else ("60.00", "4.20", "-0.80")
    assert steps(desk) == [("0.00", has, payout), (has, "50.00", less)]


def test_late_lines_about_items_are_rated_once(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Each with the contract of its day, whatever lines before it said of others; taken back, nothing is left."""
    load_items(desk, tmp_path)
    dearer = ITEM_CATALOGUE.replace('{ percent = "5.00", categories = { Shoes = "8.00" } }', '{ percent = "10.00" }')
    load_items(
        desk, tmp_path, "A-9,1000,16030,501,O-9,2027-01-15T10:00:00-05:00,USD,TENT,,1,50.00,,,,", catalogue=dearer
    )
    rows = ["A-1,BOOT,2,40.00,OTHER", "A-1,SOCK,3,10.00,OTHER", "A-1,SOCK,3,20.00,OTHER", "A-1,BOOT,2,80.00,OTHER"]
    arrives(desk, clock, ITEM, ["A-2,TENT,1,50.00,OTHER"], rows, held=False)
    assert steps(desk) == [
        ("100.00", "60.00", "-1.40"),
        ("60.00", "50.00", "-1.00"),
        ("50.00", "60.00", "1.00"),
        ("60.00", "100.00", "1.40"),
    ]


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
