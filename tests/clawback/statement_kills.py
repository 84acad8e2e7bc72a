"""A process that does one act and kills itself between two given effects of it.

An effect is a statement, a commit, or what changes the files of the installation. The moment after one is the moment
before the next: nothing else of a process outlives it.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, event, select

from clawback import deciding, pipeline, revising, sweep
from clawback.settings import Settings
from clawback.wiring import Desk, open_desk
from processing import bulk, deliveries, waiting
from processing.errors import Unusable
from processing.tables import delivery

# Audit events of the interpreter, which come before the effect.
CHANGES_FILES: Final = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}


def ingest(desk: Desk, at: datetime) -> None:
    """Apply what waits in the spool, and judge the lines that wait for their actions."""
    pipeline.collect(desk, at=at)


def release(desk: Desk, at: datetime) -> None:
    """Release what is held, be it lines alone, unless it was released before; then only its answer may be missing."""
    for number in _held(desk):
        try:
            deciding.release(desk, number, by="dana", at=at)
        except Unusable:
            continue
    pipeline.collect(desk, at=at)


def lock(desk: Desk, at: datetime) -> None:
    """Lock what is due, after what arrived in time."""
    sweep.lock_due(desk, as_of=at, at=at)


def undo(desk: Desk, at: datetime) -> None:
    """Undo what was applied, unless it was undone before; then only an answer may be missing."""
    with desk.store.read() as db:
        mine = select(delivery.c.delivery).where(delivery.c.channel != deliveries.UNDO, delivery.c.undone_by.is_(None))
        applied = db.execute(mine).scalars().all()
    for number in applied:
        revising.undo(desk, number, by="dana", reason=None, at=at)
    pipeline.collect(desk, at=at)


def replay(desk: Desk, at: datetime) -> None:
    """Replay what was applied, unless it was replayed before; then only its answer may be missing."""
    with desk.store.read() as db:
        first = [one["delivery"] for one in deliveries.listing(db) if not one["revisions"]]
    for number in first:
        revising.replay(desk, number, at=at)
    pipeline.collect(desk, at=at)


ACTS: Final[dict[str, Callable[[Desk, datetime], None]]] = {
    "ingest": ingest,
    "hold_lines": ingest,
    "release": release,
    "release_lines": release,
    "lock": lock,
    "undo": undo,
    "replay": replay,
}


def act(name: str, settings: Settings, at: datetime) -> None:
    """Do an act on an installation."""
    with open_desk(settings, lambda: at) as desk:
        ACTS[name](desk, at)


def act_and_die(name: str, settings: Settings, at: datetime, effects: int) -> None:
    """Do an act, and die when so many effects have passed."""
    with open_desk(settings, lambda: at) as desk:
        _arm(desk.store.engine, settings.state, effects)
        ACTS[name](desk, at)


def _held(desk: Desk) -> list[str]:
    with desk.store.read() as db:
        holding = waiting.ready(db, "IRacme1", with_held=True)
        return [one.delivery for one in (*deliveries.unfinished(db, "IRacme1"), *holding)]


def _arm(engine: Engine, state: Path, effects: int) -> None:
    left = effects

    def tick(*_: Any) -> None:  # noqa: ANN401 - each event has arguments of its own
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def seen(name: str, given: tuple[Any, ...]) -> None:
        changes = name in CHANGES_FILES or (name == "open" and given[2] & (os.O_WRONLY | os.O_RDWR))
        if changes and str(given[0]).startswith(str(state)):
            tick()

    event.listen(engine, "before_cursor_execute", tick)
    event.listen(engine, "commit", tick)
    sys.addaudithook(seen)
    # COPY goes past the engine's events.
    copy = bulk._copy  # noqa: SLF001

    def copied(db: Any, statement: str) -> Any:  # noqa: ANN401 - the same context manager
        tick()
        return copy(db, statement)

    bulk._copy = copied  # noqa: SLF001
