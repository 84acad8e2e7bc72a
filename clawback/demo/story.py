"""The demonstration from beginning to end; every statement it makes is checked."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from clawback import pipeline, sweep
from clawback.demo import world
from clawback.demo.brand import Brand
from clawback.demo.crm import Crm, told
from clawback.demo.mailbox import DOMAIN, Mailbox, mailbox
from clawback.demo.salesforce_org import salesforce
from clawback.demo.servers import INBOX, environment, serving
from clawback.demo.tell import Teller
from clawback.loading import load_actions, load_catalog
from clawback.settings import load
from clawback.wiring import Desk, credentials_folder, open_desk
from connectors.credentials import Credentials, new_password
from processing import history

LOCKS_IN_S: Final = 6


def tell(teller: Teller) -> dict[str, Any]:
    """Run the demonstration in a temporary folder; gives what it found, for ``--json``."""
    with (
        TemporaryDirectory(prefix="clawback-demo-") as folder,
        mailbox() as mail,
        salesforce(Path(folder), _now) as org,
    ):
        state, its_crm = Path(folder), Crm(org)
        its_crm.open()
        environ = environment(state, mail.relay_port, its_crm.environment())
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
                receipts += told(desk, its_crm, teller, ready["web"]["url"])
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
    pipeline.release(desk, held["delivery"], at=_now())
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
