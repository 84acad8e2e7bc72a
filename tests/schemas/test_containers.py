import gzip
import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from processing.codes import Code
from processing.errors import Unreadable
from schemas.containers import MOST_FILES, Container, kind_of, open_container, unzipping

CSV = b"ActionId,Amount,Reason\nA-1,0,OTHER\n"
# Digits that do not compress to nothing, so that the packed bytes are many enough to be damaged one by one.
NOISE = CSV + "".join(f"A-{n * 2654435761 % 10**9},{n}.00,OTHER\n" for n in range(40)).encode()


def gzipped(content: bytes) -> bytes:
    """A gz of one member, the same whenever it is made."""
    return gzip.compress(content, mtime=0)


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files, in this order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def zipped64(files: dict[str, bytes], directory_bytes: int | None = None) -> bytes:
    """The same as a zip64, as a stream ends: Info-ZIP cannot know how long it will be."""
    plain = zipped(files)
    *_, number, size, offset, _ = struct.unpack("<4s4H2LH", plain[-22:])
    told = size if directory_bytes is None else directory_bytes
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, number, number, told, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(plain) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *[2**16 - 1] * 2, *[2**32 - 1] * 2, 0)
    return plain[:-22] + record + locator + end


def opened(folder: Path, content: bytes, name: str = "returns.zip", most_bytes: int = 10**6) -> Container | None:
    """A container, read to its end."""
    path = folder / "content"
    path.write_bytes(content)
    return open_container(path, name, most_bytes)


def unpacked(folder: Path, content: bytes, name: str = "returns.zip", most_bytes: int = 10**6) -> dict[str, bytes]:
    """The files of a container by their names."""
    container = opened(folder, content, name, most_bytes)
    assert container is not None
    return {file.name: b"".join(container.read(file)) for file in container.files}


def refused(folder: Path, content: bytes, most_bytes: int = 10**6) -> Unreadable:
    """What is said of a container that is not read."""
    with pytest.raises(Unreadable) as raised:
        opened(folder, content, most_bytes=most_bytes)
    return raised.value


@pytest.mark.parametrize(
    ("case", "content", "kind"),
    [
        ("csv", CSV, None),
        ("nothing", b"", None),
        ("gz", gzipped(CSV), "gz"),
        ("zip", zipped({"a.csv": CSV}), "zip"),
        ("empty zip", zipped({}), "zip"),
        ("xlsx", zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b""}), "xlsx"),
    ],
)
def test_the_content_tells_a_container(tmp_path: Path, case: str, content: bytes, kind: str | None) -> None:
    """Names are not asked: a gz may be called csv, and the other way round."""
    path = tmp_path / "returns.csv"
    path.write_bytes(content)
    assert kind_of(path) == kind, case


@pytest.mark.parametrize(
    ("case", "content", "expected"),
    [
        ("one member", gzipped(NOISE), NOISE),
        ("several members", gzipped(CSV) + gzipped(b"A-2,0,OTHER\n"), CSV + b"A-2,0,OTHER\n"),
        ("an empty member", gzipped(b"") + gzipped(CSV), CSV),
        ("zeros behind it", gzipped(CSV) + bytes(100), CSV),
        ("nothing in it", gzipped(b""), b""),
    ],
)
def test_a_gz(tmp_path: Path, case: str, content: bytes, expected: bytes) -> None:
    """All members are read; that there were no more of them, nothing says."""
    container = opened(tmp_path, content, "returns.csv.GZ")
    assert container is not None
    assert [file.name for file in container.files] == ["returns.csv"]
    assert b"".join(container.read(container.files[0])) == expected, case
    assert not container.proven


@pytest.mark.parametrize(
    ("name", "inner"), [("a.gz", "a"), (".gz", ".gz"), ("a.csv", "a.csv"), ("x/y.csv.gz", "x/y.csv")]
)
def test_the_name_of_what_a_gz_holds(tmp_path: Path, name: str, inner: str) -> None:
    """Its own name without the ending; what the gz itself calls it is a claim of nobody we know."""
    container = opened(tmp_path, gzipped(CSV), name)
    assert container is not None
    assert container.files[0].name == inner


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_of_several_files(tmp_path: Path, method: int) -> None:
    """Each file by its own name, in the order of the zip."""
    files = {"b.csv": NOISE, "a.xml": b"<ReversalRequests/>", "c.csv": b""}
    assert list(unpacked(tmp_path, zipped(files, method)).items()) == list(files.items())


def test_a_zip_that_was_streamed(tmp_path: Path) -> None:
    """It says where it ends in larger numbers than it needs."""
    files = {"a.csv": NOISE, "b.csv": CSV}
    assert unpacked(tmp_path, zipped64(files)) == files


def test_names_in_a_zip_are_no_paths(tmp_path: Path) -> None:
    """Folders, drives and steps upwards are dropped; what remains is a name to show."""
    names = ["../../a.csv", "/etc/b.csv", "C:\\in\\c.csv", "deep/er/d.csv", "..\\..\\e.csv"]
    assert list(unpacked(tmp_path, zipped(dict.fromkeys(names, CSV)))) == ["a.csv", "b.csv", "c.csv", "d.csv", "e.csv"]
    assert [path.name for path in tmp_path.parent.iterdir() if path.name.endswith(".csv")] == []


def test_what_is_no_delivery_is_left_out_and_said(tmp_path: Path) -> None:
    """Our own answers and what systems leave behind; folders are not worth a word."""
    ours = ["receipt_a.csv.json", "in/Result_a.csv", "fix_a.csv"]
    systems = ["__MACOSX/._a.csv", ".DS_Store", "in/.hidden.csv", "Thumbs.db", "desktop.ini"]
    container = opened(tmp_path, zipped(dict.fromkeys(["in/", *ours, "a.csv", *systems], CSV)))
    assert container is not None
    assert [(file.position, file.name) for file in container.files] == [(1, "a.csv")]
    assert container.ignored == (*ours, *systems)
    assert b"".join(container.read(container.files[0])) == CSV


@pytest.mark.parametrize("content", [zipped({}), zipped({"in/": b"", "receipt_a.json": b"{}"})], ids=["empty", "ours"])
def test_a_zip_without_a_file_for_us(tmp_path: Path, content: bytes) -> None:
    """Nothing to read is said, not passed over."""
    assert refused(tmp_path, content).code is Code.NO_LINES


@pytest.mark.parametrize(
    "content",
    [gzipped(NOISE), zipped({"a.csv": NOISE, "b.csv": CSV}), zipped64({"a.csv": NOISE, "b.csv": CSV})],
    ids=["gz", "zip", "zip64"],
)
def test_nothing_comes_of_a_container_cut_at_any_byte(tmp_path: Path, content: bytes) -> None:
    """Its checksum, or the list of files at the end of a zip, is missing."""
    for end in range(4, len(content)):
        assert refused(tmp_path, content[:end]).code is Code.NOT_READABLE, end


@pytest.mark.parametrize(
    "content",
    [
        gzipped(NOISE),
        zipped({"a.csv": NOISE}),
        zipped({"a.csv": NOISE}, zipfile.ZIP_STORED),
        zipped64({"a.csv": NOISE}),
    ],
    ids=["gz", "zip", "stored", "zip64"],
)
def test_a_damaged_byte_is_noticed_or_harmless(tmp_path: Path, content: bytes) -> None:
    """Whichever byte is damaged: an error of ours, or the same bytes; never others."""
    for at in range(4, len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0xA5
        try:
            container = opened(tmp_path, bytes(damaged))
        except Unreadable:
            continue
        if container is not None and container.files:
            assert b"".join(container.read(container.files[0])) == NOISE, at


def test_a_gz_with_something_behind_it(tmp_path: Path) -> None:
    """What follows the last member is no member, so the file is not what was sent."""
    assert refused(tmp_path, gzipped(CSV) + b"garbage").code is Code.NOT_READABLE


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    """We have no password, and say so."""
    content = bytearray(zipped({"a.csv": CSV}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    assert "encrypted" in str(refused(tmp_path, bytes(content)))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_unusual_method_is_refused(tmp_path: Path, method: int) -> None:
    """Some take as much memory as the zip asks them to."""
    assert "Deflate" in str(refused(tmp_path, zipped({"a.csv": CSV}, method)))


@pytest.mark.parametrize("content", [gzipped(bytes(10**7)), zipped({"a": bytes(10**7)})], ids=["gz", "zip"])
def test_a_bomb_is_stopped_by_the_bytes_that_come_out(tmp_path: Path, content: bytes) -> None:
    """Ten million bytes out of ten thousand: reading stops at the limit, and memory stays flat."""
    tracemalloc.start()
    try:
        assert refused(tmp_path, content, most_bytes=5 * 10**6).code is Code.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 3 * 10**6
    finally:
        tracemalloc.stop()
    assert sum(map(len, unpacked(tmp_path, content, most_bytes=10**7).values())) == 10**7


def test_several_files_share_the_limit(tmp_path: Path) -> None:
    """Each alone is small enough; together they are not."""
    content = zipped({f"{n}.csv": bytes(1000) for n in range(10)})
    assert refused(tmp_path, content, most_bytes=9_999).code is Code.TOO_LARGE
    assert len(unpacked(tmp_path, content, most_bytes=10_000)) == 10


def test_a_forged_size_does_not_hide_a_bomb(tmp_path: Path) -> None:
    """A zip that says its file has ten bytes: the bytes that come out are the ones that count."""
    content = bytearray(zipped({"a.csv": bytes(10**6)}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", content, content.index(mark) + offset, 10)
    assert refused(tmp_path, bytes(content)).code is Code.NOT_READABLE


def test_files_that_overlap_count_each_time(tmp_path: Path) -> None:
    """A hundred names for the same packed bytes are a hundred files, against one limit."""
    content = zipped({"a.csv": bytes(10**5)})
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    listed = content[start:end] * 100
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 100, 100, len(listed), start, 0)
    assert refused(tmp_path, content[:start] + listed + tail, most_bytes=10**6).code is Code.TOO_LARGE


def test_too_many_files(tmp_path: Path) -> None:
    """Each would be a delivery."""
    names = [f"{n}.csv" for n in range(MOST_FILES + 1)]
    assert refused(tmp_path, zipped(dict.fromkeys(names, b"x"))).code is Code.TOO_LARGE


def test_a_list_of_files_that_would_fill_the_memory(tmp_path: Path) -> None:
    """It is measured before it is read."""
    entry = zipped({"a": b""})
    start, end = entry.index(b"PK\x01\x02"), entry.index(b"PK\x05\x06")
    listed = entry[start:end] * 30_000
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 30_000, 30_000, len(listed), start, 0)
    assert refused(tmp_path, entry[:start] + listed + tail).code is Code.TOO_LARGE
    assert refused(tmp_path, zipped64({"a": b""}, directory_bytes=len(listed))).code is Code.TOO_LARGE


def test_a_zip64_has_one_end(tmp_path: Path) -> None:
    """What stands elsewhere than right before its locator is found by some programs only."""
    content = zipped64({"a.csv": CSV})
    at = content.index(b"PK\x06\x07")
    assert refused(tmp_path, content[:at] + bytes(8) + content[at:]).code is Code.NOT_READABLE


def test_a_disk_that_fails_is_not_the_brands_fault(tmp_path: Path) -> None:
    """Only what is wrong with the bytes is said to be wrong with them."""
    with pytest.raises(IsADirectoryError), unzipping(tmp_path):
        pass
