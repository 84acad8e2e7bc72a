from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from clawback.wiring import Desk
from processing import bulk
from processing.tables import line, staged_id, staged_line
from tests.worlds import judged, lines, load

ODD = [
    "plain",
    "",
    None,
    'a "quoted" one',
    "a,b;c|d\te",
    "\\.",
    "\\N",
    "NULL",
    "null",
    "N/A",
    "two\nlines",
    "新しい",
    "100%",
    " ",
]
FIELDS: dict[str, pa.DataType] = {"position": pa.int64(), "order_id": pa.string()}
SCHEMA = pa.schema(FIELDS)


def test_every_text_comes_back_as_it_went(desk: Desk) -> None:
    """What means something to COPY or to CSV is a text like any other; an empty one is not a missing one."""
    there = pa.table({"position": pa.array(range(len(ODD))), "order_id": pa.array(ODD, pa.string())})
    with desk.store.write() as db:
        bulk.stage(db, staged_line, there)
        query = select(staged_line.c.position, staged_line.c.order_id)
        back = bulk.fetch(db, query.order_by(staged_line.c.position), SCHEMA)
        none = bulk.fetch(db, query.where(staged_line.c.position < 0), SCHEMA)
    assert back.to_pydict() == there.to_pydict()
    assert (none.num_rows, none.schema) == (0, SCHEMA)


@pytest.mark.parametrize("rows", [0, 1, bulk.WORTH_ANALYZING])
def test_staging_replaces_what_was_staged_before(rows: int, desk: Desk) -> None:
    """A temporary table holds one chunk, however small or large."""
    with desk.store.write() as db:
        for numbers in (np.arange(5) - 9, np.arange(rows)):
            bulk.stage(db, staged_id, bulk.frame({"id": numbers}))
        assert sorted(db.execute(select(staged_id.c.id)).scalars()) == list(range(rows))


def test_a_frame_has_a_type_for_each_column() -> None:
    """Python's objects are texts, also where all of them are missing; numbers and Arrow columns stay what they are."""
    nothing = np.array([None, None], dtype=np.object_)
    table = bulk.frame({"a": np.array([1, 2]), "b": nothing, "c": pa.array([None, 7])})
    assert table.schema.types == [pa.int64(), pa.string(), pa.int64()]
    assert table.to_pydict() == {"a": [1, 2], "b": [None, None], "c": [None, 7]}


def test_a_broken_key_is_an_integrity_error_on_either_store(desk: Desk, tmp_path: Path) -> None:
    """Bulk writing is guarded by the same keys."""
    load(desk, tmp_path)
    judged(desk.store, tmp_path, lines("ActionId,Reason", "A-1,OTHER"))
    with pytest.raises(IntegrityError), desk.store.write() as db:
        bulk.insert(
            db,
            line,
            pa.table({"delivery_id": [1], "line": [2], "verdict": ["waiting"], "code": ["UNKNOWN_ACTION"]}),
        )


@pytest.mark.parametrize("rows", [bulk.WORTH_ANALYZING - 1, bulk.WORTH_ANALYZING])
def test_the_planner_is_told_of_a_table_worth_it(rows: int, desk: Desk) -> None:
    """On PostgreSQL, from a thousand rows on; nothing that is in the table changes."""
    with desk.store.write() as db:
        bulk.stage(db, staged_id, bulk.frame({"id": np.arange(rows)}))
        bulk.know_sizes(db, staged_id, rows)
        assert len(db.execute(select(staged_id.c.id)).all()) == rows
        if db.dialect.name == "postgresql":
            known = db.execute(text("select reltuples from pg_class where relname = 'staged_id'")).scalar_one()
            assert known == (rows if rows >= bulk.WORTH_ANALYZING else -1)
