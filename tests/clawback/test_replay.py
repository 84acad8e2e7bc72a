"""Replaying a delivery after a fix of the catalogue, on both stores."""

import json
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding, pipeline, revising
from clawback.wiring import Desk
from processing import adjustments
from processing.errors import NotFound, Unusable
from processing.model import Change
from processing.person import Wish
from tests.conftest import Clock
from tests.item_worlds import load_items
from tests.worlds import CATALOGUE, LOCK, MICROSECOND, SID, Sale, action, codes, dump, ingest, lines, load, values

MIXED = lines(
    "ActionId,Amount,Reason",
    *("A-1,40.00,OTHER", "A-2,,DAMAGED", "A-3,-1,OTHER", "A-1,40.00,OTHER", "A-3,60.00,REPRICED", "A-9,0,OTHER"),
    *("A-1,30.00,DAMAGED",),
)
CODE = 'code = "RETURNED"\n      outcome = "reverse"'
FIXED = CATALOGUE.replace(
    CODE, f"{CODE}\n      [[account.program.event_type.disposition]]\n      {CODE.replace('RETURNED', 'DAMAGED')}"
)
MODIFYING = FIXED.replace('"DAMAGED"\n      outcome = "reverse"', '"DAMAGED"\n      outcome = "modify"')
NAMED = 'name = "Acme Outdoor"'
IGNORING = CATALOGUE.replace(NAMED, f'{NAMED}\nignore_columns = ["Note"]')


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Three actions of Acme Outdoor."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2"), Sale("A-3")])
    return desk


def told(desk: Desk) -> dict[str, Any]:
    """The receipt that the brand has."""
    found: dict[str, Any] = json.loads((desk.brands / SID / "results" / "receipt_returns.csv.json").read_text())
    return found


def proposed(desk: Desk) -> list[tuple[str, str]]:
    """Amount before and after of each proposed adjustment."""
    with desk.store.read() as db:
        return [(one["amount_before"], one["amount_after"]) for one in adjustments.listing(db, SID)]


def test_only_what_was_not_applied_is_judged_again(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """With the catalogue of now and the arrival of then: a new disposition code, after the lock instant."""
    clock.now = LOCK - MICROSECOND
    sent = ingest(loaded, MIXED)
    assert codes(sent) == [
        (3, "rejected", "REASON_UNKNOWN"),
        (4, "rejected", "AMOUNT_NEGATIVE"),
        (5, "unchanged", None),
        (7, "waiting", "UNKNOWN_ACTION"),
        (8, "rejected", "REASON_UNKNOWN"),
    ]
    load(loaded, tmp_path, catalogue=FIXED)
    clock.now = LOCK
    receipt = revising.replay(loaded, sent["delivery"], at=clock.now)
    assert codes(receipt) == [
        (4, "rejected", "AMOUNT_NEGATIVE"),
        (5, "unchanged", None),
        (7, "waiting", "UNKNOWN_ACTION"),
    ]
    rows = {"read": 7, "applied": 4, "unchanged": 1, "rejected": 1, "refused": 0, "waiting": 1, "held": 0}
    assert (receipt["rows"], receipt["finished_at"]) == (rows, sent["finished_at"])
    sides = {"amount_before": "300.00", "amount_after": "60.00", "payout_before": "15.00", "payout_after": "3.00"}
    assert receipt["money"] == {"USD": sides}
    assert receipt["revisions"][-1]["rows"] == {"applied": 2, "rejected": 1, "waiting": 1}
    assert [one["line"] for one in action(loaded.store, "A-1")["history"]] == [2, 8]
    assert values(loaded.store, "A-2") == ("REVERSED", "0.00", "0.00")
    assert told(loaded) == receipt
    fix = (loaded.brands / SID / "results" / "fix_returns.csv").read_text()
    assert fix.splitlines() == ["ActionId,Amount,Reason", "A-3,-1,OTHER"]


def test_a_fix_file_goes_when_nothing_is_to_be_put_right(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """The brand finds what `clawback deliveries receipt` gives; another delivery's file of the name stays."""
    bad = [lines("ActionId,Amount,Reason", f"{one},40.00,DAMAGED") for one in ("A-1", "A-2")]
    first, second = (ingest(loaded, one)["delivery"] for one in bad)
    found = loaded.brands / SID / "results"
    fixes = {"fix_returns.csv", f"fix_returns.{second}.csv"}
    assert {path.name for path in found.glob("fix_*")} == fixes
    load(loaded, tmp_path, catalogue=MODIFYING)
    for delivery in (second, first):
        assert revising.replay(loaded, delivery, at=clock.now)["rows"]["applied"] == 1
        fixes -= {"fix_returns.csv" if delivery == first else f"fix_returns.{second}.csv"}
        assert {path.name for path in found.glob("fix_*")} == fixes
    assert len(list(found.glob("result_*"))) == 2


def test_a_line_does_not_overtake_a_later_one(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """What was rejected at first stands before what was applied, and is too late; what stands behind it is not."""
    file = lines(
        "ActionId,Amount,Reason",
        *("A-1,,DAMAGED", "A-1,50.00,OTHER", "A-2,,DAMAGED", "A-2,,RESET", "A-3,60.00,OTHER", "A-3,,DAMAGED"),
    )
    sent = ingest(loaded, file)["delivery"]
    load(loaded, tmp_path, catalogue=FIXED)
    receipt = revising.replay(loaded, sent, at=clock.now)
    assert [one for one in codes(receipt) if one[1] != "unchanged"] == [
        (2, "refused", "SUPERSEDED"),
        (4, "refused", "SUPERSEDED"),
    ]
    assert [values(loaded.store, f"A-{n}")[:2] for n in (1, 2, 3)] == [
        ("PENDING", "50.00"),
        ("PENDING", "100.00"),
        ("REVERSED", "0.00"),
    ]


def test_a_line_is_applied_once_however_often_it_is_replayed(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """The second replay finds the lines that are still open, and the last none."""
    sent = ingest(loaded, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER", "A-2,,DAMAGED"))["delivery"]
    load(loaded, tmp_path, catalogue=FIXED)
    revising.replay(loaded, sent, at=clock.now)
    before = dump(loaded.store)
    with pytest.raises(Unusable, match="got what it asked for"):
        revising.replay(loaded, sent, at=clock.now)
    with pytest.raises(Unusable, match="got what it asked for"):
        revising.preview_replay(loaded, sent, at=clock.now)
    assert dump(loaded.store) == before


def test_money_counts_an_action_once(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """What the delivery changed before, and another since, adds only what moved."""
    sent = ingest(loaded, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER", "A-2,,DAMAGED"))["delivery"]
    deciding.change(loaded, SID, Wish("A-1", Change.RESET, "RESET"), by="dana", at=clock.now)
    load(loaded, tmp_path, [Sale("A-9")], catalogue=FIXED)
    receipt = revising.replay(loaded, sent, at=clock.now)
    sides = {"amount_before": "200.00", "amount_after": "40.00", "payout_before": "10.00", "payout_after": "2.00"}
    assert receipt["money"] == {"USD": sides}


def test_what_was_rejected_as_a_whole_is_judged_anew(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """Once the column is one to ignore; the arrival is that of the file."""
    clock.now = LOCK - MICROSECOND
    sent = ingest(loaded, lines("ActionId,Amount,Reason,Note", "A-1,40.00,OTHER,hm"))
    assert (sent["state"], sent["code"]) == ("rejected", "COLUMN_UNKNOWN")
    clock.now = LOCK
    assert revising.replay(loaded, sent["delivery"], at=clock.now)["code"] == "COLUMN_UNKNOWN"
    load(loaded, tmp_path, catalogue=IGNORING)
    before = dump(loaded.store)
    preview = revising.preview_replay(loaded, sent["delivery"], at=clock.now)
    assert dump(loaded.store) == before
    receipt = revising.replay(loaded, sent["delivery"], at=clock.now)
    assert (receipt["state"], receipt["code"], receipt["rows"]["applied"]) == ("done", None, 1)
    assert receipt == preview == told(loaded)
    assert values(loaded.store, "A-1")[1] == "40.00"


def test_what_a_person_rejected_waits_for_a_person_again(loaded: Desk, clock: Clock) -> None:
    """It was held for a reason, and nobody has said yet that it may be applied."""
    held = ingest(loaded, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER").rstrip("\n"))["delivery"]
    assert deciding.reject(loaded, held, by="dana", at=clock.now)["state"] == "rejected"
    receipt = revising.replay(loaded, held, at=clock.now)
    assert (receipt["state"], receipt["code"], receipt["rows"]["held"]) == ("held", "MAYBE_INCOMPLETE", 1)
    assert deciding.release(loaded, held, by="dana", at=clock.now)["rows"]["applied"] == 1


def test_what_was_sent_again_meanwhile_is_a_duplicate_by_now(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """The same bytes were applied as another delivery: they are not applied once more."""
    noted = lines("ActionId,Amount,Reason,Note", "A-1,40.00,OTHER,hm")
    first = ingest(loaded, noted)["delivery"]
    load(loaded, tmp_path, catalogue=IGNORING)
    second = ingest(loaded, noted)["delivery"]
    receipt = revising.replay(loaded, first, at=clock.now)
    assert (receipt["state"], receipt["duplicate_of"]) == ("duplicate", second)
    assert len(action(loaded.store, "A-1")["history"]) == 1


def test_a_late_line_keeps_one_proposal(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """It is judged again with the others, and what follows it still counts from it."""
    load(loaded, tmp_path, [Sale("B-1", event_at="2027-02-15T10:00:00-05:00")])
    clock.now = LOCK
    sent = ingest(loaded, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER", "B-1,,DAMAGED"))
    clock.pass_by(minutes=1)
    ingest(loaded, lines("ActionId,Amount,Reason", "A-1,0,OTHER"))
    load(loaded, tmp_path, catalogue=FIXED)
    receipt = revising.replay(loaded, sent["delivery"], at=clock.now)
    assert codes(receipt) == [(2, "refused", "ACTION_LOCKED")]
    assert values(loaded.store, "B-1") == ("REVERSED", "0.00", "0.00")
    assert proposed(loaded) == [("100.00", "40.00"), ("40.00", "0.00")]


def test_a_late_line_keeps_its_proposal_before_one_that_changes_nothing(
    loaded: Desk, tmp_path: Path, clock: Clock
) -> None:
    """The later line of its delivery found the action's status as it is, and takes nothing of the amount back."""
    load(loaded, tmp_path, [Sale("A-4", status="PAID")])
    clock.now = LOCK
    sent = ingest(loaded, lines("ActionId,Amount,CustomerStatus,Reason", "A-4,40.00,,OTHER", "A-4,,PAID,OTHER"))
    assert codes(sent) == [(2, "refused", "ACTION_LOCKED"), (3, "unchanged", None)]
    receipt = revising.replay(loaded, sent["delivery"], at=clock.pass_by(minutes=1))
    assert codes(receipt) == codes(sent)
    assert proposed(loaded) == [("100.00", "40.00")]


def test_a_late_line_about_an_item_keeps_its_proposal(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """The later line of its delivery is about another item, which is as that line says."""
    load_items(desk, tmp_path)
    clock.now = LOCK
    rows = ("A-1,BOOT,1,40.00,OTHER", "A-1,SOCK,3,20.00,OTHER")
    sent = ingest(desk, lines("ActionId,Sku,Quantity,Amount,Reason", *rows))
    assert codes(sent) == [(2, "refused", "ACTION_LOCKED"), (3, "unchanged", None)]
    revising.replay(desk, sent["delivery"], at=clock.pass_by(minutes=1))
    assert proposed(desk) == [("100.00", "60.00")]


def test_a_preview_writes_nothing_and_says_what_a_replay_does(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """The same code, rolled back."""
    sent = ingest(loaded, MIXED)["delivery"]
    load(loaded, tmp_path, [Sale("A-9")], catalogue=FIXED)
    pipeline.collect(loaded, at=clock.now)
    before = dump(loaded.store)
    preview = revising.preview_replay(loaded, sent, at=clock.now)
    assert dump(loaded.store) == before
    assert revising.replay(loaded, sent, at=clock.now) == preview


def test_a_line_that_a_later_delivery_overtook_stays_refused(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """A replay counts from the arrival, so it overwrites nothing newer."""
    sent = ingest(loaded, lines("ActionId,Amount,Reason", "A-2,,DAMAGED"))["delivery"]
    clock.pass_by(minutes=1)
    ingest(loaded, lines("ActionId,Amount,Reason", "A-2,70.00,OTHER"), name="later.csv")
    load(loaded, tmp_path, catalogue=FIXED)
    assert codes(revising.replay(loaded, sent, at=clock.now)) == [(2, "refused", "SUPERSEDED")]


def test_lines_that_name_no_action_wait_on(loaded: Desk, clock: Clock) -> None:
    """A replay of nothing else finds no action that the delivery may have changed."""
    sent = ingest(loaded, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER", "A-9,0,OTHER"))
    receipt = revising.replay(loaded, sent["delivery"], at=clock.pass_by(minutes=1))
    assert (receipt["rows"], receipt["lines"]) == (sent["rows"], sent["lines"])


def test_some_deliveries_cannot_be_replayed(loaded: Desk, clock: Clock) -> None:
    """Held ones are released, duplicates point to the first, a person's change has no file."""
    held = ingest(loaded, MIXED[:-2])["delivery"]
    with pytest.raises(Unusable, match="release or reject it"):
        revising.replay(loaded, held, at=clock.now)
    first = ingest(loaded, MIXED)["delivery"]
    with pytest.raises(Unusable, match=f"duplicate of {first}"):
        revising.replay(loaded, ingest(loaded, MIXED)["delivery"], at=clock.now)
    done = deciding.change(loaded, SID, Wish("A-2", Change.REVERSE, "OTHER"), by="ana", at=clock.now)
    with pytest.raises(Unusable, match="no file of a brand"):
        revising.replay(loaded, done["delivery"], at=clock.now)
    with pytest.raises(NotFound):
        revising.replay(loaded, "nobody", at=clock.now)
