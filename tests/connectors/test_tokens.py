from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.tokens import Scope, Token, Tokens
from processing.errors import NotFound, Unusable

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)


def test_a_token_opens_what_it_was_made_for(tmp_path: Path) -> None:
    """Several of an account, each with its scope; nothing else opens anything."""
    tokens = Tokens(tmp_path)
    reader, read = tokens.make("IRacme1", Scope.READ, NOON)
    writer, write = tokens.make("IRacme1", Scope.WRITE, NOON)
    assert (reader, writer) == (Token(reader.token_id, Scope.READ, NOON), Token(writer.token_id, Scope.WRITE, NOON))
    again = Tokens(tmp_path)
    assert again.of("IRacme1") == [reader, writer]
    assert [again.scope("IRacme1", secret) for secret in (read, write)] == [Scope.READ, Scope.WRITE]
    for account, secret in (("IRacme1", "x"), ("IRacme1", ""), ("IRother2", write), ("../IRacme1", write), ("", write)):
        assert again.scope(account, secret) is None


def test_a_revoked_token_opens_nothing(tmp_path: Path) -> None:
    """At once, in whatever process; the others stay."""
    tokens, elsewhere = Tokens(tmp_path), Tokens(tmp_path)
    first, secret = tokens.make("IRacme1", Scope.READ, NOON)
    _, other = tokens.make("IRacme1", Scope.READ, NOON)
    tokens.revoke("IRacme1", first.token_id)
    assert elsewhere.scope("IRacme1", secret) is None
    assert elsewhere.scope("IRacme1", other) is Scope.READ
    for account in ("IRacme1", "IRother2", "../x"):
        with pytest.raises(NotFound, match=f"has no token {first.token_id}"):
            tokens.revoke(account, first.token_id)


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    """Neither on disk nor readable by others; another installation's digests mean nothing here."""
    tokens = Tokens(tmp_path / "one")
    _, secret = tokens.make("IRacme1", Scope.WRITE, NOON)
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 3
    assert all(secret.encode() not in path.read_bytes() and path.stat().st_mode & 0o077 == 0 for path in files)
    other = Tokens(tmp_path / "two")
    (tmp_path / "two" / "tokens" / "IRacme1").write_bytes((tmp_path / "one" / "tokens" / "IRacme1").read_bytes())
    assert other.scope("IRacme1", secret) is None


def test_an_account_is_no_path(tmp_path: Path) -> None:
    """What cannot be an account's SID gets no token."""
    with pytest.raises(Unusable, match="cannot have a token"):
        Tokens(tmp_path).make("../IRacme1", Scope.READ, NOON)
