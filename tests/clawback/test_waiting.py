"""The waiting room: lines that arrive before their action, on both stores."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback import pipeline
from clawback.intake import arrival_of
from clawback.preview import preview
from clawback.sweep import Swept, lock_due
from clawback.wiring import Desk
from tests.conftest import START, Clock
from tests.item_worlds import A2, basket, load_items
from tests.worlds import (
    CATALOGUE,
    LEAD,
    LOCK,
    MICROSECOND,
    SALE,
    SID,
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

EARLY = lines("ActionId,Oid,ActionTrackerId,Amount,Reason", "A-1,,,0,OTHER", "W-1,,,40.00,OTHER", ",O-9,16027,0,OTHER")
LATER = [Sale("W-1", "O-8"), Sale("W-2", "O-9", "60.00")]


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """One action of Acme Outdoor; others come later."""
    load(desk, tmp_path, [Sale("A-1", "O-1")])
    return desk


def results(desk: Desk, name: str) -> str:
    """A file the brand finds in its folder."""
    return (desk.brands / SID / "results" / name).read_text()


def balanced(receipt: dict[str, Any]) -> bool:
    """Whether the equation of a receipt holds."""
    rows = dict(receipt["rows"])
    return bool(rows.pop("read") == sum(rows.values()))


def test_a_line_waits_and_says_so(loaded: Desk) -> None:
    """Its message has the end of its wait and the arrival that will count; the receipt has the end, too."""
    receipt = ingest(loaded, EARLY)
    assert codes(receipt) == [(3, "waiting", "UNKNOWN_ACTION"), (4, "waiting", "UNKNOWN_ACTION")]
    assert receipt["waits_until"] == "2027-02-19T12:00:00+00:00"
    assert receipt["lines"][0]["message"].startswith(
        "No action of the account has ActionId 'W-1'. The line waits for it until 2027-02-19T07:00:00-05:00; once the "
        "action is loaded, the line is judged as arrived at 2027-01-20T07:00:00-05:00."
    )


def test_a_line_is_applied_when_its_action_is_loaded(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """By id and by order id; the receipt balances, in lines and in money, and the answers are sent again."""
    delivery = ingest(loaded, EARLY)["delivery"]
    clock.pass_by(days=3)
    load(loaded, tmp_path, LATER)
    assert pipeline.settle_waiting(loaded, at=clock.now).revised == [delivery]
    receipt = pipeline.receipt(loaded, delivery)
    assert (receipt["rows"]["read"], receipt["rows"]["applied"], receipt["rows"]["waiting"]) == (3, 3, 0)
    assert balanced(receipt)
    sides = {"amount_before": "260.00", "amount_after": "40.00", "payout_before": "13.00", "payout_after": "2.00"}
    assert receipt["money"] == {"USD": sides}
    assert receipt["waits_until"] is None
    because = {"at": clock.now.isoformat(), "because": "actions were loaded", "lines": 2, "rows": {"applied": 2}}
    assert receipt["revisions"] == [because]
    assert (values(loaded.store, "W-1"), values(loaded.store, "W-2")[0]) == (("PENDING", "40.00", "2.00"), "REVERSED")
    assert json.loads(results(loaded, "receipt_returns.csv.json")) == receipt
    rows = list(csv.DictReader(io.StringIO(results(loaded, "result_returns.csv"))))
    assert [row["Verdict"] for row in rows] == ["applied"] * 3
    assert pipeline.settle_waiting(loaded, at=clock.now).revised == []


def test_a_line_counts_from_its_arrival(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """In time if it arrived before the lock, however late the action was loaded; too late if it did not."""
    clock.now = LOCK - MICROSECOND
    in_time = ingest(loaded, lines("ActionId,Amount,Reason", "W-1,40.00,OTHER"))["delivery"]
    clock.now = LOCK
    late = ingest(loaded, lines("ActionId,Amount,Reason", "W-2,40.00,OTHER"))["delivery"]
    clock.pass_by(days=1)
    load(loaded, tmp_path, LATER)
    assert {one.account: one.locked for one in lock_due(loaded, as_of=clock.now, at=clock.now)} == {SID: 3}
    assert values(loaded.store, "W-1") == ("APPROVED", "40.00", "2.00")
    assert pipeline.receipt(loaded, in_time)["rows"]["applied"] == 1
    assert codes(pipeline.receipt(loaded, late)) == [(2, "refused", "ACTION_LOCKED")]


def test_an_action_that_locked_before_it_was_looked_for_stays_locked(
    loaded: Desk, tmp_path: Path, clock: Clock
) -> None:
    """Lines that cannot be read keep their actions open; nothing is locked over them."""
    delivery = ingest(loaded, lines("ActionId,Amount,Reason", "W-1,40.00,OTHER"))["delivery"]
    load(loaded, tmp_path, LATER)
    content = loaded.spool.content(delivery)
    sound = content.read_bytes()
    content.write_bytes(sound.replace(b"40", b"90"))
    clock.now = LOCK
    assert lock_due(loaded, as_of=LOCK, at=LOCK) == [Swept(SID, 2, 1, (delivery,))]
    assert set(pipeline.collect(loaded, at=LOCK).failures) == {delivery}
    content.write_bytes(sound)
    assert lock_due(loaded, as_of=LOCK, at=LOCK) == [Swept(SID, 1, 0, ())]
    assert values(loaded.store, "W-1") == ("APPROVED", "40.00", "2.00")


def test_deliveries_that_wait_for_the_same_action_go_in_the_order_of_their_arrival(
    loaded: Desk, tmp_path: Path, clock: Clock
) -> None:
    """A delivery that arrives after the loading comes after those that waited, whoever is ingested first."""
    numbers = []
    for amount in ("40.00", "50.00"):
        clock.pass_by(hours=1)
        numbers.append(ingest(loaded, lines("ActionId,Amount,Reason", f"W-1,{amount},OTHER"))["delivery"])
    load(loaded, tmp_path, LATER)
    clock.pass_by(hours=1)
    numbers.append(ingest(loaded, lines("ActionId,Amount,Reason", "W-1,60.00,OTHER"))["delivery"])
    assert [one["delivery"] for one in action(loaded.store, "W-1")["history"]] == numbers
    assert values(loaded.store, "W-1") == ("PENDING", "60.00", "3.00")
    assert [json.loads(results(loaded, name))["rows"]["applied"] for name in receipts(loaded)] == [1, 1, 1]


def receipts(desk: Desk) -> list[str]:
    """The names of all receipts."""
    return sorted(path.name for path in (desk.brands / SID / "results").glob("receipt_*"))


def test_a_line_that_waited_in_vain_is_refused(loaded: Desk, clock: Clock) -> None:
    """After thirty days, and not a microsecond before; it then waits no longer."""
    delivery = ingest(loaded, EARLY)["delivery"]
    assert pipeline.settle_waiting(loaded, at=START + timedelta(days=30) - MICROSECOND).revised == []
    clock.now = START + timedelta(days=30)
    pipeline.collect(loaded, at=clock.now)
    receipt = pipeline.receipt(loaded, delivery)
    assert codes(receipt) == [(3, "refused", "UNKNOWN_ACTION"), (4, "refused", "UNKNOWN_ACTION")]
    assert receipt["lines"][1]["message"] == (
        "No action of the account has Oid 'O-9'. The line waited for it until 2027-02-19T07:00:00-05:00, and it was "
        "not loaded. Check the value, and send the line again."
    )
    assert (balanced(receipt), receipt["waits_until"]) == (True, None)
    assert json.loads(results(loaded, "receipt_returns.csv.json")) == receipt
    assert results(loaded, "fix_returns.csv").splitlines() == [EARLY.splitlines()[at] for at in (0, 2, 3)]
    assert dump(loaded.store)["waiting_line"] == []


def test_a_fix_file_has_nothing_that_still_waits(loaded: Desk) -> None:
    """Sending it again would not bring its action."""
    ingest(loaded, lines("ActionId,Amount,Reason", "W-1,40.00,OTHER", "A-1,x,OTHER"))
    assert results(loaded, "fix_returns.csv").splitlines() == ["ActionId,Amount,Reason", "A-1,x,OTHER"]


def test_an_account_has_its_own_patience(desk: Desk, tmp_path: Path) -> None:
    """`waiting_days` of the catalogue."""
    patient = CATALOGUE.replace('name = "Acme Outdoor"', 'name = "Acme Outdoor"\nwaiting_days = 2')
    load(desk, tmp_path, catalogue=patient)
    assert ingest(desk, EARLY)["waits_until"] == "2027-01-22T12:00:00+00:00"


def test_what_still_is_unknown_goes_on_waiting(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """Only the lines whose action was loaded are judged; the end of the wait stays."""
    delivery = ingest(loaded, EARLY)["delivery"]
    load(loaded, tmp_path, LATER[:1])
    pipeline.collect(loaded, at=clock.now)
    receipt = pipeline.receipt(loaded, delivery)
    assert codes(receipt) == [(4, "waiting", "UNKNOWN_ACTION")]
    assert (receipt["rows"]["applied"], receipt["waits_until"]) == (2, "2027-02-19T12:00:00+00:00")


def test_an_order_id_of_another_event_type_wakes_nobody(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """Order ids belong to an event type, and ids to an account."""
    ingest(loaded, lines("Oid,ActionTrackerId,Reason", f"O-9,{SALE},OTHER"))
    load(loaded, tmp_path, [Sale("W-3", "O-9", event_type=LEAD)])
    assert pipeline.settle_waiting(loaded, at=clock.now).revised == []
    assert not any(row[-1] for row in dump(loaded.store)["waiting_line"])


def test_a_preview_lets_nothing_wait(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """It says that a line would wait, and writes nothing."""
    file = tmp_path / "returns.csv"
    file.write_text(EARLY)
    before = dump(loaded.store)
    arrival = arrival_of(file, event_type=None, again=False, received_at=clock.now)
    assert preview(loaded, arrival, SID, file)["rows"]["waiting"] == 2
    assert dump(loaded.store) == before


def test_bad_lines_and_waiting_lines_of_xml_keep_their_places(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """Records are found again by their numbers."""
    record = "<ReversalRequest><ActionId>{}</ActionId><Reason>OTHER</Reason></ReversalRequest>"
    records = "".join(record.format(one) for one in ("W-1", "A/1", "A-1", "W-2"))
    delivery = ingest(loaded, f"<ReversalRequests>{records}</ReversalRequests>", name="returns.xml")["delivery"]
    load(loaded, tmp_path, LATER)
    pipeline.collect(loaded, at=clock.now)
    receipt = pipeline.receipt(loaded, delivery)
    assert codes(receipt) == [(2, "rejected", "ACTION_ID_MALFORMED")]
    assert [action(loaded.store, one)["history"][0]["line"] for one in ("W-1", "A-1", "W-2")] == [1, 3, 4]


def test_who_dies_between_the_settling_and_the_answer_is_made_up_for(
    loaded: Desk, tmp_path: Path, clock: Clock
) -> None:
    """The next round sends the receipt that nobody has got; here the disk gives up in between."""
    delivery = ingest(loaded, EARLY)["delivery"]
    load(loaded, tmp_path, LATER)
    folder, aside = loaded.brands / SID / "results", loaded.brands / SID / "aside"
    folder.rename(aside)
    folder.write_text("No folder.")
    assert set(pipeline.settle_waiting(loaded, at=clock.now).failures) == {delivery}
    folder.unlink()
    aside.rename(folder)
    assert json.loads(results(loaded, "receipt_returns.csv.json"))["rows"]["waiting"] == 2
    assert pipeline.collect(loaded, at=clock.now).failures == {}
    assert json.loads(results(loaded, "receipt_returns.csv.json")) == pipeline.receipt(loaded, delivery)
    assert len(action(loaded.store, "W-1")["history"]) == 1


def test_a_landed_delivery_that_was_not_judged_yet_finds_the_actions(
    loaded: Desk, tmp_path: Path, clock: Clock
) -> None:
    """What lands before the loading and is judged after it never waits."""
    delivery = land(loaded, EARLY)
    load(loaded, tmp_path, LATER)
    pipeline.collect(loaded, at=clock.now)
    assert pipeline.receipt(loaded, delivery)["rows"]["applied"] == 3


def test_lines_with_items_wait_too(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Judged again, each line has its own items, whatever stands before it in the file."""
    load_items(desk, tmp_path, A2)
    content = lines("ActionId,Sku,Quantity,Amount,Reason", "A-2,TENT,1,45.00,OTHER", "A-1,SOCK,1,6.00,OTHER")
    assert ingest(desk, content)["rows"]["waiting"] == 1
    load_items(desk, tmp_path)
    pipeline.settle_waiting(desk, at=clock.now)
    assert basket(desk.store)["SOCK"] == (1, "6.00")
    assert basket(desk.store, "A-2")["TENT"] == (1, "45.00")
