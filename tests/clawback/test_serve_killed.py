"""Kill -9 of the whole server at any moment of an ingest: after a restart the ledger is that of an undisturbed run."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ftplib import all_errors
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from clawback.settings import Settings
from tests.clawback.serve_site import SID, WITHOUT_WEB, Site, is_done, load_world, until
from tests.copies import Copies, answers, ledger, on_postgresql, on_sqlite

ACTIONS: Final = 20_000
NAME: Final = "returns.csv"


def delivery() -> bytes:
    """20,000 lines: new amounts, reversals, what must be rejected or wait, and several lines for one action."""
    lines = []
    for number in range(ACTIONS):
        match number % 20:
            case 3:
                lines.append(f"1000.{number},0,ITEM_RETURNED")
            case 7:
                lines.append(f"1000.{number},1x,ITEM_RETURNED")
            case 11:
                lines.append(f"2000.{number},5.00,ITEM_RETURNED")
            case 13:
                lines.append(f"1000.{number - 1},{number % 90 + 2}.50,ORDER_UPDATE")
            case 17:
                lines.append(f"1000.{number},5.00,NO_SUCH_REASON")
            case _:
                lines.append(f"1000.{number},{number % 90 + 1}.25,ITEM_RETURNED")
    return ("ActionId,Amount,Reason\n" + "\n".join(lines) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Template:
    """An installation that was served once, ready to be copied, and what an undisturbed run makes of it."""

    settings: Settings
    copies: Copies
    ledger: bytes = b""
    answers: bytes = b""
    took_s: float = 0


STORES: Final = [
    pytest.param(store, marks=pytest.mark.xdist_group(f"killed-{store}")) for store in ("sqlite", "postgresql")
]


@pytest.fixture(scope="module", params=STORES)
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """One per store."""
    folder = tmp_path_factory.mktemp(f"killed-{request.param}")
    settings, copies = on_sqlite(Settings(state=folder / "template"))
    if request.param == "postgresql":
        server: str = request.getfixturevalue("postgresql_server")
        settings, copies = on_postgresql(settings, server, f"killed{os.getpid()}")
    load_world(settings, ACTIONS)
    site = Site(settings, WITHOUT_WEB)
    try:
        site.start()
        assert site.stop() == 0
    finally:
        site.kill_all()
    return _undisturbed(Template(settings, copies), folder / "undisturbed")


def _undisturbed(template: Template, folder: Path) -> Template:
    with running(template, folder) as site:
        done = site.upload(NAME, delivery())
        site.until_done(NAME)
        took_s = time.monotonic() - done
        until(partial(is_settled, site), "the spool is empty")
        with site.desk() as desk:
            return replace(template, ledger=ledger(desk), answers=answers(site.settings, SID), took_s=took_s)


@contextmanager
def running(template: Template, folder: Path) -> Iterator[Site]:
    """A server on a copy of the template."""
    site = Site(template.copies(folder), WITHOUT_WEB)
    try:
        site.start()
        yield site
    finally:
        site.kill_all()


def is_settled(site: Site) -> bool:
    """Whether nothing waits in the spool any more."""
    return not any((site.settings.state / "spool" / "new").iterdir())


def kill_mid_upload(site: Site, _template: Template) -> None:
    """Half of the bytes have been sent."""
    content = delivery()
    with suppress(*all_errors), site.logged_in() as client, client.transfercmd(f"STOR {NAME}") as data:
        data.sendall(content[: len(content) // 2])
        until(lambda: any((site.settings.state / "spool" / "tmp").glob("*/content")), "the upload has begun")
        time.sleep(0.2)
        site.kill_all()


def kill_when_visible(site: Site, _template: Template) -> None:
    """The delivery has just appeared in the spool; its 226 may be on its way."""

    def upload() -> None:
        with suppress(*all_errors):
            site.upload(NAME, delivery())

    thread = threading.Thread(target=upload)
    thread.start()
    until(lambda: not is_settled(site), "the delivery has landed", look_s=0.001)
    site.kill_all()
    thread.join()


def kill_after(fraction: float) -> Callable[[Site, Template], None]:
    """So much of the time that the undisturbed run took has passed since the 226."""

    def kill(site: Site, template: Template) -> None:
        done = site.upload(NAME, delivery())
        time.sleep(max(0, done + fraction * template.took_s - time.monotonic()))
        site.kill_all()

    return kill


def kill_when_committed(site: Site, _template: Template) -> None:
    """The ledger has it, the brand has no answer."""
    with site.desk() as desk:
        site.upload(NAME, delivery())
        until(partial(is_done, desk, NAME), "it is applied", look_s=0.002)
        site.kill_all()


def kill_when_answered(site: Site, _template: Template) -> None:
    """The first of the answers is there, the spool still has the delivery."""
    results = site.settings.state / "ftp" / SID / "results"
    site.upload(NAME, delivery())
    until(lambda: results.is_dir() and any(results.glob("re*")), "the brand has an answer", look_s=0.001)
    site.kill_all()


MOMENTS: Final = {
    "mid-upload": kill_mid_upload,
    "visible": kill_when_visible,
    "at the 226": kill_after(0),
    "after 15 %": kill_after(0.15),
    "after 30 %": kill_after(0.3),
    "after 45 %": kill_after(0.45),
    "after 60 %": kill_after(0.6),
    "after 75 %": kill_after(0.75),
    "committed": kill_when_committed,
    "answered": kill_when_answered,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_at(moment: str, template: Template, tmp_path: Path) -> None:
    """Nothing is lost, nothing doubled, nothing half: tables and answers are those of the undisturbed run."""
    site = Site(template.copies(tmp_path / "var"), WITHOUT_WEB)
    try:
        site.start()
        MOMENTS[moment](site, template)
        assert not site.group()
        if moment == "mid-upload":
            assert is_settled(site)
            site.start()
            site.upload(NAME, delivery())
        else:
            site.launch()
        site.until_done(NAME)
        until(partial(is_settled, site), "the spool is empty", log=lambda: site.log)
        with site.desk() as desk:
            assert ledger(desk) == template.ledger
        assert answers(site.settings, SID) == template.answers
        assert not any((site.settings.state / "spool" / "tmp").iterdir())
    finally:
        site.kill_all()
