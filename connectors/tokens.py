"""Access tokens of accounts for Web Services: several each, with a scope, kept as keyed digests, without a database.

``folder/tokens/<account>`` holds an account's tokens, a JSON object a line, ``folder/tokens/.key`` the key of the
digests. A token is 256 random bits: a fast digest makes no guess easier, and lets thousands of requests a second in,
which a password hash would not.
"""

import hashlib
import hmac
import json
import logging
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from connectors.durable import claim, ensure_folder, replace_file
from processing.errors import NotFound, Unusable

_log = logging.getLogger(__name__)

_ACCOUNT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KEY_BYTES: Final = 32
_TOKEN_BYTES: Final = 32
_ID_BYTES: Final = 4
_CLAIM: Final = ".claim"


class Scope(StrEnum):
    """What a token opens: ``write`` includes ``read``."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret; ``token_id`` names it where it is listed and revoked."""

    token_id: str
    scope: Scope
    made_at: datetime


@dataclass(frozen=True, slots=True)
class _Kept:
    token: Token
    digest: str

    def line(self) -> str:
        token = asdict(self.token) | {"made_at": self.token.made_at.isoformat(timespec="seconds")}
        return json.dumps(token | {"digest": self.digest})

    @classmethod
    def parsed(cls, line: str) -> "_Kept":
        fields = json.loads(line)
        made_at = datetime.fromisoformat(fields["made_at"])
        return cls(Token(fields["token_id"], Scope(fields["scope"]), made_at), fields["digest"])


class _Read(NamedTuple):
    """What was read of an account's file; ``version`` tells whether it is still the same, as it is only replaced."""

    # Making one for each request would cost more than asking the disk.
    path: Path
    version: tuple[int, int]
    kept: list[_Kept]


class Tokens:
    """The tokens in ``folder``, readable by the owner of the process only; revoking one holds at once, everywhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tokens"
        ensure_folder(self._folder)
        self._key = self._read_key()
        self._read: dict[str, _Read] = {}

    def make(self, account: str, scope: Scope, at: datetime) -> tuple[Token, str]:
        """A new token for an account, and its secret, which is told this once."""
        path = self._path(account)
        if path is None:
            raise Unusable(f"{account!r} cannot have a token: an account's SID has letters, digits, '-' and '_'.")
        secret = secrets.token_urlsafe(_TOKEN_BYTES)
        token = Token(secrets.token_hex(_ID_BYTES), scope, at)
        with claim(self._folder / _CLAIM):
            self._write(path, [*self._kept(account), _Kept(token, self._digest(secret))])
        _log.info("token_made account=%s token=%s scope=%s", account, token.token_id, scope)
        return token, secret

    def of(self, account: str) -> list[Token]:
        """An account's tokens, oldest first."""
        return [one.token for one in self._kept(account)]

    def revoke(self, account: str, token_id: str) -> None:
        """Let a token in no more; raises NotFound."""
        path = self._path(account)
        with claim(self._folder / _CLAIM):
            kept = self._kept(account)
            left = [one for one in kept if one.token.token_id != token_id]
            if path is None or len(left) == len(kept):
                raise NotFound(f"Account {account} has no token {token_id}; --list shows those it has.")
            self._write(path, left)
        _log.info("token_revoked account=%s token=%s", account, token_id)

    def scope(self, account: str, secret: str) -> Scope | None:
        """What the secret opens for the account, None if nothing."""
        digest = self._digest(secret)
        fitting = [one for one in self._kept(account) if hmac.compare_digest(one.digest, digest)]
        return fitting[0].token.scope if fitting else None

    def _digest(self, secret: str) -> str:
        return hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), key=self._key).hexdigest()

    def _kept(self, account: str) -> list[_Kept]:
        known = self._read.get(account)
        path = self._path(account) if known is None else known.path
        try:
            return [] if path is None else self._parsed(account, path)
        except FileNotFoundError:
            return []

    def _parsed(self, account: str, path: Path) -> list[_Kept]:
        found = path.stat()
        version = (found.st_ino, found.st_mtime_ns)
        known = self._read.get(account)
        if known is None or known.version != version:
            kept = [_Kept.parsed(line) for line in path.read_text("utf-8").splitlines()]
            self._read[account] = known = _Read(path, version, kept)
        return known.kept

    def _write(self, path: Path, kept: list[_Kept]) -> None:
        replace_file(path, "".join(f"{one.line()}\n" for one in kept).encode())

    def _path(self, account: str) -> Path | None:
        return self._folder / account if _ACCOUNT.fullmatch(account) else None

    def _read_key(self) -> bytes:
        path = self._folder / ".key"
        with claim(self._folder / _CLAIM):
            if not path.exists():
                replace_file(path, secrets.token_bytes(_KEY_BYTES))
        return path.read_bytes()
