"""Settings: a file, the environment, and clear errors for what is neither."""

from pathlib import Path

import pytest

from clawback.settings import Settings, load
from processing.errors import Unusable


def test_defaults(tmp_path: Path) -> None:
    """Without a file and variables everything has a default, and state lies beside the caller."""
    settings = load({}, tmp_path)
    assert settings.state == tmp_path / "var"
    assert settings.store_url == f"sqlite:///{tmp_path / 'var' / 'clawback.db'}"
    assert settings.ftp.tls == "required"
    assert (settings.schedule.collect_every_s, settings.schedule.lock_every_s) == (60, 900)


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A variable replaces what the file says, and only that."""
    (tmp_path / "clawback.toml").write_text('store = "postgresql://db/one"\n[ftp]\nport = 21\ntls = "off"\n')
    settings = load({"CLAWBACK_FTP_PORT": "2222", "PATH": "/bin"}, tmp_path)
    assert (settings.ftp.port, settings.ftp.tls, settings.store_url) == (2222, "off", "postgresql://db/one")


def test_named_file(tmp_path: Path) -> None:
    """CLAWBACK_CONFIG names the file; its folder is where relative paths begin."""
    (tmp_path / "desk.toml").write_text('state = "data"\n')
    assert load({"CLAWBACK_CONFIG": str(tmp_path / "desk.toml")}).state == tmp_path / "data"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("statee = 'x'", "statee is no setting. Did you mean state?"),
        ("[ftp]\nprot = 1", "ftp.prot is no setting. Did you mean ftp.port?"),
        ("[ftp]\nport = 'x'", "ftp.port is 'x'; it must be a whole number"),
        ("[ftp]\nport = true", "ftp.port is True; it must be a whole number"),
        ("[ftp]\ntls = 'maybe'", "ftp.tls is 'maybe'; it can be 'required', 'optional', 'off'"),
        ("ftp = 1", "ftp is a table; write [ftp]"),
        ("store = 1", "store is 1; it must be a text"),
        ("store = ", "is not TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, message: str) -> None:
    """Unknown keys and values of the wrong kind are errors that name the key."""
    (tmp_path / "clawback.toml").write_text(text)
    with pytest.raises(Unusable) as error:
        load({}, tmp_path)
    assert message in str(error.value)


def test_missing_file_is_an_error_only_if_named(tmp_path: Path) -> None:
    """A file that CLAWBACK_CONFIG names has to be there."""
    assert load({}, tmp_path) != Settings(state=Path("elsewhere"))
    with pytest.raises(Unusable, match="cannot be read"):
        load({"CLAWBACK_CONFIG": str(tmp_path / "no.toml")})


def test_unknown_variable_is_an_error(tmp_path: Path) -> None:
    """A misspelt variable is not passed over in silence."""
    with pytest.raises(Unusable, match=r"the environment: ftp.prot is no setting"):
        load({"CLAWBACK_FTP_PROT": "1"}, tmp_path)
