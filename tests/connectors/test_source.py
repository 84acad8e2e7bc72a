import pytest

from connectors.source import Part, RemoteFile, Seam, apart, in_order, matches, may_be_delivery, trial_name


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("returns.csv", "*", True),
        ("returns.csv", "returns.csv", True),
        ("returns.csv", "*.csv", True),
        ("returns.csv", "return?.csv", True),
        ("returns.csv", "*.CSV", False),
        ("returns.csv", "eturns.csv", False),
        ("returns.csv.bak", "*.csv", False),
        ("returns1.csv", "returns[0-9].csv", False),
        ("returns[0-9].csv", "returns[0-9].csv", True),
        ("returnsxcsv", "returns.csv", False),
        ("two\nlines.csv", "*.csv", True),
    ],
)
def test_matches(name: str, pattern: str, *, expected: bool) -> None:
    """Two characters are wild and no others."""
    assert matches(name, pattern) is expected


@pytest.mark.parametrize(
    "name",
    [
        ".returns.csv",
        "a.part",
        "a.csv.PART",
        "a.tmp",
        "a.filepart",
        "receipt_a.csv.json",
        "result_a.csv",
        "fix_a.csv",
        "a/b",
    ],
)
def test_what_is_never_a_delivery(name: str) -> None:
    """Unfinished, hidden, our own answers, and what would leave the folder."""
    assert not may_be_delivery(name, "*")


def test_in_order() -> None:
    """By time, then by name."""
    files = [RemoteFile("b", 1, 2), RemoteFile("a", 1, 2), RemoteFile("c", 1, 1)]
    assert [file.name for file in in_order(files)] == ["c", "a", "b"]


def test_names_of_our_own() -> None:
    """One beside a taken name keeps its extension; one for a trial is never fetched."""
    assert apart("returns.csv", "D-1") == "returns.D-1.csv"
    assert apart("returns", "D-1") == "returns.D-1"
    assert not may_be_delivery(trial_name(), "*")


@pytest.mark.parametrize("had", [0, 1, 70_000, 200_000])
@pytest.mark.parametrize("block", [1000, 65_536, 300_000])
@pytest.mark.parametrize("start", ["in the middle", "at the beginning"])
def test_a_seam(had: int, block: int, start: str) -> None:
    """Whatever the blocks, what is new is passed on once; one other byte at the end of what is there is noticed."""
    content = bytes(number % 251 for number in range(300_000))
    part = Part()
    part.add(content[:had])
    for whole in (content, content[: had - 1] + b"\xff" + content[had:] if had else content):
        out = list[bytes]()
        seam = Seam(part, out.append)
        if start == "at the beginning":
            seam.at = 0
        came = all(seam.take(whole[at : at + block]) for at in range(seam.at, len(whole), block))
        assert came is (whole is content)
        assert b"".join(out) == (content[had:] if came else b"")
