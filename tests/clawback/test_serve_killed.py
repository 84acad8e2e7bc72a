"""Kill -9 of the whole server at any moment of an ingest: after a restart the ledger is that of an undisturbed run."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ftplib import all_errors
from functools import partial
from typing import Final

import pytest

from clawback.settings import Settings
from tests.clawback.serve_site import SID, WITHOUT_WEB, Site, is_done, load_world, serving, until
from tests.copies import answers, ledger, on_postgresql, on_sqlite

ACTIONS: Final = 5_000


def name_of(number: int) -> str:
    """What the brand calls its delivery of this number."""
    return f"returns-{number}.csv"


def content_of(number: int) -> bytes:
    """5,000 lines: new amounts, reversals, what must be rejected or wait, and several lines for one action."""
    lines = []
    for at in range(ACTIONS):
        match at % 20:
            case 3:
                lines.append(f"1000.{at},0,ITEM_RETURNED")
            case 7:
                lines.append(f"1000.{at},1x,ITEM_RETURNED")
            case 11:
                lines.append(f"2000.{at},5.00,ITEM_RETURNED")
            case 13:
                lines.append(f"1000.{at - 1},{(at + number) % 90 + 2}.50,ORDER_UPDATE")
            case 17:
                lines.append(f"1000.{at},5.00,NO_SUCH_REASON")
            case _:
                lines.append(f"1000.{at},{(at + number) % 90 + 1}.25,ITEM_RETURNED")
    return ("ActionId,Amount,Reason\n" + "\n".join(lines) + "\n").encode()


@dataclass(slots=True)
class Undisturbed:
    """What each of the deliveries comes to, one after the other, when nobody is killed; and how long one takes."""

    took_s: float = 0
    ledgers: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Victim:
    """A server that is killed while it works on one delivery after the other, and how many it has had."""

    site: Site
    undisturbed: Undisturbed
    had: int = 0

    @property
    def name(self) -> str:
        """The delivery that comes next."""
        return name_of(self.had)

    def upload(self) -> float:
        """Upload the next delivery; gives the instant (monotonic) of the 226."""
        return self.site.upload(self.name, content_of(self.had))

    def finish(self) -> None:
        """Wait until the delivery is applied and answered, and nothing waits any more; the next one's turn comes."""
        self.site.until_done(self.name)
        until(partial(is_settled, self.site), "the spool is empty", log=lambda: self.site.log)
        self.had += 1


STORES: Final = [
    pytest.param(store, marks=pytest.mark.xdist_group(f"killed-{store}")) for store in ("sqlite", "postgresql")
]


@pytest.fixture(scope="module", params=STORES)
def victim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """One per store, ready for its first delivery; another copy of it has had all of them undisturbed."""
    folder = tmp_path_factory.mktemp(f"killed-{request.param}")
    settings, copies = on_sqlite(Settings(state=folder / "template"))
    if request.param == "postgresql":
        server: str = request.getfixturevalue("postgresql_server")
        settings, copies = on_postgresql(settings, server, f"killed{os.getpid()}")
    load_world(settings, ACTIONS)
    undisturbed = Undisturbed()
    with serving(copies(folder / "undisturbed"), (), **WITHOUT_WEB) as site:
        calm = Victim(site, undisturbed)
        for _ in range(len(MOMENTS)):
            done = calm.upload()
            calm.finish()
            undisturbed.took_s = time.monotonic() - done
            with site.desk() as desk:
                undisturbed.ledgers.append(ledger(desk))
            undisturbed.answers.append(answers(site.settings, SID))
    with serving(copies(folder / "killed"), (), **WITHOUT_WEB) as site:
        yield Victim(site, undisturbed)


def is_settled(site: Site) -> bool:
    """Whether nothing waits in the spool any more."""
    with site.desk() as desk:
        return not desk.spool.pending()


def kill_mid_upload(victim: Victim) -> None:
    """A part has been sent, enough of it to lie on the disk already."""
    site, content = victim.site, content_of(victim.had)
    with suppress(*all_errors), site.logged_in() as client, client.transfercmd(f"STOR {victim.name}") as data:
        data.sendall(content * 3)
        until(lambda: any((site.settings.state / "spool" / "tmp").glob("*/content")), "the upload has begun")
        time.sleep(0.2)
        site.kill_all()


def kill_when_visible(victim: Victim) -> None:
    """The delivery has just appeared in the spool; its 226 may be on its way."""

    def upload() -> None:
        with suppress(*all_errors):
            victim.upload()

    thread = threading.Thread(target=upload)
    thread.start()
    until(lambda: not is_settled(victim.site), "the delivery has landed", look_s=0.001)
    victim.site.kill_all()
    thread.join()


def kill_after(fraction: float) -> Callable[[Victim], None]:
    """So much of the time that the undisturbed run took has passed since the 226."""

    def kill(victim: Victim) -> None:
        done = victim.upload()
        time.sleep(max(0, done + fraction * victim.undisturbed.took_s - time.monotonic()))
        victim.site.kill_all()

    return kill


def kill_when_committed(victim: Victim) -> None:
    """The ledger has it, the brand has no answer."""
    with victim.site.desk() as desk:
        victim.upload()
        until(partial(is_done, desk, victim.name), "it is applied", look_s=0.002)
        victim.site.kill_all()


def kill_when_answered(victim: Victim) -> None:
    """The first of the answers is there, the spool still has the delivery."""
    results = victim.site.settings.state / "ftp" / SID / "results"
    victim.upload()
    until(lambda: any(results.glob(f"re*{victim.name}*")), "the brand has an answer", look_s=0.001)
    victim.site.kill_all()


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
def test_kill_at(moment: str, victim: Victim) -> None:
    """Nothing is lost, nothing doubled, nothing half: tables and answers are those of the undisturbed run."""
    site, number = victim.site, victim.had
    MOMENTS[moment](victim)
    assert not site.group()
    if moment == "mid-upload":
        assert is_settled(site)
    site.start()
    if moment == "mid-upload":
        victim.upload()
    victim.finish()
    with site.desk() as desk:
        assert ledger(desk) == victim.undisturbed.ledgers[number]
    assert answers(site.settings, SID) == victim.undisturbed.answers[number]
    assert not any((site.settings.state / "spool" / "tmp").iterdir())
