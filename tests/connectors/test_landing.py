"""Uploads that land in the same moment: as one after the other, and each for itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors import durable
from connectors.durable import claim
from connectors.envelope import Envelope
from connectors.keys import Keys
from connectors.landing import Landing, Ticket, Unsure, always
from connectors.recorded import Recorded
from connectors.spool import Spool
from connectors.upload import Upload
from processing.errors import KeyReused, UploadRefused

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)
TOGETHER = 12
LONG = bytes(300_000)
BEYOND_JOURNAL = bytes(40_000)
Outcome = Envelope | Exception


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool whose clock stands still."""
    return Spool(tmp_path, clock=lambda: NOON)


@contextmanager
def uploads(spool: Spool, *keys: str | None, more: bytes = b"") -> Iterator[list[Upload]]:
    """Uploads that are ready to land, each with a content and perhaps a key of its own, and with ``more`` behind it."""
    with ExitStack() as stack:
        made = [stack.enter_context(spool.receive(account="acme", channel="api", name="PUT", key=one)) for one in keys]
        for number, upload in enumerate(made):
            upload.write(f"{'same' if keys[number] else number}".encode() + more)
        yield made


def land(folder: Path, made: list[Upload]) -> list[Outcome]:
    """Land all of them in the same moment: the claim is held until each is on its way."""
    outcomes: dict[int, Outcome] = {}

    def one(number: int) -> None:
        try:
            outcomes[number] = made[number].land()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            outcomes[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(made))]
    with claim(folder / "order"):
        for thread in threads:
            thread.start()
        threads[0].join(0.2)
    for thread in threads:
        thread.join()
    return [outcomes[number] for number in range(len(made))]


def obstruct(upload: Upload, folder: Path) -> None:
    """Have the one long upload of a spool, which is on disk already, find its envelope's name taken."""
    upload.write(LONG)
    (in_tmp,) = (folder / "tmp").iterdir()
    (in_tmp / "envelope.json").mkdir()


@pytest.mark.parametrize("more", [b"", BEYOND_JOURNAL], ids=["short", "long"])
def test_all_land_in_one_order(spool: Spool, tmp_path: Path, more: bytes) -> None:
    """Each has a stamp and a number of its own, and what came last is seen last."""
    with uploads(spool, *[None] * TOGETHER, more=more) as made:
        outcomes = land(tmp_path, made)
    pending = spool.pending()
    assert sorted(pending, key=lambda one: one.received_at) == pending
    assert {one.delivery for one in pending} == {one.delivery for one in outcomes if isinstance(one, Envelope)}
    assert len({one.received_at for one in pending}) == TOGETHER
    for one in pending:
        spool.verify(one.delivery)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_same_request_at_once_lands_once(spool: Spool, tmp_path: Path) -> None:
    """All of its senders are told of the one delivery."""
    with uploads(spool, *["return 1"] * TOGETHER) as made:
        outcomes = land(tmp_path, made)
    (pending,) = spool.pending()
    assert outcomes == [pending] * TOGETHER
    assert list((tmp_path / "tmp").iterdir()) == []


def test_one_that_fails_fails_alone(spool: Spool, tmp_path: Path) -> None:
    """Its envelope cannot be written, or its key is another's: it is refused, and the others land."""
    spool.land(b"another", account="acme", channel="api", name="PUT", key="taken")
    with uploads(spool, None, None, None, "taken", None) as made:
        obstruct(made[2], tmp_path)
        outcomes = land(tmp_path, made)
    kinds = [type(one) for one in outcomes]
    assert kinds == [Envelope, Envelope, UploadRefused, KeyReused, Envelope]
    assert len(spool.pending()) == 4


def test_all_are_on_disk_before_one_is_seen(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are put there at a time; one that the disk does not take fails alone."""
    before, synced = list[Path](), list[Path]()

    def shown(self: Landing, batch: list[Ticket], show: Callable[..., None] = Landing._show) -> None:  # noqa: SLF001 - what is seen at once
        before[:] = (tmp_path / "new").iterdir()
        show(self, batch)

    def failing(folder: Path, sync: Callable[[Path], None] = durable.sync_folder) -> None:
        if folder.parent == tmp_path / "tmp":
            assert sorted((tmp_path / "new").iterdir()) == sorted(before)
            synced.append(folder)
            if len(synced) == TOGETHER:
                raise OSError(5, "Input/output error")
        sync(folder)

    monkeypatch.setattr(Landing, "_show", shown)
    monkeypatch.setattr("connectors.landing.sync_folder", failing)
    with uploads(spool, *[None] * TOGETHER, more=BEYOND_JOURNAL) as made:
        outcomes = land(tmp_path, made)
    assert sorted(type(one).__name__ for one in outcomes) == ["Envelope"] * (TOGETHER - 1) + ["UploadRefused"]
    assert len(set(synced)) == TOGETHER
    assert {one.delivery for one in spool.pending()} == {one.delivery for one in outcomes if isinstance(one, Envelope)}


@pytest.mark.parametrize("together", [1, TOGETHER])
def test_what_may_vanish_has_not_landed(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """When their names cannot be made durable, all are refused and none is seen."""

    def failing(folder: Path, sync: Callable[[Path], None] = durable.sync_folder) -> None:
        if folder.name == "new":
            raise OSError(5, "Input/output error")
        sync(folder)

    monkeypatch.setattr("connectors.landing.sync_folder", failing)
    with uploads(spool, *[None] * together, more=BEYOND_JOURNAL) as made:
        outcomes = land(tmp_path, made)
    assert [type(one) for one in outcomes] == [UploadRefused] * together
    assert spool.pending() == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("more", [b"", BEYOND_JOURNAL], ids=["short", "long"])
def test_nobody_goes_on_before_all_is_durable(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    """A sender who looks while somebody else writes the journal, or its envelope, has not landed yet."""
    led, looks = list[Ticket](), list[bool]()

    def shown(self: Landing, batch: list[Ticket], show: Callable[..., None] = Landing._show) -> None:  # noqa: SLF001 - what others wait for
        led[:] = batch
        show(self, batch)

    def written(path: Path, content: bytes) -> int:
        looks.extend(ticket.is_done for ticket in led)
        return durable.begin_new(path, content)

    def recorded(self: Recorded, told: list[bytes], append: Callable[..., None] = Recorded.append) -> None:
        looks.extend(ticket.is_done for ticket in led)
        append(self, told)

    monkeypatch.setattr(Landing, "_show", shown)
    monkeypatch.setattr("connectors.landing.begin_new", written)
    monkeypatch.setattr(Recorded, "append", recorded)
    with uploads(spool, *[None] * TOGETHER, more=more) as made:
        land(tmp_path, made)
    assert len(looks) >= TOGETHER
    assert not any(looks)
    assert all(ticket.is_done for ticket in led)


@pytest.mark.parametrize("more", [b"", BEYOND_JOURNAL], ids=["short", "long"])
def test_a_key_that_cannot_be_kept_fails_its_own_upload(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    """The others, and what had landed before, are acknowledged."""
    before = spool.land(b"same" + more, account="acme", channel="api", name="PUT", key="before")

    def note(self: Keys, account: str, key: str, delivery: str, note: Callable[..., None] = Keys.note) -> None:
        if key == "bad":
            raise OSError(28, "No space left on device")
        note(self, account, key, delivery)

    monkeypatch.setattr(Keys, "note", note)
    with uploads(spool, None, "bad", "good", "before", more=more) as made:
        outcomes = land(tmp_path, made)
    assert [type(one) for one in outcomes] == [Envelope, UploadRefused, Envelope, Envelope]
    assert outcomes[3] == before
    assert len(spool.pending()) == 3


def test_what_is_not_wanted_any_more_does_not_land(spool: Spool, tmp_path: Path) -> None:
    """Its sender is asked when it is on disk and before it is seen; it may land later, or be dropped."""
    asked = list[tuple[int, bytes]]()

    def unwanted() -> bool:
        (folder,) = (tmp_path / "tmp").iterdir()
        asked.append((len(list((tmp_path / "new").iterdir())), (folder / "content").read_bytes()))
        return False

    with spool.receive(account="acme", channel="ftp", name="a.csv") as upload:
        upload.write(b"first")
        with pytest.raises(Unsure):
            upload.land(wanted=unwanted)
        assert asked == [(0, b"first")]
        assert spool.pending() == []
        landed = upload.land()
    assert spool.pending() == [landed]
    spool.verify(landed.delivery)
    with spool.receive(account="acme", channel="ftp", name="b.csv") as upload, pytest.raises(Unsure):
        upload.land(wanted=lambda: False)
    assert spool.pending() == [landed]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_landing_without_waiting(spool: Spool, tmp_path: Path) -> None:
    """The outcome is that of landing: the delivery, the one that landed before, a refusal, or not being wanted."""
    before = spool.land(b"same", account="acme", channel="api", name="PUT", key="before")
    with uploads(spool, None, "before", None, None) as made:
        obstruct(made[2], tmp_path)
        told = [one.land_soon(wanted=(lambda: False) if one is made[3] else always) for one in made]
        errors = [one.exception(30) for one in told]
    assert [type(error) for error in errors] == [type(None), type(None), UploadRefused, Unsure]
    assert told[1].result() == before
    assert spool.pending() == [before, told[0].result()]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_same_request_without_waiting_lands_once(spool: Spool, tmp_path: Path) -> None:
    """What has to find the first one landed is looked at after it, and what comes later is, too."""
    with uploads(spool, *["return 1"] * TOGETHER, "return 2") as made:
        with claim(tmp_path / "order"):
            told = [one.land_soon() for one in made[:-1]]
        outcomes = [one.result(30) for one in told]
        assert outcomes == spool.pending() * TOGETHER
        later = made[-1].land_soon().result(30)
    assert spool.pending() == [outcomes[0], later]


def test_who_waits_no_longer_calls_nothing_back(spool: Spool, tmp_path: Path) -> None:
    """It lands, and so does what lands together with it."""
    with uploads(spool, None, None) as made:
        with claim(tmp_path / "order"):
            told = [one.land_soon() for one in made]
            assert not told[0].cancel()
        assert [one.result(30) for one in told] == spool.pending()
