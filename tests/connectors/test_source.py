import pytest

from connectors.source import RemoteFile, apart, in_order, matches, may_be_delivery, trial_name


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
