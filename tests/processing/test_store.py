import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from clawback.wiring import Desk
from processing import tables
from processing.errors import NotFound, StoreUnavailable, Unusable
from processing.store import HEAD, MIGRATIONS, PRAGMAS, Store, claim_account
from tests.worlds import OTHER_SID, SID, dump, load

COUNT = text("select count(*) from account")


@pytest.fixture
def store(bare_store_url: str) -> Iterator[Store]:
    """A database without tables."""
    with closing(Store(bare_store_url)) as opened:
        yield opened


def add(db: Connection, sid: str) -> None:
    """Write something."""
    db.execute(tables.account.insert().values(sid=sid, name=sid, timezone="UTC", currency="USD"))


def add_twice(store: Store, sid: str) -> None:
    """Fail after writing something."""
    with store.write() as db:
        add(db, sid)
        add(db, sid)


def test_the_migrations_make_the_tables_that_the_code_expects(store: Store) -> None:
    """Alembic finds nothing to add, remove or change, on either store."""
    store.migrate()
    with store.read() as db:
        assert compare_metadata(MigrationContext.configure(db, opts={"compare_type": True}), tables.metadata) == []


def test_migrating_again_changes_nothing(store: Store) -> None:
    """The tables stay, with what is in them."""
    store.migrate()
    with store.write() as db:
        add(db, "A")
    before = dump(store)
    store.migrate()
    assert dump(store) == before
    assert before["alembic_version"] == [(HEAD,)]


def test_two_that_start_at_once_migrate_once(store: Store) -> None:
    """One waits for the other, and finds the tables there."""
    failures: list[BaseException] = []

    def start() -> None:
        try:
            store.migrate()
        except Exception as error:  # noqa: BLE001 - told by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.read() as db:
        assert db.execute(COUNT).scalar() == 0


def test_the_head_is_the_newest_migration() -> None:
    """The store's idea of the newest revision is Alembic's."""
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == HEAD


def test_a_transaction_is_whole_or_nothing(store: Store) -> None:
    """Written at the end, not at all after an exception, and never by a rehearsal."""
    store.migrate()
    with store.write() as db:
        add(db, "A")
    with pytest.raises(IntegrityError):
        add_twice(store, "B")
    with store.rehearse() as db:
        add(db, "C")
        assert db.execute(COUNT).scalar() == 2
    with store.read() as db:
        assert db.execute(text("select sid from account")).scalars().all() == ["A"]


def test_sqlite_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """Each connection writes ahead, syncs fully and minds foreign keys."""
    with closing(Store(f"sqlite:///{tmp_path / 'new' / 'folder' / 'clawback.db'}")) as store, store.read() as db:
        found = {name: db.exec_driver_sql(f"pragma {name}").scalar() for name in ("journal_mode", "synchronous")}
        found["foreign_keys"] = db.exec_driver_sql("pragma foreign_keys").scalar()
        found["busy_timeout"] = db.exec_driver_sql("pragma busy_timeout").scalar()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 60_000}
    assert "busy_timeout = 60000" in PRAGMAS


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", "not a database URL; give sqlite:///path or postgresql://"),
        ("mysql://localhost/clawback", "cannot be mysql; give sqlite:///path or postgresql://"),
    ],
)
def test_an_address_that_is_none_is_told(url: str, words: str) -> None:
    """Without showing it, for it may hold a password."""
    with pytest.raises(Unusable, match=words) as caught:
        Store(url)
    assert "localhost" not in str(caught.value)


def test_a_server_that_does_not_answer_is_worth_another_try() -> None:
    """Nobody listens on port 1."""
    with (
        closing(Store("postgresql://127.0.0.1:1/clawback")) as store,
        pytest.raises(StoreUnavailable, match="Try again") as caught,
        store.read(),
    ):
        pass
    assert caught.value.retryable


def test_a_store_in_memory_needs_no_folder() -> None:
    """An address without a path makes none."""
    with closing(Store("sqlite://")) as store, store.read() as db:
        assert db.execute(text("select 1")).scalar() == 1


def test_a_claim_keeps_other_writers_of_the_account_away(desk: Desk, tmp_path: Path) -> None:
    """The second claims when the first has ended, and sees what it wrote."""
    load(desk, tmp_path)
    entered, seen = threading.Event(), list[str]()

    def second() -> None:
        entered.wait()
        with desk.store.write() as db:
            claim_account(db, SID)
            seen.append(str(db.execute(text("select name from account where sid = 'IRacme1'")).scalar()))

    thread = threading.Thread(target=second)
    thread.start()
    with desk.store.write() as db:
        claim_account(db, SID)
        entered.set()
        thread.join(0.2)
        assert (thread.is_alive(), seen) == (True, [])
        db.execute(tables.account.update().where(tables.account.c.sid == SID).values(name="New"))
    thread.join()
    assert seen == ["New"]


def test_an_account_of_nobody_cannot_be_claimed(desk: Desk, tmp_path: Path) -> None:
    """The two that are there can."""
    load(desk, tmp_path)
    with desk.store.write() as db:
        assert claim_account(db, SID) != claim_account(db, OTHER_SID)
        with pytest.raises(NotFound, match="There is no account IRnobody; load a catalogue that has it"):
            claim_account(db, "IRnobody")
