"""Moves whole columns between Arrow tables and the database: COPY on PostgreSQL, executemany on SQLite."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from sqlalchemy import CompoundSelect, Connection, Select, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

# Below this the planner's default guess about a table does no harm.
WORTH_ANALYZING: Final = 1_000


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


def insert(db: Connection, table: Table, frame: pa.Table) -> None:
    """Add the frame's rows to the table; a row that breaks a unique key raises IntegrityError."""
    if frame.num_rows == 0:
        return
    if _is_postgresql(db):
        with _copy(db, f"copy {table.name} ({_names(frame)}) from stdin (format csv)") as copy:
            copy.write(_csv(frame))
        return
    marks = ", ".join("?" * frame.num_columns)
    rows = list(zip(*(column.to_pylist() for column in frame.columns), strict=True))
    db.exec_driver_sql(f"insert into {table.name} ({_names(frame)}) values ({marks})", rows)  # noqa: S608 - our names


def fetch(db: Connection, query: Select[Any] | CompoundSelect[Any], schema: pa.Schema) -> pa.Table:
    """Rows of a query as an Arrow table of the given schema, whose fields stand in the query's order."""
    if _is_postgresql(db):
        return _fetch_postgresql(db, query, schema)
    rows = db.execute(query).cursor.fetchall()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _fetch_postgresql(db: Connection, query: Select[Any] | CompoundSelect[Any], schema: pa.Schema) -> pa.Table:
    compiled = query.compile(db.engine, compile_kwargs={"literal_binds": True})
    sink = io.BytesIO()
    with _copy(db, f"copy ({compiled}) to stdout (format csv)") as copy:
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


def _names(frame: pa.Table) -> str:
    return ", ".join(frame.column_names)


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
