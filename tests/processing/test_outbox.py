"""The outbox: each thing once, tried again with growing patience, given up in the open."""

from dataclasses import replace
from datetime import timedelta

import pytest

from clawback.wiring import Desk
from processing import outbox
from processing.errors import NotFound
from processing.instants import micros
from processing.outbox import CLAIMED, WAITS, Entry
from tests.conftest import START, Clock

KINDS = ("reply",)
NUMBER = "20270120T120000000000-1a2b3c4d"


def claim(desk: Desk, clock: Clock) -> Entry | None:
    """What is due now."""
    with desk.store.write() as db:
        return outbox.claim_due(db, KINDS, at=clock.now)


def queue(desk: Desk, clock: Clock, *recipients: str) -> None:
    """Queue replies."""
    with desk.store.write() as db:
        for recipient in recipients:
            outbox.enqueue(db, "reply", recipient, NUMBER, at=clock.now)


def test_is_sent_once(desk: Desk, clock: Clock) -> None:
    """However often it is queued, before and after it was sent."""
    queue(desk, clock, "a@acme.example", "a@acme.example")
    entry = claim(desk, clock)
    assert entry == Entry(1, "reply", "a@acme.example", NUMBER, 0, 0, START, micros(START + CLAIMED))
    assert claim(desk, clock) is None
    with desk.store.write() as db:
        outbox.sent(db, entry, at=clock.pass_by(seconds=2))
    queue(desk, clock, "a@acme.example")
    clock.pass_by(days=30)
    assert claim(desk, clock) is None
    with desk.store.read() as db:
        (told,) = outbox.listing(db, KINDS)
    assert (told["state"], told["attempts"], told["done_at"]) == ("sent", 1, "2027-01-20T12:00:02+00:00")


def test_other_kinds_are_somebody_elses(desk: Desk, clock: Clock) -> None:
    """Who sends mail does not take what is posted to a URL."""
    with desk.store.write() as db:
        outbox.enqueue(db, "webhook", "https://acme.example/hook", NUMBER, at=clock.now)
    assert claim(desk, clock) is None


def test_sender_that_dies_leaves_it_to_the_next(desk: Desk, clock: Clock) -> None:
    """When its claim is over."""
    queue(desk, clock, "a@acme.example")
    first = claim(desk, clock)
    clock.now += CLAIMED - timedelta(seconds=1)
    assert claim(desk, clock) is None
    clock.pass_by(seconds=1)
    assert first is not None
    assert claim(desk, clock) == replace(first, until=micros(clock.now + CLAIMED))


@pytest.mark.parametrize("for_ever", [False, True])
def test_a_sender_that_comes_too_late_changes_nothing(desk: Desk, clock: Clock, *, for_ever: bool) -> None:
    """Somebody else has claimed what it held, and sent it: it is not sent once more."""
    queue(desk, clock, "a@acme.example")
    first = claim(desk, clock)
    clock.now += CLAIMED
    second = claim(desk, clock)
    assert first is not None
    assert second is not None
    with desk.store.write() as db:
        outbox.sent(db, second, at=clock.now)
        assert not outbox.failed(db, first, "It hung.", at=clock.now, for_ever=for_ever)
    clock.pass_by(days=30)
    assert claim(desk, clock) is None
    with desk.store.read() as db:
        (told,) = outbox.listing(db, KINDS)
    assert (told["state"], told["last_error"], told["given_up_at"]) == ("sent", None, None)


def test_is_tried_again_and_given_up(desk: Desk, clock: Clock) -> None:
    """For days, each time after a longer wait; then it is seen, and may be tried once more by a person."""
    queue(desk, clock, "a@acme.example")
    for wait in WAITS:
        entry = claim(desk, clock)
        assert entry is not None
        with desk.store.write() as db:
            assert not outbox.failed(db, entry, "The relay is away.", at=clock.now)
        clock.now += wait - timedelta(seconds=1)
        assert claim(desk, clock) is None
        clock.pass_by(seconds=1)
    assert timedelta(days=4) < clock.now - START < timedelta(days=5)
    entry = claim(desk, clock)
    assert entry is not None
    with desk.store.write() as db:
        assert outbox.failed(db, entry, "The relay is away.", at=clock.now)
        (given_up,) = outbox.listing(db, KINDS)
        assert (given_up["state"], given_up["attempts"]) == ("given up", len(WAITS) + 1)
        assert given_up["last_error"] == "The relay is away."
        outbox.again(db, entry.id, at=clock.now)
    again = claim(desk, clock)
    assert again is not None
    assert (again.id, again.attempts) == (entry.id, 0)


def test_refusal_for_ever_is_not_tried_again(desk: Desk, clock: Clock) -> None:
    """And what was sent cannot be."""
    queue(desk, clock, "a@acme.example")
    entry = claim(desk, clock)
    assert entry is not None
    with desk.store.write() as db:
        assert outbox.failed(db, entry, "550 " + "x" * 1000, at=clock.now, for_ever=True)
        (told,) = outbox.listing(db, KINDS)
        assert (told["state"], len(told["last_error"]), told["due_at"]) == ("given up", 500, None)
        outbox.again(db, entry.id, at=clock.now)
        once_more = outbox.claim_due(db, KINDS, at=clock.now)
        assert once_more is not None
        outbox.sent(db, once_more, at=clock.now)
        with pytest.raises(NotFound, match="nothing unsent with the number 1"):
            outbox.again(db, entry.id, at=clock.now)


def test_a_thread_goes_out_in_order(desk: Desk, clock: Clock) -> None:
    """The newer waits until the older is sent or given up; another recipient's and another thread's do not."""
    with desk.store.write() as db:
        for recipient, revision in (("a@acme.example", 0), ("a@acme.example", 3), ("b@acme.example", 0)):
            outbox.enqueue(db, "reply", recipient, NUMBER, at=clock.now, revision=revision, thread="T")
        outbox.enqueue(db, "reply", "a@acme.example", f"{NUMBER}-0001", at=clock.now)
    claimed = [claim(desk, clock) for _ in range(4)]
    assert [(one.recipient, one.delivery, one.revision) for one in claimed if one] == [
        ("a@acme.example", NUMBER, 0),
        ("b@acme.example", NUMBER, 0),
        ("a@acme.example", f"{NUMBER}-0001", 0),
    ]
    with desk.store.write() as db:
        assert claimed[0] is not None
        outbox.overtaken(db, claimed[0], at=clock.now)
        with pytest.raises(NotFound):
            outbox.again(db, claimed[0].id, at=clock.now)
    newer = claim(desk, clock)
    assert newer is not None
    assert newer.revision == 3
    with desk.store.read() as db:
        assert not outbox.is_due(db, KINDS, at=clock.now)
        assert outbox.is_due(db, KINDS, at=clock.pass_by(minutes=10))
