"""The inbox's settings, from the file to the server, and what the command line says without them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from clawback.cli import cli
from clawback.serving.smtp_part import smtp_settings
from clawback.settings import MailRelay, Settings, SmtpServer, as_environment, load
from connectors.smtp_settings import SmtpSettings
from processing.errors import Unusable
from tests.worlds import CATALOGUE, SID


def test_settings_reach_the_server(tmp_path: Path) -> None:
    """The port it had before, the hosted FTP server's certificate unless there is another."""
    own = SmtpServer(domain="returns.example", certificate="own.pem", key="own.key", max_recipients=3)
    made = smtp_settings(Settings(state=tmp_path / "var", smtp=own), 2626)
    assert (made.domain, made.port, made.max_recipients) == ("returns.example", 2626, 3)
    assert (made.certificate, made.key) == (tmp_path / "own.pem", tmp_path / "own.key")
    default = smtp_settings(Settings(state=tmp_path / "var", smtp=SmtpServer(domain="returns.example")), 0)
    assert default.certificate == tmp_path / "var" / "tls" / "certificate.pem"
    assert (default.port, default.tls) == (2525, "optional")


def test_settings_survive_the_way_to_another_process(tmp_path: Path) -> None:
    """A password's reference does, not the password."""
    settings = Settings(
        state=tmp_path,
        smtp=SmtpServer(domain="returns.example", trusted_relay="mx.acme.net", trusted_networks="10.0.0.0/8"),
        relay=MailRelay(host="mail.example", user="clawback", password="env:RELAY_PASSWORD"),
    )
    environ = as_environment(settings)
    assert load(environ) == settings
    assert environ["CLAWBACK_RELAY_PASSWORD"] == "env:RELAY_PASSWORD"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"tls": "maybe"}, "tls is 'maybe'"),
        ({"port": 70_000}, "port is 70000"),
        ({"max_recipients": 0}, "max_recipients is 0"),
        ({"session_timeout_s": 0}, "session_timeout_s is 0"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, value: dict[str, object], told: str) -> None:
    """Named, with what may be given."""
    given = {"domain": "returns.example", "certificate": tmp_path, "key": tmp_path} | value
    with pytest.raises(Unusable, match=told):
        SmtpSettings(**given)  # type: ignore[arg-type] # that is the test


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """The command line on an installation with the brand."""
    (tmp_path / "catalog.toml").write_text(CATALOGUE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLAWBACK_STATE", str(tmp_path / "var"))
    runner = CliRunner()
    assert runner.invoke(cli, ["load", "catalog", "catalog.toml"]).exit_code == 0
    return runner


def test_address_needs_a_domain_and_an_event_type_of_the_account(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before anything is made."""
    told = run.invoke(cli, ["accounts", "address", SID])
    assert str(told.exception).startswith("There is no e-mail inbox yet; set smtp.domain")
    monkeypatch.setenv("CLAWBACK_SMTP_DOMAIN", "returns.example")
    told = run.invoke(cli, ["accounts", "address", SID, "--event-type", "1"])
    assert str(told.exception) == f"1 is none of the event types of {SID}."
    assert run.invoke(cli, ["accounts", "address", SID, "--list"]).output == f"{SID} has no address.\n"
    made = run.invoke(cli, ["accounts", "address", SID])
    assert made.output.endswith("@returns.example\n")
    assert made.output.strip() in run.invoke(cli, ["accounts", "address", SID, "--list"]).output


def test_senders_and_empty_lists_are_told_in_words(run: CliRunner) -> None:
    """What there is, and what to do when there is nothing."""
    told = run.invoke(cli, ["accounts", "senders", SID])
    assert told.output == "Nobody may send; --allow an address or a domain.\nContact: nobody\n"
    told = run.invoke(cli, ["accounts", "senders", SID, "--allow", "acme.example", "--contact", "it@acme.example"])
    assert told.output == "acme.example\nContact: it@acme.example\n"
    assert run.invoke(cli, ["mail", "list"]).output == "There is no message.\n"
    assert run.invoke(cli, ["mail", "outbox"]).output == "Nothing was ever to be sent.\n"
    assert "nothing unsent with the number 3" in str(run.invoke(cli, ["mail", "outbox", "--again", "3"]).exception)
    assert "There is no message 7" in str(run.invoke(cli, ["mail", "reject", "7"]).exception)
