from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from clawback import pipeline
from clawback.wiring import Desk
from processing import update_pages
from processing.action_pages import Wanted
from processing.catalog import read_terms
from processing.model import State
from processing.pages import Place
from processing.tables import action
from tests.conftest import Clock
from tests.worlds import SID, Sale, ingest, lines, load

ACTIONS = 24
EVERY = 10**6


@pytest.fixture
def changed(desk: Desk, tmp_path: Path, clock: Clock) -> Desk:
    """Actions of which many were tracked in one instant, and files that changed some, two of them in one instant.

    Some lines waited: for W-0 and W-1 until that instant was over, for W-2 and W-3 a day longer, for W-4 in vain.
    """
    sales = [Sale(f"A-{number}", created_at=f"2027-01-{10 + number // 9}T00:00:00Z") for number in range(ACTIONS)]
    load(desk, tmp_path, [*sales, Sale("N-1", created_at="2027-01-20T12:00:00Z")])
    for amount, days, loaded in ((50, 0, ()), (40, 0, (0, 1)), (30, 1, (2, 3))):
        rows = [f"A-{number},{amount},ORDER_UPDATE" for number in range(0, ACTIONS, 3)]
        for number in range(5):
            rows.insert(3 * number, f"W-{number},{amount},ORDER_UPDATE")
        ingest(desk, lines("ActionId,Amount,Reason", *rows, f"A-0,{amount + 1},ORDER_UPDATE"))
        clock.pass_by(days=days)
        load(desk, tmp_path, [Sale(f"W-{number}", created_at="2027-01-12T00:00:00Z") for number in loaded])
        assert not pipeline.collect(desk, at=clock()).failures
    return desk


def met(db: Connection, wanted: Wanted, place: Place) -> list[tuple[str, int]]:
    """The updates on a page."""
    account = read_terms(db, SID).account_id
    return [(row.action_id, row.serial) for row in update_pages.page(db, account, wanted, place).rows]


def test_every_place_gives_the_same_page(changed: Desk) -> None:
    """By number, behind the row before it and before the row behind it, wherever the page begins: in a file, too."""
    with changed.store.read() as db:
        account = read_terms(db, SID).account_id
        for wanted in (Wanted(1000), Wanted(1000, State.PENDING), Wanted(1000, State.REVERSED)):
            every = update_pages.page(db, account, wanted, Place(1, EVERY))
            keys = [(row.updated_at, row.number) for row in every.rows]
            assert keys == sorted(set(keys), reverse=True)
            assert every.total == len(keys) == (0 if wanted.state is State.REVERSED else ACTIONS + 5 + 3 * (9 + 4))
            whole = [(row.action_id, row.serial) for row in every.rows]
            for size in (1, 4, 33):
                for start in range(1, len(keys)):
                    after = Place(2, size, after=keys[start - 1], total=len(keys))
                    before = Place(2, size, before=keys[start], total=len(keys))
                    assert met(db, wanted, after) == whole[start : start + size]
                    assert met(db, wanted, before) == whole[max(0, start - size) : start]
                numbers = range(1, len(keys) // size + 3)
                pages = [met(db, wanted, Place(number, size)) for number in numbers]
                assert [one for page in pages for one in page] == whole
                last = Place(-(-len(keys) // size) or 1, size, last=True)
                assert met(db, wanted, last) == met(db, wanted, replace(last, last=False))


def test_a_page_is_read_by_indexes(changed: Desk) -> None:
    """No table is read as a whole, and nothing is sorted but what the page may show."""
    with changed.store.write() as db:
        _make_many(db)
    with changed.store.read() as db:
        rows = update_pages.page(db, read_terms(db, SID).account_id, Wanted(1000), Place(1, EVERY)).rows
        # Of what was tracked, of a first judging, and of a later one.
        keys = [
            next((row.updated_at, row.number) for row in rows if f"{row.action_id}.{row.serial}" == name)
            for name in ("A-20.0", "A-9.2", "W-3.2")
        ]
        for place in (
            Place(1, 5, total=45),
            *(Place(2, 5, after=key, total=45) for key in keys),
            *(Place(2, 5, before=key, total=45) for key in keys),
            Place(9, 5, total=45, last=True),
        ):
            plans = _plans(db, Wanted(1000), place)
            told = "\n".join(plans)
            if db.dialect.name == "sqlite":
                assert not any(f"SCAN {table}" in told for table in ("action", "entry", "delivery", "judged_later")), (
                    told
                )
                sorts = told.count("USE TEMP B-TREE")
                # Thirds that have ends of their own are scanned one by one; else they would be one.
                assert all(plan.count("SCAN anon") == 4 for plan in plans if "UNION ALL" in plan), told
            else:
                assert "Seq Scan" not in told, told
                sorts = told.replace("Incremental Sort", "").count("Sort  (")
            # The three thirds together, each of no more rows than the page has.
            assert plans
            assert sorts <= 1, told


def _make_many(db: Connection) -> None:
    """So many actions and entries that PostgreSQL does not read its tables as a whole because they are small."""
    if db.dialect.name != "postgresql":
        return
    known = ", ".join(one.name for one in action.c if one.name not in {"id", "action_id"})
    db.execute(
        text(
            f"insert into action (action_id, {known}) select 'M-' || n, {known} from action, "  # noqa: S608 - our names
            "generate_series(1, 20000) n where action_id = 'A-1'"
        )
    )
    db.execute(
        text(
            "insert into delivery (delivery, account_id, channel, name, sha256, size_bytes, received_at, state, "
            "finished_at, changed_at) select 'M-' || n, account_id, channel, name, sha256, size_bytes, "
            "received_at + n, state, finished_at + n, changed_at + n from delivery, generate_series(1, 2000) n "
            "where id = (select min(id) from delivery)"
        )
    )
    db.execute(
        text(
            "insert into entry select d.id, a.id, a.id, 1, 'modify', 'OTHER', 'PENDING', 'PENDING', 1, 2, 1, 2 "
            "from action a join delivery d on d.delivery = 'M-' || (a.id % 2000 + 1) where a.action_id like 'M-%'"
        )
    )
    db.execute(
        text(
            "insert into judged_later select e.delivery_id, e.line, d.account_id, d.finished_at + 1 "
            "from entry e join delivery d on d.id = e.delivery_id where d.delivery like 'M-%' and e.line % 10 = 0"
        )
    )
    for table in ("action", "delivery", "entry", "judged_later"):
        db.execute(text(f"analyze {table}"))


def _plans(db: Connection, wanted: Wanted, place: Place) -> list[str]:
    """How the database reads what a page reads of updates."""
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event
        if "FROM action" in statement:
            asked.append((statement, values))

    event.listen(db, "before_cursor_execute", note)
    try:
        met(db, wanted, place)
    finally:
        event.remove(db, "before_cursor_execute", note)
    prefix = "EXPLAIN QUERY PLAN " if db.dialect.name == "sqlite" else "EXPLAIN "
    return [_told(db.exec_driver_sql(prefix + statement, values).all()) for statement, values in asked]


def _told(rows: Sequence[Any]) -> str:
    return "\n".join(str(row[-1]) for row in rows)
