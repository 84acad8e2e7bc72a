"""Unpacks containers: each file of a gz or zip is a delivery of its own, with the container as its envelope."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection

from clawback.judging import Case
from clawback.sidecars import compare, consume
from clawback.wiring import Desk
from connectors.envelope import Envelope, part_number
from processing import catalog, deliveries
from processing.deliveries import DeliveryState
from schemas.chunk import quoted
from schemas.containers import Container, open_container

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of a container: the name and delivery of each file, and the names of what was left out."""

    files: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]

    def told(self) -> dict[str, Any]:
        """As a receipt tells it."""
        return {
            "files": [{"name": name, "delivery": delivery} for name, delivery in self.files],
            "ignored": list(self.ignored),
        }

    @property
    def message(self) -> str:
        """What came of it, as a sentence."""
        count = len(self.files)
        told = "1 file, which is" if count == 1 else f"{count} files, each of which is"
        text = f"The container has {told} a delivery of its own with its own receipt."
        if self.ignored:
            names = ", ".join(map(quoted, self.ignored[:_SHOWN]))
            more = f" and {len(self.ignored) - _SHOWN} more" if len(self.ignored) > _SHOWN else ""
            text += f" Left out, being no delivery: {names}{more}."
        return text


def unpack(desk: Desk, envelope: Envelope) -> Unpacked | None:
    """Land each file of a container in the spool, ``None`` if the delivery is none.

    Doing it twice lands nothing twice: numbers and arrivals of the files follow from the container's. Raises Unreadable
    before the first has landed, also when a sidecar says another digest.
    """
    content = desk.spool.content(envelope.delivery)
    container = None if envelope.in_container else open_container(content, envelope.name, desk.most_bytes)
    if container is None:
        return None
    with desk.store.read() as db:
        # Before anything of it lands: behind that, its files go their own way.
        account_id = catalog.read_terms(db, envelope.account).account_id
        announced = compare(db, account_id, envelope)
    for file in container.files:
        upload = desk.spool.receive_part(envelope, file.position, file.name)
        if upload is not None:
            with upload:
                for block in container.read(file):
                    upload.write(block)
                upload.land(proven=container.proven or envelope.proven or announced is not None)
    return unpacked(container, envelope.delivery)


def unpacked(container: Container, number: str) -> Unpacked:
    """What comes out of a container that is the delivery of this number."""
    files = tuple((file.name, part_number(number, file.position)) for file in container.files)
    return Unpacked(files, container.ignored)


def rehearse(container: Container, case: Case, out: IO[bytes], content: Path, *, announced: bool) -> Iterator[Case]:
    """The files of a container as deliveries that do not land, one after the other in ``out``, read at ``content``.

    ``announced``: a sidecar has the container's digest.
    """
    for file in container.files:
        digest, size_bytes = hashlib.sha256(), 0
        out.seek(0)
        out.truncate()
        for block in container.read(file):
            digest.update(block)
            size_bytes += out.write(block)
        out.flush()
        arrival = replace(
            case.arrival,
            delivery=part_number(case.arrival.delivery, file.position),
            name=file.name,
            sha256=digest.hexdigest(),
            size_bytes=size_bytes,
            proven=container.proven or case.arrival.proven or announced,
        )
        yield replace(case, arrival=arrival, content=content)


def close_container(db: Connection, case: Case, came: Unpacked, *, at: datetime) -> bool:
    """Register a container whose files have landed; it has no lines of its own. Whether a sidecar proves it."""
    number, _ = deliveries.register(db, case.terms.account_id, case.arrival)
    announced = consume(db, case.terms.account_id, case.arrival, at=at)
    deliveries.finish(db, number, DeliveryState.UNPACKED, at=at, summary=came.told(), message=came.message)
    return announced
