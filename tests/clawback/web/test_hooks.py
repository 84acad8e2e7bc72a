"""The addresses that triggers call: durable before it is acknowledged, and nothing believed."""

import logging
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select

from clawback.cli.orgs import forged
from clawback.settings import Settings
from clawback.web.slugs import hooks_of
from clawback.wiring import Desk
from processing import org_claims
from processing.record_tables import record_hint
from tests.clawback.salesforce.site import ENVIRON, Crm, crm_at, settings_for
from tests.clawback.web.hook_kills import serve_and_die
from tests.clawback.web.site import Site, serving, settings_of
from tests.conftest import START, Clock
from tests.forking import FORKING
from tests.salesforce_org.ids import checked
from tests.salesforce_org.messages import ACTION_ID, Sender, envelope
from tests.salesforce_org.server import Fault
from tests.salesforce_org.world import ORG_ID
from tests.worlds import load

SLUG = ENVIRON["SF_HOOK"]
RECORD = checked("0065g0000000007")
NUMBER = checked("04l5g0000000001")
GOOD = [(NUMBER, "Opportunity", f"<sf:Id>{RECORD}</sf:Id><sf:StageName>Closed Won</sf:StageName>")]


@dataclass
class Hooked:
    """An org whose triggers reach a running server."""

    crm: Crm
    site: Site
    sender: Sender
    settings: Settings

    def hints(self) -> list[tuple[str | None, str | None]]:
        """Record and outcome of what was told."""
        with self.crm.desk.store.read() as db:
            found = db.execute(select(record_hint.c.record, record_hint.c.outcome).order_by(record_hint.c.id))
            return [(one.record, one.outcome) for one in found]

    def away(self, store_url: str) -> AbstractContextManager[None]:
        """The server's store takes nothing."""
        engine = self.site.office.desk.store.engine
        return busy(engine) if store_url.startswith("sqlite") else dying_at_commit(engine, store_url)

    def post(self, body: bytes, kind: str = "text/xml", slug: str = SLUG) -> httpx.Response:
        """Send anything."""
        with httpx.Client(trust_env=False, timeout=60) as client:
            return client.post(f"{self.site.url}/hooks/salesforce/{slug}", content=body, headers={"Content-Type": kind})


@pytest.fixture
def hooked(desk: Desk, store_url: str, tmp_path: Path, clock: Clock) -> Iterator[Hooked]:
    """A server that an org's triggers reach."""
    load(desk, tmp_path)
    with crm_at(desk, clock, tmp_path) as crm:
        crm.settings = settings_for(crm.org, hook="env:SF_HOOK", hook_actions=[ACTION_ID])
        settings = settings_of(tmp_path, store_url)
        object.__setattr__(settings, "sources", (crm.settings,))
        with serving(desk, settings, clock, ENVIRON) as site:
            yield Hooked(crm, site, Sender(crm.org, f"{site.url}/hooks/salesforce/{SLUG}"), settings)


@pytest.mark.parametrize("count", [1, 100])
def test_s41_an_outbound_message(hooked: Hooked, tmp_path: Path, count: int) -> None:
    """One notification or a hundred: acknowledged, read again, applied."""
    orders = [f"O-{n}" for n in range(count)]
    hooked.crm.sell(tmp_path, *orders, amount="1.00")
    records = [hooked.crm.opportunity(order, "Partly Returned", Amount=0.9) for order in orders]
    hooked.sender.tell(*records)
    assert hooked.sender.send()
    assert hooked.crm.listen().hints == count
    assert len(hooked.crm.entries()) == count


# As the tests of the comsave bundle (MIT) have it from an org; the names and values are ours.
RECORDED = f"""<?xml version="1.0" encoding="UTF-8"?>
                <soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
                 <soapenv:Body>
                  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
                   <OrganizationId>{ORG_ID}</OrganizationId>
                   <ActionId>{ACTION_ID}</ActionId>
                   <SessionId xsi:nil="true"/>
                   <EnterpriseUrl>https://eu4.salesforce.com/services/Soap/c/42.0/{ORG_ID[:15]}</EnterpriseUrl>
                   <PartnerUrl>https://eu4.salesforce.com/services/Soap/u/42.0/{ORG_ID[:15]}</PartnerUrl>
                   <Notification>
                    <Id>{NUMBER}</Id>
                    <sObject xsi:type="sf:Opportunity" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
                     <sf:Id>{RECORD}</sf:Id>
                     <sf:Amount>419.0</sf:Amount>
                     <sf:CreatedDate>2017-05-02T11:53:53.000Z</sf:CreatedDate>
                     <sf:IsDeleted>false</sf:IsDeleted>
                     <sf:LastModifiedDate>2018-05-04T11:35:40.000Z</sf:LastModifiedDate>
                     <sf:Name>244 Months</sf:Name>
                    </sObject>
                   </Notification>
                  </notifications>
                 </soapenv:Body>
                </soapenv:Envelope>"""
OBJECT = 'sObject xsi:type="sf:Opportunity" xmlns:sf="urn:sobject.enterprise.soap.sforce.com"'


def test_s41_a_recorded_message(hooked: Hooked) -> None:
    """Indented, with fields that nobody asked for, and with a session as they had one until 2026."""
    assert hooked.sender.post(RECORDED.encode())
    with_session = RECORDED.replace('<SessionId xsi:nil="true"/>', "<SessionId>00D!SESSION</SessionId>")
    assert hooked.sender.post(with_session.replace(NUMBER, checked("04l5g0000000005")).encode())
    assert hooked.hints() == [(RECORD, None)] * 2
    # Theirs too: without its object the prefix of the fields means nothing.
    bare = RECORDED.replace(f"<{OBJECT}>", "").replace("</sObject>", "")
    answer = hooked.post(bare.encode())
    assert (answer.status_code, b"Ack" in answer.content, len(hooked.hints())) == (400, False, 2)


def test_s41_records_that_are_gone_or_unnamed(hooked: Hooked) -> None:
    """An empty object, no object id: set aside, and still acknowledged; the rest is taken."""
    gone = [(checked("04l5g0000000002"), "Opportunity", ""), ("no id", "Opportunity", "<sf:Id>nonsense</sf:Id>")]
    assert hooked.sender.post(envelope(GOOD + gone, ORG_ID))
    assert hooked.hints() == [(RECORD, None), (None, "quarantined"), (None, "quarantined")]


@pytest.mark.parametrize("of", ["", "<sObject/>"])
def test_s41_a_notification_without_an_object(hooked: Hooked, of: str) -> None:
    """Set aside, and still acknowledged; the one beside it is taken."""
    bare = f"<Notification><Id>{checked('04l5g0000000002')}</Id>{of}</Notification></notifications>"
    body = envelope(GOOD, ORG_ID).replace(b"</notifications>", bare.encode())
    assert hooked.sender.post(body)
    assert hooked.hints() == [(RECORD, None), (None, "quarantined")]


def test_s41_a_callout(hooked: Hooked) -> None:
    """The JSON of a flow or of Apex, with a key of its own or without."""
    body = b'{"organizationId": "%b", "object": "Opportunity", "recordIds": ["%b"], "id": "x1"}'
    for _ in range(2):
        answer = hooked.post(body % (ORG_ID.encode(), RECORD[:15].encode()), "application/json; charset=utf-8")
        assert (answer.status_code, answer.json()) == (200, {"accepted": True})
    assert hooked.hints() == [(RECORD, None)]


ACKNOWLEDGED = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)


def test_s42_the_acknowledgement(hooked: Hooked) -> None:
    """Byte for byte, and not before the commit is over, however long that takes."""
    answered, early = threading.Event(), []
    engine = hooked.site.office.desk.store.engine

    def commits_slowly(db: Connection) -> None:
        if db.get_execution_options().get("writes"):
            early.append((answered.wait(0.5), hooked.hints()))

    event.listen(engine, "commit", commits_slowly)
    answer = hooked.post(envelope(GOOD, ORG_ID))
    answered.set()
    assert (answer.content, answer.headers["content-type"].partition(";")[0]) == (ACKNOWLEDGED, "text/xml")
    assert (early, hooked.hints()) == ([(False, [])], [(RECORD, None)])


@pytest.mark.parametrize(("moment", "kept"), [("before", []), ("after", [(RECORD, None)])])
def test_s42_killed_around_the_commit(hooked: Hooked, moment: str, kept: list[tuple[str, None]]) -> None:
    """No acknowledgement comes from who is dead; what is told again then is acknowledged, and kept once."""
    ours, theirs = FORKING.Pipe(duplex=False)
    child = FORKING.Process(target=serve_and_die, args=(hooked.settings, theirs, moment), daemon=True)
    child.start()
    assert ours.poll(60)
    doomed = Sender(hooked.crm.org, f"{ours.recv()}/hooks/salesforce/{SLUG}")
    assert not doomed.post(envelope(GOOD, ORG_ID))
    child.join(60)
    assert (child.exitcode, doomed.answers, hooked.hints()) == (-signal.SIGKILL, [], kept)
    assert hooked.sender.post(envelope(GOOD, ORG_ID))
    assert hooked.hints() == [(RECORD, None)]


def test_s42_a_store_that_does_not_take_it(hooked: Hooked, store_url: str) -> None:
    """503 and no acknowledgement: Salesforce sends it again."""
    with hooked.away(store_url):
        answer = hooked.post(envelope(GOOD, ORG_ID))
    assert (answer.status_code, b"Ack" in answer.content, hooked.hints()) == (503, False, [])
    assert hooked.sender.post(envelope(GOOD, ORG_ID))
    assert hooked.hints() == [(RECORD, None)]


@contextmanager
def busy(engine: Engine) -> Iterator[None]:
    """SQLite's one writer is somebody else, for longer than anybody waits."""

    def wait_briefly(db: Connection) -> None:
        db.exec_driver_sql("pragma busy_timeout = 50")

    with closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as writer:
        writer.execute("begin immediate")
        event.listen(engine, "begin", wait_briefly, insert=True)
        yield
        event.remove(engine, "begin", wait_briefly)


@contextmanager
def dying_at_commit(engine: Engine, url: str) -> Iterator[None]:
    """PostgreSQL ends a connection that wants to commit."""
    admin = create_engine(make_url(url).set(drivername="postgresql+psycopg"))

    def end(db: Connection) -> None:
        with admin.begin() as other:
            backend = db.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr] # psycopg's own
            other.execute(select(func.pg_terminate_backend(backend)))

    event.listen(engine, "commit", end)
    yield
    event.remove(engine, "commit", end)
    admin.dispose()


WHOSE = (
    (ORG_ID[:15], ACTION_ID[:15], "Opportunity", 200),
    (checked("00D5g000009ZzZz"), ACTION_ID, "Opportunity", 403),
    (ORG_ID.swapcase()[:15], ACTION_ID, "Opportunity", 400),
    (ORG_ID, checked("04k5g00000ZzZzZ"), "Opportunity", 403),
    (ORG_ID, ACTION_ID, "Account", 403),
)


def test_s43_whose_message_it_is(hooked: Hooked) -> None:
    """The org, the outbound message and the object are those we know, in ids of 15 or 18."""
    for org_id, action_id, of, status in WHOSE:
        body = envelope([(NUMBER, of, GOOD[0][2])], org_id, action_id)
        assert hooked.post(body).status_code == status, (org_id, action_id, of)
    assert len(hooked.hints()) == 1


BILLION = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>"""
FILE = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>"""


NO_MESSAGES: tuple[tuple[str, Callable[[bytes], bytes], int], ...] = (
    ("doctype", lambda body: body.replace(b'<?xml version="1.0" encoding="UTF-8"?>', BILLION), 400),
    ("outside", lambda body: body.replace(b'<?xml version="1.0" encoding="UTF-8"?>', FILE), 400),
    ("2 MiB", lambda body: body + b" " * 2 * 1024**2, 413),
    ("namespace", lambda body: body.replace(b"soap.sforce.com", b"soap.example.com"), 400),
    ("utf-16", lambda body: body.decode().encode("utf-16"), 400),
    ("cut", lambda body: body[:-40], 400),
    ("empty", lambda _body: b"", 400),
    ("101", lambda _body: envelope(GOOD * 101, ORG_ID), 400),
    ("none", lambda _body: envelope([], ORG_ID), 400),
    ("deep", lambda _body: envelope([("nobody", "Opportunity", "<a>" * 50_000 + "</a>" * 50_000)], ORG_ID), 400),
)


def test_s44_what_is_no_message(hooked: Hooked) -> None:
    """Refused, not acknowledged, nothing kept."""
    for case, change, status in NO_MESSAGES:
        answer = hooked.post(change(envelope(GOOD, ORG_ID)))
        assert (answer.status_code, b"Ack" in answer.content, hooked.hints()) == (status, False, []), case


FORGED: tuple[tuple[bytes, str, str], ...] = (
    (envelope(GOOD, checked("00D5g000009ZzZz")), "text/xml", f"not ours: org {checked('00D5g000009ZzZz')}"),
    (envelope(GOOD, ORG_ID, checked("04k5g00000ZzZzZ")), "text/xml", "not ours: outbound message 04k5g00000ZzZzZAAV"),
    (b"<!DOCTYPE x>" + envelope(GOOD, ORG_ID), "text/xml", "It has a document type; messages have none."),
    (envelope(GOOD, ORG_ID) + b" " * 2 * 1024**2, "text/xml", "It is too large."),
    (envelope(GOOD, ORG_ID), "text/plain", "It is neither text/xml nor JSON."),
)


def test_s43_what_is_refused_is_counted(hooked: Hooked, caplog: pytest.LogCaptureFixture) -> None:
    """With its last reason and instant; what is taken is not, and an address that nobody has is nobody's."""

    def refused() -> dict[str, Any] | None:
        with hooked.crm.desk.store.read() as db:
            return org_claims.refused(db, "crm")

    assert hooked.sender.post(envelope(GOOD, ORG_ID))
    assert refused() is None
    for number, (body, kind, because) in enumerate(FORGED, 1):
        hooked.crm.clock.pass_by(minutes=1)
        hooked.post(body, kind)
        last_at = hooked.crm.clock.now.isoformat()
        assert refused() == {"messages": number, "last_at": last_at, "because": because}
    with caplog.at_level(logging.WARNING):
        hooked.post(envelope(GOOD, ORG_ID), slug="x" * 24)
    assert ("hook_unknown" in caplog.text, "xxxx" in caplog.text) == (True, False)
    told = refused()
    assert told is not None
    assert (told["messages"], hooked.hints()) == (len(FORGED), [(RECORD, None)])
    soon = hooked.crm.clock.now + timedelta(hours=24) - timedelta(seconds=1)
    assert forged(told, soon) == [
        f"5 messages at its hook refused, the last at {last_at}: It is neither text/xml nor JSON."
    ]
    assert (forged(told, soon + timedelta(seconds=1)), forged(None, soon)) == ([], [])


def test_s43_what_is_refused_does_not_touch_the_claim(hooked: Hooked) -> None:
    """It is counted in a row of its own: whoever writes under the claim waits for no stranger's message."""
    hooked.post(*FORGED[0][:2])
    with hooked.crm.desk.store.read() as db:
        assert (org_claims.refused(db, "crm") is None, org_claims.find(db, "crm")) == (False, None)


def test_s43_a_store_that_is_away_changes_no_refusal(hooked: Hooked, store_url: str) -> None:
    """What is refused is refused, whether it can be counted or not."""
    with hooked.away(store_url):
        assert hooked.post(envelope(GOOD, checked("00D5g000009ZzZz"))).status_code == 403


def test_s44_an_address_that_nobody_has(hooked: Hooked) -> None:
    """The same as no address at all; another method or another kind of body is refused too."""
    for slug in ("x" * 24, SLUG[:-1], SLUG + "x"):
        assert hooked.post(envelope(GOOD, ORG_ID), slug=slug).status_code == 404
    assert hooked.post(envelope(GOOD, ORG_ID), kind="text/plain").status_code == 415
    assert httpx.get(f"{hooked.site.url}/hooks/salesforce/{SLUG}", trust_env=False).status_code == 405
    assert hooked.hints() == []


def test_s44_an_address_of_two_orgs_is_that_of_the_first(hooked: Hooked, caplog: pytest.LogCaptureFixture) -> None:
    """The messages of one of them would be refused as those of a stranger; the log says so when the server starts."""
    other = settings_for(hooked.crm.org, name="other", hook="env:SF_HOOK", hook_actions=[ACTION_ID])
    object.__setattr__(hooked.settings, "sources", (hooked.crm.settings, other))
    assert [one.org.name for one in hooks_of(hooked.settings, ENVIRON)] == ["crm"]
    assert "hook_closed source=other because='The secret env:SF_HOOK is that of another source, too.'" in caplog.text


def test_s45_duplicates_and_disorder(hooked: Hooked, tmp_path: Path) -> None:
    """Everything twice, shuffled, in small messages: each change once."""
    orders = [f"O-{n}" for n in range(6)]
    hooked.crm.sell(tmp_path, *orders)
    records = [hooked.crm.opportunity(order, "Closed Lost") for order in orders]
    hooked.sender.tell(*records, *records)
    assert hooked.sender.send(shuffled=random.Random(3), twice=True, batch=5)  # noqa: S311 - a shuffle, no secret
    assert len(hooked.hints()) == 12
    hooked.crm.listen()
    assert len(hooked.crm.entries()) == 6


@pytest.mark.parametrize(("back_after_h", "waits_h"), [(20, 20), (None, 22)])
def test_s45_told_again_for_a_day(
    hooked: Hooked, store_url: str, tmp_path: Path, back_after_h: int | None, waits_h: int
) -> None:
    """Until it is acknowledged; what Salesforce drops after a day is found by polling."""
    orders = [f"O-{n}" for n in range(3)]
    hooked.crm.sell(tmp_path, *orders)
    hooked.sender.tell(*(hooked.crm.opportunity(order, "Closed Lost") for order in orders))
    with ExitStack() as outage:
        outage.enter_context(hooked.away(store_url))

        def pass_by(wait: timedelta) -> None:
            hooked.crm.pass_by(seconds=wait.total_seconds())
            if back_after_h is not None and hooked.crm.clock.now >= START + timedelta(hours=back_after_h):
                outage.close()

        waits = hooked.sender.keep_trying(pass_by)
    assert sum(waits, timedelta()) // timedelta(hours=1) == waits_h
    assert len(hooked.hints()) == (0 if back_after_h is None else 3)
    assert hooked.crm.listen().hints == len(hooked.hints())
    done = hooked.crm.round()
    assert (done.records["changed"], len(hooked.crm.entries())) == (3 if back_after_h is None else 0, 3)


def test_s45_told_once_more_weeks_later(hooked: Hooked, tmp_path: Path) -> None:
    """Salesforce may deliver a notification again at any time: it is acknowledged, and nothing is read for it."""
    hooked.crm.sell(tmp_path, "O-1")
    hooked.sender.tell(hooked.crm.opportunity("O-1", "Closed Lost"))
    message = hooked.sender.message(hooked.sender.queue)
    for _ in range(3):
        assert hooked.sender.post(message)
        hooked.crm.listen()
        hooked.crm.pass_by(days=11)
        hooked.crm.round()
        assert (len(hooked.hints()), len(hooked.crm.entries())) == (1, 1)


def test_s46_an_answer_while_the_org_hangs(hooked: Hooked) -> None:
    """A round waits for Salesforce, which says nothing; whoever tells something meanwhile has an answer at once."""
    org, answers = hooked.crm.org, threading.Event()
    org.fault(Fault(hangs_until=answers), "/queryAll")
    hooked.crm.settings = hooked.crm.settings.model_copy(update={"timeout_s": 60})
    reading = threading.Thread(target=hooked.crm.round)
    reading.start()
    while not any("queryAll" in one for one in org.calls):
        time.sleep(0.01)
    calls, took = len(org.calls), []
    for number in range(5):
        began = time.monotonic()
        assert hooked.sender.post(envelope([(checked(f"04l5g000000000{number}"), *GOOD[0][1:])], ORG_ID))
        took.append(time.monotonic() - began)
    assert (reading.is_alive(), len(org.calls), len(hooked.hints())) == (True, calls, 5)
    assert max(took) < 1
    answers.set()
    reading.join()


def test_s47_what_is_set_aside_keeps_nothing_back(hooked: Hooked, tmp_path: Path) -> None:
    """A hint at a record that cannot be seen, one that names none, and one that can be read."""
    hooked.crm.sell(tmp_path, "O-1")
    record = hooked.crm.opportunity("O-1", "Closed Lost")
    hooked.sender.tell(record)
    hooked.sender.send()
    assert hooked.sender.post(envelope([*GOOD, (checked("04l5g0000000009"), "Opportunity", "")], ORG_ID))
    assert hooked.crm.listen().hints == 2
    assert sorted(str(outcome) for _, outcome in hooked.hints()) == ["quarantined", "read", "read"]
    assert hooked.crm.values("O-1")[0] == "REVERSED"
