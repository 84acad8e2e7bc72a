"""Undoing a delivery, on both stores."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding, pipeline, revising
from clawback.sweep import lock_due
from clawback.wiring import Desk
from processing.errors import NotFound, Unusable
from processing.model import Change
from processing.person import Wish
from tests.conftest import Clock
from tests.item_worlds import basket, load_items
from tests.worlds import (
    CATALOGUE,
    LOCK,
    MICROSECOND,
    SID,
    SUMMIT,
    Sale,
    action,
    codes,
    dump,
    ingest,
    land,
    lines,
    load,
    values,
)

HEAD = "ActionId,Amount,CustomerStatus,Reason"
TRACKED = ("PENDING", "100.00", "5.00")
SALES = [Sale("A-1"), Sale("A-2"), Sale("A-3"), Sale("A-4", status="NEW"), Sale("A-5", "O-5", partner=SUMMIT)]


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Five actions of Acme Outdoor."""
    load(desk, tmp_path, SALES)
    return desk


def send(desk: Desk, clock: Clock, *rows: str, **how: Any) -> dict[str, Any]:  # noqa: ANN401 - as land
    """A delivery of these lines, a minute later."""
    clock.pass_by(minutes=1)
    return ingest(desk, lines(HEAD, *rows), **how)


def undone(desk: Desk, clock: Clock, delivery: str, reason: str | None = None) -> dict[str, Any]:
    """Undo a delivery, a minute later; gives the receipt of the undo."""
    clock.pass_by(minutes=1)
    return revising.undo(desk, delivery, by="dana", reason=reason, at=clock.now)


def ledger(desk: Desk) -> list[tuple[Any, ...]]:
    """Everything of every action that an undo brings back: all but its version, its changes and who changed it."""
    return [row[:-3] for row in dump(desk.store)["action"]]


def test_every_kind_of_change_is_undone(loaded: Desk, clock: Clock) -> None:
    """Several changes of one action together; the receipt balances in lines and in money, and both are linked."""
    before = ledger(loaded)
    sent = send(
        loaded,
        clock,
        *("A-1,40.00,,OTHER", "A-2,0,,ITEM_RETURNED", "A-3,,,VALIDATED", "A-4,10.00,EXISTING,OTHER", "A-4,0,,OTHER"),
        *("A-5,5.00,,OTHER", "A-9,-1,,OTHER", "A-1,40.00,,OTHER"),
    )
    assert sent["rows"]["applied"] == 6
    receipt = undone(loaded, clock, sent["delivery"], "the wrong file")
    assert ledger(loaded) == before
    assert receipt["rows"] == {**dict.fromkeys(receipt["rows"], 0), "read": 5, "applied": 5}
    assert receipt["money"]["USD"] == {
        "amount_before": sent["money"]["USD"]["amount_after"],
        "amount_after": sent["money"]["USD"]["amount_before"],
        "payout_before": sent["money"]["USD"]["payout_after"],
        "payout_after": sent["money"]["USD"]["payout_before"],
    }
    assert [(one["partner"], one["lines"]) for one in receipt["partners"]] == [(501, 4), (502, 1)]
    assert (receipt["channel"], receipt["sent_by"], receipt["undoes"]) == ("undo", "dana", sent["delivery"])
    assert receipt["message"] == f"dana undid delivery {sent['delivery']}: the wrong file"
    assert receipt["nearest_lock"] == LOCK.isoformat()
    first = pipeline.receipt(loaded, sent["delivery"])
    assert (first["undone_by"], first["money"]) == (receipt["delivery"], sent["money"])
    newest = action(loaded.store, "A-4")["history"][-1]
    assert (newest["change"], newest["reason"], newest["line"], newest["by"]) == ("undo", "the wrong file", 4, "dana")


def test_an_undo_is_told_where_the_delivery_was_told(loaded: Desk, clock: Clock) -> None:
    """Its receipt lies beside the others, and that of the delivery says that it was undone."""
    sent = send(loaded, clock, "A-1,40.00,,OTHER")
    receipt = undone(loaded, clock, sent["delivery"])
    results = loaded.brands / SID / "results"
    assert json.loads((results / "receipt_undo of returns.csv.json").read_text()) == receipt
    told = json.loads((results / "receipt_returns.csv.json").read_text())
    assert told == pipeline.receipt(loaded, sent["delivery"])
    assert told["revisions"][-1]["because"] == f"delivery {receipt['delivery']} undid it"
    with pipeline.answer_file(loaded, receipt["delivery"], "receipt") as printed:
        assert printed is not None
        assert json.loads(printed.read()) == receipt


def test_what_was_changed_since_or_locked_stays(loaded: Desk, clock: Clock) -> None:
    """The later delivery is named; a lock that has come counts though nothing was locked yet."""
    sent = send(loaded, clock, "A-1,40.00,,OTHER", "A-2,0,,OTHER", "A-3,50.00,,OTHER")
    later = send(loaded, clock, "A-1,60.00,,OTHER")
    receipt = undone(loaded, clock, sent["delivery"])
    assert codes(receipt) == [(1, "refused", "CHANGED_SINCE")]
    assert receipt["lines"][0]["message"].startswith(f"Delivery {later['delivery']} changed the action since.")
    assert [values(loaded.store, one)[1] for one in ("A-1", "A-2", "A-3")] == ["60.00", "100.00", "100.00"]
    again = send(loaded, clock, "A-2,40.00,,OTHER", "A-3,40.00,,OTHER")
    clock.now = LOCK - MICROSECOND - timedelta(minutes=1)
    assert codes(revising.preview_undo(loaded, again["delivery"], by="dana", reason=None, at=clock.now)) == []
    clock.now = LOCK - timedelta(minutes=1)
    assert codes(undone(loaded, clock, again["delivery"])) == [
        (1, "refused", "ACTION_LOCKED"),
        (2, "refused", "ACTION_LOCKED"),
    ]
    lock_due(loaded, as_of=LOCK, at=LOCK)
    assert undone(loaded, clock, again["delivery"])["rows"]["refused"] == 2
    assert pipeline.receipt(loaded, again["delivery"])["undone_by"] is None
    assert values(loaded.store, "A-2") == ("APPROVED", "40.00", "2.00")


def test_an_undo_can_be_undone(loaded: Desk, clock: Clock) -> None:
    """Back and forth, the action stands where the last one put it, and so do the links."""
    sent = send(loaded, clock, "A-1,40.00,,OTHER", "A-2,0,,OTHER")["delivery"]
    changed = ledger(loaded)
    first = undone(loaded, clock, sent)["delivery"]
    second = undone(loaded, clock, first)
    assert (ledger(loaded), second["name"]) == (changed, "undo of undo of returns.csv")
    assert links(loaded, sent, first) == [None, second["delivery"]]
    third = undone(loaded, clock, second["delivery"])["delivery"]
    assert links(loaded, sent, first, second["delivery"]) == [first, None, third]
    assert [values(loaded.store, one) for one in ("A-1", "A-2")] == [TRACKED, TRACKED]
    with pytest.raises(Unusable, match="undone already"):
        undone(loaded, clock, sent)


def links(desk: Desk, *numbers: str) -> list[str | None]:
    """By which deliveries these are undone."""
    return [pipeline.receipt(desk, one)["undone_by"] for one in numbers]


def test_deliveries_are_undone_from_the_newest_on(loaded: Desk, clock: Clock) -> None:
    """What was undone is as if it had never been: nothing stands in the way of the one before."""
    before = ledger(loaded)
    numbers = [send(loaded, clock, f"A-1,{amount}.00,,OTHER")["delivery"] for amount in (40, 50, 60)]
    for number in reversed(numbers):
        assert undone(loaded, clock, number)["rows"]["applied"] == 1
    assert ledger(loaded) == before
    assert links(loaded, *numbers) != [None] * 3


def test_what_could_not_be_undone_at_first_is_undone_later(loaded: Desk, clock: Clock) -> None:
    """Once what stood in the way is undone; what was returned then is no line of the second undo."""
    first = send(loaded, clock, "A-1,40.00,,OTHER", "A-2,40.00,,OTHER")["delivery"]
    second = send(loaded, clock, "A-1,50.00,,OTHER")["delivery"]
    assert undone(loaded, clock, first)["rows"]["refused"] == 1
    undone(loaded, clock, second)
    receipt = undone(loaded, clock, first)
    assert (receipt["rows"]["read"], receipt["rows"]["applied"]) == (1, 1)
    assert [values(loaded.store, one) for one in ("A-1", "A-2")] == [TRACKED, TRACKED]


def test_a_reversal_that_comes_back_remembers_what_it_took(loaded: Desk, clock: Clock) -> None:
    """Undo of what revived a reversed action: an approval gives back what the reversal took."""
    send(loaded, clock, "A-1,80.00,,OTHER", "A-1,0,,OTHER")
    revived = send(loaded, clock, "A-1,,,RESET", "A-1,70.00,,OTHER")["delivery"]
    undone(loaded, clock, revived)
    assert values(loaded.store, "A-1") == ("REVERSED", "0.00", "0.00")
    again = send(loaded, clock, "A-1,,,VALIDATED")["delivery"]
    assert values(loaded.store, "A-1") == ("PENDING", "80.00", "4.00")
    undone(loaded, clock, again)
    clock.pass_by(minutes=1)
    deciding.change(loaded, SID, Wish("A-1", Change.RESTORE, "OTHER"), by="dana", at=clock.now)
    assert values(loaded.store, "A-1") == ("PENDING", "80.00", "4.00")


def test_a_persons_change_can_be_undone(loaded: Desk, clock: Clock) -> None:
    """It is a delivery, too."""
    done = deciding.change(loaded, SID, Wish("A-1", Change.REVERSE, "OTHER"), by="ana", at=clock.now)
    undone(loaded, clock, done["delivery"])
    assert values(loaded.store, "A-1") == TRACKED
    assert links(loaded, done["delivery"]) != [None]


def test_an_undone_file_may_be_sent_again(loaded: Desk, clock: Clock) -> None:
    """It is no duplicate, and takes its place for good: the first one does not get it back."""
    first = send(loaded, clock, "A-1,40.00,,OTHER")["delivery"]
    undo = undone(loaded, clock, first)["delivery"]
    second = send(loaded, clock, "A-1,40.00,,OTHER")
    assert (second["state"], values(loaded.store, "A-1")[1]) == ("done", "40.00")
    assert codes(undone(loaded, clock, undo)) == [(1, "refused", "CHANGED_SINCE")]
    third = send(loaded, clock, "A-1,40.00,,OTHER")
    assert (third["state"], third["duplicate_of"]) == ("duplicate", second["delivery"])


def test_a_delivery_in_force_again_has_its_identity_back(loaded: Desk, clock: Clock) -> None:
    """Sent again after the undo was undone, it is a duplicate."""
    first = send(loaded, clock, "A-1,40.00,,OTHER")["delivery"]
    undone(loaded, clock, undone(loaded, clock, first)["delivery"])
    assert send(loaded, clock, "A-1,40.00,,OTHER")["duplicate_of"] == first


def test_lines_of_an_undone_delivery_wait_no_longer(loaded: Desk, clock: Clock, tmp_path: Path) -> None:
    """They are refused as UNDONE, and loading their action applies nothing; nor does a replay."""
    sent = send(loaded, clock, "A-1,40.00,,OTHER", "W-1,40.00,,OTHER")["delivery"]
    undone(loaded, clock, sent)
    load(loaded, tmp_path, [Sale("W-1")])
    pipeline.collect(loaded, at=clock.now)
    receipt = pipeline.receipt(loaded, sent)
    assert codes(receipt) == [(2, "applied", "UNDONE_SINCE"), (3, "refused", "UNDONE")]
    assert (receipt["rows"]["waiting"], receipt["rows"]["refused"], receipt["waits_until"]) == (0, 1, None)
    assert values(loaded.store, "W-1") == TRACKED
    with pytest.raises(Unusable, match="was undone by"):
        revising.replay(loaded, sent, at=clock.now)


def test_a_delivery_that_only_waits_is_undone_by_not_waiting(loaded: Desk, clock: Clock) -> None:
    """There is nothing to return, and nothing will be applied."""
    sent = send(loaded, clock, "W-1,40.00,,OTHER")["delivery"]
    receipt = undone(loaded, clock, sent)
    assert (receipt["rows"]["read"], links(loaded, sent)) == (0, [receipt["delivery"]])


def test_a_preview_says_the_same_and_writes_nothing(loaded: Desk, clock: Clock) -> None:
    """Every table is as before."""
    sent = send(loaded, clock, "A-1,40.00,,OTHER", "A-2,0,,OTHER")["delivery"]
    send(loaded, clock, "A-2,,,RESET")
    before = dump(loaded.store)
    clock.pass_by(minutes=1)
    preview = revising.preview_undo(loaded, sent, by="dana", reason=None, at=clock.now)
    assert dump(loaded.store) == before
    receipt = revising.undo(loaded, sent, by="dana", reason=None, at=clock.now)
    assert {**preview, "delivery": receipt["delivery"]} == receipt


def test_files_that_came_before_go_first(loaded: Desk, clock: Clock) -> None:
    """A file that landed before the undo changed the action since."""
    sent = send(loaded, clock, "A-1,40.00,,OTHER")["delivery"]
    waiting = land(loaded, lines(HEAD, "A-1,50.00,,OTHER"))
    receipt = undone(loaded, clock, sent)
    assert waiting in receipt["lines"][0]["message"]
    assert values(loaded.store, "A-1")[1] == "50.00"


def test_what_was_undone_is_told_line_by_line(loaded: Desk, clock: Clock) -> None:
    """In receipt and result alike; not what stays as it is, nor once it holds again."""

    def said(delivery: str) -> list[tuple[int, str, str | None]]:
        receipt = pipeline.receipt(loaded, delivery)
        assert pipeline.receipt(loaded, delivery, 1)["more_lines"] == max(len(receipt["lines"]) - 1, 0)
        with pipeline.answer_file(loaded, delivery, "receipt") as told:
            assert told is not None
            assert json.load(told) == receipt
        published = (loaded.brands / SID / "results" / "result_returns.csv").read_text()
        _, *rows = csv.reader(io.StringIO(published))
        listed = [(number, row[4], row[5] or None) for number, row in enumerate(rows, 2)]
        assert {one["line"]: (one["verdict"], one["code"]) for one in receipt["lines"]} == {
            number: (verdict, code) for number, verdict, code in listed if code
        }
        return listed

    rows = ("A-1,140.00,,OTHER", "A-2,40.00,,OTHER", "A-3,-1,,OTHER", "A-1,150.00,,OTHER")
    sent = send(loaded, clock, *rows)["delivery"]
    raised, bad = "AMOUNT_RAISED", (4, "rejected", "AMOUNT_NEGATIVE")
    was = [(2, "applied", raised), (3, "applied", None), bad, (5, "applied", raised)]
    assert said(sent) == was
    clock.pass_by(minutes=1)
    ingest(loaded, lines(HEAD, "A-2,30.00,,OTHER"), name="later.csv")
    undo = undone(loaded, clock, sent)
    assert codes(undo) == [(2, "refused", "CHANGED_SINCE")]
    since = "applied", "UNDONE_SINCE"
    assert said(sent) == [(2, *since), (3, "applied", None), bad, (5, *since)]
    again = undone(loaded, clock, undo["delivery"])["delivery"]
    assert (said(sent), codes(pipeline.receipt(loaded, undo["delivery"]))[0]) == (was, (1, *since))
    undone(loaded, clock, again)
    assert said(sent) == [(2, *since), (3, "applied", None), bad, (5, *since)]


def test_there_is_nothing_to_undo(loaded: Desk, clock: Clock) -> None:
    """In what was held, rejected, unchanged, or never there."""
    held = ingest(loaded, lines(HEAD, "A-1,40.00,,OTHER").rstrip("\n"))["delivery"]
    with pytest.raises(Unusable, match="is held"):
        undone(loaded, clock, held)
    unchanged = send(loaded, clock, "A-1,100.00,,OTHER")["delivery"]
    with pytest.raises(Unusable, match="changed no action"):
        undone(loaded, clock, unchanged)
    with pytest.raises(NotFound):
        undone(loaded, clock, "nobody")


def test_items_return_with_their_action(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Each to what it was before the delivery, by entries of their own, so that the undo can be undone."""
    load_items(desk, tmp_path)
    tracked = basket(desk.store)
    ingest(desk, lines("ActionId,Sku,Quantity,Amount,Reason", "A-1,SOCK,2,13.00,OTHER"))
    before = basket(desk.store)
    sent = ingest(desk, lines("ActionId,Sku,Quantity,Amount,Reason", "A-1,BOOT,1,40.00,OTHER", "A-1,SOCK,0,,OTHER"))
    after = basket(desk.store)
    undo = undone(desk, clock, sent["delivery"])
    assert (undo["rows"]["applied"], basket(desk.store)) == (1, before)
    undone(desk, clock, undo["delivery"])
    assert basket(desk.store) == after
    ingest(desk, lines("ActionId,Reason", "A-1,RESET"))
    assert basket(desk.store) == tracked


def test_all_items_returned_and_undone_are_there_again(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """What reversed the action left its items as they were."""
    load_items(desk, tmp_path)
    before = basket(desk.store)
    sent = ingest(desk, lines("ActionId,Sku,Reason", "A-1,BOOT,ITEM_RETURNED", "A-1,SOCK,ITEM_RETURNED"))
    assert basket(desk.store)["action"] == ("REVERSED", "0.00", "0.00")
    undone(desk, clock, sent["delivery"])
    assert basket(desk.store) == before


def test_an_undo_has_no_last_word(loaded: Desk, clock: Clock) -> None:
    """What was corrected while the wrong file stood, and was held, is applied after the wrong one was undone."""
    rows = [HEAD, *("A-1,{0},,OTHER", "A-2,{0},,OTHER")]
    clock.pass_by(minutes=1)
    wrong = ingest(loaded, lines(*rows).format("90.00"))["delivery"]
    clock.pass_by(minutes=1)
    right = ingest(loaded, lines(*rows).format("40.00").rstrip("\n"))["delivery"]
    undone(loaded, clock, wrong)
    receipt = deciding.release(loaded, right, by="dana", at=clock.pass_by(minutes=1))
    assert (receipt["rows"]["applied"], receipt["rows"]["refused"]) == (2, 0)
    assert values(loaded.store, "A-2")[1] == "40.00"


def test_what_stands_behind_an_undo_has_the_last_word(loaded: Desk, clock: Clock) -> None:
    """The newest delivery that is in force; the undone one is that again once its undo is undone."""
    clock.pass_by(minutes=1)
    first, second = (ingest(loaded, lines(HEAD, f"A-{n},10.00,,OTHER").rstrip("\n"))["delivery"] for n in (1, 2))
    send(loaded, clock, "A-1,60.00,,OTHER")
    undo = undone(loaded, clock, send(loaded, clock, "A-1,70.00,,OTHER", "A-2,70.00,,OTHER")["delivery"])
    deciding.release(loaded, first, by="dana", at=clock.pass_by(minutes=1))
    assert codes(pipeline.receipt(loaded, first)) == [(2, "refused", "SUPERSEDED")]
    undone(loaded, clock, undo["delivery"])
    deciding.release(loaded, second, by="dana", at=clock.pass_by(minutes=1))
    assert codes(pipeline.receipt(loaded, second)) == [(2, "refused", "SUPERSEDED")]


def test_a_change_that_outlived_the_undo_of_its_delivery_has_the_last_word(loaded: Desk, clock: Clock) -> None:
    """It was changed since when its delivery was undone, and stands again once what changed it is undone, too."""
    clock.pass_by(minutes=1)
    oldest = ingest(loaded, lines(HEAD, "A-1,10.00,,OTHER", "A-2,10.00,,OTHER").rstrip("\n"))["delivery"]
    older = send(loaded, clock, "A-1,60.00,,OTHER", "A-2,60.00,,OTHER")["delivery"]
    newer = send(loaded, clock, "A-1,70.00,,OTHER")["delivery"]
    assert codes(undone(loaded, clock, older)) == [(1, "refused", "CHANGED_SINCE")]
    undone(loaded, clock, newer)
    assert [values(loaded.store, one)[1] for one in ("A-1", "A-2")] == ["60.00", "100.00"]
    deciding.release(loaded, oldest, by="dana", at=clock.pass_by(minutes=1))
    assert codes(pipeline.receipt(loaded, oldest)) == [(2, "refused", "SUPERSEDED")]
    assert [values(loaded.store, one)[1] for one in ("A-1", "A-2")] == ["60.00", "10.00"]


def test_what_a_delivery_changed_again_by_a_replay_is_undone(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """What was changed in between, and undone, does not stand in the way; what stands in the way is named."""
    load(desk, tmp_path, [Sale("A-1")])
    first = send(desk, clock, "A-1,60.00,,OTHER", "A-1,,,LOST")["delivery"]
    between = send(desk, clock, "A-1,70.00,,OTHER")["delivery"]
    undo = undone(desk, clock, between)["delivery"]
    disposition = "      [[account.program.event_type.disposition]]\n"
    lost = f'{disposition}      code = "LOST"\n      outcome = "reverse"\n'
    load(desk, tmp_path, catalogue=CATALOGUE.replace(disposition, lost + disposition, 1))
    assert revising.replay(desk, first, at=clock.pass_by(minutes=1))["rows"]["applied"] == 2
    assert values(desk.store, "A-1") == ("REVERSED", "0.00", "0.00")
    refused = undone(desk, clock, undo)
    assert codes(refused) == [(1, "refused", "CHANGED_SINCE")]
    assert first in refused["lines"][0]["message"]
    later = send(desk, clock, "A-1,,,RESET", "A-1,50.00,,OTHER")["delivery"]
    refused = undone(desk, clock, first)
    assert codes(refused) == [(1, "refused", "CHANGED_SINCE")]
    assert later in refused["lines"][0]["message"]
    for one in (later, first):
        assert undone(desk, clock, one)["rows"]["applied"] == 1
    assert values(desk.store, "A-1") == TRACKED
