from pathlib import Path
from typing import BinaryIO

import pytest

from connectors.results import FIX, RECEIPT, RESULT, publish, results_folder, safe_name

FIRST = "20270115T093000000000-1a2b3c4d"
SECOND = "20270115T093000000001-5e6f7a8b"


def put(home: Path, pattern: str, delivery: str, name: str, text: str) -> str:
    """Publish a text."""

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    return publish(home, pattern, delivery=delivery, name=name, write=write)


def shown(home: Path) -> dict[str, str]:
    """What lies in ``results/``."""
    return {p.name: p.read_text() for p in results_folder(home).iterdir() if p.is_file()}


def test_answers_have_the_names_of_the_design(tmp_path: Path) -> None:
    """The three answers to a delivery are named after its file."""
    names = [put(tmp_path, pattern, FIRST, "returns.csv", "x") for pattern in (RECEIPT, RESULT, FIX)]
    assert names == ["receipt_returns.csv.json", "result_returns.csv", "fix_returns.csv"]
    assert sorted(shown(tmp_path)) == sorted(names)


def test_repeating_replaces(tmp_path: Path) -> None:
    """Publishing again for the same delivery replaces the file."""
    put(tmp_path, RESULT, FIRST, "returns.csv", "half")
    assert put(tmp_path, RESULT, FIRST, "returns.csv", "whole") == "result_returns.csv"
    assert shown(tmp_path) == {"result_returns.csv": "whole"}


def test_same_name_overwrites_no_other_delivery(tmp_path: Path) -> None:
    """A later delivery of the same name gets its id into the names, also for an answer the first had not."""
    put(tmp_path, RESULT, FIRST, "returns.csv", "first")
    for _ in range(2):
        put(tmp_path, RESULT, SECOND, "returns.csv", "second")
        put(tmp_path, FIX, SECOND, "returns.csv", "fix")
    put(tmp_path, RESULT, FIRST, "returns.csv", "first")
    assert shown(tmp_path) == {
        "result_returns.csv": "first",
        f"result_returns.{SECOND}.csv": "second",
        f"fix_returns.{SECOND}.csv": "fix",
    }


def test_name_is_free_when_the_brand_deleted_its_answers(tmp_path: Path) -> None:
    """Once the plain files are deleted, the next delivery of the name gets the plain names."""
    put(tmp_path, RESULT, FIRST, "returns.csv", "first")
    (results_folder(tmp_path) / "result_returns.csv").unlink()
    assert put(tmp_path, RESULT, SECOND, "returns.csv", "second") == "result_returns.csv"
    assert put(tmp_path, RECEIPT, FIRST, "returns.csv", "first") == f"receipt_returns.{FIRST}.csv.json"


def test_nothing_is_published_when_writing_fails(tmp_path: Path) -> None:
    """A file whose making fails half-way is not there, nor anything of it."""

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        publish(tmp_path, RESULT, delivery=FIRST, name="returns.csv", write=fail)
    assert shown(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("returns.csv", "returns.csv"),
        ("Rückgaben März 2027.csv", "Rückgaben März 2027.csv"),
        ("返品 ١٢٣.xml", "返品 ١٢٣.xml"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("C:\\returns\\a.csv", "C__returns_a.csv"),
        (".htaccess", "htaccess"),
        ("..", "delivery"),
        ("", "delivery"),
        ("a\x00b\r\nc.csv", "a_b__c.csv"),
        ("evil\u202evsc.exe", "evil_vsc.exe"),
        ("half \ud800.csv", "half _.csv"),
        ("no extension", "no extension"),
        ("a." + "b" * 40, "a." + "b" * 40),
        ("x" * 300 + ".csv", "x" * 160 + ".csv"),
        ("é" * 300 + ".csv", "é" * 80 + ".csv"),
    ],
)
def test_names_are_safe_and_readable(tmp_path: Path, name: str, safe: str) -> None:
    """What a brand calls its file never leads out of the folder and stays readable."""
    assert safe_name(name) == safe
    put(tmp_path, RECEIPT, FIRST, name, "x")
    published = put(tmp_path, RECEIPT, SECOND, name, "y")
    assert (results_folder(tmp_path) / published).read_text() == "y"
    assert {p.name for p in tmp_path.iterdir()} == {"results"}


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    """The next answer removes an unfinished one, and nothing else that is hidden."""
    publish(tmp_path, RESULT, delivery="D1", name="a.csv", write=lambda out: out.write(b"1"))
    (tmp_path / "results" / ".0123456789abcdef.unfinished").write_bytes(b"half")
    publish(tmp_path, RESULT, delivery="D1", name="a.csv", write=lambda out: out.write(b"2"))
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [".owners", "result_a.csv"]
