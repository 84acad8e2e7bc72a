import logging
from pathlib import Path

import pytest

from connectors.credentials import Credentials, new_password
from processing.errors import Unusable

SECRET = "a secret nobody may read"


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    """No passwords yet."""
    return Credentials(tmp_path)


def test_only_the_password_lets_in(credentials: Credentials) -> None:
    """The password lets its account in by its channel, and nothing else does."""
    credentials.set_password("IRacme1", "ftp", SECRET)
    asked = [
        ("IRacme1", "ftp", SECRET),
        ("IRacme1", "ftp", "x"),
        ("IRacme1", "web", SECRET),
        ("IRbrix2", "ftp", SECRET),
    ]
    assert [credentials.verify(*question) for question in asked] == [True, False, False, False]


def test_new_password_replaces_the_old(credentials: Credentials) -> None:
    """After a change only the new password lets in."""
    credentials.set_password("IRacme1", "ftp", SECRET)
    credentials.set_password("IRacme1", "ftp", "new")
    assert (credentials.verify("IRacme1", "ftp", SECRET), credentials.verify("IRacme1", "ftp", "new")) == (False, True)


def test_revoked_account_is_not_let_in(credentials: Credentials) -> None:
    """Revoking takes effect at once, and twice is harmless."""
    credentials.set_password("IRacme1", "ftp", SECRET)
    assert (credentials.revoke("IRacme1", "ftp"), credentials.revoke("IRacme1", "ftp")) == (True, False)
    assert not credentials.verify("IRacme1", "ftp", SECRET)
    assert credentials.accounts("ftp") == []


def test_accounts_of_a_channel(credentials: Credentials) -> None:
    """The accounts that have a password are listed by channel, sorted."""
    for account in ("IRbrix2", "IRacme1"):
        credentials.set_password(account, "ftp", SECRET)
    assert credentials.accounts("ftp") == ["IRacme1", "IRbrix2"]
    assert credentials.accounts("web") == credentials.accounts("..") == []


@pytest.mark.parametrize("account", ["", ".", "..", "../x", "a/b", "a\x00", "-x", ".hidden", "x" * 65, "é"])
def test_account_is_never_a_path(credentials: Credentials, tmp_path: Path, account: str) -> None:
    """What is not an account id is refused when set and does not let in, and touches no file."""
    with pytest.raises(Unusable, match="cannot be a user name"):
        credentials.set_password(account, "ftp", SECRET)
    assert not credentials.verify(account, "ftp", SECRET)
    assert not credentials.revoke(account, "ftp")
    assert list(tmp_path.rglob("*")) == []


def test_empty_password_is_refused(credentials: Credentials) -> None:
    """Nobody is let in without a password."""
    with pytest.raises(Unusable, match="is empty"):
        credentials.set_password("IRacme1", "ftp", "")


def test_secret_is_in_no_file_and_no_log(
    credentials: Credentials, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only an argon2 hash is stored, readable by the owner only; the log has neither."""
    caplog.set_level(logging.DEBUG)
    credentials.set_password("IRacme1", "ftp", SECRET)
    credentials.verify("IRacme1", "ftp", SECRET)
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.read_text().startswith("$argon2id$")
    assert file.stat().st_mode & 0o777 == 0o600
    assert SECRET not in file.read_text() + caplog.text
    assert "$argon2" not in caplog.text


def test_broken_file_lets_nobody_in_and_is_loud(
    credentials: Credentials, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that holds no hash is an error for the operator and no way in."""
    credentials.set_password("IRacme1", "ftp", SECRET)
    (tmp_path / "ftp" / "IRacme1").write_text(SECRET)
    assert not credentials.verify("IRacme1", "ftp", SECRET)
    assert "credential_broken account=IRacme1" in caplog.text
    assert SECRET not in caplog.text


def test_new_passwords_differ() -> None:
    """A made-up password is long and new each time."""
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 20
