from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from clawback.wiring import Desk
from processing.apply import Application
from processing.catalog import read_terms
from processing.codes import Verdict
from processing.decide import Decided, decide
from processing.deliveries import register
from processing.errors import LedgerConflict
from processing.instants import micros
from processing.intent import Asked, FileShape, ask
from processing.match import Matched, match
from processing.tables import action, entry, line
from tests.worlds import ARRIVED, Sale, arrival, dump, ingest, lines, load

SALES = [Sale("A-1", "O-1"), Sale("A-2", "O-2"), Sale("A-3", "O-3", "0.00")]
SHAPE = FileShape(has_amount=True, has_other=False)


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """Three open actions."""
    load(desk, tmp_path, SALES)
    return desk


def checked(*rows: tuple[int, str, int | None]) -> pd.DataFrame:
    """Checked lines: number, action id, amount in minor units of dollars."""
    return pd.DataFrame(
        {
            "action_id": [one[1] for one in rows],
            "order_id": [None] * len(rows),
            "event_type": pd.array([None] * len(rows), dtype="Int64"),
            "amount_text": [str(one[2]) for one in rows],
            "amount_scaled": pd.array([None if one[2] is None else one[2] * 100 for one in rows], dtype="Int64"),
            "currency": [None] * len(rows),
            "customer_status": [None] * len(rows),
            "reason": ["OTHER"] * len(rows),
        },
        index=pd.Index([one[0] for one in rows], name="line"),
    )


def application(db: Connection) -> Application:
    """A delivery that arrived in time."""
    known = read_terms(db, "IRacme1")
    number, _ = register(db, known.account_id, arrival(b"", sha256=str(id(db))))
    return Application(db, known, number, micros(ARRIVED), SHAPE)


def test_a_chunk_leaves_values_entries_and_answers(loaded: Desk) -> None:
    """Applied lines become entries, the others lines with a verdict; the tally knows both."""
    with loaded.store.write() as db:
        applied = application(db)
        applied.apply(checked((2, "A-1", 4_000), (3, "A-2", 0), (4, "A-1", 4_000), (5, "A-9", 1), (6, "A-3", None)))
        applied.apply(checked())
    with loaded.store.read() as db:
        moved = db.execute(select(action).order_by(action.c.id)).all()
        assert [(one.state, one.amount, one.payout, one.changes, one.version, one.changed_by) for one in moved] == [
            ("PENDING", 4_000, 200, 1, 1, applied.delivery_id),
            ("REVERSED", 0, 0, 1, 1, applied.delivery_id),
            ("PENDING", 0, 0, 0, 0, None),
        ]
        assert [(one.prior_amount, one.prior_payout) for one in moved] == [(None, None), (10_000, 500), (None, None)]
        entries = [tuple(one) for one in db.execute(select(entry).order_by(entry.c.line))]
        number = applied.delivery_id
        assert entries == [
            (number, 2, moved[0].id, 1, "modify", "OTHER", "PENDING", "PENDING", 10_000, 4_000, 500, 200, None, None),
            (number, 3, moved[1].id, 1, "reverse", "OTHER", "PENDING", "REVERSED", 10_000, 0, 500, 0, None, None),
        ]
        told = db.execute(select(line.c.line, line.c.verdict, line.c.code, line.c.action_id).order_by(line.c.line))
        assert [tuple(one) for one in told] == [
            (4, "unchanged", None, moved[0].id),
            (5, "waiting", "UNKNOWN_ACTION", None),
            (6, "rejected", "AMOUNT_BLANK", moved[2].id),
        ]
    assert applied.tally.read == 5


@pytest.mark.parametrize(
    ("case", "moved"),
    [
        ("another version", {"version": 1}),
        ("another state", {"state": "APPROVED"}),
        ("locked meanwhile", {"locked_at": micros(ARRIVED)}),
        ("a lock that came forward", {"locks_at": micros(ARRIVED)}),
    ],
)
def test_an_action_that_moved_meanwhile_is_not_written(case: str, moved: dict[str, Any], loaded: Desk) -> None:
    """What was decided on old values raises LedgerConflict, and nothing of the whole delivery stays."""
    before = dump(loaded.store)
    with pytest.raises(LedgerConflict, match=r"1 of 2 actions changed while delivery \d+ was decided"):
        decide_then_write(loaded, moved)
    assert dump(loaded.store) == before, case


def decide_then_write(desk: Desk, moved: dict[str, Any]) -> None:
    """Decide on what the store has, let somebody move A-2, and write."""
    frame = checked((2, "A-1", 4_000), (3, "A-2", 4_000))
    with desk.store.write() as db:
        applied = application(db)
        matched = match(db, applied.terms.account_id, frame)
        asked = ask(frame, matched, applied.terms, SHAPE)
        db.execute(update(action).values(moved).where(action.c.action_id == "A-2"))
        applied.apply_asked(frame, asked, matched)


def test_the_database_itself_refuses_the_same_line_twice(loaded: Desk) -> None:
    """A unique key stands between a line and its second application."""
    ingest(loaded, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER"))
    with loaded.store.read() as db:
        known = dict(db.execute(select(entry)).mappings().one())
    for again in (known, known | {"line": 9}):
        with pytest.raises(IntegrityError), loaded.store.write() as db:
            db.execute(insert(entry).values(again))


@pytest.mark.parametrize("statement", ["update entry set amount_after = 0", "delete from entry"])
def test_the_database_itself_keeps_entries(statement: str, loaded: Desk) -> None:
    """An entry is for ever: no update, no delete."""
    ingest(loaded, lines("ActionId,Amount,Reason", "A-1,40.00,OTHER"))
    before = dump(loaded.store)
    with pytest.raises(DBAPIError, match="entries are only added"), loaded.store.write() as db:
        db.exec_driver_sql(statement)
    assert dump(loaded.store) == before


def test_payouts_are_rated_by_the_day_of_arrival_in_the_accounts_zone(loaded: Desk) -> None:
    """At 04:59 UTC it is still yesterday in New York."""
    with loaded.store.write() as db:
        known = read_terms(db, "IRacme1")
        old = next(iter(known.contracts.values()))
        newer = replace(old, id=99, effective=ARRIVED.date(), percent_ppm=100_000)
        terms = replace(known, contracts={old.id: old, 99: newer})
        midnight = ARRIVED.replace(hour=5)
        found = [
            Application(db, terms, 1, micros(midnight) - early, SHAPE).rates.by_contract[old.id].id for early in (1, 0)
        ]
    assert found == [old.id, 99]


def test_rejected_lines_are_counted_as_read(loaded: Desk) -> None:
    """Whatever broke the file's contract is in the receipt's equation."""
    receipt = ingest(loaded, lines("ActionId,Amount,Reason", "A-1,x,OTHER", "A-2,1.00,", "A-3,1.00,OTHER"))
    assert receipt["rows"] == {
        "read": 3,
        "rejected": 2,
        Verdict.APPLIED: 1,
        **dict.fromkeys(("unchanged", "refused", "waiting", "held"), 0),
    }


def test_decisions_are_the_same_with_or_without_writing(loaded: Desk) -> None:
    """Deciding needs no store: the same columns give the same fates."""
    frame = checked((2, "A-1", 4_000), (3, "A-1", 0))

    def parts(db: Connection) -> tuple[Asked, Matched, Decided]:
        applied = application(db)
        matched = match(db, applied.terms.account_id, frame)
        asked = ask(frame, matched, applied.terms, SHAPE)
        return asked, matched, decide(asked, matched, applied.terms, applied.rates, applied.received_at)

    with loaded.store.rehearse() as db:
        _, matched, decided = parts(db)
    assert decided.applied.tolist() == [True, True]
    assert matched.actions.state.tolist() == ["REVERSED"]
    with loaded.store.read() as db:
        assert db.execute(select(action.c.state).where(action.c.action_id == "A-1")).scalar() == "PENDING"
