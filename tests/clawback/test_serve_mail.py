"""``clawback serve`` with its inbox: a brand mails a file and gets its answer by mail; the command line shows it."""

import json
import smtplib
import ssl
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from clawback.cli import cli
from clawback.settings import Settings
from tests.clawback.serve_site import SID, Site, load_world, returns, serving, until
from tests.connectors.smtp_site import mail
from tests.mail_world import BRAND, Sink, files, name_server, relay

pytestmark = pytest.mark.xdist_group("serve")
DOMAIN = "returns.example"


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """The relay."""
    with relay() as sink:
        yield sink


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Site]:
    """A server with an inbox, a relay, and a name server that knows the brand."""
    settings = Settings(state=tmp_path_factory.mktemp("mail") / "var")
    load_world(settings, 100)
    with name_server() as zone:
        zone.texts[BRAND] = [b"v=spf1 ip4:127.0.0.1 -all"]
        environ = {
            "CLAWBACK_SMTP_DOMAIN": DOMAIN,
            "CLAWBACK_SMTP_PORT": "0",
            "CLAWBACK_SMTP_TLS": "required",
            "CLAWBACK_SMTP_DNS": f"127.0.0.1:{zone.port}",
            "CLAWBACK_RELAY_HOST": "127.0.0.1",
            "CLAWBACK_RELAY_PORT": str(sink.port),
            "CLAWBACK_RELAY_TLS": "off",
        }
        with serving(settings, (), **environ) as site:
            yield site


def command(site: Site, *words: str) -> Any:  # noqa: ANN401 - any JSON
    """What a command of the command line prints as JSON."""
    environ = {"CLAWBACK_STATE": str(site.settings.state), **site.environ}
    done = CliRunner().invoke(cli, [*words, "--json"], env=environ, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def send(site: Site, message: EmailMessage) -> None:
    """Mail it, over TLS."""
    context = ssl.create_default_context(cafile=str(site.settings.state / "tls" / "certificate.pem"))
    with smtplib.SMTP("localhost", site.places["smtp"]["port"], timeout=30) as client:
        client.starttls(context=context)
        client.send_message(message)


@pytest.fixture
def address(site: Site) -> str:
    """An address of the test's own, to which the brand may send."""
    assert BRAND in command(site, "accounts", "senders", SID, "--allow", BRAND)["allowed"]
    made: str = command(site, "accounts", "address", SID, "--event-type", "16027")["address"]
    return made


def taken(sink: Sink, message: EmailMessage) -> list[tuple[str, EmailMessage]]:
    """The recipients of replies to a message, and the replies."""
    return [(to, reply) for _, to, reply in sink.taken if reply["In-Reply-To"] == message["Message-ID"]]


def listed(site: Site, address: str, *words: str) -> list[dict[str, Any]]:
    """The messages to an address, oldest first."""
    return [one for one in reversed(command(site, "mail", "list", *words)) if one["recipient"] == address]


def test_a_mailed_file_is_applied_and_answered(
    site: Site, sink: Sink, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From 250 to the reply at the brand's relay, which has a receipt that balances."""
    message = mail(address, returns(range(50)), "mailed.csv")
    send(site, message)
    begun = time.monotonic()
    ((recipient, reply),) = until(lambda: taken(sink, message), "the reply", log=lambda: site.log)
    with capsys.disabled():
        print(f"\n250 to the reply, 50 lines: {time.monotonic() - begun:.2f} s")  # noqa: T201 - a measurement
    assert recipient == f"ops@{BRAND}"
    receipt = json.loads(files(reply)["receipt_mailed.csv.json"])
    assert receipt["rows"] == {
        "read": 50,
        "applied": 50,
        **dict.fromkeys(("unchanged", "rejected", "refused", "waiting", "held"), 0),
    }
    assert files(reply)["result_mailed.csv"].count(b"applied") == 50
    (told,) = listed(site, address)
    assert (told["state"], told["from"], told["reason"]) == ("accepted", f"ops@{BRAND}", f"SPF: pass for {BRAND}.")
    shown = command(site, "mail", "show", told["message"])
    assert shown["files"] == [{"name": "mailed.csv", "bytes": len(returns(range(50)))}]
    assert shown["deliveries"] == [{"delivery": receipt["delivery"], "state": "done"}]

    def sent() -> list[dict[str, Any]]:
        entries = command(site, "mail", "outbox")
        return [one for one in entries if (one["delivery"], one["state"]) == (told["message"], "sent")]

    (entry,) = until(sent, "it is noted")
    assert (entry["kind"], entry["recipient"]) == ("reply", f"ops@{BRAND}")
    assert Path(shown["content"]).is_file()


def test_a_forged_message_waits_for_a_person(site: Site, sink: Sink, address: str) -> None:
    """It is set aside, then released on the command line, applied and answered at once; another is rejected."""
    forged = [mail(address, returns([number]), f"forged{number}.csv", From="boss@evil.example") for number in (60, 61)]
    for message in forged:
        send(site, message)

    def aside() -> list[dict[str, Any]] | None:
        found = listed(site, address, "--state", "quarantined")
        return found if len(found) == 2 else None

    first, second = until(aside, "both are set aside")
    assert command(site, "mail", "release", first["message"], "--by", "dana")["rows"]["applied"] == 1
    begun = time.monotonic()
    assert command(site, "mail", "reject", second["message"], "--by", "dana")["state"] == "rejected"
    ((recipient, _),) = until(lambda: taken(sink, forged[0]), "the released one is answered", log=lambda: site.log)
    # The schedule comes once a minute; nobody waits for it.
    assert time.monotonic() - begun < 20
    assert (recipient, taken(sink, forged[1])) == ("boss@evil.example", [])
    assert command(site, "accounts", "address", SID, "--revoke", address)["revoked"] == address
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="550"):
        send(site, mail(address))


def test_says_where_the_inbox_is(site: Site) -> None:
    """With the other places."""
    places = site.places["smtp"]
    said = f"E-mail   127.0.0.1:{places['port']}, TLS required, for {DOMAIN}, 127.0.0.1 relay"
    assert said in site.said.splitlines()
