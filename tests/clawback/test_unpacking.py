"""Containers from the spool to the answers of their files."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from clawback import pipeline, revising
from clawback.intake import arrival_of
from clawback.loading import load_catalog
from clawback.preview import preview
from clawback.settings import Settings
from clawback.unpacking import unpack
from clawback.wiring import Desk, open_desk
from processing import deliveries
from processing.errors import Unusable
from tests.conftest import Clock
from tests.schemas.test_containers import gzipped, zipped
from tests.workbooks import row, sheet, workbook
from tests.worlds import CATALOGUE, LOCK, SID, Sale, codes, dump, ingest, land, lines, load, values, written

FIRST = lines("ActionId,Amount,Reason", "A-1,40.00,ORDER_UPDATE", "A-2,-1,OTHER").encode()
SECOND = lines("ActionId,Amount,Reason", "A-1,60.00,ORDER_UPDATE", "A-3,0,ITEM_RETURNED").encode()
BAD = b"ActionId,Amuont,Reason\nA-1,0,OTHER\n"
ZIP = zipped({"in/first.csv": FIRST, "bad.csv": BAD, "__MACOSX/._first.csv": b"x", "second.csv": SECOND})


@pytest.fixture
def loaded(tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    """Three actions of Acme Outdoor in the embedded store; what differs between stores is tried on both below."""
    with open_desk(Settings(state=tmp_path), clock) as desk:
        load(desk, tmp_path, [Sale("A-1", "O-1"), Sale("A-2", "O-2"), Sale("A-3", "O-3")])
        yield desk


def ledger(desk: Desk) -> list[tuple[str, str, str]]:
    """What the three actions have come to."""
    return [values(desk.store, action_id) for action_id in ("A-1", "A-2", "A-3")]


AFTER = [("PENDING", "60.00", "3.00"), ("PENDING", "100.00", "5.00"), ("REVERSED", "0.00", "0.00")]


def files(desk: Desk, delivery: str) -> list[dict[str, Any]]:
    """The receipts of the files of a container."""
    found: list[dict[str, Any]] = pipeline.receipt_with_files(desk, delivery)["files"]
    return found


def results(desk: Desk) -> list[str]:
    """The names of what the brand finds in its folder."""
    return sorted(path.name for path in (desk.brands / SID / "results").iterdir() if path.is_file())


def test_the_files_of_a_container_are_replayed_one_by_one(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """The container itself asked for nothing; its files have what is open, and are named."""
    load(desk, tmp_path, [Sale("A-1", "O-1")])
    number = ingest(desk, ZIP, name="returns.zip")["delivery"]
    named = ", ".join(f"{number}-{at:04}" for at in (1, 2, 3))
    with pytest.raises(Unusable, match=rf"is a container\. Replay the deliveries of its files: {named}\.$"):
        revising.replay(desk, number, at=clock.now)


def test_each_file_of_a_zip_is_a_delivery(desk: Desk, tmp_path: Path) -> None:
    """In the order of the zip, with its arrival; the zip's receipt lists them and says what was left out."""
    load(desk, tmp_path, [Sale("A-1", "O-1"), Sale("A-2", "O-2"), Sale("A-3", "O-3")])
    receipt = ingest(desk, ZIP, name="returns.zip")
    number = receipt["delivery"]
    assert (receipt["state"], receipt["code"], receipt["rows"]["read"]) == ("unpacked", None, 0)
    assert receipt["message"] == (
        "The container has 3 files, each of which is a delivery of its own with its own receipt. "
        "Left out, being no delivery: '__MACOSX/._first.csv'."
    )
    names = ["first.csv", "bad.csv", "second.csv"]
    assert receipt["files"] == [{"name": name, "delivery": f"{number}-{at:04}"} for at, name in enumerate(names, 1)]
    parts = files(desk, number)
    assert [(one["state"], one["code"]) for one in parts] == [
        ("done", None),
        ("rejected", "COLUMN_UNKNOWN"),
        ("done", None),
    ]
    assert {one["received_at"] for one in parts} == {receipt["received_at"]}
    assert ledger(desk) == AFTER
    assert desk.spool.pending() == []
    assert results(desk) == [
        "fix_first.csv",
        "receipt_bad.csv.json",
        "receipt_first.csv.json",
        "receipt_returns.zip.json",
        "receipt_second.csv.json",
        "result_first.csv",
        "result_second.csv",
    ]
    told = json.loads((desk.brands / SID / "results" / "receipt_returns.zip.json").read_text())
    assert told == receipt


def test_a_gz_is_a_delivery_in_an_envelope(loaded: Desk) -> None:
    """It has its own name and its own answers."""
    receipt = ingest(loaded, gzipped(FIRST), name="returns.csv.gz")
    [part] = files(loaded, receipt["delivery"])
    assert (part["name"], part["state"], part["rows"]["applied"]) == ("returns.csv", "done", 1)
    assert "result_returns.csv" in results(loaded)


def test_a_bad_amount_above_the_trailer_of_a_gz_is_rejected_alone(loaded: Desk) -> None:
    """The trailer ends, so its sum is not what was cut off."""
    rows = ("ActionId,Amount,Reason", "A-1,40.00,OTHER", 'A-2,"1.234,56",OTHER', "#TRAILER,2,1274.56")
    receipt = ingest(loaded, gzipped(lines(*rows).encode()), name="returns.csv.gz")
    [file] = files(loaded, receipt["delivery"])
    assert codes(file) == [(3, "rejected", "AMOUNT_MALFORMED")]
    assert file["rows"]["applied"] == 1


@pytest.mark.parametrize(
    "content", [gzipped(FIRST) + gzipped(b"A-3,0,OTHER"), gzipped(FIRST + b"A-3,0,OT")], ids=["whole", "cut"]
)
def test_a_gz_can_be_cut_between_members(loaded: Desk, content: bytes) -> None:
    """So the last line has to end, as in a file without an envelope; the second has lost its second member."""
    [part] = files(loaded, ingest(loaded, content, name="returns.csv.gz")["delivery"])
    assert (part["state"], part["code"]) == ("held", "MAYBE_INCOMPLETE")


def test_a_gz_that_its_sidecar_proves_is_whole(loaded: Desk) -> None:
    """Then no member is missing, and the last line needs no end."""
    content = gzipped(FIRST.rstrip(b"\n"))
    digest = hashlib.sha256(content).hexdigest()
    ingest(loaded, f"{digest}  returns.csv.gz\n", name="returns.csv.gz.sha256")
    [part] = files(loaded, ingest(loaded, content, name="returns.csv.gz")["delivery"])
    assert (part["state"], part["rows"]["applied"]) == ("done", 1)


def test_a_sidecar_behind_a_gz_releases_its_file(desk: Desk, tmp_path: Path) -> None:
    """It proves each byte of the gz, and so of what is in it; one of other bytes, or sent again, does nothing."""
    load(desk, tmp_path, [Sale("A-1"), Sale("A-2")])
    content = gzipped(FIRST.rstrip(b"\n"))
    number = ingest(desk, content, name="returns.csv.gz")["delivery"]
    assert [(part["state"], part["code"]) for part in files(desk, number)] == [("held", "MAYBE_INCOMPLETE")]
    announced = lines(f"{hashlib.sha256(content).hexdigest()}  returns.csv.gz")
    assert ingest(desk, announced, name="returns.csv.gz.sha256")["state"] == "done"
    [part] = files(desk, number)
    assert (part["state"], part["rows"]["applied"]) == ("done", 1)
    assert b'"state": "done"' in (desk.brands / SID / "results" / "receipt_returns.csv.json").read_bytes()
    before = values(desk.store, "A-1")
    ingest(desk, announced + "\n", name="returns.csv.gz.sha256")
    assert values(desk.store, "A-1") == before == ("PENDING", "40.00", "2.00")


def test_a_sidecar_behind_a_gz_replaces_no_trailer(loaded: Desk, tmp_path: Path) -> None:
    """A trailer says that the export was whole, which no proof of its envelope does."""
    load_catalog(loaded, written(tmp_path, "strict.toml", CATALOGUE.replace('"USD"', '"USD"\ntrailer = "required"', 1)))
    content = gzipped(FIRST)
    number = ingest(loaded, content, name="returns.csv.gz")["delivery"]
    ingest(loaded, f"{hashlib.sha256(content).hexdigest()}  returns.csv.gz\n", name="returns.csv.gz.sha256")
    assert [(part["state"], part["code"]) for part in files(loaded, number)] == [("held", "MAYBE_INCOMPLETE")]


@pytest.mark.parametrize("proven", [True, False])
def test_a_gz_whose_length_was_announced_is_whole(
    proven: bool,  # noqa: FBT001 - pytest gives it by name
    loaded: Desk,
    tmp_path: Path,
    clock: Clock,
) -> None:
    """Then no member of it is missing, nor a byte of the file in it; a preview says so, too."""
    content = gzipped(FIRST.rstrip(b"\n"))
    number = loaded.spool.land(content, account=SID, channel="test", name="returns.csv.gz", proven=proven).delivery
    file = written(tmp_path, "returns.csv.gz", content)
    arrival = arrival_of(file, event_type=None, again=False, received_at=clock.now)
    [shown] = preview(loaded, replace(arrival, proven=proven), SID, file)["files"]
    pipeline.ingest(loaded, number, at=clock.now)
    [part] = files(loaded, number)
    assert part["state"] == shown["state"] == ("done" if proven else "held")


def test_the_same_file_zipped_is_a_duplicate(loaded: Desk) -> None:
    """A delivery is its bytes, whatever they are packed in; what was rejected gets another chance."""
    first = ingest(loaded, FIRST)["delivery"]
    [part] = files(loaded, ingest(loaded, gzipped(FIRST), name="again.csv.gz")["delivery"])
    assert (part["state"], part["duplicate_of"]) == ("duplicate", first)
    for _ in range(2):
        parts = files(loaded, ingest(loaded, ZIP, name="returns.zip")["delivery"])
        assert [one["state"] for one in parts][:2] == ["duplicate", "rejected"]
    assert parts[2]["state"] == "duplicate"


def test_again_and_the_event_type_hold_for_the_files(loaded: Desk) -> None:
    """What is said of a container is said of what it holds."""
    by_order = zipped({"a.csv": lines("Oid,Amount,Reason", "O-1,40.00,ORDER_UPDATE").encode()})
    [part] = files(loaded, ingest(loaded, by_order, event_type=16027)["delivery"])
    assert part["rows"]["applied"] == 1
    [part] = files(loaded, ingest(loaded, by_order, event_type=16027, again=True)["delivery"])
    assert (part["state"], part["rows"]["unchanged"]) == ("done", 1)


@pytest.mark.parametrize(
    ("case", "content", "code"),
    [
        ("cut gz", gzipped(FIRST)[:-1], "NOT_READABLE"),
        ("cut zip", ZIP[:-1], "NOT_READABLE"),
        ("empty zip", zipped({}), "NO_LINES"),
        ("too large", gzipped(bytes(10**6)), "TOO_LARGE"),
    ],
)
def test_a_container_that_cannot_be_read_is_rejected_as_a_whole(
    loaded: Desk, case: str, content: bytes, code: str
) -> None:
    """None of its files becomes a delivery, and its receipt says what to do."""
    receipt = ingest(replace(loaded, most_bytes=10**5), content, name="returns.zip")
    assert (receipt["state"], receipt["code"]) == ("rejected", code), case
    with loaded.store.read() as db:
        assert len(deliveries.listing(db)) == 1
    assert loaded.spool.pending() == []


@pytest.mark.parametrize(("case", "inner"), [("zip in zip", zipped({"a.csv": FIRST})), ("gz in zip", gzipped(FIRST))])
def test_an_archive_inside_an_archive_is_refused(loaded: Desk, case: str, inner: bytes) -> None:
    """That file alone: its neighbours are sound."""
    parts = files(loaded, ingest(loaded, zipped({"inner": inner, "second.csv": SECOND}))["delivery"])
    assert [(one["state"], one["code"]) for one in parts] == [("rejected", "NOT_READABLE"), ("done", None)], case
    assert "archive inside an archive" in parts[0]["message"]


def test_what_arrived_later_is_applied_later(loaded: Desk, clock: Clock) -> None:
    """The files of a container go before a delivery that landed after it, however the spool is walked."""
    number = land(loaded, ZIP, name="returns.zip")
    clock.pass_by(seconds=1)
    later = land(loaded, lines("ActionId,Amount,Reason", "A-1,10.00,OTHER"))
    collected = pipeline.collect(loaded, at=clock.now)
    assert [one["delivery"] for one in collected.receipts] == [number, later]
    assert values(loaded.store, "A-1") == ("PENDING", "10.00", "0.50")


def test_the_files_arrived_when_the_container_did(loaded: Desk, clock: Clock) -> None:
    """In time for the lock by the container's arrival, however late it is unpacked."""
    number = land(loaded, ZIP, received_at=LOCK.replace(microsecond=0) - (LOCK - LOCK.replace(hour=4)))
    clock.now = LOCK.replace(hour=23)
    pipeline.ingest(loaded, number, at=clock.now)
    assert ledger(loaded) == AFTER


@pytest.mark.parametrize(("landed", "finished"), [(1, False), (3, False), (2, True)])
def test_killed_while_unpacking_it_is_finished_later(
    loaded: Desk, clock: Clock, landed: int, *, finished: bool
) -> None:
    """Whatever of a container has landed or was finished when the process died, each file is applied once."""
    number = land(loaded, ZIP, name="returns.zip")
    envelope = loaded.spool.find(number)
    for position, (name, content) in enumerate([("first.csv", FIRST), ("bad.csv", BAD), ("second.csv", SECOND)], 1):
        if position <= landed:
            upload = loaded.spool.receive_part(envelope, position, name)
            assert upload is not None
            with upload:
                upload.write(content)
                part = upload.land(proven=True)
            if finished:
                pipeline.finish(loaded, part, clock.now)  # what a process did before it died
    clock.pass_by(seconds=1)
    pipeline.collect(loaded, at=clock.now)
    assert ledger(loaded) == AFTER
    assert [one["state"] for one in files(loaded, number)] == ["done", "rejected", "done"]
    assert loaded.spool.pending() == []
    before = dump(loaded.store)
    pipeline.ingest(loaded, number, at=clock.now)
    assert dump(loaded.store)["entry"] == before["entry"]
    with loaded.store.read() as db:
        assert len(deliveries.listing(db)) == 4


def test_unpacking_twice_lands_nothing_twice(loaded: Desk) -> None:
    """Two workers may take the same container up."""
    envelope = loaded.spool.find(land(loaded, ZIP))
    upload = loaded.spool.receive_part(envelope, 1, "first.csv")
    assert upload is not None
    with upload:
        upload.write(FIRST)
        came = unpack(loaded, envelope)
        assert came is not None
        assert upload.land() == loaded.spool.find(came.files[0][1])
    assert unpack(loaded, envelope) == came
    assert [one.delivery for one in loaded.spool.pending()] == [
        envelope.delivery,
        *(number for _, number in came.files),
    ]
    assert unpack(loaded, loaded.spool.find(came.files[0][1])) is None
    assert list((loaded.spool.content(envelope.delivery).parents[2] / "tmp").iterdir()) == []


def test_a_preview_of_a_container(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """Its files one after the other on the true state, as if they arrived, and nothing written."""
    file = written(tmp_path, "returns.zip", ZIP)
    before = dump(loaded.store)
    arrival = arrival_of(file, event_type=None, again=False, received_at=clock.now)
    shown = preview(loaded, arrival, SID, file)
    assert dump(loaded.store) == before
    real = ingest(loaded, ZIP, name="returns.zip")
    assert (shown["state"], shown["message"]) == ("unpacked", real["message"])
    own = {"delivery", "channel", "finished_at", "lines"}
    assert [{key: one[key] for key in one.keys() - own} for one in shown["files"]] == [
        {key: one[key] for key in one.keys() - own} for one in files(loaded, real["delivery"])
    ]


def test_a_preview_leaves_nothing_when_it_is_killed(
    loaded: Desk, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it writes down has no name at any statement."""
    file, temporary = written(tmp_path, "returns.zip", ZIP), tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    named: list[Path] = []
    event.listen(loaded.store.engine, "before_cursor_execute", lambda *_: named.extend(temporary.iterdir()))
    preview(loaded, arrival_of(file, event_type=None, again=False, received_at=clock.now), SID, file)
    assert named == []


def test_a_preview_of_a_damaged_container(loaded: Desk, tmp_path: Path, clock: Clock) -> None:
    """It says what the receipt would say."""
    file = written(tmp_path, "returns.zip", ZIP[:-30])
    arrival = arrival_of(file, event_type=None, again=False, received_at=clock.now)
    assert preview(loaded, arrival, SID, file)["code"] == "NOT_READABLE"


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("returns.xlsx", bytes),
        ("returns.xlsx.gz", gzipped),
        ("a.zip", lambda book: zipped({"returns.xlsx": book})),
    ],
)
def test_a_workbook_alone_and_in_a_container(loaded: Desk, name: str, pack: Callable[[bytes], bytes]) -> None:
    """It is answered as a workbook, its rows under their own numbers."""
    book = workbook(
        row(1, "ActionId", "Amount", "Reason") + row(4, "A-1", "40.00", "OTHER") + row(6, "A-2", "1E5", "OTHER")
    )
    receipt = ingest(loaded, pack(book), name=name)
    [told] = files(loaded, receipt["delivery"]) if receipt["state"] == "unpacked" else [receipt]
    assert [(line["line"], line["code"]) for line in told["lines"]] == [(6, "AMOUNT_MALFORMED")]
    assert ledger(loaded)[0] == ("PENDING", "40.00", "2.00")
    folder = loaded.brands / SID / "results"
    answer = sheet((folder / "result_returns.xlsx").read_bytes())
    assert [answer[number]["D"][1] for number in (4, 6)] == ["applied", "rejected"]
    assert sheet((folder / "fix_returns.xlsx").read_bytes())[2]["B"] == ("inlineStr", "1E5")
