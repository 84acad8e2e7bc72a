"""Lines that waited for their actions pass the brakes as a delivery does, on both stores."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clawback import deciding, pipeline, rejudging, revising
from clawback.rejudging import LOADED, WAITED, Settled
from clawback.sweep import Swept, lock_due
from clawback.wiring import Desk
from processing import deliveries, revisions, waiting
from processing.codes import Code
from processing.errors import Unusable
from tests.clawback.hook_site import courier, listen, program
from tests.conftest import START, Clock
from tests.item_worlds import ITEM_CATALOGUE, basket, load_items
from tests.worlds import (
    CATALOGUE,
    CLICK,
    LOCK,
    MICROSECOND,
    SID,
    Sale,
    action,
    codes,
    dump,
    ingest,
    lines,
    load,
    values,
)

HEAD = "ActionId,Amount,Reason"
LOCK_TOLD = "The first of its actions locks at 2027-02-28T00:00:00-05:00."
HELD = (
    "With the lines that waited for their actions, it reverses 300.00 of the 497.00 USD of payout that is open, 60 %. "
    f"Payout of what it changes: 300.00 USD before, 0.00 after. {LOCK_TOLD} "
    "What is held was not applied; have it released if it is right, or rejected if it is not."
)


@pytest.fixture
def early(desk: Desk, tmp_path: Path) -> Desk:
    """Forty actions of 100.00 with a payout of 5.00 each; others come later."""
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(40)])
    return desk


@pytest.fixture
def holding(early: Desk, tmp_path: Path, clock: Clock) -> tuple[Desk, str]:
    """A delivery of which one line was applied, one is unknown and sixty are held, and its number."""
    delivery = ingest(early, returned(0, 60, "A-1,40.00,OTHER", "X-1,0,OTHER"))["delivery"]
    assert settled(early, tmp_path, late(0, 60), clock).held == [delivery]
    return early, delivery


def late(first: int, end: int) -> list[Sale]:
    """Actions that are loaded behind the file that names them."""
    return [Sale(f"W-{number}", f"O-{number}") for number in range(first, end)]


def returned(first: int, end: int, *more: str) -> str:
    """A file that returns these late actions, behind some other lines."""
    return lines(HEAD, *more, *(f"W-{number},0,ITEM_RETURNED" for number in range(first, end)))


def settled(desk: Desk, folder: Path, sales: Sequence[Sale], clock: Clock) -> Settled:
    """Load actions a day later, and judge what waited for them."""
    clock.pass_by(days=1)
    load(desk, folder, sales)
    return pipeline.settle_waiting(desk, at=clock.now)


def told(desk: Desk, name: str = "returns.csv") -> dict[str, Any]:
    """The receipt that the brand has."""
    found: dict[str, Any] = json.loads((desk.brands / SID / "results" / f"receipt_{name}.json").read_text())
    return found


def counts(receipt: dict[str, Any]) -> dict[str, int]:
    """Its lines by verdict, those there are; they add up to what was read."""
    rows = {verdict: count for verdict, count in receipt["rows"].items() if count}
    assert rows.pop("read") == sum(rows.values())
    return rows


def waits(desk: Desk) -> int:
    """How many lines wait in the store."""
    return len(dump(desk.store)["waiting_line"])


def test_lines_that_waited_are_held_as_their_file_would_be_by_now(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """They would reverse more than a quarter of what is open; the brand is told, and what was applied stays."""
    delivery = ingest(early, returned(0, 60, "A-1,40.00,OTHER"))["delivery"]
    before = dump(early.store)["entry"]
    assert settled(early, tmp_path, late(0, 60), clock) == Settled([], [delivery])
    receipt = pipeline.receipt(early, delivery)
    assert (receipt["state"], receipt["code"], receipt["message"]) == ("done", "OUTLIER", HELD)
    assert (counts(receipt), receipt["nearest_lock"]) == ({"applied": 1, "held": 60}, LOCK.isoformat())
    assert receipt["revisions"][-1] == {
        "at": clock.now.isoformat(),
        "because": "actions were loaded, and the lines that waited are held",
        "lines": 60,
        "rows": {"held": 60},
    }
    assert (dump(early.store)["entry"], told(early)) == (before, receipt)
    again = dump(early.store)
    assert pipeline.collect(early, at=clock.now).failures == {}
    assert dump(early.store) == again


@pytest.mark.parametrize(
    ("good", "bad", "others", "code"),
    [(10, 10, 0, None), (10, 11, 0, "MOSTLY_BAD"), (8, 11, 0, None), (0, 11, 10, "MOSTLY_BAD"), (0, 11, 11, None)],
    ids=["half", "more", "few", "more of the file", "half of the file"],
)
def test_lines_that_waited_and_are_mostly_bad_are_held(
    good: int, bad: int, others: int, code: str | None, early: Desk, tmp_path: Path, *, clock: Clock
) -> None:
    """From 20 lines of the file on, when more than half of these would be refused by now."""
    rows = [f"W-{number},90.00,OTHER" for number in range(good + bad)] + ["A-1,90.00,OTHER"] * others
    delivery = ingest(early, lines(HEAD, *rows))["delivery"]
    clicks = [Sale(f"W-{number}", event_type=CLICK) for number in range(good, good + bad)]
    settled(early, tmp_path, late(0, good) + clicks, clock)
    receipt = pipeline.receipt(early, delivery)
    assert (receipt["code"], counts(receipt).get("held", 0)) == (code, good + bad if code else 0)
    if code:
        reason = "With the lines that waited for their actions, 11 of its 21 lines would be rejected or refused. "
        money = "Payout of what it changes: 50.00 USD before, 45.00 after. " if good else ""
        assert receipt["message"].startswith(f"{reason}{money}{LOCK_TOLD}" if good else reason)


@pytest.mark.parametrize("others", [0, 1, 40])
def test_a_few_lines_that_waited_are_weighed_with_their_file(
    others: int, early: Desk, tmp_path: Path, clock: Clock
) -> None:
    """Nineteen may reverse whatever they want if that is all; those of a larger file may not."""
    rest = [f"A-{number},90.00,OTHER" for number in range(others)]
    delivery = ingest(early, returned(0, 19, *rest))["delivery"]
    assert settled(early, tmp_path, late(0, 19), clock).held == ([delivery] if others else [])
    verdict = "held" if others else "applied"
    assert counts(pipeline.receipt(early, delivery))[verdict] == 19


@pytest.mark.parametrize(("known", "held"), [(23, True), (1, False)])
def test_what_the_file_did_on_arrival_counts(
    known: int, early: Desk, tmp_path: Path, clock: Clock, *, held: bool
) -> None:
    """A file is one, though some of its actions are loaded later: two parts of a fifth each are more than a quarter."""
    load(early, tmp_path, [Sale(f"B-{number}") for number in range(60)])
    delivery = ingest(early, returned(0, 24, *(f"B-{number},0,OTHER" for number in range(known))))["delivery"]
    assert pipeline.receipt(early, delivery)["rows"]["applied"] == known
    assert settled(early, tmp_path, late(0, 24), clock) == (Settled([], [delivery]) if held else Settled([delivery]))
    if held:
        receipt = pipeline.receipt(early, delivery)
        assert "it reverses 235.00 of the 620.00 USD of payout that is open, 37 %" in receipt["message"]
        assert receipt["money"]["USD"]["payout_before"] == "115.00"
        assert receipt["held_money"]["USD"]["payout_before"] == "120.00"
        clock.pass_by(minutes=1)
        deciding.release(early, delivery, by="dana", at=clock.now)
        receipt = pipeline.receipt(early, delivery)
        assert (receipt["money"]["USD"]["payout_before"], "held_money" in receipt) == ("235.00", False)


def test_what_a_person_released_on_arrival_does_not_count(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """It is known; what waited is weighed by itself, against all lines that waited."""
    delivery = ingest(early, returned(0, 40, *(f"A-{number},0,OTHER" for number in range(20))))["delivery"]
    assert counts(deciding.release(early, delivery, by="dana", at=clock.now)) == {"applied": 20, "waiting": 40}
    assert settled(early, tmp_path, late(0, 6), clock) == Settled([delivery])
    assert settled(early, tmp_path, [Sale("W-6", event_type=CLICK)], clock) == Settled([delivery])
    assert settled(early, tmp_path, late(7, 10), clock).held == [delivery]
    message = pipeline.receipt(early, delivery)["message"]
    assert (
        "it reverses 45.00 of the 150.00 USD of payout that is open, 30 % since a person decided about it." in message
    )


def test_what_is_usual_in_size_was_judged_on_arrival(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Lines that waited are not looked at for how many they are, but by the account's own limits otherwise."""
    brakes = '\ncurrency = "USD"\n[account.brakes]\nlarge_lines = 20\nreversed_percent = 70\n'
    catalogue = CATALOGUE.replace('\ncurrency = "USD"\n', brakes, 1)
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(40)], catalogue=catalogue)
    delivery = ingest(desk, returned(0, 60))["delivery"]
    for number in range(3):
        ingest(desk, lines(HEAD, *[f"A-1,{90 + number}.00,OTHER"] * 5))
    clock.pass_by(days=1)
    load(desk, tmp_path, late(0, 60), catalogue=catalogue)
    assert pipeline.settle_waiting(desk, at=clock.now) == Settled([delivery])


def test_actions_that_are_loaded_in_slices_do_not_pass_by_the_brakes(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """What waited is added up, load by load; after a person decided, what comes later is added up anew."""
    delivery = ingest(early, returned(0, 60))["delivery"]
    fates = []
    for first in range(0, 40, 10):
        found = settled(early, tmp_path, late(first, first + 10), clock)
        fates.append("held" if found.held else "applied")
        if found.held:
            message = pipeline.receipt(early, delivery)["message"]
            assert "reverses 100.00 of the 300.00 USD of payout that is open, 33 %" in message
            assert counts(deciding.release(early, delivery, by="dana", at=clock.now))["applied"] == first + 10
    assert fates == ["applied", "held", "applied", "held"]


def test_a_person_releases_them(holding: tuple[Desk, str], clock: Clock) -> None:
    """They are applied without brakes, with the money, and the receipt says who decided; the unknown one waits on."""
    desk, delivery = holding
    deciding.release(desk, delivery, by="dana", at=clock.pass_by(hours=1))
    receipt = pipeline.receipt(desk, delivery)
    assert (receipt["state"], receipt["code"]) == ("done", None)
    assert receipt["message"] == f"dana released its lines that waited. {HELD}"
    assert receipt["revisions"][-1] == {
        "at": clock.now.isoformat(),
        "because": "dana released the lines that waited",
        "lines": 60,
        "rows": {"applied": 60},
    }
    assert (counts(receipt), codes(receipt)) == ({"applied": 61, "waiting": 1}, [(3, "waiting", "UNKNOWN_ACTION")])
    assert receipt["money"]["USD"] == {
        "amount_before": "6100.00",
        "amount_after": "40.00",
        "payout_before": "305.00",
        "payout_after": "2.00",
    }
    assert (values(desk.store, "W-7")[0], waits(desk), told(desk)) == ("REVERSED", 1, receipt)
    with pytest.raises(Unusable, match="is done, not held"):
        deciding.release(desk, delivery, by="dana", at=clock.now)


def test_a_person_rejects_them(holding: tuple[Desk, str], clock: Clock) -> None:
    """They are refused, with who did it; what was applied stays, and nothing brings them back, not even a replay."""
    desk, delivery = holding
    deciding.reject(desk, delivery, by="dana", at=clock.pass_by(hours=1))
    receipt = pipeline.receipt(desk, delivery)
    assert (counts(receipt), receipt["code"]) == ({"applied": 1, "refused": 60, "waiting": 1}, None)
    assert receipt["message"] == f"dana rejected its lines that waited. {HELD}"
    assert receipt["lines"][1]["code"] == "NOT_RELEASED"
    assert receipt["lines"][1]["message"] == (
        "The line was held, alone or with its file, and dana rejected it. If it is right after all, send it again in "
        "another file."
    )
    assert (values(desk.store, "A-1")[1], values(desk.store, "W-7")[0]) == ("40.00", "PENDING")
    result = (desk.brands / SID / "results" / "result_returns.csv").read_text()
    assert [row["Code"] for row in csv.DictReader(io.StringIO(result))] == [
        "",
        "UNKNOWN_ACTION",
        *["NOT_RELEASED"] * 60,
    ]
    revising.replay(desk, delivery, at=clock.now)
    assert counts(pipeline.receipt(desk, delivery)) == counts(receipt)
    with pytest.raises(Unusable, match="is done, not held"):
        deciding.reject(desk, delivery, by="dana", at=clock.now)


def test_locks_wait_for_what_is_held(holding: tuple[Desk, str], clock: Clock) -> None:
    """As long as nobody has decided; then the lines count from the arrival of their delivery."""
    desk, delivery = holding
    clock.now = LOCK + timedelta(days=1)
    assert lock_due(desk, as_of=clock.now, at=clock.now) == [Swept(SID, 40, 60, (delivery,))]
    deciding.release(desk, delivery, by="dana", at=clock.now)
    assert counts(pipeline.receipt(desk, delivery)) == {"applied": 61, "refused": 1}
    assert lock_due(desk, as_of=clock.now, at=clock.now) == [Swept(SID, 60, 0, ())]
    assert values(desk.store, "W-7") == ("REVERSED", "0.00", "0.00")


def test_locks_wait_no_longer_for_what_was_rejected(holding: tuple[Desk, str], clock: Clock) -> None:
    """The actions lock as they are."""
    desk, delivery = holding
    clock.now = LOCK
    deciding.reject(desk, delivery, by="dana", at=clock.now)
    assert lock_due(desk, as_of=LOCK, at=LOCK) == [Swept(SID, 100, 0, ())]
    assert values(desk.store, "W-7") == ("APPROVED", "100.00", "5.00")


def test_lines_that_arrived_too_late_are_held_and_refused(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """Whoever releases them does not make them come in time."""
    clock.now = LOCK + MICROSECOND
    delivery = ingest(early, returned(0, 20))["delivery"]
    load(early, tmp_path, late(0, 20))
    assert pipeline.settle_waiting(early, at=clock.now).held == [delivery]
    assert pipeline.receipt(early, delivery)["code"] == "MOSTLY_BAD"
    deciding.release(early, delivery, by="dana", at=clock.now)
    assert {code for _, _, code in codes(pipeline.receipt(early, delivery))} == {"ACTION_LOCKED"}


def test_an_undo_leaves_nothing_of_them_behind(holding: tuple[Desk, str], clock: Clock) -> None:
    """They are refused as UNDONE, and nothing waits for a person any more."""
    desk, delivery = holding
    revising.undo(desk, delivery, by="eve", reason=None, at=clock.now)
    receipt = pipeline.receipt(desk, delivery)
    assert (counts(receipt), receipt["code"], receipt["waits_until"]) == ({"applied": 1, "refused": 61}, None, None)
    assert {one[1:] for one in codes(receipt)} == {("applied", "UNDONE_SINCE"), ("refused", "UNDONE")}
    assert receipt["message"] == f"eve undid it. {HELD}"
    assert (values(desk.store, "A-1")[1], waits(desk), told(desk)) == ("100.00", 0, receipt)
    for decide in (deciding.release, deciding.reject):
        with pytest.raises(Unusable, match="is done, not held"):
            decide(desk, delivery, by="dana", at=clock.now)


def test_a_replay_passes_them_over(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """The other lines are judged again; those that are held stay so until a person decides."""
    delivery = ingest(early, returned(0, 60, "A-1,,LOST"))["delivery"]
    settled(early, tmp_path, late(0, 60), clock)
    lost = '      code = "LOST"\n      outcome = "reverse"\n'
    disposition = "      [[account.program.event_type.disposition]]\n"
    load(early, tmp_path, catalogue=CATALOGUE.replace(disposition, disposition + lost + disposition, 1))
    assert revising.preview_replay(early, delivery, at=clock.now)["rows"]["applied"] == 1
    receipt = revising.replay(early, delivery, at=clock.now)
    assert (counts(receipt), receipt["code"], waits(early)) == ({"applied": 1, "held": 60}, "OUTLIER", 60)
    assert receipt["held_money"]["USD"]["payout_before"] == "300.00"
    for replay in (revising.replay, revising.preview_replay):
        with pytest.raises(Unusable, match="are held; release or reject them"):
            replay(early, delivery, at=clock.now)
    deciding.release(early, delivery, by="dana", at=clock.now)
    assert counts(pipeline.receipt(early, delivery)) == {"applied": 61}


def test_they_do_not_expire(holding: tuple[Desk, str], clock: Clock) -> None:
    """Their actions are known; a line of the same file that waited in vain is refused."""
    desk, delivery = holding
    clock.now = START + timedelta(days=31)
    pipeline.collect(desk, at=clock.now)
    receipt = pipeline.receipt(desk, delivery)
    assert (counts(receipt), receipt["code"]) == ({"applied": 1, "refused": 1, "held": 60}, "OUTLIER")
    before = dump(desk.store)
    pipeline.collect(desk, at=clock.pass_by(days=1))
    assert dump(desk.store) == before
    deciding.release(desk, delivery, by="dana", at=clock.now)
    receipt = pipeline.receipt(desk, delivery)
    assert (counts(receipt), receipt["waits_until"], waits(desk)) == ({"applied": 61, "refused": 1}, None, 0)


def test_what_becomes_known_while_others_are_held_is_held_with_them(
    holding: tuple[Desk, str], tmp_path: Path, clock: Clock
) -> None:
    """One decision is about all of it, and whoever makes it is told of all: why, the money, and the nearest lock."""
    desk, delivery = holding
    assert settled(desk, tmp_path, [Sale("X-1")], clock) == Settled([], [delivery])
    receipt = pipeline.receipt(desk, delivery)
    assert (counts(receipt), told(desk)) == ({"applied": 1, "held": 61}, receipt)
    assert receipt["message"] == HELD.replace("300.00", "305.00").replace("497.00", "502.00")
    assert {one["message"] for one in receipt["lines"]} == {receipt["message"]}
    assert receipt["held_money"]["USD"]["payout_before"] == "305.00"
    assert receipt["revisions"][-1]["rows"] == {"held": 1}
    assert settled(desk, tmp_path, [], clock) == Settled()
    assert counts(deciding.release(desk, delivery, by="dana", at=clock.now)) == {"applied": 62}


@pytest.mark.parametrize("decide", [deciding.release, deciding.reject])
def test_nobody_decides_about_more_than_was_told(
    decide: Callable[..., object], holding: tuple[Desk, str], tmp_path: Path, clock: Clock
) -> None:
    """What became known since is held first, and the decision is to be made again."""
    desk, delivery = holding
    load(desk, tmp_path, [Sale("X-1")])
    before = dump(desk.store)
    for one in (rejudging.release, rejudging.reject):
        with pytest.raises(Unusable, match="More lines of delivery"):
            one(desk, delivery, by="dana", at=clock.now)
    assert dump(desk.store) == before
    with pytest.raises(Unusable, match="then decide about all of them"):
        decide(desk, delivery, by="dana", at=clock.now)
    assert (counts(pipeline.receipt(desk, delivery)), told(desk)["rows"]["held"]) == ({"applied": 1, "held": 61}, 61)
    decide(desk, delivery, by="dana", at=clock.now)
    assert counts(pipeline.receipt(desk, delivery)).keys() <= {"applied", "refused"}


def test_what_is_unusual_no_more_is_still_a_persons_to_decide(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """Who was asked to look is not passed by when more payout is open by then."""
    delivery = ingest(early, returned(0, 30))["delivery"]
    assert settled(early, tmp_path, late(0, 29), clock).held == [delivery]
    assert settled(early, tmp_path, [*late(29, 30), *(Sale(f"B-{one}") for one in range(99))], clock).held == [delivery]
    receipt = pipeline.receipt(early, delivery)
    assert receipt["message"].startswith(
        "Lines of it are held, and more of those that waited became known since. "
        "Payout of what it changes: 150.00 USD before, 0.00 after."
    )
    assert (counts(receipt), receipt["code"]) == ({"held": 30}, "OUTLIER")
    assert values(early.store, "W-29")[0] == "PENDING"


def test_a_worker_that_comes_late_leaves_alone_what_is_held(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """It saw the lines ready; by then another has held them."""
    delivery = ingest(early, returned(0, 60))["delivery"]
    assert settled(early, tmp_path, late(0, 10), clock).revised == [delivery]
    assert settled(early, tmp_path, late(10, 20), clock).held == [delivery]
    before = dump(early.store)
    judge = partial(rejudging.rejudge, early, delivery, at=clock.now, because=LOADED, weighed=WAITED)
    assert judge(revisions.take_ready) is False
    with early.store.write() as db:
        for end in (11, 12, 22):
            weighed = np.arange(2, end)
            assert waiting.hold(db, deliveries.find(db, delivery).id, weighed, Code.OUTLIER, "Again.") is None
    assert dump(early.store) == before


def test_only_what_was_weighed_is_held(early: Desk, tmp_path: Path) -> None:
    """What became ready in between has to be weighed first, be it as many lines as were."""
    delivery = ingest(early, returned(0, 60))["delivery"]
    load(early, tmp_path, late(0, 20))
    with early.store.write() as db:
        number = deliveries.find(db, delivery).id
        for weighed in (np.arange(2, 21), np.arange(3, 23)):
            assert waiting.hold(db, number, weighed, Code.OUTLIER, "It is large.") is None
        assert waiting.hold(db, number, np.arange(2, 22), Code.OUTLIER, "It is large.") == 20


def test_nothing_is_released_when_nothing_is_held(early: Desk, clock: Clock) -> None:
    """Its receipt does not lose its code over it."""
    delivery = ingest(early, returned(0, 20))["delivery"]
    with early.store.write() as db:
        revisions.say(db, deliveries.find(db, delivery).id, "It is large.", Code.OUTLIER)
    before = dump(early.store)
    with pytest.raises(Unusable, match="holds no lines"):
        deciding.release(early, delivery, by="dana", at=clock.now)
    assert dump(early.store) == before


def test_other_deliveries_go_on_and_are_not_overtaken(holding: tuple[Desk, str], clock: Clock) -> None:
    """As beside a held delivery: a later file has the last word, and a person's release does not take it away."""
    desk, delivery = holding
    clock.pass_by(hours=1)
    assert ingest(desk, lines(HEAD, "W-0,70.00,OTHER", "A-2,60.00,OTHER"))["rows"]["applied"] == 2
    deciding.release(desk, delivery, by="dana", at=clock.pass_by(hours=1))
    receipt = pipeline.receipt(desk, delivery)
    assert (4, "refused", "SUPERSEDED") in codes(receipt)
    assert (values(desk.store, "W-0")[1], values(desk.store, "W-1")[0]) == ("70.00", "REVERSED")


def test_what_is_older_goes_first(holding: tuple[Desk, str], tmp_path: Path, clock: Clock) -> None:
    """A release judges first what waits in older deliveries, though nobody has settled it yet."""
    desk, first = holding
    clock.pass_by(hours=1)
    second = ingest(desk, lines(HEAD, *(f"V-{number},0,OTHER" for number in range(200))))["delivery"]
    load(desk, tmp_path, [Sale(f"V-{number}") for number in range(200)])
    assert pipeline.settle_waiting(desk, at=clock.now).held == [second]
    deciding.reject(desk, first, by="dana", at=clock.now)
    load(desk, tmp_path, [Sale("X-1")])
    deciding.release(desk, second, by="dana", at=clock.now)
    assert counts(pipeline.receipt(desk, first)) == {"applied": 2, "refused": 60}


def test_one_that_was_released_as_a_whole_says_both(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """Whoever released it on its arrival could not know what its waiting lines would do."""
    bad = ["A-1,-1,OTHER"] * 61
    delivery = ingest(early, returned(0, 60, *bad))["delivery"]
    deciding.release(early, delivery, by="dana", at=clock.now)
    released = pipeline.receipt(early, delivery)["message"]
    assert settled(early, tmp_path, late(0, 60), clock).held == [delivery]
    receipt = pipeline.receipt(early, delivery)
    assert (receipt["code"], receipt["message"].startswith(f"{released} With the lines")) == ("OUTLIER", True)
    assert counts(deciding.reject(early, delivery, by="eve", at=clock.now)) == {"rejected": 61, "refused": 60}


def test_lines_of_xml_are_held_too(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """Records as lines."""
    record = "<ReversalRequest><ActionId>W-{}</ActionId><Reason>OTHER</Reason></ReversalRequest>"
    content = f"<ReversalRequests>{''.join(map(record.format, range(60)))}</ReversalRequests>"
    delivery = ingest(early, content, name="returns.xml")["delivery"]
    assert settled(early, tmp_path, late(0, 60), clock).held == [delivery]
    assert counts(deciding.release(early, delivery, by="dana", at=clock.now)) == {"applied": 60}
    assert [action(early.store, f"W-{number}")["history"][0]["line"] for number in (0, 59)] == [1, 60]


def test_lines_of_items_are_held_too(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """The last item that returns reverses its action, and that is what is weighed; released, each item is as told."""
    load(desk, tmp_path, [Sale("A-1")], catalogue=ITEM_CATALOGUE)
    names = [f"T-{number}" for number in range(20)]
    file = lines("ActionId,Sku,Quantity,Amount,Reason", *(f"{name},TENT,0,0,ITEM_RETURNED" for name in names))
    delivery = ingest(desk, file)["delivery"]
    load_items(
        desk, tmp_path, *(f"{name},1000,16030,501,,2027-01-15T10:00:00-05:00,USD,TENT,,1,50.00,,,," for name in names)
    )
    assert pipeline.settle_waiting(desk, at=clock.now).held == [delivery]
    assert (basket(desk.store, "T-0")["TENT"], pipeline.receipt(desk, delivery)["code"]) == ((1, "50.00"), "OUTLIER")
    assert counts(deciding.release(desk, delivery, by="dana", at=clock.now)) == {"applied": 20}
    assert basket(desk.store, "T-0")["action"] == ("REVERSED", "0.00", "0.00")


def test_a_program_is_told_as_of_a_held_delivery(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """Why, with the money and the nearest lock; then of the changes and the end."""
    with program() as heard:
        listen(early, heard.url, at=clock)
        delivery = ingest(early, returned(0, 60))["delivery"]
        settled(early, tmp_path, late(0, 60), clock)
        deciding.release(early, delivery, by="dana", at=clock.pass_by(minutes=1))
        courier(early, tmp_path, clock).send_due()
        assert heard.kinds() == ["delivery.finished", "delivery.held", "action.changed", "delivery.finished"]
        held = heard.heard[1]["Receipt"]
        assert (held["code"], held["nearest_lock"]) == ("OUTLIER", LOCK.isoformat())
        assert "300.00 of the 500.00 USD" in held["message"]
