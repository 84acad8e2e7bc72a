"""Puts the files we answer with into ``results/`` of an account's folder, whole or not at all.

A brand may use one file name for every delivery. The first delivery of a name owns the plain result names
(``result_returns.csv``); a later one with the same name gets its delivery id in front of the extension
(``result_returns.20270115T093000000000-1a2b3c4d.csv``), so neither overwrites the other. When the brand has
deleted all plain result files of a name, the next delivery owns them. Who owns a name stands in the hidden folder
``results/.owners``; publishing the same file of the same delivery again replaces it.
"""

import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from connectors.durable import (
    PRIVATE_FILE,
    claim,
    ensure_folder,
    hidden_beside,
    replace_file,
    sweep_unfinished,
    sync_folder,
)

RESULTS: Final = "results"
RECEIPT: Final = "receipt_{}.json"
RESULT: Final = "result_{}"
FIX: Final = "fix_{}"
PATTERNS: Final = (RECEIPT, RESULT, FIX)

_OWNERS: Final = ".owners"
_UNSAFE: Final = re.compile(r'[/\\<>:"|?*]')
_SPOKEN: Final = frozenset({"L", "M", "N", "P", "S"})
# Leaves room in 255 bytes for "receipt_", a delivery id, ".json" and the longest extension we keep.
_STEM_BYTES: Final = 160
_EXTENSION_BYTES: Final = 16


def results_folder(home: Path) -> Path:
    """Where the files for the owner of the account's folder ``home`` lie."""
    return home / RESULTS


def safe_name(name: str) -> str:
    """A readable file name, made from what a brand called its file, that cannot leave a folder."""
    spoken = "".join(c if unicodedata.category(c)[0] in _SPOKEN or c == " " else "_" for c in name)
    stem, dot, extension = _UNSAFE.sub("_", spoken).strip(" .").rpartition(".")
    if not dot or len(extension.encode()) > _EXTENSION_BYTES:
        stem, dot, extension = stem + dot + extension, "", ""
    return (_cut(stem, _STEM_BYTES) + dot + extension) or "delivery"


def publish(home: Path, pattern: str, *, delivery: str, name: str, write: Callable[[BinaryIO], object]) -> str:
    """Let ``write`` make a file, put it durably into ``results/``, and return its name.

    Args:
        home: the account's folder.
        pattern: ``RECEIPT``, ``RESULT`` or ``FIX``.
        delivery: the delivery that is answered.
        name: what the brand called it.
        write: writes the content to the binary file it is given.
    """
    folder = results_folder(home)
    ensure_folder(folder / _OWNERS)
    # Held until the file is there: it is the file that keeps the next delivery from taking the name over.
    with claim(folder / _OWNERS / ".claim"):
        sweep_unfinished(folder)
        path = folder / pattern.format(_own_name(folder, delivery, safe_name(name)))
        _write_whole(path, write)
    return path.name


def _own_name(folder: Path, delivery: str, base: str) -> str:
    owner = folder / _OWNERS / base
    owned_by = owner.read_text("utf-8") if owner.exists() else ""
    if owned_by == delivery:
        return base
    if owned_by and any((folder / pattern.format(base)).exists() for pattern in PATTERNS):
        stem, dot, extension = base.rpartition(".")
        return f"{stem}.{delivery}.{extension}" if dot else f"{base}.{delivery}"
    replace_file(owner, delivery.encode())
    return base


def _write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    hidden = hidden_beside(path)
    handle = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _cut(text: str, size_bytes: int) -> str:
    return text.encode()[:size_bytes].decode("utf-8", "ignore")
