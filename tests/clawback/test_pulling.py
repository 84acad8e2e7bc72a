"""Rounds of a source: by content, whole files only, nothing lost and nothing twice; on both stores."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from paramiko import SFTP_FAILURE, SFTP_PERMISSION_DENIED, SFTPAttributes

from clawback import deciding
from clawback.demo.brand_sftp import BrandFiles
from clawback.pulling import Pulled, pull
from clawback.settings import Settings, as_environment
from clawback.wiring import Desk, open_desk
from connectors.durable import claim, ensure_folder
from connectors.sftp_source import SftpSource
from connectors.source import Part, RemoteFile, Source
from processing import catalog, deliveries, fetched
from processing.errors import NotFound, SourceRefused, SourceUnreachable, Unusable
from tests.conftest import Clock
from tests.connectors.source_site import ENVIRON, Brand, by_password, line_to, openssh, touch
from tests.worlds import SID, Sale, lines, load, values

THEN = 1_800_000_000
RETURNS = lines("ActionId,Amount,Reason", "A-1,40.00,ORDER_UPDATE").encode()
OTHERS = lines("ActionId,Amount,Reason", "A-2,40.00,ORDER_UPDATE").encode()
# For what does not depend on the store.
EMBEDDED = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


class Counting(BrandFiles):
    """Remembers which files were read, and can be made to say what is not so."""

    opened: ClassVar[list[str]] = []
    told: Callable[[SFTPAttributes], None] = staticmethod(lambda _attributes: None)
    refused: ClassVar[set[str]] = set()

    def open(self, path: str, flags: int, attr: object) -> Any:  # noqa: ANN401 - paramiko has no types
        """Count, refuse, or die of it."""
        if Path(path).name == "poison.csv":
            self.brand.hang_up()
        if Path(path).name in self.refused:
            return SFTP_PERMISSION_DENIED
        type(self).opened.append(Path(path).name)
        return super().open(path, flags, attr)

    def stat(self, path: str) -> Any:  # noqa: ANN401 - paramiko has no types
        """Tell, perhaps something else than is so."""
        found = super().stat(path)
        if isinstance(found, SFTPAttributes):
            type(self).told(found)
        return found

    def list_folder(self, path: str) -> Any:  # noqa: ANN401 - paramiko has no types
        """The same in a listing."""
        found = super().list_folder(path)
        for one in found if isinstance(found, list) else []:
            type(self).told(one)
        return found

    def remove(self, path: str) -> int:
        """Delete, or refuse."""
        return int(SFTP_FAILURE) if "no deleting" in self.refused else super().remove(path)


@dataclass
class Site:
    """An installation and a brand's server."""

    desk: Desk
    brand: Brand
    files: type[Counting]
    clock: Clock

    def pull(self, source: Source | None = None, **values: object) -> Pulled:
        """A round, without the wait that gives file times their meaning."""
        settings = self.brand.settings(account=SID, **values)
        source = source or self.brand.source(account=SID, **values)
        self.clock.pass_by(seconds=1)
        pulled = pull(self.desk, settings, source, claims=self.claims, settle_s=0)
        assert pulled is not None
        return pulled

    @property
    def claims(self) -> Path:
        """Where the claims of rounds lie."""
        return self.brand.folder.parent / "claims"

    def deliveries(self) -> list[tuple[str, str]]:
        """Name and state of all deliveries, oldest first."""
        with self.desk.store.read() as db:
            return [(one["name"], one["state"]) for one in reversed(deliveries.listing(db))]


@pytest.fixture
def site(desk: Desk, tmp_path: Path, clock: Clock) -> Iterator[Site]:
    """Three actions, and a brand that delivers by SFTP."""
    load(desk, tmp_path, [Sale("A-1", "O-1"), Sale("A-2", "O-2"), Sale("A-3", "O-3")])
    files = type("Files", (Counting,), {"opened": [], "refused": set()})
    with by_password(tmp_path / "brand" / "feed", files) as brand:
        yield Site(desk, brand, files, clock)


def names(pulled: Pulled) -> list[str]:
    """What a round fetched."""
    return [one["name"] for one in pulled.fetched]


def test_a_file_is_fetched_applied_and_known(site: Site) -> None:
    """Once, however often the source is pulled; the next round does not even open it."""
    site.brand.write("returns.csv", RETURNS, THEN)
    first = site.pull()
    assert (names(first), first.known) == (["returns.csv"], 0)
    assert values(site.desk.store, "A-1") == ("PENDING", "40.00", "2.00")
    assert first.fetched[0]["state"] == "done"
    again = site.pull()
    assert (names(again), again.known) == ([], 1)
    assert site.files.opened == ["returns.csv"]
    with site.desk.store.read() as db:
        found = deliveries.find(db, first.fetched[0]["delivery"])
    assert (found.channel, found.name) == ("sftp:acme", "returns.csv")


@pytest.mark.parametrize(
    ("name", "content", "modified_at"),
    [
        ("returns.csv", OTHERS, THEN + 60),
        ("returns.csv", OTHERS + b"A-3,0,ITEM_RETURNED\n", THEN),
        ("returns.csv", OTHERS, THEN - 86_400 * 365),
        ("other.csv", OTHERS, THEN),
        ("other.csv", OTHERS, 0),
    ],
    ids=["same name, new content", "same second, longer", "older than before", "equal seconds", "of 1970"],
)
def test_what_is_new_is_fetched(site: Site, name: str, content: bytes, modified_at: int) -> None:
    """Known is what was fetched; neither a name nor a time says that something was."""
    site.brand.write("returns.csv", RETURNS, THEN)
    site.pull()
    site.brand.write(name, content, modified_at)
    assert names(site.pull()) == [name]
    assert site.deliveries() == [("returns.csv", "done"), (name, "done")]


def test_the_same_bytes_again_are_a_duplicate(site: Site) -> None:
    """Under a new name or time the brand has sent them again, and is told that they are known."""
    site.brand.write("returns.csv", RETURNS, THEN)
    site.pull()
    site.brand.write("again.csv", RETURNS, THEN)
    touch(site.brand.folder / "returns.csv", THEN + 1)
    assert sorted(names(site.pull())) == ["again.csv", "returns.csv"]
    assert [state for _, state in site.deliveries()] == ["done", "duplicate", "duplicate"]


def test_the_memory_has_no_end(site: Site) -> None:
    """The 1,001st file is fetched, and it alone; bench/sources.py does the same with ten times as many."""
    before = [f"{number}.csv" for number in range(1_000)]
    with site.desk.store.write() as db:
        for name in before:
            fetched.record(db, "acme", fetched.Seen(name, 1, THEN), "0" * 64, name, site.clock())
    for name in before:
        site.brand.write(name, b"x", THEN)
    site.brand.write("1000.csv", RETURNS, THEN)
    pulled = site.pull()
    assert (names(pulled), pulled.known) == (["1000.csv"], 1_000)


@pytest.mark.parametrize("after", ["move", "delete"])
def test_what_is_done_with_leaves(site: Site, after: str) -> None:
    """And a file of the same name, size and time that comes later is fetched all the same, by its content."""
    for content in (RETURNS, OTHERS):
        site.brand.write("returns.csv", content, THEN)
        assert names(site.pull(after=after)) == ["returns.csv"]
        assert site.brand.names() == []
    assert [state for _, state in site.deliveries()] == ["done", "done"]


def test_a_file_that_cannot_be_deleted_is_no_second_delivery(site: Site) -> None:
    """It is told every time, and its bytes are known."""
    site.brand.write("returns.csv", RETURNS, THEN)
    site.files.refused = {"no deleting"}
    first, second = site.pull(after="delete"), site.pull(after="delete")
    assert "refuses deleting returns.csv" in first.failed["returns.csv"]
    assert (names(second), second.known, list(second.failed)) == ([], 1, ["returns.csv"])
    assert site.deliveries() == [("returns.csv", "done")]


@pytest.mark.parametrize("wrong", [-10, 10, -len(RETURNS)])
def test_a_server_that_tells_a_wrong_size(site: Site, wrong: int) -> None:
    """As many bytes as it tells must come, and not one more."""

    def told(attributes: SFTPAttributes) -> None:
        attributes.st_size += wrong

    site.files.told = staticmethod(told)
    site.brand.write("returns.csv", RETURNS, THEN)
    assert site.pull().growing == ["returns.csv"]
    assert site.deliveries() == []


def test_a_growing_file_is_left_and_seen(site: Site) -> None:
    """Until it has stopped; meanwhile everybody can see that it is there."""
    path = site.brand.write("returns.csv", RETURNS, THEN)

    def told(_attributes: SFTPAttributes) -> None:
        with path.open("ab") as file:
            file.write(b"A-2,0,ITEM_RETURNED\n")

    site.files.told = staticmethod(told)
    assert site.pull().growing == ["returns.csv"]
    with site.desk.store.read() as db:
        assert dict(fetched.rounds(db))["acme"]["growing"] == ["returns.csv"]
    site.files.told = staticmethod(lambda _attributes: None)
    assert names(site.pull()) == ["returns.csv"]
    with site.desk.store.read() as db:
        assert dict(fetched.rounds(db))["acme"]["growing"] == []


def test_one_file_does_not_stop_the_others(site: Site) -> None:
    """What cannot be read is told with its name."""
    for name in ("a.csv", "b.csv", "c.csv"):
        site.brand.write(name, RETURNS + name.encode() + b"\n", THEN)
    site.files.refused = {"b.csv"}
    pulled = site.pull()
    assert names(pulled) == ["a.csv", "c.csv"]
    assert "does not permit reading b.csv" in pulled.failed["b.csv"]


def test_a_file_that_is_too_large(site: Site) -> None:
    """It is told, and not even opened."""
    site.brand.write("returns.csv", RETURNS, THEN)
    assert "has 46 bytes; source acme takes 10 at most" in site.pull(max_file_bytes=10).failed["returns.csv"]
    assert site.files.opened == []


def test_oldest_first(site: Site) -> None:
    """A correction is applied after what it corrects, whatever they are called."""
    site.brand.write("b.csv", RETURNS, THEN)
    site.brand.write("a.csv", RETURNS.replace(b"40.00", b"30.00"), THEN + 1)
    assert names(site.pull()) == ["b.csv", "a.csv"]
    assert values(site.desk.store, "A-1") == ("PENDING", "30.00", "1.50")


def test_answers_go_back(site: Site) -> None:
    """Receipt, result and fix file in the result folder; a later delivery of the same name has files of its own."""
    (site.brand.folder / "out").mkdir()
    site.brand.write("returns.csv", RETURNS + b"A-2,-1,OTHER\n", THEN)
    pulled = site.pull(result_folder="/out")
    assert pulled.returned == 1
    assert site.brand.names("out") == ["fix_returns.csv", "receipt_returns.csv.json", "result_returns.csv"]
    before = (site.brand.folder / "out" / "result_returns.csv").read_bytes()
    assert len(before.splitlines()) == 3
    site.brand.write("returns.csv", OTHERS, THEN + 1)
    later = site.pull(result_folder="/out").fetched[0]["delivery"]
    added = {f"receipt_returns.{later}.csv.json", f"result_returns.{later}.csv"}
    assert set(site.brand.names("out")) >= added
    assert (site.brand.folder / "out" / "result_returns.csv").read_bytes() == before
    assert site.pull(result_folder="/out").returned == 0


def test_answers_that_came_later_go_back_with_the_next_round(site: Site) -> None:
    """A held delivery has its receipt at once, and another when a person has released it."""
    (site.brand.folder / "out").mkdir()
    site.brand.write("returns.csv", RETURNS[:-1], THEN)
    held = site.pull(result_folder="/out")
    assert (held.fetched[0]["state"], site.brand.names("out")) == ("held", ["receipt_returns.csv.json"])
    deciding.release(site.desk, held.fetched[0]["delivery"], by="dana", at=site.clock.pass_by(seconds=1))
    assert site.pull(result_folder="/out").returned == 1
    assert "result_returns.csv" in site.brand.names("out")


def test_no_result_folder_on_the_server_does_not_stop_the_fetching(site: Site) -> None:
    """It is told, and the answers go there once it is made."""
    site.brand.write("returns.csv", RETURNS, THEN)
    pulled = site.pull(result_folder="/out")
    assert (names(pulled), list(pulled.failed)) == (["returns.csv"], ["results"])
    (site.brand.folder / "out").mkdir()
    assert site.pull(result_folder="/out").returned == 1


def test_a_server_that_is_away(site: Site) -> None:
    """Worth another try; what was fetched before it went is not fetched again, and the round is told of."""
    for number in range(3):
        site.brand.write(f"{number}.csv", os.urandom(300_000), THEN + number)
    with line_to(site.brand, left=700_000) as line, pytest.raises(SourceUnreachable) as error:
        site.pull(port=line.port)
    assert error.value.retryable
    with site.desk.store.read() as db:
        assert dict(fetched.rounds(db))["acme"]["error"] == str(error.value)
    before = len(site.deliveries())
    assert before
    assert names(site.pull()) == [f"{number}.csv" for number in range(before, 3)]


def test_a_file_that_breaks_the_connection(site: Site) -> None:
    """It keeps the later ones from nothing, and is worth another try."""
    for number, name in enumerate(("a.csv", "poison.csv", "c.csv")):
        site.brand.write(name, RETURNS + name.encode() + b"\n", THEN + number)
    with pytest.raises(SourceUnreachable, match=r"poison\.csv"):
        site.pull()
    assert site.deliveries() == [("a.csv", "done"), ("c.csv", "done")]


class Cutting(SftpSource):
    """Its line is cut ``cuts`` times when it brought a megabyte; ``begun`` are the parts it went on from."""

    cuts: int
    begun: list[int]
    hang_up: Callable[[], object]

    def fetch(self, file: RemoteFile, write: Callable[[bytes], object], part: Part | None = None) -> bool:
        """Fetch, with an accident."""
        assert part is not None
        self.begun.append(part.size_bytes)
        left: float = 1_000_000

        def count(block: bytes) -> None:
            nonlocal left
            write(block)
            left -= len(block)
            if left < 0 < self.cuts:
                # Some blocks were on their way.
                left = math.inf
                self.cuts -= 1
                self.hang_up()

        return super().fetch(file, count, part)


def cut(site: Site, cuts: int, meanwhile: Callable[[], object] = int) -> tuple[Pulled, list[int]]:
    """A round whose line is cut; the parts that its connections began with."""
    settings: Any = site.brand.settings(account=SID)
    source = Cutting(settings, ENVIRON)
    source.cuts, source.begun = cuts, []

    def hang_up() -> None:
        meanwhile()
        site.brand.stop()
        site.brand.start()

    source.hang_up = hang_up
    return site.pull(source), source.begun


@EMBEDDED
def test_a_download_that_is_cut_goes_on(site: Site) -> None:
    """As often as connections may break otherwise: what came is not fetched again, and it is one delivery."""
    content = os.urandom(30_000_000)
    site.brand.write("returns.csv", content, THEN)
    pulled, begun = cut(site, 4)
    assert (names(pulled), pulled.failed) == (["returns.csv"], {})
    landed = site.desk.spool.content(pulled.fetched[0]["delivery"])
    assert landed.read_bytes() == content
    assert (begun[0], len(begun)) == (0, 5)
    assert all(later - earlier > 1_000_000 for earlier, later in pairwise(begun))
    assert list((landed.parents[2] / "tmp").iterdir()) == []


@EMBEDDED
def test_a_download_of_what_was_overwritten_meanwhile_does_not_go_on(site: Site) -> None:
    """With the same size, at the same second: the next round fetches it from its beginning."""
    path = site.brand.write("returns.csv", os.urandom(30_000_000), THEN)

    def overwrite() -> None:
        path.write_bytes(os.urandom(30_000_000))
        touch(path, THEN)

    pulled, _ = cut(site, 1, overwrite)
    assert (names(pulled), pulled.growing) == ([], ["returns.csv"])
    assert site.desk.spool.content(site.pull().fetched[0]["delivery"]).read_bytes() == path.read_bytes()


def test_a_refusal_is_not_tried_again(site: Site) -> None:
    """It is an error for a person, told in the list of sources."""
    with pytest.raises(SourceRefused) as error:
        site.pull(folder="/nowhere")
    assert not error.value.retryable


def test_unknown_account(site: Site) -> None:
    """Nothing is fetched for nobody."""
    settings = site.brand.settings(account="IRnobody9")
    with pytest.raises(NotFound, match="IRnobody9"):
        pull(site.desk, settings, site.brand.source(), claims=site.claims, settle_s=0)


def test_unknown_event_type(site: Site) -> None:
    """The same for an event type; a known one goes with the delivery."""
    with pytest.raises(Unusable, match="no event type 4711"):
        site.pull(event_type=4711)
    with site.desk.store.read() as db:
        event_type = min(catalog.read_terms(db, SID).event_types)
    site.brand.write("returns.csv", RETURNS, THEN)
    assert site.desk.spool.find(site.pull(event_type=event_type).fetched[0]["delivery"]).event_type == event_type


def test_one_round_of_a_source_at_a_time(site: Site) -> None:
    """A second one does nothing; another source goes on."""
    ensure_folder(site.claims)
    site.brand.write("returns.csv", RETURNS, THEN)
    with claim(site.claims / "acme.claim"):
        settings = site.brand.settings(account=SID)
        assert pull(site.desk, settings, site.brand.source(), claims=site.claims) is None
        assert names(site.pull(name="brix")) == ["returns.csv"]


def test_the_wait_gives_times_their_meaning(site: Site, tmp_path: Path) -> None:
    """An overwrite during the download is seen by its time, whatever its size: it cannot be of the listing's second."""
    (tmp_path / "ssh").mkdir()
    with openssh(tmp_path / "ssh" / "feed", "ed25519") as brand:
        brand.write("returns.csv", RETURNS)

        class Overwritten(SftpSource):
            """While the file is read, the brand writes another of the same length."""

            def fetch(self, file: RemoteFile, write: Callable[[bytes], object], part: Part | None = None) -> bool:
                """Read, and let the brand write."""
                brand.write("returns.csv", OTHERS)
                return super().fetch(file, write, part)

        settings: Any = brand.settings(account=SID)
        pulled = pull(site.desk, settings, Overwritten(settings, {}), claims=site.claims, settle_s=1.05)
    assert pulled is not None
    assert (pulled.growing, pulled.fetched) == (["returns.csv"], [])


# Each round in a process of its own, forked from one that has everything imported.
ROUNDS = """
import json, os, signal, sys
from clawback import pulling
from clawback.settings import load
from clawback.wiring import claims_folder, open_desk, source_of
from flows.work import now

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def run(moment):
    settings = load(os.environ)
    its = settings.source("acme")
    source = source_of(its, os.environ)
    fetch, settle = source.fetch, source.settle
    if moment == "a block":
        source.fetch = lambda file, write, part: fetch(file, lambda block: (write(block), die()), part)
    elif moment == "fetched":
        source.fetch = lambda file, write, part: (fetch(file, write, part), die())
    elif moment == "landed":
        pulling.fetched.record = die
    elif moment == "recorded":
        source.settle = die
    elif moment == "settled":
        source.settle = lambda file, delivery: (settle(file, delivery), die())
    elif moment == "applied":
        source.put = die
    elif moment == "put":
        pulling.fetched.returned = die
    with open_desk(settings, now) as desk:
        pulling.pull(desk, its, source, claims=claims_folder(settings), settle_s=0)
    os._exit(0)

for moment in sys.stdin:
    child = os.fork()
    if child == 0:
        run(moment.strip())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
MOMENTS = ("a block", "fetched", "landed", "recorded", "settled", "applied", "put", "the end")


def test_killed_at_every_moment(tmp_path: Path) -> None:
    """What left the brand's server exists here byte for byte; each file is one delivery with all its answers."""
    with by_password(tmp_path / "brand" / "feed") as brand:
        (brand.folder / "out").mkdir()
        sources = (brand.settings(account=SID, after="delete", result_folder="/out"),)
        settings = Settings(state=tmp_path / "var", sources=sources)
        environ = os.environ | ENVIRON | as_environment(settings)
        sent: dict[str, bytes] = {}
        with (
            open_desk(settings, Clock()) as desk,
            subprocess.Popen(
                [sys.executable, "-c", ROUNDS], env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as rounds,
        ):
            assert rounds.stdin is not None
            assert rounds.stdout is not None
            load(desk, tmp_path, [Sale(f"A-{number}", f"O-{number}") for number in range(len(MOMENTS))])
            for number, moment in enumerate(MOMENTS):
                name, content = f"{number}.csv", lines("ActionId,Amount,Reason", f"A-{number},40.00,ORDER_UPDATE")
                sent[name] = content.encode()
                brand.write(name, sent[name], THEN + number)
                rounds.stdin.write(f"{moment}\n")
                rounds.stdin.flush()
                assert int(rounds.stdout.readline()) == (0 if moment == "the end" else -signal.SIGKILL), moment
                left = {name: content for name, content in sent.items() if name not in brand.names()}
                assert left.items() <= held(desk).items()
            rounds.stdin.close()
            assert held(desk) == sent
            with desk.store.read() as db:
                assert [one["state"] for one in deliveries.listing(db)] == ["done"] * len(MOMENTS)
            assert {values(desk.store, f"A-{number}")[1] for number in range(len(MOMENTS))} == {"40.00"}
        assert brand.names("out") == sorted(
            answer for name in sent for answer in (f"receipt_{name}.json", f"result_{name}")
        )


def held(desk: Desk) -> dict[str, bytes]:
    """All deliveries, in the spool or in the store, with their bytes; no name twice."""
    with desk.store.read() as db:
        known = {one["delivery"] for one in deliveries.listing(db)}
    envelopes = [desk.spool.find(one) for one in known | {one.delivery for one in desk.spool.pending()}]
    assert len({one.name for one in envelopes}) == len(envelopes)
    return {one.name: desk.spool.content(one.delivery).read_bytes() for one in envelopes}
