"""What the parts of ``clawback serve`` do on their own."""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clawback.serving import dispatch, logs
from clawback.serving.dispatch import Dispatcher
from clawback.serving.ftp_part import ftp_settings
from clawback.serving.prefect_environment import api_url, server_environment, without_prefect
from clawback.settings import FtpServer, PrefectServer, Schedule, Settings, as_environment, load
from connectors.envelope import Envelope
from processing.errors import SpoolBroken, StoreUnavailable, Unusable

START = datetime(2027, 1, 20, 12, tzinfo=UTC)


def envelope(account: str, number: int) -> Envelope:
    """The number-th delivery of an account."""
    at = START + timedelta(seconds=number)
    return Envelope(f"{at:%Y%m%dT%H%M%S%f}-{number:08x}", account, "ftp", "returns.csv", at, "", 0)


class Spool:
    """What waits, and who was asked to do something about it."""

    def __init__(self, *waiting: Envelope) -> None:
        self.waiting = list(waiting)
        self.begun: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.fails: Callable[[str], Exception | None] = lambda _delivery: None

    def pending(self) -> list[Envelope]:
        """What waits, oldest first."""
        return sorted(self.waiting, key=lambda one: one.received_at)

    async def ingest(self, delivery: str) -> None:
        """Finish a delivery and those of its account before it."""
        self.begun.append(delivery)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.05)
        self.at_once -= 1
        error = self.fails(delivery)
        if error:
            raise error
        (account,) = {one.account for one in self.waiting if one.delivery == delivery}
        self.waiting = [one for one in self.waiting if one.account != account or one.delivery > delivery]

    def dispatched(self, seconds: float) -> list[str]:
        """The deliveries that a dispatcher began within so many seconds."""

        async def run() -> None:
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(seconds, stop.set)
            await Dispatcher(self.pending, self.ingest).run(stop)

        asyncio.run(run())
        return self.begun


def test_dispatches_oldest_first() -> None:
    """One delivery of an account after the other, without waiting for the next look."""
    waiting = [envelope("a", number) for number in range(3)]
    spool = Spool(*reversed(waiting))
    assert spool.dispatched(0.5) == [one.delivery for one in waiting]
    assert spool.most_at_once == 1
    assert spool.waiting == []


def test_dispatches_accounts_side_by_side() -> None:
    """Several at once, but not any number."""
    spool = Spool(*(envelope(account, number) for number, account in enumerate("abcdefgh")))
    assert len(spool.dispatched(0.6)) == 8
    assert spool.most_at_once == dispatch.PARALLEL


def test_dispatches_many_in_one_run() -> None:
    """The newest takes those before it along."""
    spool = Spool(*(envelope("a", number) for number in range(50)))
    assert spool.dispatched(0.5) == [envelope("a", 49).delivery]
    assert spool.waiting == []


def test_waits_longer_each_time() -> None:
    """A delivery that keeps failing is tried after 1, 2, 4 … seconds; those of its account go on meanwhile."""
    bad, good = envelope("a", 1), envelope("a", 2)
    spool = Spool(bad, good)
    spool.fails = lambda delivery: SpoolBroken("damaged") if delivery == bad.delivery else None
    begun = spool.dispatched(0.8)
    assert begun[:2] == [bad.delivery, good.delivery]
    assert begun.count(bad.delivery) == 1


def test_store_that_is_away_puts_the_account_off() -> None:
    """Its other deliveries would only fail the same way, and must not overtake."""
    first, second, other = envelope("a", 1), envelope("a", 2), envelope("b", 3)
    spool = Spool(first, second, other)
    spool.fails = lambda delivery: None if delivery == other.delivery else StoreUnavailable("away")
    assert sorted(spool.dispatched(0.8)) == [first.delivery, other.delivery]


def test_settings_survive_the_way_to_another_process(tmp_path: Path) -> None:
    """Whatever file lies in the other's folder."""
    (tmp_path / "clawback.toml").write_text("not TOML")
    settings = Settings(
        state=tmp_path / "state",
        store="postgresql://u:p%40ss@h/d",
        ftp=FtpServer(port=0, tls="optional", passive_ports="50000-50010"),
        prefect=PrefectServer(port=0),
        schedule=Schedule(collect_every_s=5),
    )
    assert load(as_environment(settings), tmp_path) == settings


def test_ftp_settings(tmp_path: Path) -> None:
    """A range of passive ports, the port it had before, certificates beside the settings' file."""
    ftp = FtpServer(passive_ports="50000-50010", public_address="192.0.2.1", certificate="own.pem", key="own.key")
    made = ftp_settings(Settings(state=tmp_path / "var", ftp=ftp), 2222)
    assert made.passive_ports == range(50000, 50011)
    assert made.masquerade_address == "192.0.2.1"
    assert made.port == 2222
    assert made.certificate == tmp_path / "own.pem"
    default = ftp_settings(Settings(state=tmp_path / "var"), 0)
    assert default.certificate == tmp_path / "var" / "tls" / "certificate.pem"
    assert default.port == 2121


@pytest.mark.parametrize("ports", ["many", "1-x", "-5"])
def test_passive_ports_must_be_a_range(ports: str, tmp_path: Path) -> None:
    """Said with the setting's name."""
    with pytest.raises(Unusable, match=r"ftp\.passive_ports"):
        ftp_settings(Settings(state=tmp_path, ftp=FtpServer(passive_ports=ports)), 0)


def test_prefect_is_ours_alone(tmp_path: Path) -> None:
    """Nothing that somebody set for another Prefect, no proxy to the loopback, no call outside."""
    environ = without_prefect({"PREFECT_API_URL": "https://cloud", "HOME": "/root", "NO_PROXY": "intra"})
    assert environ == {"HOME": "/root", "NO_PROXY": "intra,127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    settings = Settings(state=tmp_path, prefect=PrefectServer(host="0.0.0.0"))  # noqa: S104 - what an operator may set
    assert api_url(settings, 4201) == "http://127.0.0.1:4201/api"
    made = server_environment(settings, 4201)
    assert made["DO_NOT_TRACK"] == "1"
    assert made["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert made["PREFECT_SERVER_UI_API_URL"] == "http://127.0.0.1:4201/api"
    assert made["PREFECT_HOME"] == str(tmp_path / "prefect")


def test_log_lines() -> None:
    """Ours as key=value, others' quoted, each on one line, without the password in either spelling."""
    lines = logs.Lines("worker", logs.secrets_of("postgresql://u:s3cr%26t@h/d"))

    def line(name: str, message: str, error: Exception | None = None) -> str:
        trace = (type(error), error, None) if error else None
        return lines.format(logging.LogRecord(name, logging.INFO, "", 1, message, None, trace)).partition(" ")[2]

    assert line("connectors.spool", "landed delivery=1") == "level=info part=worker event=landed delivery=1"
    assert line("uvicorn.error", "two\nlines") == (
        'level=info part=worker event=said logger=uvicorn.error message="two\\nlines"'
    )
    assert line("clawback.pipeline", "failed", ValueError("s3cr&t s3cr%26t")).endswith(
        ' event=failed traceback="ValueError: *** ***"'
    )
    assert logs.without_secrets("postgresql://u:s3cr%26t@h/d") == "postgresql://u:***@h/d"
    assert logs.without_secrets("sqlite:////tmp/clawback.db") == "sqlite:////tmp/clawback.db"
    assert json.loads(line("uvicorn", 'say "x"').partition("message=")[2]) == 'say "x"'
