"""Random worlds: ours loses nothing, the rules that others use lose updates, and every way ends with one ledger."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from clawback import deciding
from clawback.revising import undo
from clawback.salesforce import rounds, sweeping
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing import deliveries, hints, observed
from processing.errors import Unusable
from processing.hints import Hint
from tests.clawback.salesforce.site import Crm, crm_at, mapping_table, settings_for
from tests.clawback.salesforce.worlds import (
    WITHOUT_COVERAGE,
    Reader,
    a_little_before,
    after_highest,
    by_a_late_clock,
    from_highest,
    history,
    ours,
    slices,
    that_forgets,
)
from tests.conftest import START, STORES, Clock, new_store
from tests.salesforce_org.world import STAGES
from tests.worlds import CATALOGUE, LOCK, Sale, load

TEN, HOUR = timedelta(minutes=10), timedelta(minutes=60)
WORLDS = 100
ORDERS = [f"O-{n}" for n in range(5)]
MANY = [f"O-{n}" for n in range(20)]
EASILY_HELD = CATALOGUE.replace(
    '\ncurrency = "USD"\n', '\ncurrency = "USD"\n[account.brakes]\nlines = 2\nreversed_percent = 20\n', 1
)


@pytest.mark.parametrize("longest", [TEN, HOUR])
def test_s10_ours_loses_nothing(longest: timedelta) -> None:
    """In no world, with transactions of up to an hour; `bench/salesforce.py` runs 10,000."""
    assert [seed for seed in range(WORLDS) if Reader(ours).loses(history(seed, longest))] == []


@pytest.mark.parametrize("rule", [after_highest, from_highest, a_little_before])
def test_s10_mutants_that_follow_the_highest_stamp_lose(rule: object) -> None:
    """The fake can see the fault: nearly every world loses something."""
    lost = [seed for seed in range(40) if Reader(rule).loses(history(seed, TEN))]  # type: ignore[arg-type]
    assert len(lost) > 20


def test_s10_mutants_by_our_own_clock_lose() -> None:
    """A slice that ends in the future skips what is stamped until then; long transactions are lost anyway."""
    assert all(Reader(slices, skew=timedelta(minutes=15)).loses(history(seed, TEN)) for seed in range(40))
    assert sum(Reader(slices).loses(history(seed, HOUR)) for seed in range(40)) > 20


def test_s10_a_clock_that_is_asked_too_late_loses() -> None:
    """The product's rule but for the order of its questions: what commits between query and clock is passed over."""
    assert any(Reader(by_a_late_clock).loses(history(seed, HOUR)) for seed in range(40))


def test_s10_forgetting_what_was_covered_loses() -> None:
    """Polled more often than the org is asked for it, whatever it told last has to hold the floor back."""
    assert sum(Reader(that_forgets).loses(history(seed, HOUR)) for seed in range(40)) > 10


def test_s10_without_coverage_only_the_lookback_protects() -> None:
    """Which is why what is not covered is looked up once more before the lock."""
    assert [seed for seed in range(60) if Reader(ours, settings=WITHOUT_COVERAGE).loses(history(seed, TEN))] == []
    assert sum(Reader(ours, settings=WITHOUT_COVERAGE).loses(history(seed, HOUR)) for seed in range(60)) > 30


@pytest.fixture(params=STORES)
def ways(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Crm]]:
    """Three installations of one brand on each store, each with its own copy of the same org."""
    with ExitStack() as stack:
        found = {}
        for name in ("poll", "trigger", "sweep"):
            folder = tmp_path / name
            folder.mkdir()
            clock = Clock()
            settings = Settings(state=folder, store=new_store(request, request.param, folder))
            desk: Desk = stack.enter_context(open_desk(settings, clock))
            load(desk, folder)
            found[name] = stack.enter_context(crm_at(desk, clock, folder))
            found[name].sell(folder, *ORDERS)
        yield found


@pytest.mark.parametrize("seed", [1, 2])
def test_s10_the_same_world_by_three_ways(ways: dict[str, Crm], seed: int) -> None:
    """Polling alone, triggers alone and the look-up before the lock alone: each ends with the org's truth."""
    for name, crm in ways.items():
        chance = random.Random(seed)  # noqa: S311 - a world, no secret
        records = [crm.opportunity(order) for order in ORDERS]
        crm.settings = settings_for(crm.org, sweep_before="1m" if name == "poll" else "60d")
        for step in range(8):
            crm.pass_by(minutes=4, seconds=chance.randrange(60))
            record = chance.choice(records)
            late = timedelta(minutes=chance.choice([0, 0, 0, 3]))
            amount = float(chance.randrange(10, 90))
            crm.world.change(record, late, StageName=chance.choice(STAGES), Amount=amount)
            _read(crm, name, record, step)
        crm.pass_by(minutes=20)
        _read(crm, name, "", 99, *records)
        assert crm.held() == []
    foretold = [truth(ways["poll"], order) for order in ORDERS]
    assert {name: [crm.values(order) for order in ORDERS] for name, crm in ways.items()} == dict.fromkeys(
        ways, foretold
    )
    assert len({*foretold}) > 1


def truth(crm: Crm, order: str) -> tuple[str, str, str]:
    """State, amount and payout of an order's action, by what the org's own record of it says in the end."""
    query = f"SELECT StageName, Amount FROM Opportunity WHERE Order_Number__c = '{order}'"  # noqa: S608 - of the test
    _, [record] = crm.world.query(query, deleted_too=True)
    amount = Decimal(str(record["Amount"])).quantize(Decimal("0.01"))
    if record["IsDeleted"] or record["StageName"] in {"Closed Lost", "Returned"}:
        return "REVERSED", "0.00", "0.00"
    if record["StageName"] == "Negotiation":
        amount = Decimal("100.00")
    state = "APPROVED" if record["StageName"] == "Closed Won" else "PENDING"
    # Trail Blog is paid 5 %.
    return state, str(amount), str((amount / 20).quantize(Decimal("0.01"), ROUND_HALF_UP))


@pytest.mark.parametrize("seed", range(4))
def test_s10_a_random_world_ends_in_the_orgs_truth(crm: Crm, tmp_path: Path, seed: int) -> None:
    """Polled every five minutes; commits up to an hour late, deletions, small pages, and floors that rise."""
    chance = random.Random(seed)  # noqa: S311 - a world, no secret
    deleted = mapping_table(on_deleted="reverse", deleted_reason="ORDER_ERROR")
    crm.settings = settings_for(crm.org, mapping=[deleted], sweep_before="1m", sweep_every="2d")
    crm.org.page, crm.org.shrinking = 7, True
    crm.sell(tmp_path, *MANY)
    free = {crm.opportunity(order): crm.world.now for order in MANY}
    floor = START - timedelta(days=30)
    for _ in range(36):
        idle = sorted(one for one, at in free.items() if at <= crm.world.now)
        for record in chance.sample(idle, min(4, len(idle))):
            crm.world.now += timedelta(seconds=chance.uniform(0, 60))
            free[record] = crm.world.now + happen(crm, chance, record)
        crm.pass_by(minutes=5)
        began = crm.world.now
        for head in crm.round().deliveries:
            if head["state"] == "held":
                deciding.release(crm.desk, head["delivery"], by="dana", at=crm.clock.now)
        with crm.desk.store.read() as db:
            found = observed.cursor(db, "crm", "sales")
        assert found is not None
        assert floor <= found.floor <= began - timedelta(minutes=15)
        floor = found.floor
    crm.pass_by(hours=2)
    crm.round()
    assert {order: crm.values(order) for order in MANY} == {order: truth(crm, order) for order in MANY}
    assert crm.held() == []


@pytest.mark.parametrize("seed", range(2))
def test_s10_a_random_world_of_decisions_ends_in_the_orgs_truth(crm: Crm, tmp_path: Path, seed: int) -> None:
    """Deliveries are held and released or rejected at any time, others are undone, and half of the actions come late.

    What every record says last is asked in full where the ledger has not all that was asked before.
    """
    chance = random.Random(seed)  # noqa: S311 - a world, no secret
    deleted = mapping_table(on_deleted="reverse", deleted_reason="ORDER_ERROR")
    crm.settings = settings_for(crm.org, mapping=[deleted])
    orders = MANY[:10]
    sell_with_brakes(crm, tmp_path, orders[:5])
    records, numbers = [crm.opportunity(order) for order in orders], list[str]()
    for step in range(10):
        if step == 5:
            sell_with_brakes(crm, tmp_path, orders[5:])
        for record in chance.sample(records, 5):
            happen(crm, chance, record)
        crm.pass_by(minutes=70)
        numbers += [head["delivery"] for head in crm.round().deliveries]
        meddle(crm, chance, numbers)
    for record in records:
        crm.world.delete(record, deleted=False)
        crm.world.change(record, StageName=chance.choice(STAGES), Amount=chance.randrange(10_000, 20_000) / 100)
    crm.pass_by(minutes=70)
    numbers += [head["delivery"] for head in crm.round().deliveries]
    for number in numbers:
        if is_held(crm, number):
            crm.pass_by(seconds=1)
            deciding.release(crm.desk, number, by="dana", at=crm.clock.now)
    assert {order: crm.values(order) for order in orders} == {order: truth(crm, order) for order in orders}


def sell_with_brakes(crm: Crm, folder: Path, orders: list[str]) -> None:
    """Actions of these orders, of an account whose deliveries are held for little."""
    load(crm.desk, folder, [Sale(f"A-{order}", order) for order in orders], catalogue=EASILY_HELD)


def is_held(crm: Crm, number: str) -> bool:
    """Whether a delivery, or lines of it, wait for a person."""
    with crm.desk.store.read() as db:
        found = deliveries.find(db, number)
    return bool(found.state == "held" or deliveries.holds_lines(found))


def meddle(crm: Crm, chance: random.Random, numbers: list[str]) -> None:
    """A person decides about what is held, or does not yet, and undoes something."""
    for number in numbers:
        crm.pass_by(seconds=1)
        if is_held(crm, number):
            decide = chance.choice([deciding.release, deciding.reject, None])
            if decide is not None:
                decide(crm.desk, number, by="dana", at=crm.clock.now)
        elif chance.random() < 0.1:
            # There may be nothing to undo.
            with suppress(Unusable):
                undo(crm.desk, number, by="dana", reason=None, at=crm.clock.now)


def happen(crm: Crm, chance: random.Random, record: str) -> timedelta:
    """Something happens to a record; gives how long it takes to be seen."""
    late = timedelta(minutes=chance.choice([0, 0, 0, 2, 9, 59]))
    what = chance.random()
    if what < 0.1:
        crm.world.delete(record, deleted=chance.random() < 0.5)
        return timedelta()
    if what < 0.2:
        crm.world.change(record, late, Name="touched")
    else:
        amount = chance.randrange(1, 10_000) / 100
        crm.world.change(record, late, StageName=chance.choice(STAGES), Amount=amount)
    return late


def _read(crm: Crm, way: str, record: str, step: int, *last: str) -> None:
    if way == "poll":
        crm.round()
    elif way == "trigger":
        with crm.desk.store.write() as db:
            told = [Hint(f"{step}/{one}", "Opportunity", one) for one in (*last, record) if one]
            hints.take(db, "crm", told, crm.clock.now)
        crm.listen()
    elif last:
        with rounds.claimed(crm.desk, crm.settings) as reader, crm.opened() as org:
            assert reader is not None
            sweeping.sweep(reader, org, crm.settings.mappings[0], {}, until=LOCK, at=crm.clock.now)
        rounds.approve(crm.desk, crm.settings)
