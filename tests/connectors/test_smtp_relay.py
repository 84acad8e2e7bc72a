"""Handing messages to a relay: TLS, passwords, refusals, and that no secret is ever told."""

import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from connectors.smtp_relay import RefusedForEver, RefusedForNow, Relay, RelayUnavailable
from processing.errors import Unusable
from tests.mail_world import Sink, relay

TO = "ops@acme.example"


class Door:
    """Who may log in at the relay."""

    def __call__(self, _server: SMTP, _session: object, _envelope: object, _how: str, given: object) -> AuthResult:
        """Only with this user and password."""
        return AuthResult(success=given == LoginPassword(b"clawback", b"s3cret word"), handled=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signed the relay's certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def secured(authority: trustme.CA) -> Iterator[Sink]:
    """A relay with TLS and a login."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with relay(tls_context=context, require_starttls=True, authenticator=Door(), auth_required=True) as sink:
        yield sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A relay without either."""
    with relay() as sink:
        yield sink


def hand_over(sink: Sink, folder: Path = Path(), **values: Any) -> None:  # noqa: ANN401 - of Relay
    """Give it a message."""
    message = EmailMessage()
    message["To"] = TO
    message.set_content("text")
    given: dict[str, Any] = {"host": "localhost", "port": sink.port, "tls": "off", "user": "", "password": ""}
    given |= {"folder": folder, **values}
    Relay(**given).hand_over(message, TO)


def test_return_path_is_empty(sink: Sink) -> None:
    """So that no bounce ever comes back."""
    hand_over(sink)
    hand_over(sink, tls="optional")
    assert [(path, recipient) for path, recipient, _ in sink.taken] == [("<>", TO)] * 2


def test_required_tls_is_verified(
    secured: Sink, sink: Sink, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the system's authorities; a relay without TLS is not spoken to."""
    (tmp_path / "password").write_text("s3cret word\n")
    login = {"tls": "required", "user": "clawback", "password": "file:password"}
    with pytest.raises(RelayUnavailable, match="certificate verify failed"):
        hand_over(secured, tmp_path, **login)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    hand_over(secured, tmp_path, **login)
    assert secured.taken.pop()[1] == TO
    with pytest.raises(RelayUnavailable, match="STARTTLS extension not supported"):
        hand_over(sink, tls="required")
    assert sink.taken == []


def test_optional_tls_takes_any_certificate(secured: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is better than none."""
    monkeypatch.setenv("RELAY_PASSWORD", "s3cret word")
    hand_over(secured, tls="optional", user="clawback", password="env:RELAY_PASSWORD")
    assert secured.taken.pop()[1] == TO


@pytest.mark.parametrize(
    ("password", "kind", "told"),
    [
        ("env:WRONG", RelayUnavailable, "The relay refused our user or password. Correct relay.user."),
        ("env:NOT_THERE", Unusable, "relay.password names env:NOT_THERE, which is not there or empty."),
        ("file:not-there", Unusable, "relay.password names file:not-there, which is not there or empty."),
        (
            "s3cret word",
            Unusable,
            "relay.password is neither env:NAME nor file:PATH; a password does not belong there.",
        ),
    ],
)
def test_password_is_never_told(
    secured: Sink, password: str, kind: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it."""
    monkeypatch.setenv("WRONG", "wr0ng word")
    with pytest.raises(kind) as error:
        hand_over(secured, tls="optional", user="clawback", password=password)
    assert str(error.value) == told


def test_refusals(sink: Sink) -> None:
    """For now, for ever, and a relay that is not there."""
    sink.answers = ["450 4.2.0 later", "550 5.1.1 never"]
    with pytest.raises(RefusedForNow, match=r"The relay answered 450 4\.2\.0 later"):
        hand_over(sink)
    with pytest.raises(RefusedForEver, match=r"The relay answered 550 5\.1\.1 never"):
        hand_over(sink)
    with pytest.raises(RelayUnavailable, match="cannot be used"):
        hand_over(sink, port=1)
