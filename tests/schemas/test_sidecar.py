from pathlib import Path

import pytest

from processing.codes import Code
from processing.errors import Unreadable
from schemas.sidecar import described, read_digest

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("returns.csv.sha256", "returns.csv"),
        ("returns.csv.SHA256", "returns.csv"),
        ("returns.zip.sha256", "returns.zip"),
        ("returns.csv", None),
        (".sha256", None),
        ("sha256", None),
        ("returns.sha256.csv", None),
    ],
)
def test_what_a_name_is_the_sidecar_of(name: str, file: str | None) -> None:
    """The ending tells, in capitals, too."""
    assert described(name) == file


@pytest.mark.parametrize(
    "content",
    [
        DIGEST,
        f"{DIGEST}\n",
        f"{DIGEST.upper()}\r\n",
        f"{DIGEST}  returns.csv\n",
        f"{DIGEST} *in/returns.csv\n",
        f"\\{DIGEST}  odd\\nname.csv\n",
        f"SHA256 (returns.csv) = {DIGEST}\n",
        f"\ufeff{DIGEST}\n",
    ],
)
def test_a_digest_as_programs_write_it(tmp_path: Path, content: str) -> None:
    """sha256sum in text and binary mode, BSD's way, a bare one; upper or lower case."""
    path = tmp_path / "content"
    path.write_text(content)
    assert read_digest(path) == DIGEST


@pytest.mark.parametrize(
    "content",
    ["", "hello", DIGEST[:-1], DIGEST + "0", f"{DIGEST}  a\n{DIGEST}  b\n", f"x {DIGEST}", DIGEST + "\n" * 5000],
    ids=["nothing", "no digest", "short", "long", "two", "something before", "too much"],
)
def test_what_is_no_sidecar(tmp_path: Path, content: str) -> None:
    """A sidecar holds one digest; it is never read as lines."""
    path = tmp_path / "content"
    path.write_text(content)
    with pytest.raises(Unreadable, match="sha256sum") as raised:
        read_digest(path)
    assert raised.value.code is Code.NOT_READABLE
