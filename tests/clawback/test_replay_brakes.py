"""A replay passes the brakes with what its delivery did before, unless a person is named, on both stores."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from clawback import deciding, pipeline, revising
from clawback.wiring import Desk
from processing.errors import Unusable
from tests.conftest import START, Clock
from tests.worlds import Sale, dump, ingest, lines, load, values

HEAD = "ActionId,Amount,Reason"
LATE = tuple(f"W-{number},0,OTHER" for number in range(60))
REASON = (
    "With the lines of this replay, it reverses 300.00 of the 497.00 USD of payout that is open, 60 %. Payout of what "
    "it changes: 300.00 USD before, 0.00 after. The first of its actions locks at 2027-02-28T00:00:00-05:00."
)


@pytest.fixture
def early(desk: Desk, tmp_path: Path) -> Desk:
    """Forty actions of 100.00 with a payout of 5.00 each."""
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(40)])
    return desk


def expired(desk: Desk, folder: Path, clock: Clock) -> str:
    """A delivery of which sixty lines waited in vain; their actions were loaded a month later."""
    delivery: str = ingest(desk, lines(HEAD, "A-1,40.00,OTHER", *LATE))["delivery"]
    clock.now = START + timedelta(days=31)
    pipeline.collect(desk, at=clock.now)
    load(desk, folder, [Sale(f"W-{number}") for number in range(60)])
    return delivery


def undone_while_held(desk: Desk, folder: Path, clock: Clock) -> str:
    """A delivery that held sixty lines when it was undone; the undo was undone, too."""
    delivery: str = ingest(desk, lines(HEAD, "A-1,40.00,OTHER", *LATE))["delivery"]
    load(desk, folder, [Sale(f"W-{number}") for number in range(60)])
    assert pipeline.settle_waiting(desk, at=clock.now).held == [delivery]
    for _ in range(2):
        undone = pipeline.receipt(desk, delivery)["undone_by"] or delivery
        revising.undo(desk, undone, by="eve", reason=None, at=clock.pass_by(minutes=1))
    receipt = pipeline.receipt(desk, delivery)
    assert (receipt["undone_by"], receipt["code"], receipt["rows"]["refused"]) == (None, None, 60)
    return delivery


@pytest.mark.parametrize("made", [expired, undone_while_held])
def test_a_replay_that_does_unusual_harm_needs_a_person(
    made: Callable[[Desk, Path, Clock], str], early: Desk, tmp_path: Path, clock: Clock
) -> None:
    """Nobody named, nothing is written; the person who is named stands in the receipt."""
    delivery = made(early, tmp_path, clock)
    before = dump(early.store)
    preview = revising.preview_replay(early, delivery, at=clock.now)
    assert (preview["state"], preview["code"], preview["rows"]["applied"]) == ("held", "OUTLIER", 61)
    with pytest.raises(Unusable) as refused:
        revising.replay(early, delivery, at=clock.now)
    says = "If that is right, say who: `clawback deliveries replay {} --by NAME`."
    assert str(refused.value) == preview["message"]
    assert preview["message"].endswith(f"{REASON} {says.format(delivery)}")
    assert dump(early.store) == before
    named = revising.preview_replay(early, delivery, by="dana", at=clock.now)
    assert (named["state"], named["code"]) == ("done", None)
    receipt = revising.replay(early, delivery, by="dana", at=clock.now)
    assert (receipt["rows"]["applied"], receipt["code"]) == (61, None)
    assert receipt["revisions"][-1]["because"] == "dana replayed it"
    assert values(early.store, "W-7")[0] == "REVERSED"


def test_what_the_delivery_did_before_counts(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """A fifth was reversed on arrival; another makes more than a quarter, unless a person decided about the first."""
    rows = [f"A-{number},0,OTHER" for number in range(10)] + [f"W-{number},0,OTHER" for number in range(10)]
    delivery = ingest(early, lines(HEAD, *rows))["delivery"]
    clock.now = START + timedelta(days=31)
    pipeline.collect(early, at=clock.now)
    load(early, tmp_path, [Sale(f"W-{number}") for number in range(5)])
    with pytest.raises(Unusable, match=r"it reverses 75\.00 of the 225\.00 USD of payout that is open, 33 %"):
        revising.replay(early, delivery, at=clock.now)
    revising.replay(early, delivery, by="dana", at=clock.now)
    load(early, tmp_path, [Sale(f"W-{number}") for number in range(5, 10)])
    pipeline.collect(early, at=clock.pass_by(minutes=1))
    assert pipeline.receipt(early, delivery)["rows"]["applied"] == 20


def test_a_replay_that_mends_some_of_many_faults_needs_nobody(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """Mostly bad it was before, as a person knows, or as lines that waited in vain are; it is less so by then."""
    rows = [f"W-{number},90.00,OTHER" for number in range(30)]
    delivery = ingest(early, lines(HEAD, *rows))["delivery"]
    clock.now = START + timedelta(days=31)
    pipeline.collect(early, at=clock.now)
    load(early, tmp_path, [Sale("W-0")])
    receipt = revising.replay(early, delivery, at=clock.now)
    assert (receipt["rows"]["applied"], receipt["revisions"][-1]["because"]) == (1, "it was replayed")


def test_a_replay_of_few_lines_is_not_weighed(early: Desk, tmp_path: Path, clock: Clock) -> None:
    """As a small file is not."""
    delivery = ingest(early, lines(HEAD, *LATE[:19]))["delivery"]
    clock.now = START + timedelta(days=31)
    pipeline.collect(early, at=clock.now)
    load(early, tmp_path, [Sale(f"W-{number}") for number in range(19)])
    assert revising.replay(early, delivery, at=clock.now)["rows"]["applied"] == 19


def test_what_a_person_rejected_as_a_whole_is_held_again(early: Desk, clock: Clock) -> None:
    """A name does not release it; its receipt tells no money that nothing moves."""
    delivery = ingest(early, lines(HEAD, *(f"A-{number},0,OTHER" for number in range(30))))["delivery"]
    held = pipeline.receipt(early, delivery)
    assert (held["state"], held["money"]["USD"]["payout_before"]) == ("held", "150.00")
    assert held["partners"][0]["lines"] == 30
    rejected = deciding.reject(early, delivery, by="dana", at=clock.now)
    assert (rejected["state"], rejected["money"], rejected["partners"]) == ("rejected", {}, [])
    assert revising.replay(early, delivery, by="eve", at=clock.pass_by(minutes=1))["state"] == "held"
