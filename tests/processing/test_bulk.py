import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import BindParameter, Connection, select, text
from sqlalchemy.exc import IntegrityError

from clawback.wiring import Desk
from processing import bulk
from processing.columns import NONE
from processing.staging import staged_action, staged_id
from processing.tables import line, metadata
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
KINDS: dict[str, bulk.Kind] = {"line": int, "order_id": str}


def _there(db: Connection, cells: list[str] | list[int], kind: bulk.Kind = int) -> dict[str, Any]:
    rows = bulk.listed(db, cells)
    return bulk.fetch(db, select(rows.c.position, rows.c.value), {"position": int, "value": kind})


def test_a_column_that_may_be_empty_has_no_default() -> None:
    """So that leaving a column without values out of an insert is the same as writing NULLs."""
    every = [column for table in metadata.tables.values() for column in table.columns if column.nullable]
    assert [column.name for column in every if column.server_default is not None] == []
    assert len(every) > 20


def test_every_text_comes_back_as_it_went(desk: Desk) -> None:
    """What means something to COPY or to CSV is a text like any other; an empty one is not a missing one."""
    numbers = [None, *range(1, len(ODD))]
    there = pa.table({"line": pa.array(numbers, pa.int64()), "order_id": pa.array(ODD, pa.string())})
    with desk.store.write() as db:
        bulk.stage(db, staged_action, there)
        query = select(staged_action.c.line, staged_action.c.order_id)
        back = bulk.fetch(db, query.order_by(staged_action.c.line.nulls_first()), KINDS)
        none = bulk.fetch(db, query.where(staged_action.c.line < 0), KINDS)
    assert {name: column.tolist() for name, column in back.items()} == {
        "line": [NONE, *range(1, len(ODD))],
        "order_id": ODD,
    }
    assert [(len(column), column.dtype) for column in none.values()] == [(0, np.int64), (0, np.object_)]


def test_cells_travel_in_one_parameter(desk: Desk) -> None:
    """Every text, and integers beyond 32 bits, in order; none at all is an empty table."""
    texts = [text for text in ODD if text is not None]
    cells: tuple[tuple[list[str] | list[int], bulk.Kind], ...] = ((texts, str), ([2**62, 0, 7], int), ([], str))
    for there, kind in cells:
        with desk.store.read() as db:
            back = _there(db, there, kind)
        assert back["position"].tolist() == list(range(len(there)))
        assert back["value"].tolist() == there


def test_large_lists_do_not_pile_up(desk: Desk) -> None:
    """However many chunks there are, and however seldom the collector comes."""
    cells = list(range(bulk.WORTH_COLLECTING))
    size = len(json.dumps(cells))
    gc.disable()
    try:
        with desk.store.read() as db:
            for _ in range(5):
                _there(db, cells)
    finally:
        gc.enable()
    kept = [one for one in gc.get_objects() if isinstance(one, BindParameter) and len(str(one.value)) == size]
    # That of the last query, and what SQLAlchemy keeps of the first with its text.
    assert len(kept) <= 3


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
