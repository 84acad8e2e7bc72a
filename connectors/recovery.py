"""Keeps what the spool's journal tells of in its place: what is in the journal has landed, whatever happens then.

A power cut takes folders that were not written yet, or what they hold; a process may die before it shows an upload.
"""

import json
import logging
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

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


class Recovery:
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

    def keep(self, records: Sequence[bytes]) -> None:
        """Keep only these of the records that were appended last."""
        self._journal.keep(records)

    def look(self) -> None:
        """Show what a process has made durable and did not show before it died.

        It did if it shows the last of what it appended. To be called before anything else lands, which would overtake
        it.
        """
        told = self._journal.news()
        if told is not None and not self._where(_number(told)):
            self.make()

    def settle(self) -> None:
        """Make what is not whole, and forget the records; raises OSError, and keeps them."""
        self.make()
        if any(self._journal.records()) or not self._journal.is_of_this_boot:
            self.clear()

    def make(self, *, again: bool = False) -> None:
        """Make what is not whole in its place; with ``again`` also what seems to be."""
        made = 0
        for told in self._journal.records():
            envelope, key, content = told.split(_LINE, 2)
            number, files = _number(told), {CONTENT: content, ENVELOPE: envelope}
            if again or not any(_is_whole(place, files) for place in self._where(number)):
                self._put(number, files)
                made += 1
            if (given := json.loads(key)) is not None:
                self._keys.note(json.loads(envelope)["account"], given, number)
        if made:
            _log.warning("recovered deliveries=%d", made)

    def clear(self) -> None:
        """Forget the records, once everything that they tell of is on disk; raises OSError, and keeps them."""
        if self._journal.is_doubtful:
            self.make(again=True)
        self._journal.clear()

    def _where(self, number: str) -> list[Path]:
        return [place / number for place in self._places if (place / number).is_dir()]

    def _put(self, number: str, files: dict[str, bytes]) -> None:
        """Write a delivery's folder, and change it for what is there."""
        made, old = self._tmp / secrets.token_hex(8), self._tmp / secrets.token_hex(8)
        made.mkdir(mode=PRIVATE_FOLDER)
        for name, content in files.items():
            os.close(begin_new(made / name, content))
        where = [*self._where(number), self._places[0] / number][0]
        with suppress(FileNotFoundError):
            where.rename(old)
        made.rename(where)
        shutil.rmtree(old, ignore_errors=True)


def _number(told: bytes) -> str:
    return str(json.loads(told.partition(_LINE)[0])["delivery"])


def _is_whole(folder: Path, files: dict[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False
