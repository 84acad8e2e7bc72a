from pathlib import Path

import pytest

from connectors.source_settings import FtpPullSettings, Secret, SftpSettings, kind_of
from processing.errors import Unusable


def test_a_secret_is_read_when_it_is_needed(tmp_path: Path) -> None:
    """From the environment or a file, whose last line may be ended."""
    (tmp_path / "secret").write_text("pass word\n")
    assert Secret.parse("file:secret", tmp_path).reveal({}) == "pass word"
    assert Secret.parse("env:ACME", tmp_path).reveal({"ACME": "x"}) == "x"


@pytest.mark.parametrize("text", ["hunter2", "env:", "file:", ""])
def test_a_secret_itself_is_refused(text: str, tmp_path: Path) -> None:
    """And not repeated."""
    with pytest.raises(Unusable) as error:
        Secret.parse(text, tmp_path)
    assert "hunter2" not in str(error.value)


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    """The reference is named."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_bytes(b"\n")
    for reference in ("env:NOWHERE", "file:nowhere", "file:binary", "file:empty"):
        secret = Secret.parse(reference, tmp_path)
        with pytest.raises(Unusable, match=secret.reference):
            secret.reveal({})


def test_kinds_and_places() -> None:
    """As people read them; the hosted server's channel is plain ``ftp``."""
    sftp = SftpSettings("acme", "IRacme1", "a.example", "u", folder="/out")
    ftp = FtpPullSettings("brix", "IRbrix2", "b.example", "u", Secret("env:X"))
    assert (kind_of(sftp), sftp.channel, sftp.place) == ("sftp", "sftp:acme", "sftp://u@a.example:22/out")
    assert (kind_of(ftp), ftp.channel, ftp.place) == ("ftp", "ftp:brix", "ftp://u@b.example:21/.")
