"""One contract for all sources, against real servers: whole files or none, and clear words for every refusal."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.host_key import HostKey
from connectors.source import Part, RemoteFile
from connectors.source_settings import Secret
from processing.errors import ClawbackError, SourceRefused, SourceUnreachable, Unusable
from tests.connectors.brands import KINDS, authority, serving
from tests.connectors.source_site import Brand, Line, key_pair, line_to, public, touch

LARGE = os.urandom(1_500_000)
DELIVERY = "20270115T093000000000-1a2b3c4d"


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brand]:
    """A server of each kind, for all tests of this module."""
    with serving(request.param, tmp_path_factory.mktemp("brand")) as brand:
        yield brand


@pytest.fixture
def brand(running: Brand) -> Brand:
    """The same with an empty folder."""
    for path in sorted(running.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return running


def fetched(brand: Brand, name: str, meanwhile: Callable[[], object] = int, **values: object) -> bytes | None:
    """The bytes of a file, ``meanwhile`` being done when the first of them have come; None if it was not whole."""
    received = bytearray()

    def write(block: bytes) -> None:
        if not received:
            meanwhile()
        received.extend(block)

    with brand.source(**values) as source:
        file = next(file for file in source.waiting() if file.name == name)
        return bytes(received) if source.fetch(file, write) else None


def test_what_waits(brand: Brand) -> None:
    """What matches, oldest first; not what is unfinished, hidden, an answer of ours, or in a folder below."""
    for name in ("b.csv", "a.part", "a.TMP", "a.filepart", ".a.csv", "receipt_a.csv", "result_a.csv", "fix_a.csv"):
        brand.write(name, b"x", 1_700_000_000)
    brand.write("c.csv", b"xyz", 1_600_000_000)
    brand.write("note.txt", b"x")
    brand.write("below/d.csv", b"x")
    (brand.folder / "folder.csv").mkdir()
    with brand.source(pattern="?.csv") as source:
        assert source.waiting() == [RemoteFile("c.csv", 3, 1_600_000_000), RemoteFile("b.csv", 1, 1_700_000_000)]


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["nothing", "a byte", "1.5 MB"])
def test_bytes_arrive_as_they_are(brand: Brand, content: bytes) -> None:
    """Nothing added, nothing missing."""
    brand.write("returns.csv", content)
    assert fetched(brand, "returns.csv") == content


def test_names_of_all_letters(brand: Brand) -> None:
    """A name with blanks and umlauts can be listed, fetched and moved."""
    brand.write("Rückläufer März.csv", b"x")
    with brand.source(after="move") as source:
        (file,) = source.waiting()
        assert source.fetch(file, len)
        assert source.settle(file, DELIVERY)
    assert brand.names("processed") == ["Rückläufer März.csv"]


def _overwrite(path: Path) -> None:
    path.write_bytes(b"y" * len(LARGE))
    touch(path, 1_800_000_000)


def _replace(path: Path) -> None:
    path.with_name("new").write_bytes(LARGE)
    touch(path.with_name("new"), 1_800_000_000)
    path.with_name("new").rename(path)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"z" * 100_000)
    touch(path, 1_700_000_000)


def _shrink(path: Path) -> None:
    os.truncate(path, 100_000)
    touch(path, 1_700_000_000)


@pytest.mark.parametrize("change", [_overwrite, _replace, _grow, _shrink, Path.unlink])
def test_what_changes_during_the_download_is_not_whole(brand: Brand, change: Callable[[Path], object]) -> None:
    """Overwritten, replaced, grown, cut or gone: it is left for the next round."""
    path = brand.write("returns.csv", LARGE, 1_700_000_000)
    assert fetched(brand, "returns.csv", lambda: change(path)) is None


@pytest.mark.parametrize("change", [_overwrite, _grow, Path.unlink])
def test_what_changed_since_the_listing_is_not_fetched(brand: Brand, change: Callable[[Path], object]) -> None:
    """A file that grows between two looks is being written."""
    path = brand.write("returns.csv", LARGE, 1_700_000_000)
    received: list[bytes] = []
    with brand.source() as source:
        (file,) = source.waiting()
        change(path)
        assert not source.fetch(file, received.append)
    assert received == []


@pytest.mark.parametrize("after", ["move", "delete"])
def test_what_changed_since_it_was_fetched_stays(brand: Brand, after: str) -> None:
    """Only the very file that is durable here is moved or deleted."""
    path = brand.write("returns.csv", LARGE, 1_700_000_000)
    with brand.source(after=after) as source:
        (file,) = source.waiting()
        assert source.fetch(file, len)
        _overwrite(path)
        assert not source.settle(file, DELIVERY)
    assert path.read_bytes()[:1] == b"y"


def test_keep(brand: Brand) -> None:
    """The file stays."""
    brand.write("returns.csv", b"x")
    with brand.source() as source:
        assert source.settle(source.waiting()[0], DELIVERY)
    assert brand.names() == ["returns.csv"]


def test_delete(brand: Brand) -> None:
    """The file is gone."""
    brand.write("returns.csv", b"x")
    with brand.source(after="delete") as source:
        assert source.settle(source.waiting()[0], DELIVERY)
    assert brand.names() == []


def test_move(brand: Brand) -> None:
    """The file lies in ``processed``, beside an earlier one of its name."""
    for content in (b"first", b"second"):
        brand.write("returns.csv", content)
        with brand.source(after="move") as source:
            assert source.settle(source.waiting()[0], DELIVERY)
    assert brand.names() == []
    assert (brand.folder / "processed" / "returns.csv").read_bytes() == b"first"
    assert (brand.folder / "processed" / f"returns.{DELIVERY}.csv").read_bytes() == b"second"


def test_answers(brand: Brand) -> None:
    """An answer appears under its name, replaces an older one, and leaves nothing else behind."""
    (brand.folder / "results").mkdir()
    folder = brand.values["folder"].rstrip("/") + "/results"
    with brand.source(result_folder=folder) as source:
        for content in (b"old", LARGE):
            source.put("result_returns.csv", io.BytesIO(content))
    assert brand.names("results") == ["result_returns.csv"]
    assert (brand.folder / "results" / "result_returns.csv").read_bytes() == LARGE


def test_no_folder_for_answers(brand: Brand) -> None:
    """Said in words; the session goes on."""
    with brand.source(result_folder="/nowhere/at/all") as source:
        with pytest.raises(SourceRefused, match="/nowhere/at/all"):
            source.put("result_returns.csv", io.BytesIO(b"x"))
        assert source.waiting() == []


def test_check(brand: Brand) -> None:
    """It counts, and tries to write where something is to be written, leaving nothing behind."""
    brand.write("a.csv", b"x")
    brand.write("b.txt", b"x")
    (brand.folder / "results").mkdir()
    folder = brand.values["folder"]
    with brand.source(pattern="*.csv", after="move", result_folder=f"{folder.rstrip('/')}/results") as source:
        steps = list(source.check())
    assert [step.ok for step in steps] == [True, True, True]
    assert steps[0].message == f"{folder}: 2 files, 1 of them match"
    assert (brand.names("results"), brand.names("processed")) == ([], [])


def test_check_of_a_folder_that_is_not_there(brand: Brand) -> None:
    """One bad step does not hide the others."""
    with brand.source(result_folder="/nowhere/at/all") as source:
        steps = list(source.check())
    assert [step.ok for step in steps] == [True, False]
    assert "/nowhere/at/all" in steps[1].message


def test_no_folder_to_fetch_from(brand: Brand) -> None:
    """A person has to see to it; trying again does not help."""
    with brand.source(folder="/nowhere/at/all") as source, pytest.raises(SourceRefused, match="/nowhere/at/all"):
        source.waiting()


def test_refused_login(brand: Brand) -> None:
    """Told with the user's name, never with the secret."""
    wrong = {"key_file": _other_key(brand)} if "key_file" in brand.values else {"password": Secret("env:WRONG")}
    with (
        pytest.raises(SourceRefused, match=f"refuses the login of {brand.values['user']}") as error,
        brand.source(**wrong),
    ):
        pass
    assert "not it" not in str(error.value)


def _other_key(brand: Brand) -> Path:
    return key_pair("ed25519" if brand.kind.endswith("rsa") else "rsa")


def test_a_stranger_learns_nothing(brand: Brand) -> None:
    """A server that does not prove that it is the one gets not even a user name."""
    if brand.kind == "ftp":
        # It has nothing to prove itself by; demanding TLS of it must not tell the name either.
        stranger: dict[str, object] = {"tls": "required", "ca_file": authority()[1]}
    elif brand.kind == "ftps":
        stranger = {"ca_file": None}
    else:
        stranger = {"host_key": _another_host_key(brand)}
    with line_to(brand) as line:
        reached = {"host": "127.0.0.1", "port": line.port}
        with pytest.raises(SourceRefused, match=r"Nothing was\s+sent"), brand.source(**stranger, **reached):
            pass
        assert brand.values["user"].encode() not in line.heard


def _another_host_key(brand: Brand) -> tuple[HostKey, ...]:
    """Of the same kind if there is one: then only the bytes tell."""
    (own,) = brand.values["host_key"]
    return next(
        (public(kind) for kind in ("ed25519", "rsa") if own != public(kind)[0] and kind in own.kind), public("ecdsa")
    )


@contextmanager
def _losing(kind: type[ClawbackError]) -> Iterator[None]:
    with pytest.raises(kind) as error:
        yield
    assert error.value.retryable


@pytest.mark.parametrize("left", [0, 100, 20_000, 700_000])
def test_a_connection_that_breaks(brand: Brand, left: int) -> None:
    """Wherever it breaks: it is worth another try, and no file of it is whole."""
    brand.write("returns.csv", LARGE)
    with line_to(brand, left=left) as line, _losing(SourceUnreachable):
        fetched(brand, "returns.csv", host="127.0.0.1", port=line.port)


def test_a_server_that_dies_during_the_download(brand: Brand) -> None:
    """It is worth another try; when the server is back, the file is fetched as if nothing had been."""
    brand.write("returns.csv", LARGE * 8)
    with _losing(SourceUnreachable):
        fetched(brand, "returns.csv", brand.stop)
    brand.stop()
    with _losing(SourceUnreachable), brand.source():
        pass
    brand.start()
    assert fetched(brand, "returns.csv") == LARGE * 8


@pytest.mark.parametrize("left", [0, 10_000])
def test_a_server_that_falls_silent(brand: Brand, left: int) -> None:
    """The wait has an end, and it is worth another try."""
    brand.write("returns.csv", LARGE)
    with line_to(brand, left=left, cuts=False) as line, _losing(SourceUnreachable):
        fetched(brand, "returns.csv", host="127.0.0.1", port=line.port, timeout_s=1)


def test_a_secret_that_is_not_there(brand: Brand) -> None:
    """It is named by its reference, before anything is sent."""
    missing = {"key_file": None, "password": Secret("env:NOWHERE")}
    given = missing if brand.kind[0] != "f" else {"password": missing["password"]}
    with pytest.raises(Unusable, match="env:NOWHERE is empty or not set"), brand.source(**given):
        pass


def test_a_cut_download_goes_on_where_it_broke(brand: Brand) -> None:
    """Only what is missing is sent again, and the end of what is there, as the proof that it is the same file."""
    content = LARGE * 6
    brand.write("returns.csv", content, 1_700_000_000)
    received, part = bytearray(), Part()
    lines: list[Line] = []

    def write(block: bytes) -> None:
        received.extend(block)
        part.add(block)
        if lines and len(received) > 700_000:
            lines.pop().close()

    with line_to(brand) as line, brand.source(host="127.0.0.1", port=line.port) as source:
        lines.append(line)
        (file,) = source.waiting()
        with pytest.raises(SourceUnreachable):
            source.fetch(file, write, part)
    had_bytes = len(received)
    assert 700_000 < had_bytes < len(content)
    with line_to(brand) as line, brand.source(host="127.0.0.1", port=line.port) as source:
        (file,) = source.waiting()
        before = line.passed
        assert source.fetch(file, write, part)
        assert line.passed - before < len(content) - had_bytes + 300_000
    assert bytes(received) == content


@pytest.mark.parametrize("change", [_overwrite, _replace])
def test_a_part_of_another_file_is_not_gone_on_with(brand: Brand, change: Callable[[Path], object]) -> None:
    """Another time, or the same time and size and other bytes: nothing is joined."""
    path = brand.write("returns.csv", LARGE, 1_700_000_000)
    part, received = Part(), list[bytes]()
    part.add(LARGE[:1_000_000])
    with brand.source() as source:
        (file,) = source.waiting()
        change(path)
        assert not source.fetch(file, received.append, part)
        path.write_bytes(b"y" * len(LARGE))
        touch(path, 1_700_000_000)
        assert not source.fetch(file, received.append, part)
        # The session is as good as before.
        assert source.fetch(file, received.append)
    assert b"".join(received) == b"y" * len(LARGE)
