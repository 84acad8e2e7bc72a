"""A delivery that may have been cut off, and the longer one that shows it was, on both stores."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding, pipeline, revising, sweep
from clawback.preview import preview
from clawback.wiring import Desk
from processing import deliveries
from processing.model import Change
from processing.person import Wish
from tests.conftest import Clock
from tests.schemas.test_containers import gzipped, zipped
from tests.worlds import (
    LOCK,
    MICROSECOND,
    SID,
    WITH_TRAILERS,
    Sale,
    arrival,
    dump,
    ingest,
    land,
    lines,
    load,
    values,
    written,
)

WHOLE = lines("ActionId,Amount,Reason", "A-1,40.00,ORDER_UPDATE", "A-2,0,ITEM_RETURNED")
CUT = WHOLE[:-12]
# Of forty actions with a payout of 5.00 each.
RETURNED = lines("ActionId,Amount,Reason", *(f"A-{number},0,ITEM_RETURNED" for number in range(30)))


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Three actions of Acme Outdoor."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2"), Sale("A-3")])
    return desk


def state(desk: Desk, delivery: str) -> tuple[str, str | None]:
    """State and code of a delivery."""
    found = pipeline.receipt(desk, delivery)
    return found["state"], found["code"]


def told(desk: Desk, name: str) -> dict[str, Any]:
    """The receipt that the brand finds in its folder."""
    receipt: dict[str, Any] = json.loads((desk.brands / SID / "results" / f"receipt_{name}.json").read_text())
    return receipt


def test_a_longer_file_replaces_the_held_one_it_begins_with(loaded: Desk) -> None:
    """The held one is given up and its brand told which; the longer one is applied, once."""
    held = ingest(loaded, CUT, name="cut.csv")["delivery"]
    assert state(loaded, held) == ("held", "MAYBE_INCOMPLETE")
    successor = ingest(loaded, WHOLE)
    assert (successor["state"], successor["rows"]["applied"]) == ("done", 2)
    assert state(loaded, held) == ("rejected", "REPLACED")
    receipt = told(loaded, "cut.csv")
    assert (receipt["state"], receipt["code"]) == ("rejected", "REPLACED")
    assert successor["delivery"] in receipt["message"]
    assert values(loaded.store, "A-2") == ("REVERSED", "0.00", "0.00")


def test_several_cuts_of_one_file(loaded: Desk) -> None:
    """Each longer cut replaces the shorter ones and waits for the whole."""
    cuts = [ingest(loaded, WHOLE[:end], name=f"{end}.csv")["delivery"] for end in (30, 50, 60)]
    assert [state(loaded, cut) for cut in cuts] == [("rejected", "REPLACED")] * 2 + [("held", "MAYBE_INCOMPLETE")]
    ingest(loaded, WHOLE)
    assert state(loaded, cuts[2]) == ("rejected", "REPLACED")


@pytest.mark.parametrize(
    ("case", "later"),
    [
        ("other bytes", lines("ActionId,Amount,Reason", "A-3,40.00,ORDER_UPDATE", "A-2,0,ITEM_RETURNED")),
        ("shorter", CUT[:-5]),
        ("longer, and not to be read", CUT + "\n#TRAILER,9,9"),
    ],
)
def test_what_replaces_nothing(loaded: Desk, case: str, later: str) -> None:
    """The held one stays for a person to decide."""
    held = ingest(loaded, CUT)["delivery"]
    ingest(loaded, later, name="later.csv")
    assert state(loaded, held) == ("held", "MAYBE_INCOMPLETE"), case


def test_the_same_bytes_again_are_a_duplicate_of_the_held_one(loaded: Desk) -> None:
    """They are not longer."""
    held = ingest(loaded, CUT)["delivery"]
    again = ingest(loaded, CUT, name="again.csv")
    assert (again["state"], again["duplicate_of"], state(loaded, held)[0]) == ("duplicate", held, "held")


def test_a_file_that_was_applied_before_it_was_cut(loaded: Desk) -> None:
    """Sent whole, cut and whole again: the last is a duplicate of the first, and the cut one is out of the way."""
    first = ingest(loaded, WHOLE)["delivery"]
    held = ingest(loaded, CUT)["delivery"]
    assert ingest(loaded, WHOLE, name="third.csv")["duplicate_of"] == first
    assert state(loaded, held) == ("rejected", "REPLACED")


def test_a_longer_file_that_is_held_for_its_harm_replaces_the_half_one(
    desk: Desk, tmp_path: Path, clock: Clock
) -> None:
    """A person decides about the whole only; rejecting it leaves no half behind that could be released."""
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(40)])
    held = ingest(desk, RETURNED[:-12], name="cut.csv")["delivery"]
    whole = ingest(desk, RETURNED)
    assert (whole["state"], whole["code"]) == ("held", "OUTLIER")
    assert state(desk, held) == ("rejected", "REPLACED")
    assert told(desk, "cut.csv")["code"] == "REPLACED"
    deciding.reject(desk, whole["delivery"], by="dana", at=clock.now)
    assert values(desk.store, "A-1") == ("PENDING", "100.00", "5.00")


def test_a_half_file_that_is_released_is_weighed_then(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Nobody has seen its money before: it is held anew with it, and the second release counts."""
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(40)])
    held = ingest(desk, RETURNED[:-1])
    assert (held["code"], held["money"]) == ("MAYBE_INCOMPLETE", {})
    weighed = deciding.release(desk, held["delivery"], by="dana", at=clock.now)
    assert (weighed["state"], weighed["code"], weighed["rows"]["held"]) == ("held", "OUTLIER", 30)
    assert weighed["money"]["USD"]["payout_before"] == "150.00"
    assert weighed["message"].startswith(f"dana released it. {held['message']} It reverses 150.00 of the 200.00 USD")
    assert told(desk, "returns.csv")["code"] == "OUTLIER"
    assert values(desk.store, "A-1") == ("PENDING", "100.00", "5.00")
    receipt = deciding.release(desk, held["delivery"], by="erik", at=clock.now)
    assert (receipt["state"], receipt["rows"]["applied"]) == ("done", 30)
    assert receipt["message"] == f"erik released it. {weighed['message']}"


def test_a_half_file_of_bad_lines_is_weighed_when_it_is_released(loaded: Desk, clock: Clock) -> None:
    """None of its lines can be held, and yet a person is asked."""
    held = ingest(loaded, lines("ActionId,Amount,Reason", *["A-1,-1,OTHER"] * 20)[:-1])
    weighed = deciding.release(loaded, held["delivery"], by="dana", at=clock.now)
    assert (weighed["state"], weighed["code"]) == ("held", "MOSTLY_BAD")
    assert weighed["message"].startswith(f"dana released it. {held['message']} 20 of its 20 lines")
    assert deciding.release(loaded, held["delivery"], by="erik", at=clock.now)["state"] == "done"


@pytest.mark.parametrize(
    ("case", "half", "whole"),
    [
        ("a line break", WHOLE.rstrip("\n"), WHOLE),
        ("that of Windows", WHOLE.rstrip("\n").replace("\n", "\r\n"), WHOLE.replace("\n", "\r\n")),
        ("line breaks", WHOLE.rstrip("\n"), f"{WHOLE}\n\n"),
        ("a line break in UTF-16", WHOLE.rstrip("\n").encode("utf-16"), WHOLE.encode("utf-16")),
        ("a line break and a trailer", WHOLE.rstrip("\n"), f"{WHOLE}#TRAILER,2,40.00\n"),
    ],
)
def test_a_file_that_adds_no_line_proves_the_held_one(
    case: str, half: str | bytes, whole: str | bytes, loaded: Desk, clock: Clock
) -> None:
    """That is applied, by its own arrival, and the longer one is its duplicate, however often it comes."""
    clock.now = LOCK - MICROSECOND
    held = ingest(loaded, half, name="half.csv")["delivery"]
    clock.now = LOCK
    assert state(loaded, held) == ("held", "MAYBE_INCOMPLETE")
    for name in ("returns.csv", "again.csv"):
        again = ingest(loaded, whole, name=name)
        assert (again["state"], again["duplicate_of"], again["rows"]["read"]) == ("duplicate", held, 0), case
    assert (told(loaded, "half.csv")["state"], told(loaded, "half.csv")["rows"]["applied"]) == ("done", 2)
    assert held in told(loaded, "returns.csv")["message"]
    assert sweep.lock_due(loaded, as_of=clock.now, at=clock.now)[0].deferred == 0
    assert values(loaded.store, "A-1") == ("APPROVED", "40.00", "2.00")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("same_bytes", [False, True])
def test_a_preview_tells_what_the_held_file_would_do(
    loaded: Desk, tmp_path: Path, clock: Clock, *, same_bytes: bool, packed: bool
) -> None:
    """With its money, and by its own arrival; nothing is written."""
    clock.now = LOCK - MICROSECOND
    half = WHOLE.rstrip("\n")
    held = ingest(loaded, half, name="half.csv")["delivery"]
    clock.now = LOCK
    before = dump(loaded.store)
    content = (half if same_bytes else WHOLE).encode()
    content = zipped({"returns.csv": content}) if packed else content
    foretold = preview(loaded, arrival(content, clock.now, proven=True), SID, written(tmp_path, "sent", content))
    [told_of] = foretold.get("files", [foretold])
    assert (told_of["state"], told_of["duplicate_of"]) == ("duplicate", held)
    assert (told_of["rows"]["applied"], told_of["lines"]) == (2, [])
    assert told_of["money"]["USD"]["payout_after"] == "2.00"
    assert dump(loaded.store) == before


def test_a_preview_tells_why_the_held_file_would_stay_held(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """And what it would do once a person released it."""
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(40)])
    ingest(desk, RETURNED.rstrip("\n"))
    sent = written(tmp_path, "sent", RETURNED)
    foretold = preview(desk, arrival(RETURNED.encode(), clock.now), SID, sent)
    assert (foretold["state"], foretold["rows"]["applied"]) == ("duplicate", 30)
    assert "It reverses 150.00 of the 200.00 USD" in foretold["message"]


def test_a_trailer_that_does_not_fit_proves_nothing(loaded: Desk) -> None:
    """The file that has it is rejected, and the other one stays held."""
    held = ingest(loaded, WHOLE.rstrip("\n"))["delivery"]
    assert ingest(loaded, f"{WHOLE}#TRAILER,3,40.00\n")["code"] == "TRAILER_MISMATCH"
    assert state(loaded, held) == ("held", "MAYBE_INCOMPLETE")


def test_killed_between_the_file_that_adds_no_line_and_the_held_one(loaded: Desk, clock: Clock) -> None:
    """The next round takes the held one up, once."""
    held = ingest(loaded, WHOLE.rstrip("\n"), name="half.csv")["delivery"]
    later = land(loaded, WHOLE)
    pipeline.judge_anew(loaded, loaded.spool.find(later), clock.now)
    assert (state(loaded, held)[0], state(loaded, later)[0]) == ("held", "duplicate")
    pipeline.collect(loaded, at=clock.now)
    assert state(loaded, held) == ("done", None)
    assert told(loaded, "half.csv")["state"] == "done"
    assert len(dump(loaded.store)["entry"]) == 2


def test_what_proved_a_file_may_come_again_when_that_is_undone(loaded: Desk, clock: Clock) -> None:
    """As may the bytes of the file itself: nothing of either is in force."""
    held = ingest(loaded, WHOLE.rstrip("\n"))["delivery"]
    assert ingest(loaded, WHOLE)["duplicate_of"] == held
    clock.pass_by(minutes=1)
    revising.undo(loaded, held, by="dana", reason=None, at=clock.now)
    again = ingest(loaded, WHOLE)
    assert (again["state"], again["rows"]["applied"]) == ("done", 2)
    assert ingest(loaded, WHOLE)["duplicate_of"] == again["delivery"]


def test_what_proved_a_file_may_come_again_when_that_is_rejected(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """The brake that held it then was about the same lines, and is about these."""
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(40)])
    held = ingest(desk, RETURNED.rstrip("\n"))["delivery"]
    assert ingest(desk, RETURNED)["state"] == "duplicate"
    assert state(desk, held) == ("held", "OUTLIER")
    deciding.reject(desk, held, by="dana", at=clock.now)
    assert ingest(desk, RETURNED)["code"] == "OUTLIER"


def test_a_line_break_stands_for_no_trailer(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Where one is required it proves nothing; the trailer does."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")], catalogue=WITH_TRAILERS)
    clock.now = LOCK - MICROSECOND
    held = ingest(desk, WHOLE.rstrip("\n"))["delivery"]
    clock.now = LOCK
    assert ingest(desk, WHOLE)["duplicate_of"] == held
    assert state(desk, held) == ("held", "MAYBE_INCOMPLETE")
    assert ingest(desk, f"{WHOLE}#TRAILER,2,40.00\n")["duplicate_of"] == held
    assert pipeline.receipt(desk, held)["rows"]["applied"] == 2


def test_what_lacks_a_trailer_and_its_last_line_break_is_told_of_the_trailer(desk: Desk, tmp_path: Path) -> None:
    """A line break alone would not do."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")], catalogue=WITH_TRAILERS)
    held = ingest(desk, WHOLE.rstrip("\n"))
    assert (held["code"], "Send it again with its trailer." in held["message"]) == ("MAYBE_INCOMPLETE", True)


def test_another_accounts_file_replaces_nothing(loaded: Desk) -> None:
    """Bytes belong to who sent them."""
    held = ingest(loaded, CUT)["delivery"]
    ingest(loaded, WHOLE, sid="IRother2")
    assert state(loaded, held) == ("held", "MAYBE_INCOMPLETE")


def test_a_released_delivery_is_not_replaced(loaded: Desk, clock: Clock) -> None:
    """What was applied stays applied."""
    held = ingest(loaded, CUT)["delivery"]
    deciding.release(loaded, held, by="dana", at=clock.now)
    assert ingest(loaded, WHOLE)["rows"]["applied"] == 1
    assert state(loaded, held) == ("done", None)


def test_killed_before_the_replaced_one_is_answered(loaded: Desk, clock: Clock) -> None:
    """The next round tells its brand; the ledger is as it was."""
    ingest(loaded, CUT, name="cut.csv")
    later = land(loaded, WHOLE)
    pipeline.judge_anew(loaded, loaded.spool.find(later), clock.now)
    assert told(loaded, "cut.csv")["state"] == "held"
    before = dump(loaded.store)["entry"]
    pipeline.collect(loaded, at=clock.now)
    assert told(loaded, "cut.csv")["state"] == "rejected"
    assert dump(loaded.store)["entry"] == before


def test_an_answer_that_cannot_be_given_stops_no_other(loaded: Desk) -> None:
    """It is tried again with the next delivery."""
    held = ingest(loaded, CUT, name="cut.csv")["delivery"]
    done = loaded.spool.content(held).parent
    hidden = done.rename(done.parent.parent / "gone")
    assert ingest(loaded, WHOLE)["state"] == "done"
    hidden.rename(done)
    with loaded.store.read() as db:
        assert deliveries.unanswered(db, SID) == [held]
    ingest(loaded, lines("ActionId,Amount,Reason", "A-3,0,OTHER"), name="next.csv")
    with loaded.store.read() as db:
        assert deliveries.unanswered(db, SID) == []
    assert told(loaded, "cut.csv")["state"] == "rejected"


@pytest.mark.parametrize(
    ("case", "content", "expected"),
    [
        ("no trailer", WHOLE, "held"),
        ("a trailer", WHOLE + "#TRAILER,2,40.00\n", "done"),
        (
            "XML",
            "<ReversalRequests><ReversalRequest><ActionId>A-1</ActionId></ReversalRequest></ReversalRequests>",
            "done",
        ),
    ],
)
def test_an_account_whose_files_end_with_a_trailer(
    desk: Desk, tmp_path: Path, clock: Clock, case: str, content: str, expected: str
) -> None:
    """Then a file that is cut off between two lines shows it; a person may release it, and a longer one replaces it."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")], catalogue=WITH_TRAILERS)
    receipt = ingest(desk, content)
    assert receipt["state"] == expected, case
    if expected == "held":
        assert receipt["message"].startswith("The file does not end with a trailer")
        longer = lines(WHOLE.rstrip("\n"), "A-2,50.00,ORDER_UPDATE", "#TRAILER,3,90.00")
        assert ingest(desk, longer)["rows"]["read"] == 3
        assert state(desk, receipt["delivery"]) == ("rejected", "REPLACED")
        again = ingest(desk, lines("ActionId,Amount,Reason", "A-1,50.00,ORDER_UPDATE"))["delivery"]
        assert deciding.release(desk, again, by="dana", at=clock.now)["rows"]["applied"] == 1


def landed(
    desk: Desk, content: str | bytes, name: str = "returns.csv", channel: str = "http"
) -> tuple[str, str | None]:
    """State and code of a delivery of which no byte is missing on its way."""
    data = content.encode() if isinstance(content, str) else content
    sent = desk.spool.land(data, account=SID, channel=channel, name=name, proven=True).delivery
    pipeline.ingest(desk, sent, at=desk.spool.clock())
    return state(desk, sent)


@pytest.mark.parametrize("content", [WHOLE, WHOLE.rstrip("\n")], ids=["ended", "unended"])
def test_a_declared_length_stands_for_no_trailer(desk: Desk, tmp_path: Path, content: str) -> None:
    """It says what was sent, and a trailer what was to be exported; a sidecar is a count of the brand's own."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")], catalogue=WITH_TRAILERS)
    assert landed(desk, content) == ("held", "MAYBE_INCOMPLETE")
    assert landed(desk, content, name="again.csv") == ("duplicate", None)
    assert values(desk.store, "A-1")[1] == "100.00"
    digest = hashlib.sha256(content.encode()).hexdigest()
    ingest(desk, f"{digest}  returns.csv\n", name="returns.csv.sha256")
    assert values(desk.store, "A-1")[1] == "40.00"


@pytest.mark.parametrize("packed", [zipped, lambda files: gzipped(*files.values())], ids=["zip", "gz"])
def test_a_container_stands_for_no_trailer(desk: Desk, tmp_path: Path, packed: Callable[..., bytes]) -> None:
    """Its checksum says what was packed; with its trailer the file in it is applied."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")], catalogue=WITH_TRAILERS)
    for content, expected in ((WHOLE, "100.00"), (WHOLE + "#TRAILER,2,40.00\n", "40.00")):
        assert landed(desk, packed({"returns.csv": content.encode()}), name="returns.zip")[0] == "unpacked"
        assert values(desk.store, "A-1")[1] == expected


@pytest.mark.parametrize("channel", ["api", "salesforce:crm"])
def test_what_we_write_ourselves_needs_no_trailer(desk: Desk, tmp_path: Path, channel: str) -> None:
    """Nobody exports it, so nothing of it can be cut off."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")], catalogue=WITH_TRAILERS)
    assert landed(desk, WHOLE, channel=channel) == ("done", None)


@pytest.mark.parametrize(
    ("case", "bad", "repaired", "trailer"),
    [
        ("a reason", "A-1;50.00;REFUND", "A-1;50.00;OTHER", "#TRAILER;1;50.00"),
        ("an amount", "A-1;50,00;OTHER", "A-1;50.00;OTHER", "#TRAILER;1;0"),
        ("a cell too few", "A-1;50.00", "A-1;50.00;OTHER", "#TRAILER;1;0"),
    ],
)
def test_a_fix_file_ends_with_a_trailer_where_files_have_to(
    desk: Desk, tmp_path: Path, case: str, bad: str, repaired: str, trailer: str
) -> None:
    """It is taken when it comes back; a sum that the repair has moved is told."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")], catalogue=WITH_TRAILERS)
    header = "ActionId;Amount;Reason"
    assert ingest(desk, lines(header, bad, "A-2;40.00;OTHER", "#TRAILER;2;90.00"))["rows"]["applied"] == 1, case
    [fix] = (desk.brands / SID / "results").glob("fix_*")
    assert fix.read_text() == lines(header, bad, trailer)
    text = fix.read_text().replace(bad, repaired)
    if trailer != "#TRAILER;1;50.00":
        assert "the file has 1 lines and 50.00" in ingest(desk, text)["message"]
        text = text.replace(trailer, "#TRAILER;1;50.00")
    assert ingest(desk, text)["rows"]["applied"] == 1


def test_what_a_person_changed_is_told_already(loaded: Desk, clock: Clock) -> None:
    """It has no file to answer with, and no delivery waits for it."""
    deciding.change(loaded, SID, Wish("A-1", Change.REVERSE, "OTHER"), by="dana", at=clock.now)
    ingest(loaded, WHOLE)
    with loaded.store.read() as db:
        assert deliveries.unanswered(db, SID) == []
