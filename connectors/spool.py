"""The spool: a durable folder in which every delivery waits for the pipeline.

``tmp/<upload>/content`` is being written, ``new/<delivery>/{content, envelope.json}`` has landed,
``done/<delivery>/`` is acknowledged. A file of a container lands as a delivery of its own, ``<container>-0001``;
``keys`` tells which delivery a sender's key belongs to, ``journal`` what has landed and has no folder yet, or one that
may not be on disk. A delivery appears in ``new`` by one rename, after its bytes and its envelope are durable; the
envelope's last key is the END record. The claim file ``order`` makes the order of arrival stamps equal to the order in
which deliveries land, across threads and processes: who reads the clock and then calls ``pending`` has seen every
delivery that is stamped earlier, or the container that it comes in. Needs no database.
"""

import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from connectors.durable import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    abandoned,
    claim,
    claim_or_leave,
    ensure_folder,
    sync_folder,
)
from connectors.envelope import (
    EMAIL,
    NUMBER,
    Envelope,
    arrival_in,
    asked,
    opened,
    part_number,
    stamped,
)
from connectors.journal import Journal
from connectors.keys import Keys
from connectors.landing import Landing, Place, Ticket
from connectors.recorded import CONTENT, Recorded
from connectors.stamps import Stamps, utc
from connectors.upload import Upload
from processing.errors import KeyReused, NotFound, SpoolBroken

_log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 1 << 20


class Spool:
    """A folder of deliveries: ``receive`` and ``land`` put in, ``pending`` and ``acknowledge`` take out."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self._tmp = folder / "tmp"
        self._new = folder / "new"
        self._done = folder / "done"
        self._order = folder / "order"
        self._known: dict[str, Envelope] = {}
        self._reported: set[str] = set()
        for part in (self._tmp, self._new, self._done):
            ensure_folder(part)
        self._keys = Keys(folder / "keys")
        journal = Journal(folder / "journal")
        self._recorded = Recorded(journal, self._keys, self._tmp, self._new, self._done)
        self._landing = Landing(self._order, self._new, self._keys, self._recorded, clock)
        if not journal.is_of_this_boot:
            with claim(self._order):
                self._recover()

    def receive(
        self,
        *,
        account: str,
        channel: str,
        name: str,
        event_type: int | None = None,
        again: bool = False,
        key: str | None = None,
    ) -> Upload:
        """Begin an upload; write to it, then land it.

        ``key`` is the account's own word for this request: what lands under it lands once, however often it is sent and
        whatever dies in between, for as long as the spool keeps the delivery.
        """
        draft = Envelope("", account, channel, name, datetime.min.replace(tzinfo=UTC), "", 0, event_type, again)
        return Upload(self, draft, key)

    def receive_message(self, *, account: str, name: str, event_type: int | None, trace: dict[str, str]) -> Upload:
        """Begin an e-mail message, whose attachments are the deliveries; ``trace`` is what its session told."""
        draft = Envelope("", account, EMAIL, name, datetime.min.replace(tzinfo=UTC), "", 0, event_type, trace=trace)
        return Upload(self, draft)

    def receive_part(self, container: Envelope, position: int, name: str) -> Upload | None:
        """Begin the upload of a file of a container or message, ``None`` if it has landed.

        Its number and its arrival follow from those of the container, so that however often a container is unpacked,
        by whomever, each of its files is one delivery. ``position`` counts from 1.
        """
        draft = replace(container, delivery=part_number(container.delivery, position), name=name, trace=None)
        return None if self.has(draft.delivery) else Upload(self, draft)

    def place_now(self) -> Place:
        """``place`` for an upload that does not land yet."""
        # Shared, so that a sweep of leftovers never meets an upload whose content is not claimed yet.
        with claim(self._order, shared=True):
            return self.place()

    def place(self) -> Place:
        """A new folder with an empty content, claimed; the caller holds the claim under which uploads land."""
        folder = self._tmp / secrets.token_hex(8)
        folder.mkdir(mode=PRIVATE_FOLDER)
        try:
            handle = os.open(folder / CONTENT, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        except OSError:
            folder.rmdir()
            raise
        claim_or_leave(handle)
        return Place(folder, handle)

    def land(  # noqa: PLR0913 - those of receive and of Upload.land
        self,
        content: bytes,
        *,
        account: str,
        channel: str,
        name: str,
        event_type: int | None = None,
        again: bool = False,
        key: str | None = None,
        received_at: datetime | None = None,
        proven: bool = False,
    ) -> Envelope:
        """Receive, write and land ``content`` in one call."""
        with self.receive(
            account=account, channel=channel, name=name, event_type=event_type, again=again, key=key
        ) as upload:
            upload.write(content)
            return upload.land(received_at, proven=proven)

    def ticket(
        self,
        placed: Callable[[], Place],
        held: Callable[[], bytes | None],
        draft: Envelope,
        received_at: datetime | None,
        key: str | None,
        wanted: Callable[[], bool],
    ) -> Ticket:
        """What ``reveal`` wants of an upload."""
        given = None if received_at is None else utc(received_at)

        def stamp(stamps: Stamps) -> Envelope:
            return draft if draft.delivery else stamped(draft, given or stamps.next())

        def again() -> Envelope | None:
            return self._landed_before(draft, key)

        return Ticket(placed, held, draft.account, draft.delivery, key, again, stamp, wanted)

    def reveal(self, ticket: Ticket) -> None:
        """Stamp an upload, make it durable and move it to ``new``; when it landed before, its folder stays."""
        self._landing.land(ticket)

    def reveal_soon(self, ticket: Ticket) -> None:
        """The same, in a thread of the spool."""
        self._landing.land_soon(ticket)

    def _landed_before(self, draft: Envelope, key: str | None) -> Envelope | None:
        """What has landed as the same file of a container, or under the same key; raises KeyReused."""
        number = draft.delivery or (None if key is None else self._keys.delivery_of(draft.account, key))
        if number is None:
            return None
        if self._folder(number) is None:
            self._recorded.show()
        if self._folder(number) is None:
            # A key without its delivery is what a crash before it landed leaves.
            return None
        landed = self.find(number)
        if key is not None and asked(landed) != asked(draft):
            raise KeyReused(
                f"The key {key!r} belongs to another request, delivery {number}. Give each request its own."
            )
        return landed

    def pending(self, account: str | None = None) -> list[Envelope]:
        """Deliveries that landed and are not acknowledged, oldest first; of one account if it is given."""
        with self._all_shown():
            names = _names(self._new)
        known = {name: envelope for name in names if (envelope := self._known.get(name) or self._peek(name))}
        self._known = known
        return [envelope for envelope in known.values() if account in (None, envelope.account)]

    def damaged(self) -> dict[str, datetime]:
        """Deliveries that landed and whose envelope cannot be read, with their arrival, which their name tells."""
        with self._all_shown():
            names = list(filter(NUMBER.fullmatch, _names(self._new)))
        bad = (name for name in names if name not in self._known and self._peek(name) is None)
        return {name: arrival_in(name) for name in bad if (self._new / name).exists()}

    @contextmanager
    def _all_shown(self) -> Iterator[None]:
        """A claim under which everything that has landed has its folder."""
        with claim(self._order, shared=True):
            if not self._recorded.has_unshown:
                yield
                return
        with claim(self._order):
            with self._telling_why():
                self._recorded.show()
            yield

    def _peek(self, name: str) -> Envelope | None:
        """The envelope of a listed delivery; None if it was acknowledged meanwhile, or broken (logged once)."""
        try:
            return opened(self._new / name)
        except SpoolBroken as error:
            if (self._new / name).exists() and name not in self._reported:
                self._reported.add(name)
                _log.error("broken delivery=%s reason=%s", name, error)
            return None

    def find(self, delivery: str) -> Envelope:
        """The envelope of a pending or acknowledged delivery."""
        return self._opened(delivery)[1]

    def has(self, delivery: str) -> bool:
        """Whether a delivery has landed, acknowledged or not."""
        return self._shown(delivery) is not None

    def content(self, delivery: str) -> Path:
        """The path of the bytes, whose number is checked against the END record."""
        folder, envelope = self._opened(delivery)
        path = folder / CONTENT
        size_bytes = path.stat().st_size if path.is_file() else -1
        if size_bytes != envelope.size_bytes:
            raise SpoolBroken(
                f"Delivery {delivery} has {max(size_bytes, 0)} bytes on disk and {envelope.size_bytes} by its END "
                "record. Restore its folder from a backup."
            )
        return path

    def verify(self, delivery: str) -> None:
        """Check the bytes against the digest of the END record."""
        digest = hashlib.sha256()
        with self.content(delivery).open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
        if digest.hexdigest() != self.find(delivery).sha256:
            raise SpoolBroken(
                f"The bytes of delivery {delivery} are not the ones that arrived. Restore its folder from a backup."
            )

    def acknowledge(self, delivery: str) -> None:
        """Move a delivery to ``done``. Safe to call twice."""
        folder = self._where(delivery)
        if folder.parent == self._done:
            return
        try:
            folder.rename(self._done / delivery)
        except FileNotFoundError:
            self._where(delivery)  # another worker was faster, or it is gone: then this raises
            return
        sync_folder(self._done)
        sync_folder(self._new)

    def sweep_leftovers(self) -> int:
        """Remove uploads whose process is gone; returns how many. An upload under way holds its claim."""
        swept = 0
        with claim(self._order):
            self._recover()
            for folder in self._tmp.iterdir():
                if abandoned(folder / CONTENT):
                    shutil.rmtree(folder)
                    swept += 1
        if swept:
            _log.info("swept leftovers=%d", swept)
        return swept

    def _recover(self) -> None:
        """Make again what is missing of what has landed; the caller holds the claim."""
        with self._telling_why():
            self._recorded.settle()

    @contextmanager
    def _telling_why(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or "input/output error"
            raise SpoolBroken(
                f"What the journal of the spool {self._new.parent} tells of cannot be put in its place ({reason}). "
                "Nothing of it is lost; give it room on a disk that works, and start again."
            ) from error

    def _opened(self, delivery: str) -> tuple[Path, Envelope]:
        folder = self._where(delivery)
        try:
            return folder, opened(folder)
        except SpoolBroken:
            if folder.is_dir():
                raise
        # It was acknowledged between the two looks, and moves no further.
        folder = self._where(delivery)
        return folder, opened(folder)

    def _where(self, delivery: str) -> Path:
        found = self._shown(delivery) if NUMBER.fullmatch(delivery) else None
        if found is None:
            raise NotFound(f"There is no delivery {delivery!r} in the spool.")
        return found

    def _shown(self, delivery: str) -> Path | None:
        found = self._folder(delivery)
        if found is None:
            with self._all_shown():
                found = self._folder(delivery)
        return found

    def _folder(self, delivery: str) -> Path | None:
        # In this order: deliveries only ever move from new to done.
        parts = (part / delivery for part in (self._new, self._done))
        return next((folder for folder in parts if folder.is_dir()), None)


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 - a Path for each of thousands, each time, is too much
