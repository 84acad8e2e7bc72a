"""A message from the spool to its reply: believed or set aside, unpacked, applied, answered; on both stores."""

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding, pipeline, postman, sweep
from clawback.settings import MailRelay, Settings, SmtpServer
from clawback.wiring import Desk, open_desk
from connectors import mail_identity
from connectors.mail_evidence import DnsUnavailable
from processing import messages, outbox
from processing.errors import NotFound, SpoolBroken, Unusable, UploadRefused
from tests.conftest import START, Clock
from tests.connectors.smtp_site import mail
from tests.mail_world import BRAND, Sink, Zone, files, name_server, raw, relay
from tests.schemas.test_containers import zipped
from tests.worlds import CATALOGUE, LOCK, SALE, SID, Sale, dump, lines, load, values

TO = "abcdefghijklmnopqrstuvwxyz234567@returns.example"
GOOD = lines("ActionId,Amount,Reason", "A-1,40.00,ORDER_UPDATE", "A-2,-1,OTHER").encode()
FIRST = lines("ActionId,Amount,Reason", "A-1,40.00,ORDER_UPDATE").encode()
SECOND = lines("ActionId,Amount,Reason", "A-2,0,ITEM_RETURNED").encode()
CONTACT = "it@acme.example"
# For what does not depend on the store.
EMBEDDED = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def zone() -> Iterator[Zone]:
    """The brand sends from the loopback."""
    with name_server() as zone:
        zone.texts[BRAND] = [b"v=spf1 ip4:127.0.0.1 -all"]
        yield zone


@pytest.fixture(scope="module")
def running() -> Iterator[Sink]:
    """One relay for all tests."""
    with relay() as sink:
        yield sink


@pytest.fixture
def sink(running: Sink) -> Sink:
    """The relay, which has nothing yet."""
    running.taken.clear()
    running.answers.clear()
    return running


@pytest.fixture
def desk(store_url: str, tmp_path: Path, clock: Clock, zone: Zone, sink: Sink) -> Iterator[Desk]:
    """Two actions of Acme Outdoor, whose people may send from their domain."""
    settings = Settings(
        state=tmp_path,
        store=store_url,
        smtp=SmtpServer(domain="returns.example", dns=f"127.0.0.1:{zone.port}"),
        relay=MailRelay(host="127.0.0.1", port=sink.port, tls="off"),
    )
    with open_desk(settings, clock) as opened:
        load(opened, tmp_path, [Sale("A-1", "O-1"), Sale("A-2", "O-2")])
        opened.mail.book.change_senders(SID, allow=(BRAND,), contact=CONTACT)
        yield opened


def land(desk: Desk, message: EmailMessage | bytes, *, path: str = f"ops@{BRAND}", peer: str = "127.0.0.1") -> str:
    """Land a message as the inbox does; its number."""
    trace = {"mail_from": path, "peer": peer, "helo": "mail.acme.example", "tls": "", "recipient": TO}
    with desk.spool.receive_message(account=SID, name="message.eml", event_type=SALE, trace=trace) as upload:
        upload.write(message if isinstance(message, bytes) else raw(message))
        return upload.land(proven=True).delivery


def ingest(desk: Desk, number: str) -> dict[str, Any]:
    """Bring a message to its end."""
    return pipeline.ingest(desk, number, at=desk.spool.clock())


def send(desk: Desk) -> postman.Round:
    """Send what is due."""
    return postman.send_due(desk, clock=desk.spool.clock)


def state(desk: Desk, number: str) -> tuple[str, str]:
    """What was decided about a message, and why."""
    with desk.store.read() as db:
        found = messages.find(db, number)
    return found.state, found.reason


def dying(act: Callable[..., Any], survived: int) -> Callable[..., Any]:
    """The same act, during which the process dies once it survived this many."""
    calls = itertools.count()

    def die(*arguments: object, **options: object) -> object:
        if next(calls) == survived:
            raise KeyboardInterrupt
        return act(*arguments, **options)

    return die


def text(message: EmailMessage, kind: str = "plain") -> str:
    """What a person reads."""
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_a_message_is_applied_and_answered(desk: Desk, sink: Sink, clock: Clock) -> None:
    """Its attachment is a delivery with the message's arrival; the reply has the files and balances."""
    message = mail(TO, GOOD)
    message["References"] = "<first@acme.example>"
    number = land(desk, message)
    clock.pass_by(seconds=3)
    head = ingest(desk, number)
    assert (head["state"], head["rows"]["applied"], head["rows"]["rejected"]) == ("accepted", 1, 1)
    assert values(desk.store, "A-1") == ("PENDING", "40.00", "2.00")
    assert desk.spool.pending() == []
    receipt = pipeline.receipt(desk, f"{number}-0001")
    assert (receipt["channel"], receipt["name"], receipt["received_at"]) == ("email", "returns.csv", START.isoformat())
    assert send(desk) == postman.Round(sent=1)
    ((path, recipient, reply),) = sink.taken
    assert (path, recipient) == ("<>", f"ops@{BRAND}")
    assert reply["Subject"] == "Re: Returns of this week"
    assert reply["In-Reply-To"] == message["Message-ID"]
    assert reply["References"] == f"<first@acme.example> {message['Message-ID']}"
    assert (reply["Auto-Submitted"], reply["From"].addresses[0].addr_spec) == (
        "auto-replied",
        "returns@returns.example",
    )
    found = files(reply)
    assert sorted(found) == ["fix_returns.csv", "receipt_returns.csv.json", "result_returns.csv"]
    assert json.loads(found["receipt_returns.csv.json"]) == receipt
    rows = list(csv.reader(io.StringIO(found["result_returns.csv"].decode())))
    assert [row[3] for row in rows[1:]] == ["applied", "rejected"]
    assert "2 read = 1 applied + 0 unchanged + 1 rejected + 0 refused + 0 waiting + 0 held" in text(reply)
    assert "line 3: rejected. Amount '-1' is negative." in text(reply)
    assert "payout USD: 5.00 -> 2.00" in text(reply)
    assert "Amount &#x27;-1&#x27; is negative." in text(reply, "html")
    assert "5.00 &rarr; 2.00" in text(reply, "html")


def test_a_name_that_no_store_can_hold(desk: Desk) -> None:
    """Its file is applied and answered as any other, under a name without what cannot be kept."""
    bare = raw(mail(TO, GOOD)).replace(b'filename="returns.csv"', b"filename*=utf-8''a%00b.csv")
    assert b"%00" in bare
    number = land(desk, bare)
    ingest(desk, number)
    assert values(desk.store, "A-1") == ("PENDING", "40.00", "2.00")
    assert pipeline.receipt(desk, f"{number}-0001")["name"] == "a\ufffdb.csv"
    assert send(desk) == postman.Round(sent=1)


def test_a_subject_that_no_store_can_hold(desk: Desk) -> None:
    """The message is decided about as any other."""
    bare = raw(mail(TO, GOOD)).replace(b"Subject: Returns of", b"Subject: =?utf-8?q?Returns=00of?=")
    number = land(desk, bare)
    ingest(desk, number)
    assert values(desk.store, "A-1") == ("PENDING", "40.00", "2.00")
    with desk.store.read() as db:
        assert messages.find(db, number).subject == "Returns of this week"


@pytest.mark.parametrize("bad", [b"\0", b"\xff"])
def test_a_sender_that_no_store_can_hold(desk: Desk, bad: bytes) -> None:
    """It is nobody's address, and the message is set aside."""
    number = land(desk, raw(mail(TO, GOOD)).replace(b"<ops@", b"<" + bad + b"ops@"))
    ingest(desk, number)
    assert state(desk, number)[0] == "quarantined"
    with desk.store.read() as db:
        assert messages.find(db, number).sender == ""


def test_nothing_is_done_twice(desk: Desk, sink: Sink) -> None:
    """However often a message is ingested, and whoever sends."""
    number = land(desk, mail(TO, GOOD))
    ingest(desk, number)
    before = dump(desk.store)
    ingest(desk, number)
    assert dump(desk.store) == before
    assert send(desk).sent == 1
    ingest(desk, number)
    assert send(desk) == postman.Round()
    assert len(sink.taken) == 1


def test_the_same_message_twice_is_one(desk: Desk) -> None:
    """By another way too: what servers added on the way is not its content. It has one reply."""
    first = land(desk, mail(TO, GOOD))
    second = land(desk, b"Received: from elsewhere\r\n" + raw(mail(TO, GOOD)))
    assert ingest(desk, second)["state"] == "duplicate"
    assert state(desk, second) == ("duplicate", f"The same message as {first}.")
    assert desk.spool.pending() == []
    assert send(desk).sent == 1
    with pytest.raises(NotFound):
        pipeline.receipt(desk, f"{second}-0001")


def test_killed_anywhere_it_comes_to_the_same_end(desk: Desk, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the decision, between its files, before the reply is queued, before the spool forgets it."""
    message = mail(TO, GOOD)
    message.add_attachment(GOOD.replace(b"A-1", b"A-2"), "text", "csv", filename="returns.csv")
    number = land(desk, message)
    for step in ("receive_part", "find", "acknowledge"):
        for survived in range(3):
            with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
                patch.setattr(desk.spool, step, dying(getattr(desk.spool, step), survived))
                ingest(desk, number)
    assert ingest(desk, number)["rows"]["read"] == 4
    assert [one.delivery for one in desk.spool.pending()] == []
    assert send(desk).sent == 1
    again = f"{number}-0002"
    assert list(files(sink.taken[0][2])) == [
        "receipt_returns.csv.json",
        "result_returns.csv",
        "fix_returns.csv",
        f"receipt_returns.csv.{again}.json",
        f"result_returns.{again}.csv",
        f"fix_returns.{again}.csv",
    ]


@EMBEDDED
def test_one_broken_file_does_not_stop_the_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message waits for it, and is answered when all of it is done."""
    message = mail(TO, GOOD)
    message.add_attachment(GOOD.replace(b"A-1", b"A-2"), "text", "csv", filename="second.csv")
    number = land(desk, message)
    verify = desk.spool.verify

    def broken(delivery: str) -> None:
        if delivery.endswith("-0001"):
            raise SpoolBroken("The disk has a hole.")
        verify(delivery)

    monkeypatch.setattr(desk.spool, "verify", broken)
    with pytest.raises(SpoolBroken, match="hole"):
        ingest(desk, number)
    monkeypatch.undo()
    assert pipeline.receipt(desk, f"{number}-0002")["rows"]["applied"] == 1
    assert send(desk).sent == 0
    ingest(desk, number)
    assert send(desk).sent == 1


def test_zip_is_answered_in_one_reply(desk: Desk, sink: Sink) -> None:
    """Each of its files is a delivery with the message's arrival; the zip has no lines of its own."""
    number = land(desk, mail(TO, zipped({"first.csv": FIRST, "second.csv": SECOND}), "returns.zip"))
    head = ingest(desk, number)
    assert (head["state"], head["rows"]["read"], head["rows"]["applied"]) == ("accepted", 2, 2)
    assert values(desk.store, "A-1") == ("PENDING", "40.00", "2.00")
    assert values(desk.store, "A-2") == ("REVERSED", "0.00", "0.00")
    assert desk.spool.pending() == []
    receipt = pipeline.receipt(desk, f"{number}-0001-0002")
    assert (receipt["channel"], receipt["name"], receipt["received_at"]) == ("email", "second.csv", START.isoformat())
    assert send(desk).sent == 1
    ((_, _, reply),) = sink.taken
    assert list(files(reply)) == [
        "receipt_returns.zip.json",
        "receipt_first.csv.json",
        "result_first.csv",
        "receipt_second.csv.json",
        "result_second.csv",
    ]
    assert "returns.zip: unpacked" in text(reply)
    assert text(reply).count("1 read = 1 applied") == 2
    assert "0 read" not in text(reply)
    assert text(reply, "html").count("<h2") == 3


@EMBEDDED
def test_reply_waits_for_the_files_of_a_zip(desk: Desk, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them breaks: the zip is done and the message is not, until that file is."""
    number = land(desk, mail(TO, zipped({"first.csv": FIRST, "inner.zip": zipped({}), "second.csv": SECOND}), "a.zip"))
    verify = desk.spool.verify

    def broken(delivery: str) -> None:
        if delivery.endswith("-0001-0001"):
            raise SpoolBroken("The disk has a hole.")
        verify(delivery)

    monkeypatch.setattr(desk.spool, "verify", broken)
    with pytest.raises(SpoolBroken, match="hole"):
        ingest(desk, number)
    monkeypatch.undo()
    assert [one.delivery for one in desk.spool.pending()] == [number, f"{number}-0001-0001"]
    assert pipeline.receipt(desk, f"{number}-0001")["state"] == "unpacked"
    assert pipeline.receipt(desk, f"{number}-0001-0002")["code"] == "NOT_READABLE"
    assert pipeline.receipt(desk, f"{number}-0001-0003")["rows"]["applied"] == 1
    assert send(desk).sent == 0
    assert ingest(desk, number)["rows"]["applied"] == 2
    assert send(desk).sent == 1
    assert "first.csv: finished" in text(sink.taken[0][2])


@EMBEDDED
def test_event_type_is_that_of_the_address(desk: Desk) -> None:
    """Lines may name orders alone."""
    number = land(desk, mail(TO, lines("Oid,Amount,Reason", "O-1,0,ITEM_RETURNED").encode()))
    assert ingest(desk, number)["rows"]["applied"] == 1


@EMBEDDED
def test_unterminated_file_is_whole(desk: Desk) -> None:
    """The message's framing proves it; it is not held as one that may be cut off."""
    number = land(desk, mail(TO, GOOD.rstrip(b"\n")))
    assert ingest(desk, number)["rows"]["applied"] == 1


@EMBEDDED
def test_message_without_a_file_is_told_what_is_accepted(desk: Desk, sink: Sink) -> None:
    """Also one that arrived cut off, and a file that is damaged: nothing of them is applied."""
    empty = raw(mail(TO, b"%PDF", "returns.pdf")).replace(b"text/csv", b"application/pdf")
    damaged = raw(mail(TO, GOOD)).replace(b"QWN0aW9uSWQs", b"QWN0aW9uSWQ")
    cut = raw(mail(TO, GOOD, Message_ID="<cut@acme.example>"))[:-30]
    for message in (empty, damaged, cut):
        assert ingest(desk, land(desk, message))["rows"]["read"] == 0
    assert send(desk).sent == 3
    told = [text(reply) for _, _, reply in sink.taken]
    assert told[0].startswith("The message has no file that can be applied. Attach CSV, XML, Excel (.xlsx), gzip")
    assert told[1].startswith("returns.csv arrived damaged and was not applied; send it again.")
    assert told[2].startswith("The message arrived cut off: its end is missing. Nothing of it was applied")
    assert values(desk.store, "A-1") == ("PENDING", "100.00", "5.00")


@EMBEDDED
def test_message_with_too_many_files_is_refused(desk: Desk, sink: Sink) -> None:
    """As a whole, and its sender learns what to do; the other messages go on."""
    message = raw(mail(TO, GOOD))
    boundary = b"--" + message.partition(b'boundary="')[2].partition(b'"')[0]
    parts = message[message.index(boundary) : message.rindex(boundary)]
    number = land(desk, message.replace(parts, parts * 10_000))
    assert ingest(desk, number)["rows"]["read"] == 0
    assert ingest(desk, land(desk, mail(TO, FIRST, Message_ID="<2@acme.example>")))["rows"]["applied"] == 1
    assert send(desk).sent == 2
    told = "The message has more than 500 parts. Nothing of it was applied; put the files into one zip, and send that."
    assert text(sink.taken[0][2]).startswith(told)
    assert desk.spool.pending() == []


@EMBEDDED
@pytest.mark.parametrize(
    ("sender", "path", "peer", "reason"),
    [
        ("ops@acme.example", "x@evil.example", "127.0.0.1", "SPF: none for evil.example from 127.0.0.1."),
        ("ops@acme.example", "ops@acme.example", "192.0.2.1", "SPF: fail for acme.example from 192.0.2.1."),
        ("x@evil.example", "x@evil.example", "127.0.0.1", "x@evil.example is not among the account's senders."),
        ("a@acme.example, x@b.example", "a@acme.example", "127.0.0.1", "The message has not exactly one sender."),
    ],
)
def test_who_is_not_believed(desk: Desk, sink: Sink, sender: str, path: str, peer: str, reason: str) -> None:
    """Set aside; the contact is told, the sender, who may be anybody, is not."""
    message = mail(TO, GOOD, From=sender)
    number = land(desk, message, path=path, peer=peer)
    assert ingest(desk, number)["state"] == "quarantined"
    assert state(desk, number)[1].removesuffix(" DKIM: not signed.") == reason
    assert desk.spool.pending() == []
    assert values(desk.store, "A-1") == ("PENDING", "100.00", "5.00")
    assert send(desk).sent == 1
    ((_, recipient, notice),) = sink.taken
    assert recipient == CONTACT
    assert reason in text(notice)
    assert number in text(notice)
    assert list(notice.iter_attachments()) == []


def test_released_message_is_applied(desk: Desk, clock: Clock) -> None:
    """Its own arrival counts; killed in between, the next round goes on. Then there is nothing more to decide."""
    number = land(desk, mail(TO, GOOD), peer="192.0.2.1")
    ingest(desk, number)
    clock.pass_by(hours=1)
    with desk.store.write() as db:
        messages.decide(db, number, messages.MessageState.ACCEPTED, by="dana", at=clock.now)
    assert len(pipeline.collect(desk, at=clock.now, account=SID).receipts) == 1
    assert pipeline.receipt(desk, f"{number}-0001")["received_at"] == START.isoformat()
    assert send(desk).sent == 2
    with pytest.raises(Unusable, match=f"Message {number} is accepted, not quarantined"):
        deciding.release_message(desk, number, by="dana", at=clock.now)
    other = land(desk, mail(TO, GOOD, Message_ID="<2@acme.example>"), peer="192.0.2.1")
    ingest(desk, other)
    assert deciding.release_message(desk, other, by="dana", at=clock.now)["state"] == "accepted"
    assert pipeline.receipt(desk, f"{other}-0001")["state"] == "duplicate"


@EMBEDDED
def test_silent_name_servers_put_off_then_set_aside(
    desk: Desk, zone: Zone, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For hours nobody decides; other deliveries go on; at last a person has to."""
    monkeypatch.setattr(mail_identity, "_LIFETIME_S", 0.2)
    number = land(desk, mail(TO, GOOD), path="ops@silent.example")
    zone.silent = {"silent.example"}
    try:
        with pytest.raises(DnsUnavailable, match=r"the name servers of silent\.example do not answer"):
            ingest(desk, number)
        assert state(desk, number)[0] == "undecided"
        clock.pass_by(seconds=1)
        with pytest.raises(DnsUnavailable, match="Nobody can tell yet"):
            ingest(desk, number)
        later = land(desk, mail(TO, GOOD, Message_ID="<later@acme.example>"))
        assert ingest(desk, later)["state"] == "accepted"
        clock.now += timedelta(hours=4)
        assert ingest(desk, number)["state"] == "quarantined"
    finally:
        zone.silent = set()


@EMBEDDED
@pytest.mark.parametrize(
    "header", [{"Auto_Submitted": "auto-generated"}, {"Precedence": "list"}, {"From": "noreply@acme.example"}]
)
def test_machines_are_not_answered(desk: Desk, header: dict[str, str]) -> None:
    """Their files are applied all the same."""
    message = mail(TO, GOOD)
    for name, value in header.items():
        del message[name.replace("_", "-")]
        message[name.replace("_", "-")] = value
    assert ingest(desk, land(desk, message))["rows"]["applied"] == 1
    assert send(desk) == postman.Round()


@EMBEDDED
def test_no_loops(desk: Desk, sink: Sink) -> None:
    """Our reply comes back, bounced or sent by somebody's machine: nothing is applied, and nobody is answered."""
    ingest(desk, land(desk, mail(TO, GOOD)))
    send(desk)
    reply = sink.taken.pop()[2]
    bounce = land(desk, raw(reply), path="")
    assert ingest(desk, bounce)["state"] == "ignored"
    del reply["From"]
    reply["From"] = f"ops@{BRAND}"
    returned = land(desk, raw(reply))
    assert ingest(desk, returned)["rows"]["read"] == 0
    assert send(desk) == postman.Round()


@EMBEDDED
def test_held_delivery_is_answered_again_when_it_is_decided(desk: Desk, sink: Sink, clock: Clock) -> None:
    """The brakes are pulled for what came by e-mail, too; a second reply is about that delivery alone."""
    rows = ["A-1,40.00,ORDER_UPDATE"] + ["A-1,30.00,ORDER_UPDATE"] * 9 + ["A-2,-1,OTHER"] * 11
    number = land(desk, mail(TO, lines("ActionId,Amount,Reason", *rows).encode()))
    assert ingest(desk, number)["rows"]["held"] == 10
    assert send(desk).sent == 1
    assert "returns.csv: held for a person" in text(sink.taken[0][2])
    deciding.release(desk, f"{number}-0001", by="dana", at=clock.now)
    assert values(desk.store, "A-1") == ("PENDING", "30.00", "1.50")
    assert send(desk).sent == 1
    assert "returns.csv: finished" in text(sink.taken[1][2])
    assert send(desk).sent == 0


@EMBEDDED
def test_replaced_delivery_is_answered_again(desk: Desk, sink: Sink, clock: Clock, tmp_path: Path) -> None:
    """Another one brought it to its end, when its own message had been answered."""
    load(desk, tmp_path, catalogue=CATALOGUE.replace('"USD"', '"USD"\ntrailer = "required"', 1))
    number = land(desk, mail(TO, FIRST))
    ingest(desk, number)
    assert send(desk).sent == 1
    assert "returns.csv: held for a person" in text(sink.taken[0][2])
    clock.pass_by(seconds=1)
    assert ingest(desk, land(desk, mail(TO, FIRST + b"A-2,0,OTHER\n#TRAILER,2,40.00\n")))["rows"]["applied"] == 2
    assert send(desk).sent == 2
    (told,) = (one for one in (text(reply) for _, _, reply in sink.taken[1:]) if f"{number}-0001" in one)
    assert told.startswith("returns.csv: not applied")


@EMBEDDED
def test_relay_that_refuses(desk: Desk, sink: Sink, clock: Clock) -> None:
    """Later for a temporary refusal, never for a permanent one, and both are seen."""
    sink.answers = ["451 4.3.0 busy", "550 5.1.1 no such user"]
    ingest(desk, land(desk, mail(TO, GOOD)))
    assert send(desk) == postman.Round(put_off=1)
    assert send(desk) == postman.Round()
    clock.pass_by(minutes=2)
    assert send(desk) == postman.Round(given_up=1)
    with desk.store.read() as db:
        (told,) = outbox.listing(db, ("reply",))
    assert (told["state"], told["attempts"]) == ("given up", 2)
    assert told["last_error"] == "The relay answered 550 5.1.1 no such user"
    assert sink.taken == []


@EMBEDDED
def test_large_results_are_left_out(desk: Desk, sink: Sink) -> None:
    """Named, so that somebody can ask for them; the summary is always there."""
    ingest(desk, land(desk, mail(TO, GOOD)))
    small = replace(desk.mail, relay=replace(desk.mail.relay, max_message_bytes=100))
    assert send(replace(desk, mail=small)).sent == 1
    (reply,) = (message for _, _, message in sink.taken)
    # The receipt alone is larger; the fix file, of one line, is not.
    assert list(files(reply)) == ["fix_returns.csv", "not-attached.txt"]
    assert b"receipt_returns.csv.json, result_returns.csv" in files(reply)["not-attached.txt"]


@EMBEDDED
def test_altered_message_is_not_opened(desk: Desk) -> None:
    """What is in the spool has to be what arrived."""
    number = land(desk, mail(TO, GOOD))
    content = desk.spool.content(number)
    content.write_bytes(content.read_bytes().replace(b"ops@acme", b"oqs@acme"))
    with pytest.raises(SpoolBroken):
        ingest(desk, number)


@EMBEDDED
def test_without_a_relay_nothing_is_queued(desk: Desk) -> None:
    """Or it would all be sent on the day when there is one."""
    alone = replace(desk, mail=replace(desk.mail, relay=MailRelay()))
    assert ingest(alone, land(alone, mail(TO, GOOD)))["rows"]["applied"] == 1
    assert ingest(alone, land(alone, mail(TO, GOOD, From="x@evil.example")))["state"] == "quarantined"
    assert send(alone) == send(desk) == postman.Round()


@EMBEDDED
def test_lock_waits_for_a_message_that_nobody_could_decide_about(
    desk: Desk, zone: Zone, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrived in time and could name any action; set aside, it holds nothing back."""
    monkeypatch.setattr(mail_identity, "_LIFETIME_S", 0.2)
    clock.now = LOCK - timedelta(minutes=1)
    number = land(desk, mail(TO, GOOD), path="ops@silent.example")
    zone.silent = {"silent.example"}
    try:
        clock.pass_by(hours=1)
        (swept,) = sweep.lock_due(desk, as_of=clock.now, at=clock.now)
        assert (swept.locked, swept.deferred, swept.waits_for) == (0, 2, (number,))
        clock.pass_by(hours=4)
        (swept,) = sweep.lock_due(desk, as_of=clock.now, at=clock.now)
        assert (swept.locked, swept.deferred) == (2, 0)
        assert state(desk, number)[0] == "quarantined"
    finally:
        zone.silent = set()


@EMBEDDED
def test_lock_waits_for_what_a_broken_file_names_alone(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other files of its message were applied; the other actions lock."""
    clock.now = LOCK - timedelta(minutes=1)
    message = mail(TO, FIRST, "first.csv")
    message.add_attachment(SECOND, "text", "csv", filename="second.csv")
    number = land(desk, message)

    verify = desk.spool.verify

    def broken(delivery: str) -> None:
        if delivery.endswith("-0001"):
            raise ValueError("a bug")
        verify(delivery)

    monkeypatch.setattr(desk.spool, "verify", broken)
    clock.pass_by(hours=1)
    (swept,) = sweep.lock_due(desk, as_of=clock.now, at=clock.now)
    assert (swept.locked, swept.deferred, swept.waits_for) == (1, 1, (f"{number}-0001",))
    assert values(desk.store, "A-2") == ("REVERSED", "0.00", "0.00")
    monkeypatch.undo()
    (swept,) = sweep.lock_due(desk, as_of=clock.now, at=clock.now)
    assert (swept.locked, swept.deferred) == (1, 0)
    assert values(desk.store, "A-1") == ("APPROVED", "40.00", "2.00")


@EMBEDDED
@pytest.mark.parametrize("peer", ["127.0.0.1", "192.0.2.1"], ids=["believed", "released by a person"])
def test_lock_waits_for_a_message_that_is_not_unpacked(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch, peer: str
) -> None:
    """A disk that takes no more: what the message brings could name any action."""
    clock.now = LOCK - timedelta(minutes=1)
    number = land(desk, mail(TO, FIRST), peer=peer)
    receive_part = desk.spool.receive_part

    def full(*_arguments: object) -> None:
        raise UploadRefused("The disk is full.")

    monkeypatch.setattr(desk.spool, "receive_part", full)
    if peer != "127.0.0.1":
        ingest(desk, number)
        with pytest.raises(UploadRefused):
            deciding.release_message(desk, number, by="dana", at=clock.now)
    clock.pass_by(hours=1)
    (swept,) = sweep.lock_due(desk, as_of=clock.now, at=clock.now)
    assert (swept.locked, swept.deferred, swept.waits_for) == (0, 2, (number,))
    monkeypatch.setattr(desk.spool, "receive_part", receive_part)
    (swept,) = sweep.lock_due(desk, as_of=clock.now, at=clock.now)
    assert (swept.locked, swept.deferred) == (2, 0)
    assert values(desk.store, "A-1") == ("APPROVED", "40.00", "2.00")
