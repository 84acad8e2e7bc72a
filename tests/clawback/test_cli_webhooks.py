"""``clawback webhooks`` as an operator meets it: real processes, and a program on the loopback."""

import json
from pathlib import Path

import pytest

from clawback.cli.webhooks import KINDS
from clawback.settings import Settings
from clawback.wiring import open_desk
from connectors.webhook_post import Secrets
from flows import work
from processing.webhooks import EventKind
from tests.clawback.hook_site import is_signed, program
from tests.clawback.test_cli import Run, runner
from tests.worlds import SID, Sale, lines, load


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command line on an installation with an action, whose webhooks may be on this machine."""
    (tmp_path / "clawback.toml").write_text('[webhooks]\nprivate_networks = "127.0.0.0/8"\n')
    with open_desk(Settings(state=tmp_path / "var"), work.now) as desk:
        load(desk, tmp_path, [Sale("A-1", locks_at="2099-01-01")])
    return runner(tmp_path)


def test_every_kind_can_be_chosen() -> None:
    """The command names the kinds, so that its help does not import the store."""
    assert tuple(kind.value for kind in EventKind) == KINDS


def test_from_adding_to_removing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is shown once, the flow's work sends, the list tells, a replay sends again, removing ends it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "returns.csv").write_text(lines("ActionId,Amount,Reason", "A-1,0,ITEM_RETURNED"))
    with program() as heard:
        added = run("webhooks", "add", SID, heard.url, "--event", "delivery.finished")
        assert added.returncode == 0, added.stderr
        name, secret = added.stdout.split()
        assert run("ingest", "returns.csv", "--account", SID).returncode == 0
        assert work.send() == {"sent": 1, "put_off": 0, "given_up": 0}
        assert is_signed(*heard.raw[0], secret)
        [told] = json.loads(run("webhooks", "list", "--json").stdout)
        assert (told["webhook"], told["sent"], told["events"]) == (name, 1, ["delivery.finished"])
        assert secret not in run("webhooks", "list", "--json").stdout
        again = run("webhooks", "replay", name, "--delivery", heard.heard[0]["DeliveryId"])
        assert again.stdout == f"1 events are queued for {name} again.\n"
        assert work.send()["sent"] == 1
        assert len(set(heard.ids())) == 1
    assert run("webhooks", "remove", name).returncode == 0
    assert "There is no webhook" in run("webhooks", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", SID, "http://10.0.0.1/"), "may not be reached without TLS"),
        (("add", SID, "https://192.168.0.1/x?key=s3cret"), "https://192.168.0.1/x: the address 192.168.0.1 is not"),
        (("add", SID, "ftp://acme.example/"), "none of http:// or https://"),
        (("add", "IRnobody", "http://127.0.0.1:1/"), "IRnobody"),
        (("remove", "wh_1"), "There is no webhook wh_1"),
        (("replay", "wh_1", "--since", "yesterday"), "yesterday"),
        (("replay", "wh_1"), "Give one of --delivery and --since"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, arguments: tuple[str, ...], told: str) -> None:
    """In words, without what may be a secret."""
    done = run("webhooks", *arguments)
    assert done.returncode != 0
    assert told in done.stderr
    assert "s3cret" not in done.stderr


def test_secrets_are_nowhere_but_told(tmp_path: Path) -> None:
    """Each webhook has one of its own, which follows from a key that only the owner of the process reads."""
    secrets = Secrets(tmp_path)
    assert secrets.of("wh_1") == Secrets(tmp_path).of("wh_1") != secrets.of("wh_2")
    assert (tmp_path / "webhooks" / ".key").stat().st_mode & 0o777 == 0o600
