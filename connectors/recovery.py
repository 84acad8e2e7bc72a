"""Makes again what a power cut took of the deliveries that the spool's journal tells of."""

import json
import secrets
import shutil
from pathlib import Path
from typing import Final

from connectors.durable import PRIVATE_FOLDER, write_new
from connectors.envelope import ENVELOPE
from connectors.journal import Journal
from connectors.keys import Keys

CONTENT: Final = "content"
_LINE: Final = b"\n"


def record(envelope: bytes, key: str | None, content: bytes) -> bytes:
    """What the journal keeps of a delivery: its sealed envelope, the key under which it landed, and its bytes."""
    return _LINE.join((envelope, json.dumps(key).encode(), content))


def recover(journal: Journal, keys: Keys, tmp: Path, *places: Path) -> int:
    """Put every delivery of the journal into the first of ``places`` that is whole in none; gives how many.

    The caller holds the claim under which uploads land. One that was acknowledged already is acknowledged again.
    """
    made = 0
    for told in journal.records():
        envelope, key, content = told.split(_LINE, 2)
        named = json.loads(envelope)
        files = {CONTENT: content, ENVELOPE: envelope}
        # In their order: deliveries only ever move on.
        if not any(_is_whole(place / named["delivery"], files) for place in places):
            _make(tmp, [place / named["delivery"] for place in places], files)
            made += 1
        if (given := json.loads(key)) is not None:
            keys.note(named["account"], given, named["delivery"])
    journal.clear()
    return made


def unseen(journal: Journal, *places: Path) -> bool:
    """Whether the journal tells of a delivery that is in none of ``places``."""
    numbers = (json.loads(told.partition(_LINE)[0])["delivery"] for told in journal.records())
    return not all(any((place / number).is_dir() for place in places) for number in numbers)


def _is_whole(folder: Path, files: dict[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except FileNotFoundError:
        return False


def _make(tmp: Path, places: list[Path], files: dict[str, bytes]) -> None:
    made = tmp / secrets.token_hex(8)
    made.mkdir(mode=PRIVATE_FOLDER)
    for name, content in files.items():
        write_new(made / name, content)
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
    made.rename(places[0])
