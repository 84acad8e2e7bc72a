"""Each outcome of a mailed delivery is told by one reply: after a release, a replay, an undo, and when lines settle."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding, pipeline, postman, replies, revising
from clawback.settings import MailRelay, Settings, SmtpServer
from clawback.wiring import Desk, open_desk
from connectors.smtp_relay import Relay
from processing import deliveries, messages, outbox
from processing.errors import Unusable
from processing.outbox import CLAIMED
from tests.clawback.test_mailroom import dying, ingest, land, send, text
from tests.conftest import Clock
from tests.connectors.smtp_site import mail
from tests.mail_world import BRAND, Sink, files, name_server, relay
from tests.worlds import CATALOGUE, SID, Sale, lines, load

TO = "abcdefghijklmnopqrstuvwxyz234567@returns.example"
HEADER = "ActionId,Amount,Reason"
# Held by the brakes: most of it is bad.
BAD = lines(HEADER, *["A-1,30.00,ORDER_UPDATE"] * 10, *["A-2,-1,OTHER"] * 11).encode()
# Two lines wait, for different actions.
EARLY = lines(HEADER, "A-1,40.00,ORDER_UPDATE", "A-8,40.00,ORDER_UPDATE", "A-9,40.00,ORDER_UPDATE").encode()
EMBEDDED = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Sink, int]]:
    """A relay and the port of a name server that knows the brand, for all tests."""
    with relay() as sink, name_server() as zone:
        zone.texts[BRAND] = [b"v=spf1 ip4:127.0.0.1 -all"]
        yield sink, zone.port


@pytest.fixture
def sink(running: tuple[Sink, int]) -> Sink:
    """The relay, which has nothing yet."""
    running[0].taken.clear()
    running[0].answers.clear()
    return running[0]


@pytest.fixture
def desk(store_url: str, tmp_path: Path, clock: Clock, running: tuple[Sink, int], sink: Sink) -> Iterator[Desk]:
    """Two actions of Acme Outdoor, whose people may send from their domain."""
    settings = Settings(
        state=tmp_path,
        store=store_url,
        smtp=SmtpServer(domain="returns.example", dns=f"127.0.0.1:{running[1]}"),
        relay=MailRelay(host="127.0.0.1", port=sink.port, tls="off"),
    )
    with open_desk(settings, clock) as opened:
        load(opened, tmp_path, [Sale("A-1", "O-1"), Sale("A-2", "O-2")])
        opened.mail.book.change_senders(SID, allow=(BRAND,))
        yield opened


def told(sink: Sink) -> list[tuple[str, dict[str, int], int]]:
    """State, lines by verdict and number of revisions, reply by reply; one that came twice counts once."""
    replies = {reply["Message-ID"]: reply for _, _, reply in sink.taken}
    receipts = [json.loads(files(one)["receipt_returns.csv.json"]) for one in replies.values()]
    return [
        (one["state"], {verdict: count for verdict, count in one["rows"].items() if count}, len(one["revisions"]))
        for one in receipts
    ]


def a_round(desk: Desk, clock: Clock) -> None:
    """What the schedules do: finish and settle what there is, and send what is due."""
    clock.now += CLAIMED
    pipeline.collect(desk, at=clock.now)
    send(desk)


def settle(desk: Desk, clock: Clock, folder: Path, name: str) -> None:
    """An action is loaded that a line waits for."""
    load(desk, folder, [Sale(f"A-{name}", f"O-{name}")])
    pipeline.collect(desk, at=clock.now)


def release(desk: Desk, clock: Clock, number: str) -> None:
    """A person lets a held delivery through."""
    deciding.release(desk, f"{number}-0001", by="dana", at=clock.now)


def undo(desk: Desk, clock: Clock, number: str) -> None:
    """A person takes a delivery back."""
    revising.undo(desk, f"{number}-0001", by="dana", reason=None, at=clock.now)


WAITING = [
    ("done", {"read": 3, "applied": 1, "waiting": 2}, 0),
    ("done", {"read": 3, "applied": 2, "waiting": 1}, 1),
    ("done", {"read": 3, "applied": 3}, 2),
    ("done", {"read": 3, "applied": 3}, 3),
]
HELD = [
    ("held", {"read": 21, "rejected": 11, "held": 10}, 0),
    ("done", {"read": 21, "applied": 1, "unchanged": 9, "rejected": 11}, 0),
    ("done", {"read": 21, "applied": 1, "unchanged": 9, "rejected": 11}, 1),
]


def test_each_time_lines_settle(desk: Desk, sink: Sink, clock: Clock, tmp_path: Path) -> None:
    """One after the other, then the undo: four outcomes, four replies, the newest of which says why it came."""
    number = land(desk, mail(TO, EARLY))
    a_round(desk, clock)
    for name in ("8", "9"):
        settle(desk, clock, tmp_path, name)
        a_round(desk, clock)
    undo(desk, clock, number)
    a_round(desk, clock)
    a_round(desk, clock)
    assert told(sink) == WAITING
    said = [[line for line in text(reply).splitlines() if line.startswith("Changed")] for _, _, reply in sink.taken]
    loaded = ["Changed since the last answer: actions were loaded."]
    assert said[:3] == [[], loaded, loaded]
    assert re.fullmatch(r"Changed since the last answer: delivery \S+ undid it\.", said[3][0])
    assert "Changed since the last answer: actions were loaded." in text(sink.taken[1][2], "html")


def test_release_and_undo(desk: Desk, sink: Sink, clock: Clock) -> None:
    """A held delivery is told of again when it is released, and once more when it is undone."""
    number = land(desk, mail(TO, BAD))
    for act in (None, release, undo):
        if act is not None:
            act(desk, clock, number)
        a_round(desk, clock)
    assert told(sink) == HELD


def test_lines_that_waited_are_held_and_released(desk: Desk, sink: Sink, clock: Clock, tmp_path: Path) -> None:
    """Told as what is held, with the reason; then what became of them."""
    names = [f"W-{number}" for number in range(20)]
    number = land(desk, mail(TO, lines(HEADER, *(f"{name},0,ITEM_RETURNED" for name in names)).encode()))
    a_round(desk, clock)
    load(desk, tmp_path, [Sale(name) for name in names])
    a_round(desk, clock)
    release(desk, clock, number)
    a_round(desk, clock)
    a_round(desk, clock)
    fates = [{"read": 20, verdict: 20} for verdict in ("waiting", "held", "applied")]
    assert told(sink) == [("done", rows, revision) for revision, rows in enumerate(fates)]
    said = [text(reply).splitlines() for _, _, reply in sink.taken]
    assert [one[0] for one in said] == [
        "returns.csv: finished",
        "returns.csv: finished, but for lines that are held for a person",
        "returns.csv: finished",
    ]
    assert said[1][1].startswith("With the lines that waited for their actions, it reverses 100.00 of the 110.00 ")
    assert said[2][1].startswith("dana released its lines that waited.")
    assert "finished, but for lines that are held for a person" in text(sink.taken[1][2], "html")


@EMBEDDED
def test_replay(desk: Desk, sink: Sink, clock: Clock, tmp_path: Path) -> None:
    """What was refused is judged again, and told."""
    number = land(desk, mail(TO, lines(HEADER, "A-1,40.00,OURS").encode()))
    a_round(desk, clock)
    ours = '[[account.program.event_type.disposition]]\n      code = "OURS"\n      outcome = "modify"\n      '
    at = CATALOGUE.index("[[account.program.event_type.disposition]]")
    load(desk, tmp_path, catalogue=CATALOGUE[:at] + ours + CATALOGUE[at:])
    for _ in range(2):
        with suppress(Unusable):
            revising.replay(desk, f"{number}-0001", at=clock.now)
        a_round(desk, clock)
    assert told(sink) == [("done", {"read": 1, "rejected": 1}, 0), ("done", {"read": 1, "applied": 1}, 1)]


def test_what_changed_before_it_was_sent_is_told_once(desk: Desk, sink: Sink, clock: Clock) -> None:
    """A relay that was away gets one reply, about what is so by then; the others are overtaken, which is seen."""
    sink.answers = ["451 4.3.0 busy"]
    number = land(desk, mail(TO, BAD))
    a_round(desk, clock)
    release(desk, clock, number)
    undo(desk, clock, number)
    a_round(desk, clock)
    a_round(desk, clock)
    assert told(sink) == HELD[2:]
    with desk.store.read() as db:
        assert [one["state"] for one in outbox.listing(db, ("reply",))] == ["overtaken", "overtaken", "sent"]


def test_what_changes_while_it_is_sent(desk: Desk, sink: Sink, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply on its way tells of what was; the next of what is. Nobody else sends that one meanwhile."""
    number = land(desk, mail(TO, BAD))
    ingest(desk, number)
    hand_over = Relay.hand_over

    def slowly(*arguments: Any) -> None:  # noqa: ANN401 - of hand_over
        monkeypatch.undo()
        release(desk, clock, number)
        assert send(desk) == postman.Round()
        hand_over(*arguments)

    monkeypatch.setattr(Relay, "hand_over", slowly)
    assert send(desk).sent == 2
    assert told(sink) == HELD[:2]


@EMBEDDED
def test_what_changes_while_it_is_written(
    desk: Desk, sink: Sink, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply never says one thing and attaches another."""
    number = land(desk, mail(TO, BAD))
    ingest(desk, number)
    attach = replies.attach

    def slowly(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - of attach
        monkeypatch.undo()
        release(desk, clock, number)
        attach(*arguments, **options)

    monkeypatch.setattr(replies, "attach", slowly)
    a_round(desk, clock)
    assert told(sink) == HELD[1:2]
    assert "returns.csv: finished" in text(sink.taken[0][2])


@EMBEDDED
def test_sender_that_died_after_the_relay_took_it(
    desk: Desk, sink: Sink, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it told is told again only as the same message; what has happened since is another."""
    number = land(desk, mail(TO, BAD))
    ingest(desk, number)
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(outbox, "sent", dying(outbox.sent, 0))
        send(desk)
    release(desk, clock, number)
    a_round(desk, clock)
    a_round(desk, clock)
    assert told(sink) == HELD[:2]
    assert len(sink.taken) == 2


STEPS = [
    (outbox, "enqueue"),
    (outbox, "claim_due"),
    (outbox, "sent"),
    (deliveries, "answered"),
    (deliveries, "mailed"),
    (messages, "answered"),
    (Relay, "hand_over"),
    (replies, "reply"),
]


@pytest.mark.parametrize(("home", "step"), STEPS, ids=[step for _, step in STEPS])
def test_killed_anywhere(  # noqa: PLR0917 - all of them fixtures but the last
    desk: Desk, sink: Sink, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: object, step: str
) -> None:
    """At whichever call of a step: the next rounds tell the rest, and nothing once more as something new."""
    acts: list[Callable[[], object]] = [
        lambda: land(desk, mail(TO, EARLY)),
        lambda: settle(desk, clock, tmp_path, "8"),
        lambda: settle(desk, clock, tmp_path, "9"),
    ]
    for act in acts:
        for survived in (None, 0):
            with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
                patch.setattr(home, step, dying(getattr(home, step), 0))
                if survived is None:
                    act()
                a_round(desk, clock)
        a_round(desk, clock)
        a_round(desk, clock)
    assert told(sink) == WAITING[:3]
