"""Finds the held deliveries that a longer one begins with, and what the longer one makes of them."""

import hashlib
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row

from processing import deliveries, proofs
from processing.codes import Code
from processing.deliveries import Arrival, DeliveryState
from schemas.csv_lines import CsvHead
from schemas.document import Document

_BLOCK_BYTES: Final = 1024 * 1024
_MOST_ADDED_BYTES: Final = 64 * 1024


def begun_with(db: Connection, account_id: int, arrival: Arrival, content: Path) -> list[Row[Any]]:
    """The deliveries held as they may have been cut off with whose bytes a longer one begins, in order of arrival."""
    held = proofs.maybe_incomplete(db, account_id, arrival.received_at)
    shorter = sorted((one for one in held if one.size_bytes < arrival.size_bytes), key=attrgetter("size_bytes"))
    if not shorter:
        return []
    found, digest, read = [], hashlib.sha256(), 0
    with content.open("rb") as file:
        for one in shorter:
            while read < one.size_bytes:
                block = file.read(min(_BLOCK_BYTES, one.size_bytes - read))
                digest.update(block)
                read += len(block)
            if digest.hexdigest() == one.sha256:
                found.append(one)
    return sorted(found, key=attrgetter("received_at", "id"))


def adds_no_line(document: Document, beginning: Row[Any]) -> bool:
    """Whether a file goes on behind its beginning with nothing but line breaks and a trailer.

    Raises Unreadable when the trailer does not fit.
    """
    if document.path.stat().st_size - beginning.size_bytes > _MOST_ADDED_BYTES:
        return False
    with document.path.open("rb") as file:
        file.seek(beginning.size_bytes)
        added = file.read().decode(document.encoding.name, "replace").strip("\r\n")
    if not added:
        return True
    trailer = document.head.trailer if isinstance(document.head, CsvHead) else None
    if trailer is None or added != trailer.text:
        return False
    for _ in document.chunks():
        # Whoever reads to the end compares the trailer.
        pass
    return True


def replace(db: Connection, beginning: Row[Any], by: str, at: datetime) -> None:
    """Give up a delivery that was cut off, as the one of number ``by`` goes on."""
    message = Code.REPLACED.message(value=by)
    deliveries.finish(db, beginning.id, DeliveryState.REJECTED, at=at, code=Code.REPLACED, message=message)
