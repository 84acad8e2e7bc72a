"""A delivery from the spool to its answers, on both stores."""

import csv
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from clawback import deciding, pipeline, revising
from clawback.wiring import Desk
from connectors.results import RECEIPT
from processing import deliveries
from processing.errors import SpoolBroken, Unusable
from processing.model import Change
from processing.person import Wish
from tests.conftest import Clock
from tests.worlds import CATALOGUE, LOCK, SID, Sale, action, codes, dump, ingest, land, lines, load, values

GOOD = lines("ActionId,Amount,Reason", "A-1,40.00,ORDER_UPDATE", "A-2,0,ITEM_RETURNED", "A-3,-1,OTHER")


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Three actions of Acme Outdoor."""
    load(desk, tmp_path, [Sale("A-1", "O-1"), Sale("A-2", "O-2"), Sale("A-3", "O-3")])
    return desk


def results(desk: Desk) -> dict[str, bytes]:
    """What the brand finds in its folder."""
    return {path.name: path.read_bytes() for path in (desk.brands / SID / "results").iterdir() if path.is_file()}


def test_a_delivery_is_applied_answered_and_acknowledged(loaded: Desk) -> None:
    """The receipt balances, the result file has every line, and the spool has nothing left to do."""
    receipt = ingest(loaded, GOOD)
    assert codes(receipt) == [(4, "rejected", "AMOUNT_NEGATIVE")]
    sides = {"amount_before": "200.00", "amount_after": "40.00", "payout_before": "10.00", "payout_after": "2.00"}
    assert receipt["money"] == {"USD": sides}
    assert loaded.spool.pending() == []
    found = results(loaded)
    assert json.loads(found["receipt_returns.csv.json"]) == receipt
    rows = list(csv.reader(io.StringIO(found["result_returns.csv"].decode())))
    assert rows[0] == ["ActionId", "Amount", "Reason", "Verdict", "Code", "Message", "ActionId", "LocksAt"]
    assert [row[3] for row in rows[1:]] == ["applied", "applied", "rejected"]
    assert rows[1][6:] == ["A-1", "2027-02-28T00:00:00-05:00"]
    assert found["fix_returns.csv"].decode().splitlines() == ["ActionId,Amount,Reason", "A-3,-1,OTHER"]


@pytest.mark.parametrize("bad", ["\0", "\udcff"])
def test_a_name_that_no_store_can_hold(loaded: Desk, bad: str) -> None:
    """A delivery that could not be registered would never be judged, and locks would wait for it for ever."""
    receipt = ingest(loaded, GOOD, name=f"a{bad}b.csv")
    assert (receipt["name"], receipt["rows"]["applied"]) == ("a\ufffdb.csv", 2)
    assert loaded.spool.pending() == []


def test_a_repaired_fix_file_applies_only_its_lines(loaded: Desk) -> None:
    """What the brand repairs and sends again is applied, and nothing else."""
    ingest(loaded, GOOD)
    repaired = results(loaded)["fix_returns.csv"].decode().replace("-1", "10.00")
    assert ingest(loaded, repaired, name="fixed.csv")["rows"]["applied"] == 1
    assert values(loaded.store, "A-3") == ("PENDING", "10.00", "0.50")


def test_answers_are_the_same_however_often_they_are_given(loaded: Desk) -> None:
    """Killed between commit and answer, the next round gives what would have been given."""
    delivery = land(loaded, GOOD)
    pipeline.ingest(loaded, delivery, at=loaded.spool.clock())
    first = results(loaded)
    for name in first:
        (loaded.brands / SID / "results" / name).unlink()
    pipeline.ingest(loaded, delivery, at=loaded.spool.clock())
    assert results(loaded) == first
    assert len(action(loaded.store, "A-1")["history"]) == 1


def test_files_are_applied_in_the_order_of_their_arrival(loaded: Desk, clock: Clock) -> None:
    """Ingesting the newest first still applies the older one before it."""
    older = land(loaded, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER"))
    clock.pass_by(seconds=1)
    newer = land(loaded, lines("ActionId,Amount,Reason", "A-1,60.00,OTHER"), name="newer.csv")
    pipeline.ingest(loaded, newer, at=clock.now)
    assert [one["delivery"] for one in action(loaded.store, "A-1")["history"]] == [older, newer]
    assert values(loaded.store, "A-1") == ("PENDING", "60.00", "3.00")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (lines("ActionId,Amuont,Reason", "A-1,0,OTHER"), "COLUMN_UNKNOWN"),
        (lines("ActionId,Amount,amount", "A-1,0,OTHER"), "COLUMN_TWICE"),
        (lines("ActionId,Amount,Reason"), "NO_LINES"),
        ("<ModificationRequests><ModificationRequest><ActionId>A-1</ActionId>", "NOT_READABLE"),
    ],
)
def test_what_is_no_delivery_is_rejected_as_a_whole(loaded: Desk, content: str, code: str) -> None:
    """The receipt names the code, nothing is applied, and preview says the same."""
    before = action(loaded.store, "A-1")
    receipt = ingest(loaded, content)
    assert (receipt["state"], receipt["code"], receipt["rows"]["read"]) == ("rejected", code, 0)
    assert action(loaded.store, "A-1") == before
    assert [name for name in results(loaded) if not name.startswith("receipt_")] == []


def test_xml_that_breaks_off_after_good_records_applies_none(loaded: Desk) -> None:
    """Records that were read, matched and written are taken back when the end is missing."""
    record = "<ReversalRequest><ActionId>A-1</ActionId><Reason>OTHER</Reason></ReversalRequest>"
    receipt = ingest(loaded, f"<ReversalRequests>{record * 60_000}", name="returns.xml")
    assert (receipt["state"], receipt["code"]) == ("rejected", "NOT_READABLE")
    assert values(loaded.store, "A-1") == ("PENDING", "100.00", "5.00")


def test_a_file_without_its_end_is_held(loaded: Desk) -> None:
    """An unterminated last line may be half a line: all is held, and a person releases or rejects it."""
    receipt = ingest(loaded, GOOD.rstrip("\n"))
    assert (receipt["state"], receipt["code"]) == ("held", "MAYBE_INCOMPLETE")
    assert (receipt["rows"]["read"], receipt["rows"]["held"]) == (3, 3)
    assert values(loaded.store, "A-1") == ("PENDING", "100.00", "5.00")


def test_a_released_delivery_counts_from_its_arrival(loaded: Desk, clock: Clock) -> None:
    """Released after the lock instant, it is in time because it arrived in time; twice is once."""
    clock.now = LOCK - timedelta(seconds=1)
    held = ingest(loaded, GOOD.rstrip("\n"))["delivery"]
    clock.now = LOCK + timedelta(days=1)
    assert deciding.release(loaded, held, by="dana", at=clock.now)["rows"]["applied"] == 2
    assert values(loaded.store, "A-2") == ("REVERSED", "0.00", "0.00")
    with pytest.raises(Unusable, match="not held"):
        deciding.release(loaded, held, by="dana", at=clock.now)


@pytest.mark.parametrize("undone", [False, True])
def test_what_a_newer_delivery_found_right_stands(loaded: Desk, clock: Clock, undone: bool) -> None:  # noqa: FBT001
    """It changed nothing, and had the last word all the same; unless it was undone."""
    held = ingest(loaded, GOOD.rstrip("\n"))["delivery"]
    clock.now += timedelta(hours=1)
    newer = ingest(loaded, lines("ActionId,Amount,Reason", "A-1,100.00,ORDER_UPDATE", "A-3,60.00,ORDER_UPDATE"))
    assert newer["rows"]["unchanged"] == 1
    if undone:
        revising.undo(loaded, newer["delivery"], by="dana", reason=None, at=clock.now)
    deciding.release(loaded, held, by="dana", at=clock.now)
    assert values(loaded.store, "A-1")[1] == ("40.00" if undone else "100.00")
    assert values(loaded.store, "A-2")[0] == "REVERSED"


def test_what_came_after_the_lock_had_no_say(loaded: Desk, clock: Clock) -> None:
    """It found nothing to change, and could have changed nothing; what arrived in time stands."""
    clock.now = LOCK - timedelta(seconds=1)
    held = ingest(loaded, GOOD.rstrip("\n"))["delivery"]
    clock.now = LOCK
    late = ingest(loaded, lines("ActionId,Amount,Reason", "A-1,100.00,ORDER_UPDATE"))
    assert late["rows"]["unchanged"] == 1
    assert deciding.release(loaded, held, by="dana", at=clock.now)["rows"]["applied"] == 2
    assert values(loaded.store, "A-1")[1] == "40.00"


def test_a_released_delivery_overwrites_nothing_newer(loaded: Desk, clock: Clock) -> None:
    """What a brand said later stands; the older line is told so, and the rest of its delivery is applied."""
    held = ingest(loaded, GOOD.rstrip("\n"))["delivery"]
    clock.now += timedelta(hours=1)
    ingest(loaded, lines("ActionId,Amount,Reason", "A-1,70.00,ORDER_UPDATE"))
    deciding.release(loaded, held, by="dana", at=clock.now)
    receipt = pipeline.receipt(loaded, held)
    assert values(loaded.store, "A-1") == ("PENDING", "70.00", "3.50")
    assert values(loaded.store, "A-2") == ("REVERSED", "0.00", "0.00")
    assert receipt["lines"][0]["code"] == "SUPERSEDED"
    assert "at 2027-01-20T08:00:00-05:00, has the last word on the action" in receipt["lines"][0]["message"]


def test_a_released_delivery_is_told_who_released_it(loaded: Desk, clock: Clock) -> None:
    """Its receipt says so, and why it had been held; that is sent again."""
    held = ingest(loaded, GOOD.rstrip("\n"))
    receipt = deciding.release(loaded, held["delivery"], by="dana", at=clock.now)
    assert (receipt["state"], receipt["code"]) == ("done", None)
    assert receipt["message"] == f"dana released it. {held['message']}"
    assert json.loads(results(loaded)["receipt_returns.csv.json"])["message"] == receipt["message"]


def test_a_rejected_delivery_is_told_who_rejected_it(loaded: Desk, clock: Clock) -> None:
    """Nothing of it is applied, and its receipt is sent again."""
    held = ingest(loaded, GOOD.rstrip("\n"))["delivery"]
    receipt = deciding.reject(loaded, held, by="dana", at=clock.now)
    assert receipt["state"] == "rejected"
    assert receipt["message"].startswith("dana rejected it.")
    assert json.loads(results(loaded)["receipt_returns.csv.json"])["state"] == "rejected"


def test_a_rejected_delivery_counts_the_lines_that_it_lists(loaded: Desk, clock: Clock) -> None:
    """What was found wrong with its text stands, and the rest was held."""
    rows = [*["A-1,-1,OTHER"] * 15, *["A-2,90.00,ORDER_UPDATE"] * 10]
    held = ingest(loaded, lines("ActionId,Amount,Reason", *rows))
    assert (held["state"], held["code"]) == ("held", "MOSTLY_BAD")
    deciding.reject(loaded, held["delivery"], by="dana", at=clock.now)
    told = pipeline.receipt(loaded, held["delivery"])
    assert [held["rows"][name] for name in ("read", "rejected", "held", "refused")] == [25, 15, 10, 0]
    assert [told["rows"][name] for name in ("read", "rejected", "held", "refused")] == [25, 15, 0, 10]
    assert len(told["lines"]) == 15


def test_every_line_of_a_held_delivery_is_answered(loaded: Desk, clock: Clock) -> None:
    """Rejected ones with their codes, also in a fix file; the others are held, and refused once a person rejects it."""
    rows = ["A-1,-1,OTHER", "A-2,90.00,ORDER_UPDATE", *["A-3,1e5,OTHER"] * 20, "A-3,80.00,ORDER_UPDATE", 'A-4,"1']
    held = ingest(loaded, lines("ActionId,Amount,Reason", *rows))
    assert (held["state"], held["code"]) == ("held", "MOSTLY_BAD")

    def answered() -> list[tuple[str, ...]]:
        _, *told = csv.reader(io.StringIO(results(loaded)["result_returns.csv"].decode()))
        return [(row[3], row[4], row[5]) for row in told]

    def expected(*rest: str) -> list[tuple[str, ...]]:
        receipt = pipeline.receipt(loaded, held["delivery"])
        found = {one["line"]: (one["verdict"], one["code"], one["message"]) for one in receipt["lines"]}
        assert receipt["rows"][rest[0]] == len(rows) - len(found) == 2
        return [found.get(number, rest) for number in range(2, len(rows) + 2)]

    wrong = [row for row in rows if "ORDER_UPDATE" not in row]
    assert answered() == expected("held", "MOSTLY_BAD", "Held with its file; the receipt says why.")
    assert results(loaded)["fix_returns.csv"].decode().splitlines() == ["ActionId,Amount,Reason", *wrong]
    deciding.reject(loaded, held["delivery"], by="dana", at=clock.now)
    told = "Held with its file, and then rejected with it; the receipt says why."
    assert answered() == expected("refused", "NOT_RELEASED", told)
    assert pipeline.receipt(loaded, held["delivery"])["message"].startswith("dana rejected it. ")
    repaired = results(loaded)["fix_returns.csv"].decode().replace('"1', "1.00,OTHER").replace("1e5", "70.00")
    assert ingest(loaded, repaired.replace(",-1,", ",95.00,"), name="fixed.csv")["rows"]["applied"] == 2


def test_the_answers_of_a_held_delivery_follow_its_release(loaded: Desk, clock: Clock) -> None:
    """Its lines get the verdicts that they have then; one that may be cut off was not judged, and has no result."""
    rows = ["A-2,90.00,ORDER_UPDATE", *["A-3,1e5,OTHER"] * 20]
    held = ingest(loaded, lines("ActionId,Amount,Reason", *rows))
    assert b",held,MOSTLY_BAD," in results(loaded)["result_returns.csv"]
    deciding.release(loaded, held["delivery"], by="dana", at=clock.now)
    assert b"A-2,90.00,ORDER_UPDATE,applied,," in results(loaded)["result_returns.csv"]
    assert results(loaded)["fix_returns.csv"].count(b"1e5") == 20
    ingest(loaded, "ActionId,Amount,Reason\nA-1,-1,OTHER", name="cut.csv")
    assert [name for name in results(loaded) if name.endswith("cut.csv")] == []


def test_damaged_bytes_are_never_applied(loaded: Desk, clock: Clock) -> None:
    """Bytes that changed on our disk break the delivery, and neither the others nor the order of the rest."""
    damaged = land(loaded, GOOD)
    content = loaded.spool.content(damaged)
    content.write_bytes(content.read_bytes().replace(b"40.00", b"90.00"))
    sound = land(loaded, lines("ActionId,Amount,Reason", "A-3,0,OTHER"), name="sound.csv")
    collected = pipeline.collect(loaded, at=clock.now)
    assert [one["delivery"] for one in collected.receipts] == [sound]
    assert isinstance(collected.failures[damaged], SpoolBroken)
    assert pipeline.receipt(loaded, damaged)["state"] == "broken"
    assert values(loaded.store, "A-1") == ("PENDING", "100.00", "5.00")
    content.write_bytes(content.read_bytes().replace(b"90.00", b"40.00"))
    pipeline.collect(loaded, at=clock.now)
    assert values(loaded.store, "A-1") == ("PENDING", "40.00", "2.00")


def test_a_person_is_told_what_the_ledger_says(loaded: Desk, clock: Clock) -> None:
    """A person's change meets the same lock, and is a delivery with a name on it."""
    clock.now = LOCK
    receipt = deciding.change(loaded, SID, Wish("A-1", Change.REVERSE, "OTHER"), by="dana", at=clock.now)
    assert (codes(receipt), receipt["sent_by"]) == ([(1, "refused", "ACTION_LOCKED")], "dana")
    with pipeline.answer_file(loaded, receipt["delivery"], "receipt") as printed:
        assert printed is not None
        assert json.loads(printed.read())["sent_by"] == "dana"
    with pipeline.answer_file(loaded, receipt["delivery"], "fix") as printed:
        assert printed is None


def test_receipts_of_many_lines_are_streamed(loaded: Desk) -> None:
    """Thousands of rejected lines are all in the receipt, which is JSON."""
    receipt = ingest(loaded, lines("ActionId,Amount,Reason", *["A-1,x,OTHER"] * 25_000))
    assert len(json.loads(results(loaded)[RECEIPT.format("returns.csv")])["lines"]) == 25_000
    assert receipt["rows"]["rejected"] == 25_000


def test_result_files_tell_the_verdict_of_every_line_from_the_store(loaded: Desk) -> None:
    """What a result file says is what the store holds, not what memory held."""
    delivery = ingest(loaded, GOOD)["delivery"]
    with loaded.store.read() as db:
        found = deliveries.find(db, delivery)
        table = deliveries.verdicts(db, found.id, 2, 4)
    assert table["verdict"].tolist() == ["applied", "applied", "rejected"]
    assert dump(loaded.store)["line"] == [(1, 4, "rejected", "AMOUNT_NEGATIVE", table["message"][2], None)]


def test_an_unknown_account_stops_nobody(loaded: Desk, clock: Clock) -> None:
    """A delivery of an account that no catalogue has stays in the spool; the others go on."""
    stranger = land(loaded, GOOD, sid="IRnobody")
    land(loaded, GOOD)
    collected = pipeline.collect(loaded, at=clock.now)
    assert (len(collected.receipts), list(collected.failures)) == (1, [stranger])
    assert [one.delivery for one in loaded.spool.pending()] == [stranger]


def test_workers_that_meet_finish_a_delivery_once(loaded: Desk) -> None:
    """Eight rounds at once over the same spool: one application, no breakage, one state."""
    numbers = [
        land(loaded, lines("ActionId,Amount,Reason", f"A-1,{n}.00,OTHER"), name=f"{n}.csv") for n in range(20, 26)
    ]
    with ThreadPoolExecutor(8) as pool:
        rounds = list(pool.map(lambda _: pipeline.collect(loaded, at=loaded.spool.clock()), range(8)))
    assert [one.failures for one in rounds] == [{}] * 8
    assert [pipeline.receipt(loaded, number)["state"] for number in numbers] == ["done"] * 6
    assert [one["delivery"] for one in action(loaded.store, "A-1")["history"]] == numbers
    assert loaded.spool.pending() == []


def test_a_worker_that_stumbles_over_a_finished_delivery_breaks_nothing(loaded: Desk, clock: Clock) -> None:
    """Whoever finds the bytes gone because another was faster leaves its end as it is."""
    delivery = land(loaded, GOOD)
    envelope = loaded.spool.find(delivery)
    pipeline.ingest(loaded, delivery, at=clock.now)
    with pipeline.recording_breakage(loaded, envelope, clock.now):
        raise FileNotFoundError
    assert pipeline.receipt(loaded, delivery)["state"] == "done"


def test_a_brand_may_send_again_what_was_rejected(loaded: Desk, tmp_path: Path) -> None:
    """Once the column is one to ignore, the very same bytes are applied."""
    noted = lines("ActionId,Amount,Reason,Note", "A-1,40.00,OTHER,hm")
    assert ingest(loaded, noted)["code"] == "COLUMN_UNKNOWN"
    ignoring = CATALOGUE.replace('name = "Acme Outdoor"', 'name = "Acme Outdoor"\nignore_columns = ["Note"]')
    load(loaded, tmp_path, catalogue=ignoring)
    assert ingest(loaded, noted)["rows"]["applied"] == 1


def test_a_delivery_is_answered_as_it_was_read(loaded: Desk, tmp_path: Path) -> None:
    """The catalogue may change between judging and answering; the answer is that of the judging."""
    ignoring = CATALOGUE.replace('name = "Acme Outdoor"', 'name = "Acme Outdoor"\nignore_columns = ["Note"]')
    load(loaded, tmp_path, catalogue=ignoring)
    receipt = ingest(loaded, lines("ActionId,Amount,Reason,Note", "A-1,40.00,OTHER,hm"))
    before = results(loaded)["result_returns.csv"]
    load(loaded, tmp_path, catalogue=CATALOGUE)
    with pipeline.answer_file(loaded, receipt["delivery"], "result") as printed:
        assert printed is not None
        assert printed.read() == before


def test_release_and_reject_exclude_each_other(loaded: Desk, clock: Clock) -> None:
    """What was released cannot be rejected any more, even by somebody who saw it held a moment ago."""
    held = ingest(loaded, GOOD.rstrip("\n"))["delivery"]

    def attempt(act: Callable[[], object]) -> bool:
        try:
            act()
        except Unusable:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        released = pool.submit(attempt, lambda: deciding.release(loaded, held, by="dana", at=clock.now))
        rejected = pool.submit(attempt, lambda: deciding.reject(loaded, held, by="dana", at=clock.now))
    applied = values(loaded.store, "A-2")[0] == "REVERSED"
    state = pipeline.receipt(loaded, held)["state"]
    assert (state == "done", applied, rejected.result()) in {(True, True, False), (False, False, True)}
    assert released.result() or rejected.result()


def test_a_person_comes_after_the_files_that_came_before(loaded: Desk, clock: Clock) -> None:
    """A file that arrived earlier is applied first, so that it cannot undo what the person did."""
    land(loaded, lines("ActionId,Amount,Reason", "A-1,150.00,OTHER"))
    clock.pass_by(minutes=1)
    deciding.change(loaded, SID, Wish("A-1", Change.MODIFY, "OTHER", "10.00"), by="dana", at=clock.now)
    pipeline.collect(loaded, at=clock.now)
    assert values(loaded.store, "A-1") == ("PENDING", "10.00", "0.50")


def test_a_person_reverses_with_an_amount_of_zero(loaded: Desk, clock: Clock) -> None:
    """As in a file: the new total 0 reverses the action."""
    deciding.change(loaded, SID, Wish("A-1", Change.MODIFY, "OTHER", "0"), by="dana", at=clock.now)
    assert values(loaded.store, "A-1") == ("REVERSED", "0.00", "0.00")
