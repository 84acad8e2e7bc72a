"""Files and their sidecars, whichever comes first."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding, pipeline, revising
from clawback.intake import arrival_of
from clawback.preview import preview
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing import deliveries
from tests.conftest import Clock
from tests.schemas.test_containers import gzipped, zipped
from tests.worlds import (
    CATALOGUE,
    LOCK,
    MICROSECOND,
    SID,
    WITH_TRAILERS,
    Sale,
    dump,
    ingest,
    land,
    lines,
    load,
    values,
    written,
)

WHOLE = lines("ActionId,Amount,Reason", "A-1,40.00,ORDER_UPDATE", "A-2,0,ITEM_RETURNED")
UNENDED = WHOLE.rstrip("\n")
CUT = WHOLE[:-12]
# Cut at the end of a line, it looks whole.
FIRST_LINES = lines(*WHOLE.splitlines()[:2])


@pytest.fixture
def loaded(tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    """Two actions of Acme Outdoor in the embedded store; what differs between stores is tried on both below."""
    with open_desk(Settings(state=tmp_path), clock) as desk:
        load(desk, tmp_path, [Sale("A-1"), Sale("A-2")])
        yield desk


def sidecar(content: str | bytes) -> str:
    """What `sha256sum returns.csv` prints."""
    data = content.encode() if isinstance(content, str) else content
    return f"{hashlib.sha256(data).hexdigest()}  returns.csv\n"


def send_sidecar(desk: Desk, content: str | bytes, name: str = "returns.csv.sha256") -> dict[str, Any]:
    """Send the sidecar of these bytes."""
    return ingest(desk, sidecar(content), name=name)


def state(desk: Desk, delivery: str) -> tuple[str, str | None]:
    """State and code of a delivery."""
    found = pipeline.receipt(desk, delivery)
    return found["state"], found["code"]


def listed(desk: Desk) -> list[dict[str, Any]]:
    """The deliveries, the newest first."""
    with desk.store.read() as db:
        return deliveries.listing(db)


def told(desk: Desk, name: str) -> str:
    """The state in the receipt that the brand finds in its folder."""
    return str(json.loads((desk.brands / SID / "results" / f"receipt_{name}.json").read_text())["state"])


def test_a_sidecar_that_came_first_proves_the_file(loaded: Desk) -> None:
    """It waits; then the file is applied, although its last line does not end."""
    waiting = send_sidecar(loaded, UNENDED)
    assert (waiting["state"], waiting["rows"]["read"]) == ("waiting", 0)
    receipt = ingest(loaded, UNENDED)
    assert (receipt["state"], receipt["rows"]["applied"]) == ("done", 2)
    assert state(loaded, waiting["delivery"]) == ("done", None)
    assert told(loaded, "returns.csv.sha256") == "done"


def test_a_sidecar_that_came_later_releases_the_held_file(loaded: Desk) -> None:
    """In the file's own time; its brand is told anew, and of nobody who released it."""
    held = ingest(loaded, UNENDED)["delivery"]
    assert state(loaded, held) == ("held", "MAYBE_INCOMPLETE")
    assert send_sidecar(loaded, UNENDED)["state"] == "done"
    assert state(loaded, held) == ("done", None)
    assert pipeline.receipt(loaded, held)["message"] is None
    assert values(loaded.store, "A-2") == ("REVERSED", "0.00", "0.00")
    assert told(loaded, "returns.csv") == "done"


def test_a_file_with_another_digest_is_rejected(loaded: Desk) -> None:
    """The sidecar came first and goes on waiting for the right file."""
    waiting = send_sidecar(loaded, WHOLE)["delivery"]
    wrong = ingest(loaded, lines(*WHOLE.splitlines()[:2]))
    assert (wrong["state"], wrong["code"]) == ("rejected", "DIGEST_MISMATCH")
    assert hashlib.sha256(WHOLE.encode()).hexdigest() in wrong["message"]
    assert waiting in wrong["message"]
    assert values(loaded.store, "A-1") == ("PENDING", "100.00", "5.00")
    assert ingest(loaded, WHOLE)["rows"]["applied"] == 2
    assert state(loaded, waiting) == ("done", None)


def test_a_held_file_with_another_digest_is_rejected(desk: Desk, tmp_path: Path) -> None:
    """The sidecar came later; the whole file, sent again, is what it waits for."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")])
    held = ingest(desk, CUT)["delivery"]
    waiting = send_sidecar(desk, WHOLE)
    assert waiting["state"] == "waiting"
    assert state(desk, held) == ("rejected", "DIGEST_MISMATCH")
    assert told(desk, "returns.csv") == "rejected"
    assert ingest(desk, WHOLE)["rows"]["applied"] == 2


def test_the_sidecar_of_a_file_that_was_applied(loaded: Desk) -> None:
    """It says what is known, and changes nothing."""
    ingest(loaded, WHOLE)
    before = dump(loaded.store)["entry"]
    assert send_sidecar(loaded, WHOLE)["state"] == "done"
    assert send_sidecar(loaded, WHOLE)["state"] == "done"
    assert dump(loaded.store)["entry"] == before


@pytest.mark.parametrize(
    ("case", "how"),
    [("another name", {"name": "other.csv"}), ("another account", {"sid": "IRother2"})],
)
def test_a_sidecar_is_about_one_name_of_one_account(loaded: Desk, case: str, how: dict[str, str]) -> None:
    """Other files are not compared with it."""
    waiting = send_sidecar(loaded, WHOLE)["delivery"]
    assert ingest(loaded, lines("ActionId,Amount,Reason", "A-1,0,OTHER"), **how)["state"] == "done", case
    assert state(loaded, waiting) == ("waiting", None)


def test_the_newest_sidecar_counts(loaded: Desk) -> None:
    """A wrong one is corrected by sending another."""
    wrong = send_sidecar(loaded, "something else")["delivery"]
    right = send_sidecar(loaded, WHOLE)["delivery"]
    assert [state(loaded, one)[0] for one in (wrong, right)] == ["rejected", "waiting"]
    assert ingest(loaded, WHOLE)["rows"]["applied"] == 2


def test_what_is_no_sidecar_is_not_read_as_lines(loaded: Desk) -> None:
    """Its name says what it should be."""
    receipt = ingest(loaded, WHOLE, name="returns.csv.sha256")
    assert (receipt["state"], receipt["code"], receipt["rows"]["read"]) == ("rejected", "NOT_READABLE", 0)


def test_the_sidecar_of_a_container(loaded: Desk) -> None:
    """A container that is not the one that was announced is not unpacked."""
    content = zipped({"returns.csv": WHOLE.encode()})
    waiting = send_sidecar(loaded, content, "returns.zip.sha256")["delivery"]
    wrong = ingest(loaded, zipped({"other.csv": WHOLE.encode()}), name="returns.zip")
    assert (wrong["state"], wrong["code"]) == ("rejected", "DIGEST_MISMATCH")
    assert values(loaded.store, "A-1") == ("PENDING", "100.00", "5.00")
    assert ingest(loaded, content, name="returns.zip")["state"] == "unpacked"
    assert state(loaded, waiting) == ("done", None)
    assert send_sidecar(loaded, content, "returns.zip.sha256")["state"] == "done"


def test_a_preview_minds_the_sidecar(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """As the file's own arrival would, and nothing is written."""
    ingest(loaded, sidecar(WHOLE), name="returns.csv.sha256")
    before = dump(loaded.store)
    for content, expected in ((CUT, "DIGEST_MISMATCH"), (WHOLE, None)):
        file = written(tmp_path, "returns.csv", content)
        arrival = replace(arrival_of(file, event_type=None, again=False, received_at=clock.now), channel="test")
        assert preview(loaded, arrival, SID, file)["code"] == expected
    assert dump(loaded.store) == before


def test_killed_between_the_sidecar_and_the_release(loaded: Desk, clock: Clock) -> None:
    """The next round releases the file, once."""
    held = ingest(loaded, UNENDED)["delivery"]
    late = land(loaded, sidecar(UNENDED), name="returns.csv.sha256")
    pipeline.judge_anew(loaded, loaded.spool.find(late), clock.now)
    assert state(loaded, held)[0] == "held"
    pipeline.collect(loaded, at=clock.now)
    assert state(loaded, held) == ("done", None)
    assert told(loaded, "returns.csv") == "done"
    assert len(dump(loaded.store)["entry"]) == 2


def test_a_stale_sidecar_rejects_no_later_file(desk: Desk, tmp_path: Path) -> None:
    """It contradicts the file that came before it and was applied: it ends there, and names that file."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")])
    cut = ingest(desk, FIRST_LINES)
    stale = send_sidecar(desk, WHOLE)
    assert (cut["state"], stale["state"], stale["code"]) == ("done", "rejected", "DIGEST_MISMATCH")
    assert cut["delivery"] in stale["message"]
    assert stale["message"].endswith("Have that delivery undone, and send the file again.")
    assert told(desk, "returns.csv.sha256") == "rejected"
    for amount in ("30.00", "20.00"):
        content = lines("ActionId,Amount,Reason", f"A-1,{amount},ORDER_UPDATE")
        assert ingest(desk, content)["state"] == "done"
        assert send_sidecar(desk, content)["state"] == "done"
    assert values(desk.store, "A-1")[1] == "20.00"
    assert state(desk, stale["delivery"]) == ("rejected", "DIGEST_MISMATCH")


def test_a_stale_sidecar_rejects_no_later_container(loaded: Desk) -> None:
    """What was unpacked was applied, too."""
    first, *later = (zipped({"inside.csv": f"ActionId,Amount,Reason\nA-1,{n}.00,OTHER\n".encode()}) for n in (40, 30))
    assert ingest(loaded, first, name="returns.zip")["state"] == "unpacked"
    stale = send_sidecar(loaded, "something else", "returns.zip.sha256")
    assert (stale["state"], stale["code"]) == ("rejected", "DIGEST_MISMATCH")
    assert "was unpacked. Have its files undone" in stale["message"]
    assert [ingest(loaded, one, name="returns.zip")["state"] for one in later] == ["unpacked"]
    assert values(loaded.store, "A-1")[1] == "30.00"


@pytest.mark.parametrize("proof", ["before", "behind"])
def test_a_sidecar_behind_a_proven_file_waits_for_the_next(desk: Desk, tmp_path: Path, proof: str) -> None:
    """What is proven needs no second proof."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")])
    for send in (send_sidecar, ingest) if proof == "before" else (ingest, send_sidecar):
        send(desk, FIRST_LINES)
    waiting = send_sidecar(desk, WHOLE)
    assert waiting["state"] == "waiting"
    assert ingest(desk, WHOLE)["state"] == "done"
    assert state(desk, waiting["delivery"]) == ("done", None)


def test_one_file_without_a_sidecar_does_not_set_the_next_ones_back(loaded: Desk) -> None:
    """The first sidecar cannot know better; what has its digest is proven all the same, and the next one waits."""
    ingest(loaded, FIRST_LINES)
    first = send_sidecar(loaded, UNENDED)
    assert (first["state"], ingest(loaded, UNENDED)["state"]) == ("rejected", "done")
    assert state(loaded, first["delivery"]) == ("done", None)
    assert send_sidecar(loaded, WHOLE)["state"] == "waiting"


def test_only_one_sidecar_belongs_to_a_file(loaded: Desk) -> None:
    """The next one is for the file that is sent instead."""
    ingest(loaded, FIRST_LINES)
    assert send_sidecar(loaded, "something else")["state"] == "rejected"
    assert send_sidecar(loaded, WHOLE)["state"] == "waiting"


def test_a_sidecar_behind_an_undone_file_waits(loaded: Desk, clock: Clock) -> None:
    """It announces what replaces the file."""
    cut = ingest(loaded, FIRST_LINES)["delivery"]
    revising.undo(loaded, cut, by="dana", reason=None, at=clock.now)
    assert send_sidecar(loaded, WHOLE)["state"] == "waiting"
    assert ingest(loaded, WHOLE)["rows"]["applied"] == 2


def test_a_rejected_file_is_taken_up_when_its_own_sidecar_comes(desk: Desk, tmp_path: Path) -> None:
    """The one that rejected it was another file's."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")])
    stale = send_sidecar(desk, "something else")["delivery"]
    rejected = ingest(desk, WHOLE)["delivery"]
    assert state(desk, rejected) == ("rejected", "DIGEST_MISMATCH")
    assert send_sidecar(desk, WHOLE)["state"] == "done"
    assert [state(desk, one)[0] for one in (stale, rejected)] == ["rejected", "done"]
    assert told(desk, "returns.csv") == "done"
    assert values(desk.store, "A-2") == ("REVERSED", "0.00", "0.00")


def test_killed_before_a_rejected_file_is_taken_up(loaded: Desk, clock: Clock) -> None:
    """The next round takes it up, once."""
    send_sidecar(loaded, "something else")
    rejected = ingest(loaded, WHOLE)["delivery"]
    late = land(loaded, sidecar(WHOLE), name="returns.csv.sha256")
    pipeline.judge_anew(loaded, loaded.spool.find(late), clock.now)
    assert state(loaded, rejected)[0] == "rejected"
    pipeline.collect(loaded, at=clock.now)
    assert state(loaded, rejected) == ("done", None)
    assert len(dump(loaded.store)["entry"]) == 2


def test_a_rejected_container_is_taken_up_with_its_files(loaded: Desk) -> None:
    """At once, before anything that arrives later."""
    content = zipped({"inside.csv": WHOLE.encode()})
    send_sidecar(loaded, "something else", "returns.zip.sha256")
    rejected = ingest(loaded, content, name="returns.zip")["delivery"]
    assert state(loaded, rejected) == ("rejected", "DIGEST_MISMATCH")
    assert send_sidecar(loaded, content, "returns.zip.sha256")["state"] == "done"
    assert state(loaded, rejected) == ("unpacked", None)
    assert values(loaded.store, "A-1")[1] == "40.00"


def test_a_rejected_file_that_was_followed_stays_rejected(loaded: Desk) -> None:
    """What came behind it took its place."""
    send_sidecar(loaded, UNENDED)
    rejected = ingest(loaded, FIRST_LINES)["delivery"]
    ingest(loaded, UNENDED)
    assert send_sidecar(loaded, FIRST_LINES)["state"] == "waiting"
    assert state(loaded, rejected) == ("rejected", "DIGEST_MISMATCH")


BRAKED = lines("ActionId,Amount,Reason", *(f"A-{at},0,ITEM_RETURNED" for at in range(60)))
BAD = lines("ActionId,Amount,Reason", *(f"A-{at},-1,OTHER" for at in range(59)), "A-60,40.00,OTHER")
ALL_BAD = lines("ActionId,Amount,Reason", *(f"A-{at},-1,OTHER" for at in range(60)))
NOTED = lines("ActionId,Amount,Reason,Note", "A-1,40.00,OTHER,hm")
IGNORING = CATALOGUE.replace('name = "Acme Outdoor"', 'name = "Acme Outdoor"\nignore_columns = ["Note"]')
NEXT = lines("ActionId,Amount,Reason", "A-99,40.00,ORDER_UPDATE")


@pytest.mark.parametrize("decide", [deciding.release, deciding.reject])
def test_the_sidecar_of_a_braked_file_waits_for_no_other(
    decide: Callable[..., dict[str, Any]], desk: Desk, tmp_path: Path, clock: Clock
) -> None:
    """Its file came, whatever a person makes of it; the next one of the name is not compared with it."""
    load(desk, tmp_path, [Sale(f"A-{at}") for at in range(100)])
    announced = send_sidecar(desk, BRAKED)["delivery"]
    held = ingest(desk, BRAKED)["delivery"]
    assert (state(desk, held), state(desk, announced)) == (("held", "OUTLIER"), ("done", None))
    assert told(desk, "returns.csv.sha256") == "done"
    decide(desk, held, by="dana", at=clock.pass_by(minutes=1))
    assert ingest(desk, NEXT)["state"] == "done"


def test_the_sidecar_of_a_file_that_cannot_be_read_waits_for_no_other(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """It proves its own file still when that is judged anew."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-99")])
    noted = NOTED.rstrip("\n")
    announced = send_sidecar(desk, noted)["delivery"]
    rejected = ingest(desk, noted)["delivery"]
    assert (state(desk, rejected), state(desk, announced)) == (("rejected", "COLUMN_UNKNOWN"), ("done", None))
    clock.pass_by(days=1)
    assert ingest(desk, NEXT)["state"] == "done"
    load(desk, tmp_path, catalogue=IGNORING)
    assert revising.replay(desk, rejected, at=clock.now)["rows"]["applied"] == 1
    assert state(desk, announced) == ("done", None)


def land_proven(desk: Desk, content: str, **how: Any) -> str:  # noqa: ANN401 - as Spool.land
    """Land a delivery of which it is known that no byte is missing, as one with a declared length; gives its number."""
    named: dict[str, Any] = {"account": SID, "channel": "test", "name": "again.csv", "proven": True}
    return desk.spool.land(content.encode(), **named | how).delivery


def finished(desk: Desk, delivery: str) -> str:
    """Bring a landed delivery to its end; gives its state."""
    pipeline.ingest(desk, delivery, at=desk.spool.clock())
    return state(desk, delivery)[0]


@pytest.mark.parametrize("how", [{}, {"again": True}, {"channel": "ftp", "name": "returns.csv"}], ids=str)
def test_the_same_bytes_with_a_proof_prove_the_held_ones(
    how: dict[str, Any], desk: Desk, tmp_path: Path, clock: Clock
) -> None:
    """The first are applied, once, by their own arrival; those that proved it are their duplicate."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")])
    clock.now = LOCK - MICROSECOND
    held = ingest(desk, UNENDED)["delivery"]
    assert state(desk, held) == ("held", "MAYBE_INCOMPLETE")
    clock.now = LOCK
    proof = land_proven(desk, UNENDED, **how)
    assert finished(desk, proof) == "duplicate"
    receipt = pipeline.receipt(desk, held)
    assert (receipt["state"], receipt["rows"]["applied"], receipt["rows"]["read"]) == ("done", 2, 2)
    again = pipeline.receipt(desk, proof)
    assert (again["duplicate_of"], again["rows"]["read"]) == (held, 0)
    assert held in again["message"]
    assert values(desk.store, "A-2") == ("REVERSED", "0.00", "0.00")
    assert told(desk, "returns.csv") == "done"
    assert len(dump(desk.store)["entry"]) == 2


def test_a_sidecar_of_the_same_bytes_under_another_name_proves_the_held_ones(loaded: Desk) -> None:
    """The bytes that it announced came, and they are those that are held."""
    held = ingest(loaded, UNENDED, name="first.csv")["delivery"]
    early = land(loaded, sidecar(UNENDED), name="returns.csv.sha256")
    assert finished(loaded, early) == "done"
    assert state(loaded, held) == ("done", None)
    assert finished(loaded, land_proven(loaded, UNENDED)) == "duplicate"
    assert len(dump(loaded.store)["entry"]) == 2


@pytest.mark.parametrize("name", ["returns.csv", "half.csv"])
def test_a_sidecar_of_a_file_that_adds_no_line_proves_the_held_one(desk: Desk, tmp_path: Path, name: str) -> None:
    """Where a trailer has to, a line break proves nothing: that file is a duplicate, and the sidecar is about it."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")], catalogue=WITH_TRAILERS)
    held = ingest(desk, UNENDED, name=name)
    assert ingest(desk, WHOLE)["state"] == "duplicate"
    send_sidecar(desk, WHOLE)
    assert (state(desk, held["delivery"]), values(desk.store, "A-1")[1]) == (("done", None), "40.00")


def test_the_sidecar_of_a_gz_whose_file_is_held_already(loaded: Desk) -> None:
    """The file in it is a duplicate; with each byte of the gz, each of the held one is there."""
    held = ingest(loaded, UNENDED)
    packed = gzipped(UNENDED.encode())
    ingest(loaded, packed, name="returns.csv.gz")
    ingest(loaded, sidecar(packed).replace("returns.csv", "returns.csv.gz"), name="returns.csv.gz.sha256")
    assert state(loaded, held["delivery"]) == ("done", None)


def test_killed_between_the_proof_and_what_it_proves(loaded: Desk, clock: Clock) -> None:
    """The next round takes the held one up, once."""
    held = ingest(loaded, UNENDED)["delivery"]
    proof = land_proven(loaded, UNENDED)
    pipeline.judge_anew(loaded, loaded.spool.find(proof), clock.now)
    assert (state(loaded, held)[0], state(loaded, proof)[0]) == ("held", "duplicate")
    pipeline.collect(loaded, at=clock.now)
    assert state(loaded, held) == ("done", None)
    assert told(loaded, "returns.csv") == "done"
    assert len(dump(loaded.store)["entry"]) == 2


def test_the_same_bytes_without_a_proof_prove_nothing(loaded: Desk) -> None:
    """They may have been cut off at the same place."""
    held = ingest(loaded, UNENDED)["delivery"]
    assert ingest(loaded, UNENDED, name="again.csv")["message"] is None
    assert state(loaded, held) == ("held", "MAYBE_INCOMPLETE")


def test_a_proof_releases_no_brake(loaded: Desk, tmp_path: Path) -> None:
    """It says that the file is whole, and nothing of what it asks for."""
    load(loaded, tmp_path, [Sale(f"A-{at}") for at in range(100)])
    unended = BRAKED.rstrip("\n")
    held = ingest(loaded, unended)["delivery"]
    assert state(loaded, held) == ("held", "MAYBE_INCOMPLETE")
    assert finished(loaded, land_proven(loaded, unended)) == "duplicate"
    assert state(loaded, held) == ("held", "OUTLIER")
    assert finished(loaded, land_proven(loaded, unended)) == "duplicate"
    assert state(loaded, held) == ("held", "OUTLIER")


@pytest.mark.parametrize(
    ("content", "code"),
    [(BRAKED, "OUTLIER"), (BAD, "MOSTLY_BAD"), (ALL_BAD, "MOSTLY_BAD")],
    ids=["outlier", "mostly bad", "bad"],
)
def test_a_sidecar_with_another_digest_leaves_a_braked_file_to_a_person(
    content: str, code: str, desk: Desk, tmp_path: Path, clock: Clock
) -> None:
    """It may announce the next file of the name. Who decides about the held one is told of it, and so is its brand."""
    load(desk, tmp_path, [Sale(f"A-{at}") for at in range(100)])
    held = ingest(desk, content)
    assert (held["state"], held["code"]) == ("held", code)
    waiting = send_sidecar(desk, NEXT)
    assert waiting["state"] == "waiting"
    after = pipeline.receipt(desk, held["delivery"])
    assert (after["state"], after["code"]) == ("held", code)
    assert (after["rows"], after["lines"]) == (held["rows"], held["lines"])
    digest = hashlib.sha256(NEXT.encode()).hexdigest()
    said = f"The sidecar {waiting['delivery']}, which came behind it, announces another digest, {digest}"
    assert after["message"].startswith(f"{held['message']} {said}")
    assert said in (desk.brands / SID / "results" / "receipt_returns.csv.json").read_text()
    assert ingest(desk, NEXT)["state"] == "done"
    assert state(desk, waiting["delivery"]) == ("done", None)
    released = deciding.release(desk, held["delivery"], by="dana", at=clock.now)
    assert (released["state"], released["rows"]["held"]) == ("done", 0)
    assert said in released["message"]


def test_a_whole_xml_that_is_braked_is_not_rejected(loaded: Desk, tmp_path: Path) -> None:
    """It proves itself; the sidecar is about tomorrow's."""
    load(loaded, tmp_path, [Sale(f"A-{at}") for at in range(100)])
    record = "<ReversalRequest><ActionId>A-{}</ActionId><Reason>OTHER</Reason></ReversalRequest>"
    content = f"<ReversalRequests>{''.join(map(record.format, range(60)))}</ReversalRequests>"
    held = ingest(loaded, content, name="returns.xml")["delivery"]
    assert send_sidecar(loaded, NEXT, "returns.xml.sha256")["state"] == "waiting"
    assert state(loaded, held) == ("held", "OUTLIER")


def test_a_braked_file_that_was_sent_twice_is_told_of_a_sidecar(loaded: Desk, tmp_path: Path) -> None:
    """The sidecar is about the bytes."""
    load(loaded, tmp_path, [Sale(f"A-{at}") for at in range(100)])
    held = ingest(loaded, BRAKED)["delivery"]
    assert ingest(loaded, BRAKED)["state"] == "duplicate"
    waiting = send_sidecar(loaded, NEXT)
    assert waiting["state"] == "waiting"
    assert state(loaded, held) == ("held", "OUTLIER")
    assert waiting["delivery"] in pipeline.receipt(loaded, held)["message"]


@pytest.mark.parametrize("proof", ["before", "behind"])
def test_the_next_sidecar_says_nothing_of_a_braked_file_that_has_its_own(
    proof: str, desk: Desk, tmp_path: Path, clock: Clock
) -> None:
    """A person decides, though the next file of the name is announced already."""
    load(desk, tmp_path, [Sale(f"A-{at}") for at in range(100)])
    for send in (send_sidecar, ingest) if proof == "before" else (ingest, send_sidecar):
        send(desk, BRAKED)
    waiting = send_sidecar(desk, NEXT)["delivery"]
    [held] = [one["delivery"] for one in listed(desk) if one["name"] == "returns.csv"]
    assert state(desk, held) == ("held", "OUTLIER")
    assert waiting not in pipeline.receipt(desk, held)["message"]
    assert deciding.release(desk, held, by="dana", at=clock.now)["rows"]["applied"] == 60
    assert state(desk, waiting) == ("waiting", None)
    assert ingest(desk, NEXT)["state"] == "done"


def test_a_sidecar_says_nothing_of_a_braked_file_that_was_followed(loaded: Desk, tmp_path: Path) -> None:
    """The sidecar comes behind the newest file of the name."""
    load(loaded, tmp_path, [Sale(f"A-{at}") for at in range(100)])
    held = ingest(loaded, BRAKED)["delivery"]
    ingest(loaded, NEXT)
    assert send_sidecar(loaded, NEXT)["state"] == "done"
    waiting = send_sidecar(loaded, WHOLE)
    assert waiting["state"] == "waiting"
    assert state(loaded, held) == ("held", "OUTLIER")
    assert waiting["delivery"] not in pipeline.receipt(loaded, held)["message"]


@pytest.mark.parametrize("proof", ["before", "behind"])
def test_a_replayed_file_is_not_compared_with_the_next_ones_sidecar(
    proof: str, desk: Desk, tmp_path: Path, clock: Clock
) -> None:
    """The files of each day have one name; it has a sidecar of its own, and is proven by it."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-99")])
    monday = NOTED.rstrip("\n")
    for send in (send_sidecar, ingest) if proof == "before" else (ingest, send_sidecar):
        send(desk, monday)
    clock.pass_by(days=1)
    waiting = send_sidecar(desk, NEXT)
    assert waiting["state"] == "waiting"
    load(desk, tmp_path, catalogue=IGNORING)
    [noted] = [one["delivery"] for one in listed(desk) if one["name"] == "returns.csv"]
    assert revising.preview_replay(desk, noted, at=clock.now)["rows"]["applied"] == 1
    assert revising.replay(desk, noted, at=clock.now)["rows"]["applied"] == 1
    assert state(desk, waiting["delivery"]) == ("waiting", None)
    assert ingest(desk, NEXT)["state"] == "done"
    assert state(desk, waiting["delivery"]) == ("done", None)


def test_a_replayed_file_that_was_followed_is_not_compared_with_a_later_sidecar(
    loaded: Desk, tmp_path: Path, clock: Clock
) -> None:
    """Files of the name came in between, and the sidecar came behind these."""
    load(loaded, tmp_path, [Sale("A-1"), Sale("A-99")])
    noted = ingest(loaded, NOTED)["delivery"]
    for send in (ingest, send_sidecar):
        send(loaded, NEXT)
    assert send_sidecar(loaded, WHOLE)["state"] == "waiting"
    load(loaded, tmp_path, catalogue=IGNORING)
    assert revising.replay(loaded, noted, at=clock.now)["rows"]["applied"] == 1


@pytest.mark.parametrize("came", ["before", "right behind"])
def test_a_replayed_file_is_compared_with_the_sidecar_that_is_about_it(
    came: str, loaded: Desk, tmp_path: Path, clock: Clock
) -> None:
    """It said another digest before the replay, and says so still."""
    for send in (send_sidecar, ingest) if came == "before" else (ingest, send_sidecar):
        send(loaded, WHOLE if send is send_sidecar else NOTED)
    load(loaded, tmp_path, catalogue=IGNORING)
    [noted] = [one["delivery"] for one in listed(loaded) if one["name"] == "returns.csv"]
    assert revising.replay(loaded, noted, at=clock.now)["code"] == "DIGEST_MISMATCH"
    assert revising.replay(loaded, noted, at=clock.now)["code"] == "DIGEST_MISMATCH"
    assert ingest(loaded, WHOLE)["rows"]["applied"] == 2


def test_a_replayed_container_is_not_compared_with_the_next_ones_sidecar(loaded: Desk, clock: Clock) -> None:
    """It was rejected for what came before its own sidecar did."""
    content = zipped({"inside.csv": WHOLE.encode()})
    rejected = ingest(loaded, content[:-30], name="returns.zip")["delivery"]
    assert state(loaded, rejected) == ("rejected", "NOT_READABLE")
    assert send_sidecar(loaded, content[:-30], "returns.zip.sha256")["state"] == "done"
    assert send_sidecar(loaded, content, "returns.zip.sha256")["state"] == "waiting"
    assert revising.replay(loaded, rejected, at=clock.now)["code"] == "NOT_READABLE"
    assert ingest(loaded, content, name="returns.zip")["state"] == "unpacked"


def test_what_is_sent_again_on_purpose_is_not_compared_with_the_next_ones_sidecar(desk: Desk, tmp_path: Path) -> None:
    """Its bytes came before; the sidecar announces others, and waits for them."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2"), Sale("A-99")])
    for send in (send_sidecar, ingest):
        send(desk, WHOLE)
    waiting = send_sidecar(desk, NEXT)["delivery"]
    again = ingest(desk, WHOLE, again=True)
    assert (again["state"], again["rows"]["unchanged"]) == ("done", 2)
    assert state(desk, waiting) == ("waiting", None)
    assert ingest(desk, NEXT)["rows"]["applied"] == 1


def test_what_a_sidecar_rejected_is_rejected_again(loaded: Desk) -> None:
    """To send it on purpose does not make it the file that was announced."""
    send_sidecar(loaded, WHOLE)
    assert [ingest(loaded, FIRST_LINES, again=again)["code"] for again in (False, True)] == ["DIGEST_MISMATCH"] * 2
    ingest(loaded, NEXT, name="other.csv")
    assert ingest(loaded, NEXT, again=True)["code"] == "DIGEST_MISMATCH"
