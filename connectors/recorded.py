"""What has landed by the spool's journal: it is shown when somebody looks, and put back when a power cut took it.

What is in the journal has landed, whatever happens then. Its sender does not wait for its folder, which whoever looks
makes.
"""

import json
import logging
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from connectors.durable import PRIVATE_FOLDER, begin_new
from connectors.envelope import ENVELOPE
from connectors.journal import Full, Journal
from connectors.keys import Keys

_log = logging.getLogger(__name__)

CONTENT: Final = "content"
_LINE: Final = b"\n"


def record(envelope: bytes, key: str | None, content: bytes) -> bytes:
    """What the journal keeps of a delivery: its sealed envelope, the key under which it landed, and its bytes."""
    return _LINE.join((envelope, json.dumps(key).encode(), content))


class _Record(NamedTuple):
    """One delivery of the journal: its number, the key under which it landed, and what its folder holds."""

    number: str
    account: str
    key: str | None
    files: dict[str, bytes]


class Recorded:
    """The journal of a spool, and the ``places`` in which deliveries lie, in the order in which they move on.

    Whoever calls holds the claim under which uploads land.
    """

    def __init__(self, journal: Journal, keys: Keys, tmp: Path, *places: Path) -> None:
        self._journal = journal
        self._keys = keys
        self._tmp = tmp
        self._places = places

    def append(self, records: Sequence[bytes]) -> None:
        """Make records durable; raises OSError, after which none of them is kept."""
        try:
            self._journal.append(records)
        except Full:
            self.clear()
            self._journal.append(records)

    @property
    def has_unshown(self) -> bool:
        """Whether something has landed that has no folder yet. A shared claim is enough."""
        return next(self._journal.unshown(), None) is not None

    def show(self) -> None:
        """Make the folders of what has landed, whoever recorded it; raises OSError, and goes on there next time."""
        for told in self._journal.unshown():
            found = _read(told)
            # Who showed it before, and died before noting it, may have seen it move on.
            if not self._where(found.number):
                self._made(found).rename(self._places[0] / found.number)
        self._journal.note_shown()

    def settle(self) -> None:
        """Make what is not whole, and forget the records; raises OSError, and keeps them."""
        self.show()
        self.make()
        if any(self._journal.records()) or not self._journal.is_of_this_boot:
            self.clear()

    def make(self, *, again: bool = False) -> None:
        """Make what is not whole in its place; with ``again`` also what seems to be."""
        made = 0
        for told in self._journal.records():
            found = _read(told)
            if again or not any(_is_whole(place, found.files) for place in self._where(found.number)):
                self._put(found)
                made += 1
            if found.key is not None:
                self._keys.note(found.account, found.key, found.number)
        if made:
            _log.warning("recovered deliveries=%d", made)

    def clear(self) -> None:
        """Forget the records, once everything that they tell of is on disk; raises OSError, and keeps them."""
        self.show()
        if self._journal.is_doubtful:
            self.make(again=True)
        self._journal.clear()

    def _where(self, number: str) -> list[Path]:
        return [place / number for place in self._places if (place / number).is_dir()]

    def _made(self, found: _Record) -> Path:
        """The folder of a delivery, where nobody sees it; the system puts it on disk when it likes."""
        folder = self._tmp / secrets.token_hex(8)
        folder.mkdir(mode=PRIVATE_FOLDER)
        for name, content in found.files.items():
            os.close(begin_new(folder / name, content))
        return folder

    def _put(self, found: _Record) -> None:
        """Write a delivery's folder, and change it for what is there."""
        made, old = self._made(found), self._tmp / secrets.token_hex(8)
        where = [*self._where(found.number), self._places[0] / found.number][0]
        with suppress(FileNotFoundError):
            where.rename(old)
        made.rename(where)
        shutil.rmtree(old, ignore_errors=True)


def _read(told: bytes) -> _Record:
    envelope, key, content = told.split(_LINE, 2)
    head = json.loads(envelope)
    return _Record(head["delivery"], head["account"], json.loads(key), {CONTENT: content, ENVELOPE: envelope})


def _is_whole(folder: Path, files: dict[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False
