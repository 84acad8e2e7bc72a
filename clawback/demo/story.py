"""The demonstration from beginning to end; every statement it makes is checked."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from clawback import deciding, pipeline, sweep
from clawback.demo import world
from clawback.demo.brand import LOOK_EVERY_S, PATIENCE_S, Brand, NoAnswer
from clawback.demo.brand_sftp import BrandSftp
from clawback.demo.crm import Crm, told
from clawback.demo.mailbox import DOMAIN, Mailbox, mailbox
from clawback.demo.program import CURL, Program
from clawback.demo.salesforce_org import salesforce
from clawback.demo.servers import INBOX, environment, serving
from clawback.demo.tell import Teller
from clawback.loading import load_actions, load_catalog
from clawback.settings import load
from clawback.wiring import Desk, credentials_folder, open_desk
from connectors.credentials import Credentials, new_password
from connectors.source import PROCESSED
from connectors.tokens import Scope, Tokens
from processing import history

LOCKS_IN_S: Final = 6
# Where the brand's SFTP server puts the answers, and the variable in which its password stands.
ANSWERS: Final = "answers"
FEED_VARIABLE: Final = "BRAND_SFTP_VARIABLE"


def tell(teller: Teller) -> dict[str, Any]:
    """Run the demonstration in a temporary folder; gives what it found, for ``--json``."""
    with (
        TemporaryDirectory(prefix="clawback-demo-") as folder,
        mailbox() as mail,
        _feed(Path(folder)) as feed,
        salesforce(Path(folder), _now) as org,
    ):
        state, its_crm = Path(folder), Crm(org)
        its_crm.open()
        tables = {"sftp": [_feed_table(feed)], "salesforce": [its_crm.table()]}
        environ = environment(state, mail.relay_port, tables, {FEED_VARIABLE: feed.password} | its_crm.secrets)
        settings = load(environ)
        with open_desk(settings, _now) as desk:
            teller.chapter("A brand and its pending actions")
            _load(desk, teller, state)
            password = new_password()
            Credentials(credentials_folder(settings)).set_password(world.SID, "ftp", password)
            before = _totals(desk)
            teller.chapter("Clawback serves: hosted FTPS, an e-mail inbox, Web Services, Prefect, the store")
            with serving(state, environ) as ready:
                places = f"FTPS at 127.0.0.1:{ready['ftp']['port']}, SMTP at 127.0.0.1:{ready['smtp']['port']}"
                teller.say(f"{places}, flows at {ready['prefect']['url']}")
                brand = Brand(ready["ftp"]["port"], world.SID, password, state / "tls" / "certificate.pem")
                receipts = _deliver(desk, brand, teller, state)
                receipts.append(_mailed(desk, mail, teller, ready["smtp"]["port"], state))
                receipts.append(_pulled(feed, teller))
                receipts += told(desk, its_crm, teller, ready["web"]["url"])
                if CURL is not None:
                    _, token = Tokens(credentials_folder(settings)).make(world.SID, Scope.WRITE, _now())
                    receipts.append(_asked(desk, Program(ready["web"]["port"], world.SID, token), teller))
            after = _totals(desk)
    teller.chapter("Every line of every file, answered")
    teller.receipts(receipts)
    _balance(teller, receipts, before, after)
    teller.chapter("The ledger, before and after")
    teller.ledger(before, after)
    return {"receipts": receipts, "before": before, "after": after, "checks": teller.checks}


def _load(desk: Desk, teller: Teller, state: Path) -> None:
    catalogue, actions = world.write_world(state, _now())
    load_catalog(desk, catalogue)
    loaded = load_actions(desk, actions)
    teller.check(f"{loaded.added:,} actions loaded, each with its lock and payout", holds=loaded.added == loaded.read)


def _deliver(desk: Desk, brand: Brand, teller: Teller, state: Path) -> list[dict[str, Any]]:
    teller.chapter("A clean file: 600 returns and price corrections")
    began = time.monotonic()
    clean = _sent(brand, teller, "returns.csv", world.clean_file())
    teller.say(f"Applied and answered {time.monotonic() - began:.1f} s after the upload began.")
    teller.check("all 600 lines applied", holds=clean["rows"]["applied"] == clean["rows"]["read"] == 600)
    teller.chapter("A messy file: one line of every kind a brand gets wrong")
    held = _sent(brand, teller, "messy.csv", world.messy_file())
    teller.check(f"held for a second pair of eyes, {held['code']}", holds=held["state"] == "held")
    deciding.release(desk, held["delivery"], by="dana", at=_now())
    teller.say("Somebody looked at it, and released it.")
    messy = _answered(brand, teller, held["delivery"])
    _check_messy(brand, teller, messy)
    teller.chapter("The same bytes again, under another name")
    again = _sent(brand, teller, "again.csv", world.clean_file())
    teller.check("a duplicate that points to the first", holds=again["duplicate_of"] == clean["delivery"])
    teller.chapter("An upload that is cut off half-way")
    answer = brand.cut_off("cut.csv", world.clean_file())
    teller.say(f"The server: {answer}")
    teller.check("refused, and nothing of it applied", holds=answer.startswith("426"))
    teller.chapter("One file just before a lock, one just after")
    return [clean, messy, again, *_around_a_lock(desk, brand, teller, state)]


def _mailed(desk: Desk, mail: Mailbox, teller: Teller, port: int, state: Path) -> dict[str, Any]:
    teller.chapter("A file by e-mail, to an address that nobody can guess")
    address = f"{desk.mail.book.open_mailbox(world.SID, world.SALE).local}@{INBOX}"
    desk.mail.book.change_senders(world.SID, allow=(DOMAIN,))
    content = world.mailed_file()
    answer = mail.send(port, state / "tls" / "certificate.pem", address, "mailed.csv", content)
    teller.say(f"mailed.csv, {len(content):,} bytes. The server: {answer}")
    teller.check("250: the message is on disk", holds=answer.startswith("250"))
    subject, receipt = mail.receipt()
    teller.check(f"answered by mail, {subject!r}", holds=subject.startswith("Re: "))
    rows = receipt["rows"]
    teller.check(f"{rows['read']} read = {rows['applied']} applied", holds=rows["read"] == rows["applied"] == 20)
    return receipt


def _feed(folder: Path) -> BrandSftp:
    """The brand's own server; a folder for the answers is there."""
    (folder / "brand" / ANSWERS).mkdir(parents=True)
    return BrandSftp(folder / "brand", "clawback", new_password())


def _feed_table(feed: BrandSftp) -> dict[str, Any]:
    """Its settings."""
    return {
        "name": "acme",
        "account": world.SID,
        "host": "127.0.0.1",
        "port": feed.port,
        "user": feed.user,
        "password": f"env:{FEED_VARIABLE}",
        "host_key": str(feed.host_key),
        "folder": "/",
        "pattern": "*.csv",
        "after": "move",
        "result_folder": f"/{ANSWERS}",
        "schedule": "10s",
    }


def _pulled(feed: BrandSftp, teller: Teller) -> dict[str, Any]:
    teller.chapter("A file on the brand's own SFTP server, known by its pinned key")
    content = world.pulled_file()
    # As brands do: under another name until it is whole.
    (feed.folder / "pulled.csv.part").write_bytes(content)
    (feed.folder / "pulled.csv.part").rename(feed.folder / "pulled.csv")
    teller.say(
        f"pulled.csv, {len(content):,} bytes, waits there. Clawback looks every 10 seconds here, usually 4 hours."
    )
    receipt: dict[str, Any] = json.loads(_answer_at(feed, "receipt_pulled.csv.json"))
    rows = receipt["rows"]
    teller.check(f"fetched by {receipt['channel']}", holds=receipt["channel"] == "sftp:acme")
    teller.check(f"{rows['read']} read = {rows['applied']} applied", holds=rows["read"] == rows["applied"] == 20)
    applied = _answer_at(feed, "result_pulled.csv").count(b",applied,")
    teller.check(f"answered there: result_pulled.csv has {applied} lines applied", holds=applied == rows["applied"])
    moved = (feed.folder / PROCESSED / "pulled.csv").read_bytes() == content
    teller.check("and the file was moved into processed/", holds=moved and not (feed.folder / "pulled.csv").exists())
    return receipt


def _answer_at(feed: BrandSftp, name: str) -> bytes:
    """A file in the brand's folder of answers, as soon as it is there; raises NoAnswer."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with suppress(FileNotFoundError):
            return (feed.folder / ANSWERS / name).read_bytes()
        time.sleep(LOOK_EVERY_S)
    raise NoAnswer(f"{name} was not in the brand's folder of answers within {PATIENCE_S} s.")


def _asked(desk: Desk, program: Program, teller: Teller) -> dict[str, Any]:
    teller.chapter("A change by Web Services, with curl")
    action_id = world.action_id(world.ASKED)
    answer = program.put(ActionId=action_id, Amount="2.50", Reason="ORDER_UPDATE")
    teller.say(f"PUT Actions, {action_id} to 2.50. The server: {answer['Status']} {answer['QueuedUri']}")
    teller.check("QUEUED: the change is on disk", holds=answer["Status"] == "QUEUED")
    told = program.submission(answer["QueuedUri"])
    teller.check("Complete, without an error", holds=told["ErrorReason"] == "")
    return pipeline.receipt(desk, told["BatchId"].removeprefix("A-"))


def _check_messy(brand: Brand, teller: Teller, receipt: dict[str, Any]) -> None:
    answered = {line["line"]: line for line in receipt["lines"]}
    for number, one in enumerate(world.messy_lines(), start=2):
        line = answered.get(number, {"verdict": "applied", "code": None})
        wanted = one.code in {line["code"], line["verdict"]} if one.code else line["verdict"] == "applied"
        teller.check(f"line {number}: {line['verdict']} {line['code'] or ''}".rstrip(), holds=wanted)
    fixable = len(brand.fetch("fix_messy.csv").splitlines()) - 1
    teller.check(
        f"fix_messy.csv holds the {fixable} lines that the brand can repair",
        holds=fixable == receipt["rows"]["rejected"],
    )


def _around_a_lock(desk: Desk, brand: Brand, teller: Teller, state: Path) -> list[dict[str, Any]]:
    locks_at = _now() + timedelta(seconds=LOCKS_IN_S)
    (state / "locking.csv").write_bytes(world.locking_soon(locks_at))
    load_actions(desk, state / "locking.csv")
    early = _sent(brand, teller, "before.csv", world.last_minute_file(1))
    teller.check("the one before: applied", holds=early["rows"]["applied"] == 1)
    time.sleep(max(0.0, (locks_at - _now()).total_seconds()) + 0.2)
    late = _sent(brand, teller, "after.csv", world.last_minute_file(2))
    code = late["lines"][0]["code"]
    teller.check(f"the one after: refused {code}", holds=code == "ACTION_LOCKED")
    [swept] = sweep.lock_due(desk, as_of=_now(), at=_now())
    teller.check("the lock sweep locked both actions", holds=(swept.locked, swept.deferred) == (2, 0))
    with desk.store.read() as db:
        states = [history.show(db, world.SID, f"1000.7777.{n}")["state"] for n in (1, 2)]
    teller.check(f"and they are {states[0]} and {states[1]}", holds=states == ["REVERSED", "APPROVED"])
    return [early, late]


def _sent(brand: Brand, teller: Teller, name: str, content: bytes) -> dict[str, Any]:
    answer = brand.upload(name, content)
    teller.say(f"{name}, {len(content):,} bytes. The server: {answer.partition(';')[0]}.")
    return _answered(brand, teller, answer.split()[2])


def _answered(brand: Brand, teller: Teller, delivery: str) -> dict[str, Any]:
    receipt = brand.receipt(delivery)
    rows = receipt["rows"]
    verdicts = {name: count for name, count in rows.items() if name != "read" and count}
    if verdicts:
        equation = " + ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        teller.check(f"{rows['read']} read = {equation}", holds=rows["read"] == sum(verdicts.values()))
    return receipt


def _balance(teller: Teller, receipts: list[dict[str, Any]], before: dict[str, Any], after: dict[str, Any]) -> None:
    moved = Decimal(0)
    for receipt in receipts:
        for money in receipt["money"].values():
            moved += Decimal(money["payout_after"]) - Decimal(money["payout_before"])
    # The two actions that were loaded while serving add 4.00 each.
    expected = _payout(before) + 2 * Decimal("4.00") + moved
    teller.check(
        f"payout {_payout(before)} + 8.00 (two actions more) {moved} (the receipts) = {expected}, as in the ledger",
        holds=_payout(after) == expected,
    )


def _payout(totals: dict[str, Any]) -> Decimal:
    return sum((Decimal(one["payout"]) for one in totals.values()), Decimal(0))


def _totals(desk: Desk) -> dict[str, Any]:
    with desk.store.read() as db:
        found: dict[str, Any] = history.totals(db, world.SID)["USD"]
    return found


def _now() -> datetime:
    return datetime.now(UTC)
