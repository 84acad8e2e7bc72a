"""The product against a plain row-at-a-time oracle, and what holds for any delivery whatever it says."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Row, select

from clawback import pipeline, revising
from clawback.judging import Case
from clawback.preview import preview
from clawback.wiring import Desk
from processing import history
from processing.errors import Unusable
from processing.tables import account, action, entry, item, item_entry
from schemas.check import Checked, check
from schemas.document import Document
from tests import oracle_worlds
from tests.crashes import Died, Mishap, crashing
from tests.oracle import Delivery
from tests.oracle_product import SIDES, Product, expected, seen
from tests.oracle_worlds import BASE, World, worlds
from tests.worlds import CATALOGUE, SID, Sale, arrival, dump, ingest, land, lines, load, written


@dataclass(frozen=True, slots=True)
class InSmallChunks(Case):
    """A case that is read two lines at a time."""

    def checked(self, document: Document) -> Iterator[Checked]:
        """As a case does, in small chunks."""
        for chunk in document.chunks(2):
            yield check(chunk, document.columns, event_type=self.arrival.event_type)


def agrees(product: Product, world: World) -> None:
    """Play a world's steps in the product and in the oracle, and compare everything after each."""
    model, _ = world.ledger()
    for step in world.steps:
        if isinstance(step, datetime):
            model.lock(step)
            product.lock(step)
        else:
            before = product.ledger()
            receipt = product.ingest(step)
            assert seen(receipt) == expected(model.ingest(step))
            assert_balanced(receipt, before, product)
        assert product.ledger() == {one.action_id: oracle_worlds.told(one) for one in model.actions}
    replay(product)


def assert_balanced(receipt: dict[str, Any], before: dict[str, dict[str, Any]], product: Product) -> None:
    """Counts add up, and the money of a receipt is what the ledger moved by."""
    rows = dict(receipt["rows"])
    assert rows.pop("read") == sum(rows.values())
    assert Counter(line["verdict"] for line in receipt["lines"] if line["verdict"] != "applied") == Counter(
        {verdict: count for verdict, count in rows.items() if verdict != "applied" and receipt["state"] == "done"}
    )
    moved = Counter[str]()
    for action_id, now in product.ledger().items():
        for name in ("amount", "payout"):
            moved[name] += now[name] - before[action_id][name]
    told = Counter[str]()
    for sides in receipt["money"].values():
        for name in ("amount", "payout"):
            told[name] += int(sides[f"{name}_after"].replace(".", "")) - int(sides[f"{name}_before"].replace(".", ""))
    assert +moved == +told
    assert -moved == -told
    for currency, sides in receipt["money"].items():
        partners = [one for one in receipt["partners"] if one["currency"] == currency]
        assert {side: sum(Decimal(one[side]) for one in partners) for side in SIDES} == {
            side: Decimal(sides[side]) for side in SIDES
        }


def test_the_product_does_what_the_oracle_says(desk: Desk, tmp_path: Path) -> None:
    """Ledger, verdicts, codes, notices, counts, money and history are those of the plain model, after each delivery."""

    @settings(max_examples=50)
    @given(worlds())
    def holds(world: World) -> None:
        agrees(Product.load(desk, tmp_path, world), world)

    holds()


def test_items_do_what_the_oracle_says(desk: Desk, tmp_path: Path) -> None:
    """The same where nearly all actions have items, and in chunks of two lines."""

    @settings(max_examples=30)
    @given(worlds(by_item=True), st.booleans())
    def holds(world: World, small: bool) -> None:  # noqa: FBT001 - given by hypothesis
        product = Product.load(desk, tmp_path, world)
        product.case = InSmallChunks if small else product.case
        agrees(product, world)

    holds()


def test_an_undo_does_what_the_oracle_says(desk: Desk, tmp_path: Path) -> None:
    """Two deliveries are undone before the last step: what nobody changed since, and is still open, is what it was."""

    @settings(max_examples=30)
    @given(worlds(), st.integers(0, 9), st.integers(0, 9))
    def holds(world: World, chosen: int, then: int) -> None:
        product, (model, _) = Product.load(desk, tmp_path, world), world.ledger()
        done, latest = list[tuple[str, Delivery]](), BASE

        def go_on(step: Delivery | datetime) -> None:
            nonlocal latest
            if isinstance(step, datetime):
                model.lock(step)
                product.lock(step)
                latest = max(latest, step)
                return
            receipt, outcome = product.ingest(step), model.ingest(step)
            assert seen(receipt) == expected(outcome)
            latest = max(latest, step.received_at)
            if outcome.state == "done":
                done.append((receipt["delivery"], step))

        for step in world.steps[:-1]:
            go_on(step)
        assume(done)
        for number, undone in (done[chosen % len(done)], done[then % len(done)]):
            proposes = product.proposes(number)
            with suppress(Unusable), desk.store.write() as db:
                # Without the answers: these deliveries never were in a spool.
                revising._undo(db, number, by="dana", reason=None, at=latest)  # noqa: SLF001
            model.undo(undone, latest, proposes=proposes)
            assert product.ledger() == {one.action_id: oracle_worlds.told(one) for one in model.actions}
        go_on(world.steps[-1])
        assert product.ledger() == {one.action_id: oracle_worlds.told(one) for one in model.actions}
        replay(product)

    holds()


def test_chunks_make_no_difference(desk: Desk, tmp_path: Path) -> None:
    """Lines of one action in different chunks do what they do in one."""

    @settings(max_examples=20)
    @given(worlds())
    def holds(world: World) -> None:
        product = Product.load(desk, tmp_path, world)
        product.case = InSmallChunks
        agrees(product, world)

    holds()


def replay(product: Product) -> None:
    """The entries of an action, one after the other, lead from its tracked values to its present ones."""
    with product.store.read() as db:
        mine = select(action).join(account, account.c.id == action.c.account_id).where(account.c.sid == product.sid)
        for one in db.execute(mine).all():
            values: tuple[Any, ...] = ("PENDING", one.tracked_amount, one.tracked_payout, one.tracked_status)
            entries = db.execute(select(entry).where(entry.c.action_id == one.id).order_by(entry.c.version)).all()
            for at, row in enumerate(entries, 1):
                assert row.version == at
                assert values == (row.state_before, row.amount_before, row.payout_before, row.status_before)
                values = (row.state_after, row.amount_after, row.payout_after, row.status_after)
            # The lock approves what is owed; it is no change that anybody asked for, and has no entry.
            state = "APPROVED" if one.locked_at is not None and values[0] == "PENDING" else values[0]
            assert (state, *values[1:]) == (one.state, one.amount, one.payout, one.customer_status)
            assert (one.changes, one.version) == (len(entries), len(entries) + (one.locked_at is not None))
            replay_items(db, one)


def replay_items(db: Connection, one: Row[Any]) -> None:
    """The same of an action's items; their sum is the action's amount, but for a reversed one."""
    stored = {row.sku: row for row in db.execute(select(item).where(item.c.action_id == one.id))}
    values = {sku: (row.tracked_quantity, row.tracked_amount) for sku, row in stored.items()}
    same = (entry.c.delivery_id == item_entry.c.delivery_id) & (entry.c.line == item_entry.c.line)
    changed = select(item_entry, entry.c.version).join(entry, same).where(item_entry.c.action_id == one.id)
    for row in db.execute(changed.order_by(entry.c.version)):
        assert values[row.sku] == (row.quantity_before, row.amount_before) != (row.quantity_after, row.amount_after)
        values[row.sku] = row.quantity_after, row.amount_after
    assert values == {sku: (row.quantity, row.amount) for sku, row in stored.items()}
    worth = one.prior_amount if one.state == "REVERSED" else one.amount
    assert not values or sum(amount for _, amount in values.values()) == worth


def test_any_order_of_independent_lines_gives_the_same_ledger(desk: Desk, tmp_path: Path) -> None:
    """Lines for different actions do the same in whatever order they stand."""
    cells = st.tuples(st.sampled_from(oracle_worlds.AMOUNTS), st.sampled_from(oracle_worlds.REASONS))

    @settings(max_examples=15)
    @given(worlds(), st.data())
    def holds(world: World, data: st.DataObject) -> None:
        rows = [
            f'{sale.action_id},"{amount}",{reason}' for sale in world.sales for amount, reason in [data.draw(cells)]
        ]
        mixed = data.draw(st.permutations(rows))
        results = []
        for order in (rows, mixed):
            product = Product.load(desk, tmp_path, world)
            content = lines("ActionId,Amount,Reason", *order).encode()
            receipt = product.ingest(Delivery(content, BASE, (), ()))
            verdicts = {
                line["action_id"]: (line["verdict"], line["code"], line["message"]) for line in receipt["lines"]
            }
            verdicts.pop(None, None)
            results.append((product.ledger(), receipt["rows"], receipt["money"], receipt["partners"], verdicts))
        assert results[0] == results[1]

    holds()


def test_the_same_bytes_twice_equal_once(desk: Desk, tmp_path: Path) -> None:
    """The second delivery is a duplicate that points to the first, unless that was rejected; ``again`` applies it."""

    @settings(max_examples=10)
    @given(worlds())
    def holds(world: World) -> None:
        product = Product.load(desk, tmp_path, world)
        model, _ = world.ledger()
        for step in deliveries(world):
            first = product.ingest(step)
            model.ingest(step)
            once = product.ledger()
            second = product.ingest(step)
            repeats = ("rejected", None) if first["state"] == "rejected" else ("duplicate", first["delivery"])
            assert (second["state"], second["duplicate_of"]) == repeats
            assert (second["lines"], product.ledger()) == ([], once)
            more = replace(step, again=True)
            assert seen(product.ingest(more)) == expected(model.ingest(more))

    holds()


def deliveries(world: World) -> list[Delivery]:
    """The deliveries of a world, each once and none that is repeated on purpose."""
    found = {step.content: step for step in world.steps if isinstance(step, Delivery)}
    assume(found and not any(step.again for step in found.values()))
    return list(found.values())


def test_a_preview_says_what_ingest_then_does_and_writes_nothing(desk: Desk, tmp_path: Path) -> None:
    """Every table is as before a preview, whose receipt is the one that follows."""

    @settings(max_examples=10)
    @given(worlds())
    def holds(world: World) -> None:
        product = Product.load(desk, tmp_path, world)
        for step in deliveries(world):
            file = written(tmp_path, "preview.csv", step.content)
            known = arrival(step.content, step.received_at, event_type=step.event_type)
            before = dump(desk.store)
            foretold = preview(desk, known, product.sid, file)
            assert dump(desk.store) == before
            receipt = product.ingest(step)
            assert plain(foretold) == plain(receipt)

    holds()


def test_a_delivery_that_names_no_action_we_know_is_answered(desk: Desk, tmp_path: Path) -> None:
    """Its result file has every line, though none has an action or a lock."""
    load(desk, tmp_path)
    receipt = ingest(desk, lines("ActionId,Reason", "A-1,OTHER"))
    result = (desk.brands / SID / "results" / "result_returns.csv").read_text()
    assert (receipt["rows"]["waiting"], desk.spool.pending()) == (1, [])
    assert [line.split(",")[:4] for line in result.splitlines()] == [
        ["ActionId", "Reason", "Verdict", "Code"],
        ["A-1", "OTHER", "waiting", "UNKNOWN_ACTION"],
    ]


def plain(receipt: dict[str, Any]) -> dict[str, Any]:
    """A receipt without the number of its delivery."""
    return {name: value for name, value in receipt.items() if name != "delivery"}


def all_lines(desk: Desk, sid: str, delivery: str) -> tuple[Any, ...]:
    """Everything that a delivery left behind: receipt, result files, actions, entries."""
    receipt = pipeline.receipt(desk, delivery)
    told = {name: value for name, value in receipt.items() if name not in {"delivery", "account"}}
    results = desk.brands / sid / "results"
    files = {name: (results / name).read_text() for name in ("result_returns.csv", "fix_returns.csv")}
    with desk.store.read() as db:
        actions = history.listing(db, sid)
        shown = [history.show(db, sid, one["action_id"]) for one in actions]
    for one in shown:
        del one["account"]
        for change in one["history"]:
            del change["delivery"]
    return told, files, shown


# A cursor that the dead process left open is told of when its memory is freed.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function ServerCursorMixin")
@pytest.mark.parametrize("error", [Died, Mishap])
def test_a_crash_at_any_statement_loses_and_doubles_nothing(
    error: type[BaseException], desk: Desk, tmp_path: Path
) -> None:
    """Ingested again after a crash, a delivery leaves behind what an undisturbed run leaves."""
    content = lines(
        "ActionId,Amount,Reason",
        *("A-1,50.00,OTHER", "A-2,0,ITEM_RETURNED", "A-1,75.00,OTHER", "A-3,,OTHER", "A-404,1.00,OTHER"),
        *("A-1,1e3,OTHER", "A-2,0,ITEM_RETURNED", "A-2,9.00,OTHER"),
    )
    # As many accounts as there are statements to die at, and more.
    programs = range(4000, 4080)
    one = CATALOGUE.split("[[account]]")[1]
    catalogue = "".join(
        f"[[account]]{one}".replace("IRacme1", f"IR{each}").replace("1000", str(each)) for each in programs
    )
    load(desk, tmp_path, [Sale(f"A-{n}", program=each) for each in programs for n in (1, 2, 3)], catalogue=catalogue)

    undisturbed = land(desk, content, sid="IR4000", received_at=BASE)
    pipeline.ingest(desk, undisturbed, at=BASE)
    wanted = all_lines(desk, "IR4000", undisturbed)
    for at in itertools.count(1):
        sid = f"IR{4000 + at}"
        delivery = land(desk, content, sid=sid, received_at=BASE)
        with suppress(error), crashing(desk.store, at, error):
            pipeline.ingest(desk, delivery, at=BASE)
            break
        pipeline.ingest(desk, delivery, at=BASE)
        left = json.dumps(all_lines(desk, sid, delivery)).replace(str(4000 + at), "4000")
        assert json.loads(left) == json.loads(json.dumps(wanted)), at
        assert desk.spool.pending() == []
    assert at > 15
