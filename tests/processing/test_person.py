from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding
from clawback.wiring import Desk
from processing.errors import ClawbackError, NotFound, Unusable
from processing.model import Change
from processing.person import Wish
from tests.worlds import ARRIVED, CLICK, LOCK, MICROSECOND, SID, Sale, codes, dump, ingest, lines, load, values

SALES = [Sale("A-1"), Sale("A-2"), Sale("A-3", event_type=CLICK), Sale("A-4", amount="5000", currency="JPY")]


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Actions of one account, of which A-2 is reversed."""
    load(desk, tmp_path, SALES)
    ingest(desk, lines("ActionId,Amount,Reason", "A-2,40.00,OTHER", "A-2,0,OTHER"), received_at=ARRIVED)
    return desk


def granted(desk: Desk, wish: Wish, at: datetime = ARRIVED) -> dict[str, Any]:
    """The receipt of a person's change."""
    return deciding.change(desk, SID, wish, by="ana", at=at)


@pytest.mark.parametrize(
    ("case", "wish", "after"),
    [
        ("approve", Wish("A-1", Change.APPROVE, "OTHER"), ("APPROVED", "100.00", "5.00")),
        ("modify", Wish("A-1", Change.MODIFY, "OTHER", "79.90"), ("PENDING", "79.90", "4.00")),
        ("modify yen", Wish("A-4", Change.MODIFY, "OTHER", "70"), ("PENDING", "70", "4")),
        (
            "modify to eight digits",
            Wish("A-1", Change.MODIFY, "OTHER", "999999.99"),
            ("PENDING", "999999.99", "50000.00"),
        ),
        ("reverse", Wish("A-1", Change.REVERSE, "RETURNED"), ("REVERSED", "0.00", "0.00")),
        ("restore", Wish("A-2", Change.RESTORE, "OTHER"), ("PENDING", "40.00", "2.00")),
        ("approve what is reversed", Wish("A-2", Change.APPROVE, "OTHER"), ("PENDING", "40.00", "2.00")),
        ("reset", Wish("A-2", Change.RESET, "RESET"), ("PENDING", "100.00", "5.00")),
    ],
)
def test_a_person_changes_an_action(case: str, wish: Wish, after: tuple[str, str, str], loaded: Desk) -> None:
    """By the rules of a line, as a delivery of one line that says who it was."""
    receipt = granted(loaded, wish)
    assert values(loaded.store, wish.action_id) == after, case
    assert (receipt["channel"], receipt["sent_by"], receipt["state"]) == ("person", "ana", "done")
    assert (receipt["rows"]["read"], receipt["rows"]["applied"]) == (1, 1)


@pytest.mark.parametrize(
    ("case", "wish", "at", "told"),
    [
        ("a click", Wish("A-3", Change.REVERSE, "OTHER"), ARRIVED, [(1, "refused", "CLICKS_NOT_REVERSIBLE")]),
        ("reversed", Wish("A-2", Change.MODIFY, "OTHER", "1.00"), ARRIVED, [(1, "refused", "ACTION_REVERSED")]),
        ("late", Wish("A-1", Change.REVERSE, "OTHER"), LOCK, [(1, "refused", "ACTION_LOCKED")]),
        ("in time", Wish("A-1", Change.REVERSE, "OTHER"), LOCK - MICROSECOND, []),
        ("done already", Wish("A-2", Change.REVERSE, "OTHER"), ARRIVED, [(1, "unchanged", None)]),
        ("no new value", Wish("A-1", Change.MODIFY, "OTHER"), ARRIVED, [(1, "unchanged", None)]),
        ("raised", Wish("A-1", Change.MODIFY, "OTHER", "100.01"), ARRIVED, [(1, "applied", "AMOUNT_RAISED")]),
    ],
)
def test_the_ledger_answers_a_person_as_it_answers_a_line(
    case: str, wish: Wish, at: datetime, told: list[tuple[int, str, str | None]], loaded: Desk
) -> None:
    """With verdict and code."""
    assert codes(granted(loaded, wish, at)) == told, case


@pytest.mark.parametrize(
    ("case", "wish", "error", "words"),
    [
        ("nobody's action", Wish("A-9", Change.REVERSE, "OTHER"), NotFound, "Account IRacme1 has no action A-9"),
        ("no reason", Wish("A-1", Change.REVERSE, "WHY"), Unusable, "Reason WHY is neither"),
        ("no amount", Wish("A-1", Change.MODIFY, "OTHER", "x"), Unusable, '"x" is not an amount'),
        ("decimals", Wish("A-4", Change.MODIFY, "OTHER", "1.5"), Unusable, "more decimals than JPY"),
        ("negative", Wish("A-1", Change.MODIFY, "OTHER", "-1"), Unusable, "Amount '-1' is negative"),
        ("nine digits", Wish("A-1", Change.MODIFY, "OTHER", "1000000"), Unusable, "more than 8 digits"),
    ],
)
def test_what_cannot_be_wished_is_told_and_leaves_nothing(
    case: str, wish: Wish, error: type[ClawbackError], words: str, loaded: Desk
) -> None:
    """No delivery, no entry."""
    before = dump(loaded.store)
    with pytest.raises(error, match=words):
        granted(loaded, wish)
    assert dump(loaded.store) == before, case


def test_the_same_wish_at_another_time_is_another_delivery(loaded: Desk) -> None:
    """A person may reverse, restore and reverse again."""
    for at in range(3):
        granted(loaded, Wish("A-1", Change.REVERSE, "OTHER"), ARRIVED + at * MICROSECOND)
        granted(loaded, Wish("A-1", Change.RESTORE, "OTHER"), ARRIVED + at * MICROSECOND)
    assert values(loaded.store, "A-1") == ("PENDING", "100.00", "5.00")
