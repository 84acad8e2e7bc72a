import hashlib
import json
import logging
import multiprocessing
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.envelope import Envelope, opened
from connectors.spool import Spool
from processing.errors import NotFound, SpoolBroken, Unusable

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)
CONTENT = b"ActionId,Reason\n1,RETURNED\n"
# What is short stays in memory until it lands.
LONG = CONTENT * 20_000


def stopped() -> datetime:
    """A clock that stands still."""
    return NOON


def real() -> datetime:
    """The real time."""
    return datetime.now(UTC)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool whose clock stands still."""
    return Spool(tmp_path, clock=stopped)


def land(spool: Spool, content: bytes = CONTENT, name: str = "returns.csv", account: str = "acme") -> Envelope:
    """Land some bytes."""
    return spool.land(content, account=account, channel="ftp", name=name)


def files(folder: Path) -> list[str]:
    """All files below a folder but the claim file."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "order")


def test_landed_delivery_is_found_with_its_bytes(spool: Spool) -> None:
    """What lands is pending with its sender, name, instant, digest and size, and its bytes are those that came."""
    with spool.receive(account="acme", channel="ftp", name="a/../b\x00.csv", event_type=7, again=True) as upload:
        upload.write(CONTENT[:5])
        upload.write(CONTENT[5:])
        envelope = upload.land()
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert envelope == Envelope(
        envelope.delivery, "acme", "ftp", "a/../b\x00.csv", NOON, digest, len(CONTENT), 7, again=True
    )
    assert envelope.delivery.startswith("20270115T120000000000-")
    assert spool.pending() == [envelope] == [spool.find(envelope.delivery)]
    assert spool.content(envelope.delivery).read_bytes() == CONTENT
    spool.verify(envelope.delivery)


def test_nothing_stays_of_an_upload_that_does_not_land(spool: Spool, tmp_path: Path) -> None:
    """Leaving the upload without landing, by an exception or not, leaves nothing behind."""
    with spool.receive(account="acme", channel="ftp", name="a.csv") as upload:
        upload.write(CONTENT)
    with (
        pytest.raises(TypeError),
        spool.receive(account="acme", channel="ftp", name="a.csv") as upload,
    ):
        upload.write("text")  # type: ignore[arg-type] # what goes wrong does not matter
    assert (spool.pending(), files(tmp_path), list((tmp_path / "tmp").iterdir())) == ([], [], [])


def test_bytes_that_trickle_take_no_more_than_they_are(spool: Spool) -> None:
    """Also while they are in memory; all of them land, in their order."""
    pieces = [b"%c" % (number % 256) for number in range(100_000)]
    with spool.receive(account="acme", channel="ftp", name="a.csv") as upload:
        tracemalloc.start()
        for piece in pieces:
            upload.write(piece)
        held_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        envelope = upload.land()
    assert held_bytes < 2 * len(pieces)
    assert spool.content(envelope.delivery).read_bytes() == b"".join(pieces)


def test_upload_ends_once(spool: Spool) -> None:
    """Nothing can be written to, or landed from, an upload that has ended."""
    with spool.receive(account="acme", channel="ftp", name="a.csv") as upload:
        upload.land()
        upload.abort()
        with pytest.raises(ValueError, match="has landed"):
            upload.write(b"more")
        with pytest.raises(ValueError, match="has landed"):
            upload.land()
    assert len(spool.pending()) == 1


def test_pending_is_in_order_of_arrival_and_by_account(spool: Spool) -> None:
    """Deliveries come oldest first; stamps differ although the clock stands still; an account sees its own."""
    landed = [land(spool, name=str(n), account="acme" if n % 2 else "brix") for n in range(12)]
    assert spool.pending() == landed
    assert spool.pending("acme") == landed[1::2]
    assert [e.received_at for e in landed] == [NOON + n * timedelta(microseconds=1) for n in range(12)]


def test_clock_set_back_does_not_turn_arrivals_round(tmp_path: Path) -> None:
    """A delivery is stamped later than the one before it even if the clock was set back."""
    first = land(Spool(tmp_path, clock=stopped))
    second = land(Spool(tmp_path, clock=lambda: NOON - timedelta(days=1)))
    assert second.received_at == first.received_at + timedelta(microseconds=1)


def test_given_instant_counts_and_moves_no_other(spool: Spool) -> None:
    """A given arrival instant is taken as it is, in UTC, and later deliveries are stamped by the clock."""
    given = datetime.fromisoformat("2030-01-01T01:00:00+01:00")
    late = spool.land(CONTENT, account="acme", channel="cli", name="a.csv", received_at=given)
    assert (late.received_at, late.received_at.tzinfo) == (datetime(2030, 1, 1, tzinfo=UTC), UTC)
    assert land(spool).received_at == NOON


def test_instant_without_time_zone_is_refused(spool: Spool, tmp_path: Path) -> None:
    """An instant that could mean several is not guessed, and nothing lands."""
    with pytest.raises(Unusable, match="no time zone"):
        spool.land(CONTENT, account="acme", channel="cli", name="a.csv", received_at=datetime(2027, 1, 1))  # noqa: DTZ001
    assert files(tmp_path) == []


def test_acknowledged_twice_is_harmless(spool: Spool) -> None:
    """An acknowledged delivery is pending no more and can still be found, verified and acknowledged again."""
    envelope = land(spool)
    spool.acknowledge(envelope.delivery)
    spool.acknowledge(envelope.delivery)
    assert spool.pending() == []
    assert spool.find(envelope.delivery) == envelope
    assert spool.content(envelope.delivery).read_bytes() == CONTENT
    spool.verify(envelope.delivery)


@pytest.mark.parametrize("delivery", ["20270115T120000000000-00000000", "", "../new", "..", "x/y", "\x00"])
def test_unknown_delivery_is_not_found(spool: Spool, delivery: str) -> None:
    """An id that is none, or a path, is not found."""
    for ask in (spool.find, spool.content, spool.verify, spool.acknowledge):
        with pytest.raises(NotFound, match="There is no delivery"):
            ask(delivery)


def test_changed_bytes_are_noticed(spool: Spool) -> None:
    """A changed byte fails the digest check, a missing one already the check of the size."""
    delivery = land(spool).delivery
    content = spool.content(delivery)
    content.write_bytes(CONTENT.replace(b"1", b"2"))
    with pytest.raises(SpoolBroken, match="not the ones that arrived"):
        spool.verify(delivery)
    content.write_bytes(CONTENT[:-1])
    with pytest.raises(SpoolBroken, match="26 bytes on disk and 27"):
        spool.content(delivery)
    content.unlink()
    with pytest.raises(SpoolBroken, match="0 bytes on disk"):
        spool.content(delivery)


def cut(envelope: Path) -> None:
    """Half an envelope."""
    envelope.write_bytes(envelope.read_bytes()[:100])


def rewritten(envelope: Path) -> None:
    """Another account's."""
    envelope.write_text(envelope.read_text().replace('"acme"', '"brix"'))


def endless(envelope: Path) -> None:
    """No END record."""
    fields = json.loads(envelope.read_text())
    del fields["end"]
    envelope.write_text(json.dumps(fields))


def no_object(envelope: Path) -> None:
    """Valid JSON, but no envelope."""
    envelope.write_text("[]")


def elsewhere(envelope: Path) -> None:
    """A whole delivery under another's id."""
    envelope.parent.rename(envelope.parent.parent / "20270115T120000000000-00000000")


@pytest.mark.parametrize("damage", [cut, rewritten, endless, no_object, elsewhere, Path.unlink])
def test_broken_delivery_is_loud_and_hides_no_other(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a right END record a delivery is never pending; it is logged once as an error, and the others come."""
    writer = Spool(tmp_path, clock=stopped)
    first, broken, last = land(writer), land(writer), land(writer)
    assert writer.pending() == [first, broken, last]
    damage(tmp_path / "new" / broken.delivery / "envelope.json")
    spool = Spool(tmp_path, clock=stopped)
    assert spool.pending() == spool.pending() == [first, last]
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "backup" in errors[0]


def test_broken_delivery_cannot_be_read(spool: Spool) -> None:
    """Who asks for a broken delivery by its id gets an error that names it."""
    delivery = land(spool).delivery
    cut(spool.content(delivery).with_name("envelope.json"))
    with pytest.raises(SpoolBroken, match=delivery):
        spool.find(delivery)


def test_unreadable_order_file_is_loud_and_stops_nothing(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Zeros in the file of the last stamp, as a power cut may leave them, are logged, and deliveries still land."""
    (tmp_path / "order").write_bytes(bytes(32))
    assert land(spool).received_at == NOON
    assert "order_unreadable" in caplog.text


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run ``work`` in threads at once."""
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def land_many(folder: Path, who: int, count: int) -> None:
    """Land deliveries one after the other."""
    spool = Spool(folder, clock=real)
    for n in range(count):
        land(spool, b"%d %d" % (who, n), name=f"{who}-{n}")


def test_order_of_stamps_is_order_of_visibility(tmp_path: Path) -> None:
    """With writers in several processes and threads, nothing appears with a stamp before one that was seen already."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=land_many, args=(tmp_path, n, 60)) for n in range(2)]
    for process in processes:
        process.start()
    spool = Spool(tmp_path, clock=real)
    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            read_at = real()
            now_seen = [e.delivery for e in spool.pending()]
            assert now_seen[: len(seen)] == seen
            seen[:] = now_seen
            moments.append((read_at, len(now_seen)))

    moments: list[tuple[datetime, int]] = []
    watcher = threading.Thread(target=watch)
    watcher.start()
    in_threads(3, lambda n: land_many(tmp_path, 10 + n, 60))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    done.set()
    watcher.join()
    landed = spool.pending()
    assert len(landed) == 300
    assert [e.delivery for e in landed][: len(seen)] == seen
    assert len({e.received_at for e in landed}) == 300
    # Who reads the clock and then lists has seen all that is stamped earlier.
    assert all(sum(e.received_at < at for e in landed) <= count for at, count in moments)
    assert len(moments) > 3


def test_workers_that_acknowledge_at_once_do_no_harm(spool: Spool) -> None:
    """Several workers acknowledging the same deliveries all succeed, while others list them."""
    landed = [land(spool, name=str(n)) for n in range(40)]

    def work(_: int) -> None:
        for envelope in landed:
            spool.acknowledge(envelope.delivery)
            spool.pending()

    in_threads(4, work)
    assert spool.pending() == []
    assert [spool.find(e.delivery) for e in landed] == landed


@pytest.mark.parametrize("ask", [Spool.find, Spool.content, Spool.verify])
def test_what_is_acknowledged_while_somebody_looks_is_found(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Spool, str], object]
) -> None:
    """In the very moment between finding its folder and reading it, the worker moves it away."""
    delivery = land(spool).delivery
    worker = Spool(tmp_path, clock=stopped)

    def read(folder: Path) -> Envelope:
        worker.acknowledge(delivery)
        return opened(folder)

    monkeypatch.setattr("connectors.spool.opened", read)
    ask(spool, delivery)


def test_a_retry_in_the_moment_of_acknowledgement(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that is sent again under its key while its delivery is acknowledged gets the same answer."""
    worker = Spool(tmp_path, clock=stopped)
    first = spool.land(CONTENT, account="acme", channel="api", name="PUT", key="1")

    def read(folder: Path) -> Envelope:
        worker.acknowledge(first.delivery)
        return opened(folder)

    monkeypatch.setattr("connectors.spool.opened", read)
    assert spool.land(CONTENT, account="acme", channel="api", name="PUT", key="1") == first
    assert files(tmp_path / "new") == []


def test_a_file_of_a_container_is_one_delivery(spool: Spool) -> None:
    """Its number and arrival follow from the container's; however often it is landed, it is there once."""
    container = spool.receive(account="acme", channel="ftp", name="a.zip", event_type=7, again=True)
    container.write(b"PK")
    envelope = container.land()
    uploads = [spool.receive_part(envelope, 2, "b.csv") for _ in range(2)]
    landed = []
    for upload in filter(None, uploads):
        upload.write(CONTENT)
        landed.append(upload.land(proven=True))
    number = f"{envelope.delivery}-0002"
    digest = hashlib.sha256(CONTENT).hexdigest()
    part = Envelope(number, "acme", "ftp", "b.csv", NOON, digest, len(CONTENT), 7, again=True, proven=True)
    assert landed == [part, part]
    assert (part.part_of, envelope.part_of) == (envelope.delivery, None)
    assert (part.in_container, envelope.in_container) == (True, False)
    assert spool.receive_part(envelope, 2, "b.csv") is None
    assert spool.pending() == [envelope, part]
    assert spool.content(number).read_bytes() == CONTENT
    spool.acknowledge(number)
    assert spool.receive_part(envelope, 2, "b.csv") is None
    assert spool.sweep_leftovers() == 0


def test_an_envelope_of_an_older_release_is_read(spool: Spool) -> None:
    """It says nothing of proof."""
    envelope = land(spool)
    path = spool.content(envelope.delivery).with_name("envelope.json")
    fields = json.loads(path.read_bytes())
    del fields["end"], fields["proven"]
    fields["end"] = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(fields))
    assert spool.find(envelope.delivery) == envelope


def test_leftovers_are_swept_but_no_upload_under_way(spool: Spool, tmp_path: Path) -> None:
    """What a killed process left is removed; an upload that another instance is writing stays and lands."""
    abandoned = subprocess.run([sys.executable, "-c", LEAVE_BEHIND, str(tmp_path)], check=False, timeout=30)
    assert abandoned.returncode == -signal.SIGKILL
    (tmp_path / "tmp" / "empty").mkdir()
    with spool.receive(account="acme", channel="ftp", name="a.csv") as upload:
        upload.write(LONG)
        assert Spool(tmp_path, clock=stopped).sweep_leftovers() == 2
        assert spool.sweep_leftovers() == 0
        upload.land()
    assert spool.content(spool.pending()[0].delivery).read_bytes() == LONG


LEAVE_BEHIND = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from connectors.spool import Spool
upload = Spool(Path(sys.argv[1]), clock=lambda: datetime.now(UTC)).receive(account="acme", channel="ftp", name="a")
upload.write(bytes(300_000))
os.kill(os.getpid(), 9)
"""


FILL_DISK = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from connectors.spool import Spool
from processing.errors import UploadRefused

spool = Spool(Path(sys.argv[1]), clock=lambda: datetime(2027, 1, 15, tzinfo=UTC))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
upload = spool.receive(account="acme", channel="ftp", name="returns.csv")
upload.write(b"x" * 200)
try:
    # Who may change its mind is not in the journal.
    upload.land(wanted=lambda: True) if sys.argv[3] != "journal" else upload.land()
except UploadRefused as refusal:
    assert isinstance(refusal.__cause__, OSError)
    sys.exit(str(refusal))
"""


@pytest.mark.parametrize(
    ("limit", "of"), [(4, "content"), (199, "content"), (300, "envelope"), (1, "content"), (600, "journal")]
)
def test_full_disk_refuses_and_keeps_nothing(spool: Spool, tmp_path: Path, limit: int, of: str) -> None:
    """When the disk takes no more of the content, the envelope or the journal, the sender is told and nothing stays."""
    before = land(spool)
    run = subprocess.run(
        [sys.executable, "-c", FILL_DISK, str(tmp_path), str(limit), of],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert run.stderr == (
        "'returns.csv' could not be stored (File too large); nothing was kept. Send the file again later.\n"
    ), of
    assert spool.pending() == [before]
    assert list((tmp_path / "tmp").iterdir()) == []


KILL_AT = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from connectors.spool import Spool

kill_before = int(sys.argv[2])
while True:
    folder = Path(sys.argv[1]) / str(kill_before)
    spool = Spool(folder, clock=lambda: datetime(2027, 1, 15, tzinfo=UTC))
    upload = spool.receive(account="acme", channel="ftp", name="returns.csv")
    upload.write(b"whole\\n")
    child = os.fork()
    if child == 0:
        calls = 0
        def count(frame, event, what):
            global calls
            if event == "c_call":
                calls += 1
                if calls == kill_before:
                    os.kill(os.getpid(), 9)
        sys.setprofile(count)
        upload.land()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(kill_before, status, flush=True)
    os.kill(os.getpid(), 9) if status == 0 else None
    kill_before += 1
"""


def landed_part(spool: Spool, container: Envelope, position: int) -> Envelope:
    """A file of a container or message, landed."""
    upload = spool.receive_part(container, position, "b.csv")
    assert upload is not None
    with upload:
        upload.write(CONTENT)
        return upload.land()


def test_container_in_a_message_has_parts_of_its_own(spool: Spool) -> None:
    """What is attached to a message came by itself; what is in a container that is attached did not."""
    with spool.receive_message(account="acme", name="message.eml", event_type=7, trace={"peer": "::1"}) as upload:
        message = upload.land()
    attached = landed_part(spool, message, 2)
    inner = landed_part(spool, attached, 10)
    assert (inner.delivery, inner.part_of) == (f"{message.delivery}-0002-0010", attached.delivery)
    assert (attached.part_of, attached.in_container, inner.in_container) == (message.delivery, False, True)
    assert (inner.channel, inner.event_type, inner.trace) == ("email", 7, None)
    assert (inner.received_at, message.trace) == (message.received_at, {"peer": "::1"})
    assert [one.delivery for one in spool.pending()] == [one.delivery for one in (message, attached, inner)]


def test_killed_at_any_call_of_landing_nothing_or_all_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed before any call of ``land`` into C leaves either no delivery or a whole one."""
    run = subprocess.run(
        [sys.executable, "-c", KILL_AT, str(tmp_path), "1"], capture_output=True, text=True, check=False, timeout=60
    )
    statuses = [int(line.split()[1]) for line in run.stdout.splitlines()]
    assert statuses[-1] == 0, run.stderr
    assert set(statuses[:-1]) == {-signal.SIGKILL}
    found = []
    for point in range(1, len(statuses) + 1):
        spool = Spool(tmp_path / str(point), clock=stopped)
        landed = spool.pending()
        for envelope in landed:
            spool.verify(envelope.delivery)
            assert replace(envelope, delivery="", received_at=NOON, sha256="") == Envelope(
                "", "acme", "ftp", "returns.csv", NOON, "", 6
            )
        spool.sweep_leftovers()
        assert list((tmp_path / str(point) / "tmp").iterdir()) == []
        after = spool.pending()
        # What was durable has landed, though it was not seen.
        assert len(after) in {len(landed), 1}
        for envelope in after:
            spool.verify(envelope.delivery)
        monkeypatch.setattr("connectors.journal.boot", lambda point=point: b"%d" % point)
        assert Spool(tmp_path / str(point), clock=stopped).pending() == after
        found.append(len(landed))
    assert found == sorted(found), "once a delivery is visible it stays"
    assert (found[0], found[-1]) == (0, 1)
    assert len(found) > 30


def test_spool_is_private(spool: Spool, tmp_path: Path) -> None:
    """Only the owner of the process can read what brands send."""
    land(spool)
    assert {oct(p.stat().st_mode & 0o077) for p in tmp_path.rglob("*")} == {"0o0"}
    assert len(spool.pending()) == 1
