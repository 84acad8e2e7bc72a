"""Moves whole columns between Arrow tables and the database: COPY on PostgreSQL, executemany on SQLite."""

import gc
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from sqlalchemy import BigInteger, CompoundSelect, Connection, Select, Subquery, Table, func, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from processing.columns import NONE, Ints, Objects

Kind = type[int] | type[str]
"""What a column of a query holds."""

# Below this the planner's default guess about a table does no harm.
WORTH_ANALYZING: Final = 1_000
# Queries refer to themselves, so the lists of former ones stay until the collector runs. It counts objects, and columns
# are few of them: on its own it would come once in a hundred chunks.
WORTH_COLLECTING: Final = 10_000


def frame(columns: Mapping[str, Any]) -> pa.Table:
    """An Arrow table of numpy or Arrow columns; columns of Python objects become texts."""
    return pa.table(
        {
            name: pa.array(column, pa.string()) if getattr(column, "dtype", None) == np.object_ else pa.array(column)
            for name, column in columns.items()
        }
    )


def stage(db: Connection, table: Table, frame: pa.Table) -> None:
    """Put the frame into an emptied temporary table; the frame's columns carry the table's names."""
    db.execute(CreateTable(table, if_not_exists=True))
    # Deleted rows of a transaction still fill the table until it ends; a truncated one is empty.
    db.execute(text(f"truncate {table.name}") if _is_postgresql(db) else table.delete())
    insert(db, table, frame)


def know_sizes(db: Connection, table: Table, added: int) -> None:
    """Let PostgreSQL's planner see what was added to a table before it is joined."""
    if added >= WORTH_ANALYZING and _is_postgresql(db):
        db.execute(text(f"analyze {table.name}"))


def insert(db: Connection, table: Table, rows: pa.Table | Mapping[str, Any]) -> None:
    """Add rows, a frame or the columns of one, to the table; one that breaks a unique key raises IntegrityError."""
    columns = dict(zip(rows.column_names, rows.columns, strict=True)) if isinstance(rows, pa.Table) else rows
    if not all(map(len, columns.values())):
        return
    if _is_postgresql(db):
        with _copy(db, f"copy {table.name} ({', '.join(columns)}) from stdin (format csv)") as copy:
            copy.write(_csv(rows if isinstance(rows, pa.Table) else frame(rows)))
        return
    # What is in numpy stays out of Arrow, which would make every object anew.
    cells = {name: one.tolist() if isinstance(one, np.ndarray) else one.to_pylist() for name, one in columns.items()}
    # The driver takes longer for a NULL than for anything else.
    cells = {name: one for name, one in cells.items() if not table.c[name].nullable or one.count(None) < len(one)}
    names, marks = ", ".join(cells), ", ".join("?" * len(cells))
    statement = f"insert into {table.name} ({names}) values ({marks})"  # noqa: S608 - our names
    db.exec_driver_sql(statement, list(zip(*cells.values(), strict=True)))


def listed(db: Connection, cells: Sequence[str] | Sequence[int]) -> Subquery:
    """Texts or integers as rows of a query, carried in one parameter: columns position (from 0) and value.

    A planner knows nothing of their number; outer joins keep it from looking them up by the rows of a large table.
    """
    if len(cells) >= WORTH_COLLECTING:
        gc.collect(1)
    document = literal(json.dumps(cells))
    if _is_postgresql(db):
        rows = func.jsonb_array_elements_text(document.cast(JSONB))
        each = rows.table_valued("value", with_ordinality="place").render_derived()
        value = each.c.value.cast(BigInteger) if cells and isinstance(cells[0], int) else each.c.value
        return select((each.c.place - 1).label("position"), value.label("value")).subquery("listed")
    each = func.json_each(document).table_valued("key", "value")
    return select(each.c.key.label("position"), each.c.value).subquery("listed")


def fetch(db: Connection, query: Select[Any] | CompoundSelect[Any], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Rows of a query as columns: Ints (``NONE`` for NULL) or Objects (None); ``kinds`` in the query's order."""
    if _is_postgresql(db):
        found = _fetch_postgresql(db, query, pa.schema([(name, _ARROW[kind]) for name, kind in kinds.items()]))
        return {name: _ARROW_READERS[kind](found[name]) for name, kind in kinds.items()}
    columns = list(zip(*db.execute(query).cursor.fetchall(), strict=True)) or [()] * len(kinds)
    return {name: _READERS[kind](cells) for (name, kind), cells in zip(kinds.items(), columns, strict=True)}


def _ints(cells: Sequence[int | None]) -> Ints:
    try:
        return np.array(cells, dtype=np.int64)
    except TypeError:
        return np.array([NONE if one is None else one for one in cells], dtype=np.int64)


def _texts(cells: Sequence[str | None]) -> Objects:
    return np.array(cells, dtype=np.object_)


def _arrow_ints(column: Any) -> Ints:  # noqa: ANN401 - Arrow's types of a nullable column say nothing
    ints: Ints = column.fill_null(NONE).to_numpy().copy()
    return ints


def _arrow_texts(column: Any) -> Objects:  # noqa: ANN401 - the same
    return np.array(column.to_numpy(), dtype=np.object_)


_ARROW: Final[dict[Kind, pa.DataType]] = {int: pa.int64(), str: pa.string()}
_ARROW_READERS: Final[dict[Kind, Callable[[Any], Any]]] = {int: _arrow_ints, str: _arrow_texts}
_READERS: Final[dict[Kind, Callable[[Any], Any]]] = {int: _ints, str: _texts}


def _fetch_postgresql(db: Connection, query: Select[Any] | CompoundSelect[Any], schema: pa.Schema) -> pa.Table:
    compiled = query.compile(db.engine, compile_kwargs={"literal_binds": True})
    # The driver, asked for parameters, would read the doubled percent signs of a compiled text as single ones.
    statement = str(compiled).replace("%%", "%")
    sink = io.BytesIO()
    with _copy(db, f"copy ({statement}) to stdout (format csv)") as copy:
        for block in copy:
            sink.write(block)
    if sink.tell() == 0:
        return schema.empty_table()
    sink.seek(0)
    # COPY writes NULL as nothing and an empty text as a pair of quotes.
    return pa_csv.read_csv(
        sink,
        read_options=pa_csv.ReadOptions(column_names=schema.names),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def _csv(frame: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(frame, sink, pa_csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    return memoryview(sink.getvalue())


@contextmanager
def _copy(db: Connection, statement: str) -> Iterator[Any]:
    """The driver's own COPY; what it raises is what SQLAlchemy raises for any other statement."""
    driver = db.dialect.dbapi
    assert driver is not None  # noqa: S101 - a connection has a driver
    cursor: Any = db.connection.cursor()
    try:
        with cursor, cursor.copy(statement) as copy:
            yield copy
    except driver.Error as error:
        raise DBAPIError.instance(statement, None, error, driver.Error, dialect=db.dialect) from error


def _is_postgresql(db: Connection) -> bool:
    return db.dialect.name == "postgresql"
