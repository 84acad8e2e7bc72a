"""Passwords of accounts, one file for each account and channel, so that a login needs no database."""

import logging
import re
import secrets
from functools import cache
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from connectors.durable import ensure_folder, replace_file, sync_folder
from processing.errors import Unusable

_log = logging.getLogger(__name__)

_ACCOUNT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9_]{0,15}")
_HASHER: Final = PasswordHasher()


@cache
def _decoy() -> str:
    """The hash that an unknown account's password is compared with; nobody knows its password."""
    return _HASHER.hash(secrets.token_urlsafe(32))


def new_password() -> str:
    """A password nobody has to think up."""
    return secrets.token_urlsafe(18)


class Credentials:
    """Argon2 hashes in ``folder/<channel>/<account>``, readable by the owner of the process only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Made now: made at the first unknown account it would take twice as long and tell that there is none.
        _decoy()

    def set_password(self, account: str, channel: str, password: str) -> None:
        """Let ``account`` in by ``channel`` with ``password`` only."""
        path = self._path(account, channel)
        if path is None:
            raise Unusable(f"{account!r} on channel {channel!r} cannot be a user name: letters, digits, '-' and '_'.")
        if not password:
            raise Unusable(f"The password of {account} is empty. Give at least one character.")
        ensure_folder(path.parent)
        replace_file(path, _HASHER.hash(password).encode())
        _log.info("password_set account=%s channel=%s", account, channel)

    def verify(self, account: str, channel: str, password: str) -> bool:
        """Whether the password is right; an unknown account takes as long as a wrong password."""
        known = self._hash(account, channel)
        try:
            right = _HASHER.verify(known or _decoy(), password)
        except InvalidHashError:
            _log.error("credential_broken account=%s channel=%s", account, channel)
            return False
        except (Argon2Error, UnicodeEncodeError):
            return False
        return right and known is not None

    def revoke(self, account: str, channel: str) -> bool:
        """Let ``account`` in no more; False if it had no password."""
        path = self._path(account, channel)
        if path is None or not path.exists():
            return False
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
        _log.info("password_revoked account=%s channel=%s", account, channel)
        return True

    def accounts(self, channel: str) -> list[str]:
        """The accounts that have a password for ``channel``, sorted."""
        folder = self.folder / channel
        if not _CHANNEL.fullmatch(channel) or not folder.is_dir():
            return []
        return sorted(path.name for path in folder.iterdir() if _ACCOUNT.fullmatch(path.name))

    def _path(self, account: str, channel: str) -> Path | None:
        if _ACCOUNT.fullmatch(account) and _CHANNEL.fullmatch(channel):
            return self.folder / channel / account
        return None

    def _hash(self, account: str, channel: str) -> str | None:
        path = self._path(account, channel)
        try:
            return None if path is None else path.read_text("ascii").strip()
        except FileNotFoundError:
            return None
