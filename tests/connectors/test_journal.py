"""What the journal keeps of short uploads: after a power cut all that was acknowledged is there, and nothing else."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors import durable, journal
from connectors.envelope import Envelope
from connectors.journal import FRAME_BYTES, ROOM_BYTES, Journal
from connectors.spool import Spool
from connectors.upload import Upload
from processing.errors import SpoolBroken, UploadRefused

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)
HEAD = 512
SMALL = 4096
BROKEN = OSError(5, "Input/output error")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool whose clock stands still."""
    return Spool(tmp_path, clock=lambda: NOON)


def put(spool: Spool, content: bytes, key: str | None = None) -> Envelope:
    """Land one line."""
    return spool.land(content, account="acme", channel="api", name="PUT Actions", key=key)


@pytest.fixture
def boot_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Spool]:
    """Opens the spool after the system was started once more."""

    def again() -> Spool:
        monkeypatch.setattr("connectors.journal.boot", lambda: b"another")
        return Spool(tmp_path, clock=lambda: NOON)

    return again


def gone(folder: Path) -> None:
    """Its name did not reach the disk."""
    shutil.rmtree(folder)


def empty(folder: Path) -> None:
    """The names did, what they hold did not."""
    (folder / "content").write_bytes(b"")
    (folder / "envelope.json").write_bytes(b"")


def cut(folder: Path) -> None:
    """What it holds did in part."""
    (folder / "content").write_bytes((folder / "content").read_bytes()[:-1])


def half(folder: Path) -> None:
    """One of its names did not."""
    (folder / "envelope.json").unlink()


def untouched(folder: Path) -> None:
    """All of it did."""
    assert folder.is_dir()


def unseen(folder: Path) -> None:
    """Nobody had looked for it."""
    assert folder.parent.name == "done" or not folder.exists()


@pytest.mark.parametrize("damage", [gone, empty, cut, half, untouched, unseen])
@pytest.mark.parametrize("place", ["new", "done"])
def test_what_was_acknowledged_is_there_after_a_power_cut(
    spool: Spool, tmp_path: Path, boot_again: Callable[[], Spool], damage: Callable[[Path], None], place: str
) -> None:
    """Its bytes, its envelope and its key, wherever it was and whatever of it reached the disk."""
    landed = [put(spool, b"ActionId\n1\n"), put(spool, b"\n\nActionId\n\n2\n", key='a "key" \n of 2 lines')]
    if damage is not unseen:
        assert spool.pending() == landed
    if place == "done":
        for one in landed:
            spool.acknowledge(one.delivery)
    for one in landed:
        damage(tmp_path / place / one.delivery)
    for link in (tmp_path / "keys").iterdir():
        link.unlink()
    after = boot_again()
    assert after.pending() == (landed if place == "new" or damage is gone else [])
    for one, content in zip(landed, (b"ActionId\n1\n", b"\n\nActionId\n\n2\n"), strict=True):
        after.verify(one.delivery)
        assert after.find(one.delivery) == one
        assert after.content(one.delivery).read_bytes() == content
    assert put(after, b"\n\nActionId\n\n2\n", key='a "key" \n of 2 lines') == landed[1]
    for one in landed:
        after.acknowledge(one.delivery)
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == [one.delivery for one in landed]
    assert [list((tmp_path / part).iterdir()) for part in ("new", "tmp")] == [[], []]


@pytest.mark.parametrize("is_new", [True, False], ids=["new process", "old process"])
def test_whoever_looks_sees_what_landed(spool: Spool, tmp_path: Path, *, is_new: bool) -> None:
    """Whoever recorded it, be it a process that died: in the order of arrival, and a retry under its key is told."""
    other = Spool(tmp_path, clock=lambda: NOON)
    first, landed = put(other, b"0"), put(spool, b"1", key="one")
    after = Spool(tmp_path, clock=lambda: NOON) if is_new else other
    assert put(after, b"1", key="one") == landed
    last, large = put(after, b"2"), put(after, bytes(400_000))
    assert spool.pending() == other.pending() == [first, landed, last, large]


@pytest.mark.parametrize("ask", [Spool.find, Spool.content, Spool.verify, Spool.has, Spool.acknowledge])
def test_what_landed_is_there_for_who_knows_its_name(
    spool: Spool, tmp_path: Path, ask: Callable[[Spool, str], object]
) -> None:
    """Though nobody has looked what there is."""
    landed = put(spool, b"1")
    assert ask(Spool(tmp_path, clock=lambda: NOON), landed.delivery) is not False
    assert spool.find(landed.delivery) == landed
    assert spool.content(landed.delivery).read_bytes() == b"1"


def test_showing_goes_on_where_it_failed(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes no folder: who looks is told that nothing is lost, and it is not."""
    landed = [put(spool, b"1"), put(spool, b"2"), put(spool, b"3")]
    calls = []

    def full(path: Path, content: bytes) -> int:
        calls.append(path)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        return durable.begin_new(path, content)

    with monkeypatch.context() as patched:
        patched.setattr("connectors.recorded.begin_new", full)
        for _ in range(2):
            with pytest.raises(SpoolBroken, match=r"No space left on device.*Nothing of it is lost"):
                spool.pending()
        landed.append(put(spool, b"4"))
    assert spool.pending() == landed


def test_what_was_shown_and_not_noted_is_not_shown_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who showed it died before noting it; meanwhile it moved on."""
    landed = [put(spool, b"1"), put(spool, b"2")]
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "note_shown", lambda _: None)
        assert spool.pending() == landed
        spool.acknowledge(landed[0].delivery)
    assert spool.pending() == [landed[1]]
    assert spool.find(landed[0].delivery) == landed[0]


def test_a_system_that_forgot_without_a_start(spool: Spool, tmp_path: Path) -> None:
    """A disk that went away and came back has lost what was not written; the first look of a server finds out."""
    landed = [put(spool, b"1"), put(spool, b"2"), put(spool, b"3")]
    spool.acknowledge(landed[1].delivery)
    assert spool.pending() == [landed[0], landed[2]]
    empty(tmp_path / "new" / landed[0].delivery)
    cut(tmp_path / "done" / landed[1].delivery)
    after = Spool(tmp_path, clock=lambda: NOON)
    after.sweep_leftovers()
    assert after.pending() == [landed[0], landed[2]]
    for one in landed:
        after.verify(one.delivery)


def test_what_could_not_be_written_is_written_again(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells once that it could not, and takes it for written from then on; only the journal has it."""
    content, calls = bytes(20_000), list[int]()

    def sync(handle: int) -> None:
        calls.append(len(list((tmp_path / "new").iterdir())))
        if len(calls) == 1:
            raise BROKEN
        durable.sync_file_system(handle)

    monkeypatch.setattr(journal, "sync_file_system", sync)
    landed = list[Envelope]()
    with suppress(UploadRefused):
        while not calls:
            landed.append(put(spool, content))
    before = {one.delivery: (tmp_path / "new" / one.delivery).stat().st_ino for one in landed}
    other = Spool(tmp_path, clock=lambda: NOON)
    later = put(other, content)
    assert len(calls) == 2
    after = {one.delivery: (tmp_path / "new" / one.delivery).stat().st_ino for one in landed}
    assert all(after[number] != inode for number, inode in before.items())
    assert other.pending() == [*landed, later]


def test_a_record_that_was_cut_off_is_none(
    spool: Spool, tmp_path: Path, boot_again: Callable[[], Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was cut; those before it count, and what earlier epochs left behind it does not."""
    monkeypatch.setattr("connectors.journal.ROOM_BYTES", SMALL)
    earlier = put(spool, b"earlier")
    Journal(tmp_path / "journal").clear()
    landed = [put(spool, b"first"), put(spool, b"second")]
    whole = (tmp_path / "journal").read_bytes()
    lengths = [FRAME_BYTES + len(told) for told in Journal(tmp_path / "journal").records()]
    start = HEAD + lengths[0]
    for cut_at in range(start, start + lengths[1]):
        for one in (earlier, *landed):
            shutil.rmtree(tmp_path / "new" / one.delivery, ignore_errors=True)
        (tmp_path / "journal").write_bytes(whole[:cut_at] + bytes(len(whole) - cut_at))
        found = boot_again().pending()
        assert found == landed[: 2 if whole[cut_at:].strip(b"\0") == b"" else 1]


def test_processes_share_a_journal(tmp_path: Path) -> None:
    """Each appends behind what the others have, also after one of them has cleared it."""
    one, two = Journal(tmp_path / "journal"), Journal(tmp_path / "journal")
    one.append([b"1", b"2"])
    two.append([b"3"])
    one.append([b"4"])
    assert list(two.records()) == [b"1", b"2", b"3", b"4"]
    two.clear()
    assert list(one.records()) == []
    one.append([b"5"])
    two.append([b"6"])
    assert list(one.records()) == list(two.records()) == [b"5", b"6"]


def test_a_full_journal_is_cleared_when_all_is_on_disk(
    spool: Spool, tmp_path: Path, boot_again: Callable[[], Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it told of until then was in its place; it goes on telling of what comes."""
    safe = set[str]()

    def sync(handle: int) -> None:
        durable.sync_file_system(handle)
        safe.update(path.name for path in (tmp_path / "new").iterdir())

    monkeypatch.setattr(journal, "sync_file_system", sync)
    content = bytes(20_000)
    landed = [put(spool, content) for _ in range(2 * ROOM_BYTES // len(content) + 10)]
    assert len(landed) // 3 < len(safe) < len(landed)
    assert spool.pending() == landed
    for one in landed:
        if one.delivery not in safe:
            gone(tmp_path / "new" / one.delivery)
    assert boot_again().pending() == landed


def test_what_the_disk_did_not_take_is_not_found_later(
    spool: Spool, tmp_path: Path, boot_again: Callable[[], Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender was told that nothing was kept, though the bytes may well have reached the disk."""
    before = put(spool, b"before")
    with monkeypatch.context() as patched:
        calls = []

        def fail_once(handle: int, sync: Callable[[int], None] = os.fdatasync) -> None:
            calls.append(handle)
            if len(calls) == 1:
                raise BROKEN
            sync(handle)

        patched.setattr("connectors.journal.os.fdatasync", fail_once)
        with pytest.raises(UploadRefused):
            put(spool, b"refused")
    assert len(calls) == 2
    after = put(spool, b"after")
    assert spool.pending() == [before, after]
    for one in (before, after):
        gone(tmp_path / "new" / one.delivery)
    assert boot_again().pending() == [before, after]


def test_nothing_is_forgotten_that_may_not_be_on_disk(
    spool: Spool, tmp_path: Path, boot_again: Callable[[], Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the system cannot write what the journal tells of, it stays in the journal, and nothing more lands."""
    content = bytes(20_000)
    with monkeypatch.context() as patched:

        def fail(_: int) -> None:
            raise BROKEN

        patched.setattr("connectors.journal.sync_file_system", fail)
        landed = list[Envelope]()
        with suppress(UploadRefused):
            while True:
                landed.append(put(spool, content))
        with pytest.raises(UploadRefused):
            put(spool, content)
    shutil.rmtree(tmp_path / "new")
    (tmp_path / "new").mkdir()
    assert boot_again().pending() == landed
    assert len(landed) > 100


def test_only_what_is_short_and_sure_is_in_the_journal(spool: Spool, tmp_path: Path) -> None:
    """Large bytes are written once, and who may change its mind is not known to have landed yet."""

    def upload(content: bytes) -> Upload:
        made = spool.receive(account="acme", channel="ftp", name="returns.csv")
        made.write(content)
        return made

    upload(bytes(40_000)).land()
    upload(bytes(400_000)).land()
    upload(b"1").land(wanted=lambda: True)
    assert not (tmp_path / "journal").exists()
    assert len(spool.pending()) == 3
