"""Opens the database and runs transactions on it: SQLite for one machine, PostgreSQL for many."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError

# These tables are part of the database, whoever imports them.
from processing import adjustment_tables, fetched_tables, record_tables, tables  # noqa: F401
from processing.errors import NotFound, StoreUnavailable, Unusable

HEAD: Final = "0011"
BUSY_S: Final = 60
PRAGMAS: Final = (
    # Of a new file alone. A large delivery touches most pages of the actions, and each costs as much whatever it holds.
    "page_size = 8192",
    "journal_mode = wal",
    "synchronous = full",
    "foreign_keys = on",
    f"busy_timeout = {BUSY_S * 1000}",
    "cache_size = -196608",
    "temp_store = memory",
)
# All our joins look a chunk of rows up in large tables by their keys. A hash join would read the whole table for each
# chunk: three times as long at a million actions, and worse with every million more.
LOOK_UP_BY_KEY: Final = ("enable_hashjoin=off", "enable_mergejoin=off", "jit=off")
MIGRATIONS: Final = Path(__file__).parent / "migrations"


class Store:
    """The ledger's database; ``with store.write() as db`` is one transaction that commits at the end or not at all."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One read-only view of the ledger; raises StoreUnavailable."""
        with _available(), self.engine.begin() as db:
            yield db

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; raises StoreUnavailable when the store is busy for too long."""
        with _available(), self.engine.execution_options(writes=True).begin() as db:
            yield db

    @contextmanager
    def rehearse(self) -> Iterator[Connection]:
        """One transaction that is always rolled back: the same statements, and nothing is written."""
        with _available(), self.engine.execution_options(writes=True).connect() as db, db.begin() as transaction:
            yield db
            transaction.rollback()

    def migrate(self) -> None:
        """Bring the tables to this release's shape; does nothing when they have it."""
        with self.read() as db:
            if _revision(db) == HEAD:
                return
        with self.write() as db:
            _claim_migration(db)
            _upgrade(db)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def claim_account(db: Connection, sid: str) -> int:
    """Keep every other writer off this account until the transaction ends; gives the account's row id.

    SQLite has one writer at a time anyway. Raises NotFound.
    """
    found = db.execute(
        tables.account.select().where(tables.account.c.sid == sid).with_for_update(key_share=True)
    ).one_or_none()
    if found is None:
        raise NotFound(f"There is no account {sid}; load a catalogue that has it.")
    return int(found.id)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Unusable("The store's address is not a database URL; give sqlite:///path or postgresql://…") from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        options = {"options": " ".join(f"-c {setting}" for setting in LOOK_UP_BY_KEY)}
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=options, hide_parameters=True
        )
    if backend != "sqlite":
        raise Unusable(f"The store cannot be {backend}; give sqlite:///path or postgresql://…")
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_S}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: object, _record: object) -> None:
    # The driver must not open transactions of its own: BEGIN IMMEDIATE below is the claim.
    connection.isolation_level = None  # type: ignore[attr-defined]
    for pragma in PRAGMAS:
        connection.execute(f"pragma {pragma}")  # type: ignore[attr-defined]


def _begin_sqlite(db: Connection) -> None:
    db.exec_driver_sql("begin immediate" if db.get_execution_options().get("writes") else "begin")


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise StoreUnavailable(f"The store did not answer: {error.orig}. Try again.") from error


def _revision(db: Connection) -> str | None:
    if not inspect(db).has_table("alembic_version"):
        return None
    return db.execute(text("select version_num from alembic_version")).scalar()


def _claim_migration(db: Connection) -> None:
    if db.dialect.name == "postgresql":
        db.execute(text("select pg_advisory_xact_lock(7293)"))


def _upgrade(db: Connection) -> None:
    # Alembic is slow to import and needed once per release.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = db
    command.upgrade(config, "head")
