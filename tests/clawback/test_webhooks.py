"""Webhooks: told of what is committed, at least once, in order, signed, and nowhere they must not go."""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding, pipeline, revising
from clawback.courier import Told
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from connectors.places import Guard
from connectors.webhook_post import Secrets
from processing import deliveries, outbox, webhooks
from processing.errors import NotFound
from processing.outbox import CLAIMED, WAITS
from processing.webhooks import CHANGES_IN_ONE, OUTBOX, EventKind
from tests.clawback.hook_site import Program, courier, is_signed, listen, program
from tests.conftest import Clock
from tests.worlds import OTHER_SID, SID, Sale, lines, load


@pytest.fixture
def heard() -> Iterator[Program]:
    """A program that is told."""
    with program() as found:
        yield found


@pytest.fixture
def acme(desk: Desk, tmp_path: Path) -> Desk:
    """The brand with two actions."""
    load(desk, tmp_path, [Sale("A-1", "O-1"), Sale("A-2", "O-2")])
    return desk


def ingest(desk: Desk, clock: Clock, *rows: str, header: str = "ActionId,Amount,Reason", **values: Any) -> str:  # noqa: ANN401 - of land
    """Land a file and bring it to its end; gives its number."""
    given = {"account": SID, "channel": "ftp", "name": "returns.csv"} | values
    landed = desk.spool.land(lines(header, *rows).encode(), **given)
    pipeline.ingest(desk, landed.delivery, at=clock())
    return landed.delivery


def test_told_of_changes_and_of_the_end(acme: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """In this order, each once, with the fields of ActionUpdates and the receipt; signed with the webhook's secret."""
    name = listen(acme, heard.url, at=clock)
    delivery = ingest(acme, clock, "A-1,40,ORDER_UPDATE", "A-2,0,ITEM_RETURNED", "A-9,x,OTHER")
    sender = courier(acme, tmp_path, clock)
    assert sender.send_due() == Told(sent=2)
    assert sender.send_due() == Told()
    changed, finished = heard.heard
    assert {key: value for key, value in changed.items() if key != "ActionUpdates"} == {
        "Id": f"{delivery}.1",
        "Type": "action.changed",
        "AccountId": SID,
        "CreatedDate": "2027-01-20T12:00:00.000000+00:00",
        "DeliveryId": delivery,
    }
    updates = [(one["Id"], one["State"], one["DeltaAmount"], one["Disposition"]) for one in changed["ActionUpdates"]]
    assert updates == [("A-1.1", "PENDING", -60.0, "ORDER_UPDATE"), ("A-2.1", "REVERSED", -100.0, "ITEM_RETURNED")]
    assert (finished["Id"], finished["Type"]) == (f"{delivery}.2", "delivery.finished")
    assert finished["Receipt"]["rows"]["applied"] == 2
    secret = Secrets(tmp_path).of(name)
    for headers, body in heard.raw:
        assert is_signed(headers, body, secret)
        assert not is_signed(headers, body + b" ", secret)
        assert not is_signed({**headers, "webhook-timestamp": "1"}, body, secret)


def test_told_of_what_is_held_and_released(acme: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """A held delivery has changed nothing; what was judged by the time it is told does not change what it says."""
    listen(acme, heard.url, at=clock)
    held = acme.spool.land(b"ActionId,Amount,Reason\nA-1,0,OTHER", account=SID, channel="ftp", name="cut.csv")
    pipeline.ingest(acme, held.delivery, at=clock())
    deciding.release(acme, held.delivery, by="dana", at=clock.pass_by(minutes=1))
    courier(acme, tmp_path, clock).send_due()
    assert heard.kinds() == ["delivery.held", "action.changed", "delivery.finished"]
    assert [one["Receipt"]["state"] for one in heard.heard if "Receipt" in one] == ["held", "done"]


def test_told_of_what_came_later(acme: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """A waiting line that was judged is one more change, without the others of its file; so is an undo."""
    listen(acme, heard.url, at=clock)
    delivery = ingest(acme, clock, "A-1,40,ORDER_UPDATE", "A-3,50,ORDER_UPDATE", "A-2,30,ORDER_UPDATE")
    load(acme, tmp_path, [Sale("A-3")])
    pipeline.collect(acme, at=clock.pass_by(minutes=1))
    revising.undo(acme, delivery, by="dana", reason=None, at=clock.pass_by(minutes=1))
    courier(acme, tmp_path, clock).send_due()
    changed = [[one["Id"] for one in event["ActionUpdates"]] for event in heard.heard if "ActionUpdates" in event]
    assert [sorted(one) for one in changed] == [["A-1.1", "A-2.1"], ["A-3.1"], ["A-1.2", "A-2.2", "A-3.2"]]
    assert heard.ids()[:4] == [f"{delivery}.{serial}" for serial in (1, 2, 3, 4)]


def test_large_deliveries_come_in_parts(desk: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """Every change is told once."""
    count = CHANGES_IN_ONE + 1
    load(desk, tmp_path, [Sale(f"A-{number}") for number in range(count)])
    listen(desk, heard.url, EventKind.CHANGED, at=clock)
    ingest(desk, clock, *(f"A-{number},50,ORDER_UPDATE" for number in range(count)))
    courier(desk, tmp_path, clock).send_due()
    told = [[one["ActionId"] for one in event["ActionUpdates"]] for event in heard.heard]
    assert list(map(len, told)) == [CHANGES_IN_ONE, 1]
    assert [*told[0], *told[1]] == [f"A-{number}" for number in range(count)]


def test_only_what_is_wanted_by_whom(acme: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """A webhook has its kinds and its account; what is only previewed is nobody's news."""
    listen(acme, heard.url, EventKind.HELD, at=clock)
    listen(acme, heard.url, sid=OTHER_SID, at=clock)
    delivery = ingest(acme, clock, "A-1,40,ORDER_UPDATE")
    revising.preview_undo(acme, delivery, by="dana", reason=None, at=clock())
    assert courier(acme, tmp_path, clock).send_due() == Told()
    assert heard.heard == []


def test_order_within_a_delivery_survives_failures(acme: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """While its first event is not taken, none of its others is sent; another webhook is not kept waiting."""
    listen(acme, heard.url, at=clock)
    first = ingest(acme, clock, "A-1,40,ORDER_UPDATE")
    sender = courier(acme, tmp_path, clock)
    heard.answer = lambda _event: 503
    with program() as other:
        listen(acme, other.url, at=clock)
        second = ingest(acme, clock, "A-2,0,ITEM_RETURNED")
        assert sender.send_due() == Told(sent=2, put_off=1)
        assert other.ids() == [f"{second}.1", f"{second}.2"]
    heard.answer = lambda _event: 200
    sender.send_due()
    clock.now += WAITS[0]
    sender.send_due()
    got = heard.ids()
    assert [one for one in got if one.startswith(first)] == [f"{first}.{serial}" for serial in (1, 1, 2)]
    assert [one for one in got if one.startswith(second)] == [f"{second}.1", f"{second}.2"]


def test_replayed_in_order(acme: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """Also what was queued for the webhook later than what came after it."""
    name = listen(acme, heard.url, at=clock)
    delivery = ingest(acme, clock, "A-1,40,ORDER_UPDATE")
    sender = courier(acme, tmp_path, clock)
    assert sender.send_due() == Told(sent=2)
    told = [one["Id"] for one in heard.heard]
    with acme.store.write() as db:
        # As if the webhook had been added between the two.
        outbox.withdraw(db, OUTBOX, name, told[:1])
        assert webhooks.replay(db, name, at=clock(), delivery=delivery) == 2
    assert sender.send_due() == Told(sent=2)
    assert [one["Id"] for one in heard.heard[2:]] == told


def test_given_up_and_replayed(acme: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """For days, then it is seen; a replay tells it again under the same ids, also what was taken before."""
    name = listen(acme, heard.url, EventKind.FINISHED, at=clock)
    delivery = ingest(acme, clock, "A-1,40,ORDER_UPDATE")
    sender = courier(acme, tmp_path, clock)
    heard.answer = lambda _event: 500
    for wait in WAITS:
        assert sender.send_due() == Told(put_off=1)
        clock.now += wait
    assert sender.send_due() == Told(given_up=1)
    with acme.store.read() as db:
        [told] = webhooks.listing(db, SID)
    assert (told["given_up"], told["waiting"]) == (1, 0)
    assert told["last_error"] == f"{heard.url.removesuffix('/')} answered 500; it has to answer with 2xx."
    heard.answer = lambda _event: 200
    for _ in range(2):
        with acme.store.write() as db:
            assert webhooks.replay(db, name, at=clock(), delivery=delivery) == 1
        assert sender.send_due() == Told(sent=1)
    assert set(heard.ids()) == {f"{delivery}.1"}
    with acme.store.write() as db:
        assert webhooks.replay(db, name, at=clock(), since=clock() + timedelta(seconds=1)) == 0
        with pytest.raises(NotFound, match="no webhook wh_nobody"):
            webhooks.replay(db, "wh_nobody", at=clock(), delivery=delivery)


@pytest.mark.parametrize(("status", "told"), [(410, Told(given_up=1)), (302, Told(put_off=1)), (204, Told(sent=1))])
def test_answers(acme: Desk, tmp_path: Path, clock: Clock, heard: Program, status: int, told: Told) -> None:
    """410 ends it; a redirect is not followed, whatever it points to."""
    listen(acme, heard.url, EventKind.FINISHED, at=clock)
    ingest(acme, clock, "A-1,40,ORDER_UPDATE")
    heard.answer = lambda _event: status
    assert courier(acme, tmp_path, clock).send_due() == told
    assert len(heard.heard) == 1


def test_private_addresses_are_not_spoken_to(acme: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """Unless they are allowed; by whatever name they are called."""
    for url in (heard.url, heard.url.replace("127.0.0.1", "localhost"), heard.url.replace("127.0.0.1", "2130706433")):
        listen(acme, url, EventKind.FINISHED, at=clock)
    ingest(acme, clock, "A-1,40,ORDER_UPDATE")
    assert courier(acme, tmp_path, clock, Guard()).send_due() == Told(put_off=3)
    assert heard.heard == []
    with acme.store.read() as db:
        assert all("nothing was sent" in one["last_error"] for one in webhooks.listing(db))


def test_a_program_cannot_hold_on(acme: Desk, tmp_path: Path, clock: Clock) -> None:
    """One that answers byte by byte is let go when the time for all of it is over."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            far, _ = server.accept()
            with far:
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
                    if stop.wait(0.1):
                        return
                    far.send(bytes([byte]))

        threading.Thread(target=drip, daemon=True).start()
        listen(acme, f"http://127.0.0.1:{server.getsockname()[1]}/", EventKind.FINISHED, at=clock)
        ingest(acme, clock, "A-1,40,ORDER_UPDATE")
        assert courier(acme, tmp_path, clock, timeout_s=1.0, total_s=1.5).send_due() == Told(put_off=1)
        stop.set()


def test_removed_webhooks_are_told_nothing(acme: Desk, tmp_path: Path, clock: Clock, heard: Program) -> None:
    """Not even what was queued."""
    name = listen(acme, heard.url, at=clock)
    ingest(acme, clock, "A-1,40,ORDER_UPDATE")
    with acme.store.write() as db:
        webhooks.remove(db, name)
        assert webhooks.listing(db) == []
    assert courier(acme, tmp_path, clock).send_due() == Told()
    with acme.store.write() as db, pytest.raises(NotFound):
        webhooks.remove(db, name)


def _tell(url: str, folder: str) -> None:
    clock = Clock()
    with open_desk(Settings(state=Path(folder), store=url), clock) as desk:
        courier(desk, Path(folder), clock).send_due()


def test_killed_between_commit_and_answer(
    acme: Desk, store_url: str, tmp_path: Path, clock: Clock, heard: Program
) -> None:
    """Whoever tells dies with the event in its hands: the next tells it again, under the same id, and then the rest."""
    listen(acme, heard.url, at=clock)
    delivery = ingest(acme, clock, "A-1,40,ORDER_UPDATE")
    teller = multiprocessing.get_context("spawn").Process(target=_tell, args=(store_url, str(tmp_path)))
    dead = threading.Event()

    def kill(_event: dict[str, Any]) -> int:
        heard.answer = lambda _event: 204
        assert teller.pid is not None
        os.kill(teller.pid, signal.SIGKILL)
        # One thread alone waits for a child: of two, one finds it gone and learns no exit code.
        dead.wait()
        return 204

    heard.answer = kill
    teller.start()
    teller.join()
    dead.set()
    assert teller.exitcode == -signal.SIGKILL
    sender = courier(acme, tmp_path, clock)
    assert sender.send_due() == Told()
    clock.now += CLAIMED
    assert sender.send_due() == Told(sent=2)
    assert heard.ids() == [f"{delivery}.{serial}" for serial in (1, 1, 2)]
    with acme.store.read() as db:
        assert [one["state"] for one in outbox.listing(db, (OUTBOX,))] == ["sent", "sent"]


def test_what_is_not_committed_is_not_told(acme: Desk, clock: Clock, heard: Program) -> None:
    """An event is part of the transaction that makes it true."""
    listen(acme, heard.url, at=clock)
    delivery = ingest(acme, clock, "A-1,40,ORDER_UPDATE")
    before = len(_events(acme, delivery))
    with acme.store.rehearse() as db:
        row = deliveries.find(db, delivery)
        deliveries.finish(db, row.id, deliveries.DeliveryState.DONE, at=clock())
        assert len(_rows(db)) > before
    assert len(_events(acme, delivery)) == before


def _events(desk: Desk, delivery: str) -> list[dict[str, Any]]:
    with desk.store.read() as db:
        return [one for one in _rows(db) if one["delivery"].startswith(delivery)]


def _rows(db: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a connection
    return outbox.listing(db, (OUTBOX,))
