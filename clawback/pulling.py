"""One round of a source: fetch what is new, finish it, and bring the answers back.

What was fetched is recorded after it landed and before the far side's file is moved or deleted, so that a round may die
anywhere: the next one finds the delivery that has no record yet, and lands nothing twice.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Row

from clawback import pipeline
from clawback.wiring import Desk
from connectors.durable import PRIVATE_FILE, claim_or_leave, ensure_folder
from connectors.results import FIX, RECEIPT, RESULT, safe_name
from connectors.source import Part, RemoteFile, Source, apart
from connectors.source_settings import SourceSettings
from connectors.upload import Upload
from processing import catalog, deliveries, fetched
from processing.errors import ClawbackError, SourceRefused, SourceUnreachable, StoreUnavailable, Unusable, UploadRefused
from processing.fetched import Seen

_log = logging.getLogger(__name__)

# Between the listing and the first download. Servers tell times in whole seconds: a file that is written after this
# wait has another time than the listing says, so an overwrite never goes unseen.
SETTLE_S: Final = 2.0
# Connections that may break off in one round before it is given up.
BREAKS: Final = 3
# A connection that brought so much of a file before it broke does not count, and the file goes on from there.
WORTH_BYTES: Final = 256 * 1024
_ANSWERS: Final = {"receipt": RECEIPT, "result": RESULT, "fix": FIX}


@dataclass(slots=True)
class Pulled:
    """What a round did; a file that is still growing is left for the next."""

    source: str
    fetched: list[dict[str, Any]] = field(default_factory=list)
    known: int = 0
    growing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    returned: int = 0
    error: str | None = None

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {
            "source": self.source,
            "fetched": self.fetched,
            "known": self.known,
            "growing": self.growing,
            "failed": self.failed,
            "returned": self.returned,
            "error": self.error,
        }


@dataclass(slots=True)
class _Receiving:
    """A file on its way into the spool, over as many connections as it takes."""

    upload: Upload
    part: Part = field(default_factory=Part)

    def take(self, block: bytes) -> None:
        self.upload.write(block)
        self.part.add(block)


@dataclass(slots=True)
class _Way:
    """The files that are left, the connections that broke, and what has come of the first file over the last one."""

    left: deque[RemoteFile]
    breaks: list[SourceUnreachable] = field(default_factory=list)
    receiving: _Receiving | None = None

    def resumed(self) -> _Receiving | None:
        receiving, self.receiving = self.receiving, None
        return receiving

    def close(self) -> None:
        if self.receiving is not None:
            self.receiving.upload.abort()


def pull(
    desk: Desk, settings: SourceSettings, source: Source, *, claims: Path, settle_s: float = SETTLE_S
) -> Pulled | None:
    """One round; None when another process or thread is pulling this source already.

    Raises SourceUnreachable and SourceRefused when there is no getting at the files at all, NotFound and Unusable for
    an account or event type that does not exist. One file that cannot be had does not stop the others.
    """
    with _claimed(claims, settings.name) as mine:
        if not mine:
            return None
        pulled = Pulled(settings.name)
        # What a round that was killed had received; there may be gigabytes of it.
        desk.spool.sweep_leftovers()
        try:
            _check_catalogue(desk, settings)
            _run(desk, settings, source, pulled, settle_s)
        except ClawbackError as error:
            pulled.error = str(error)
            with suppress(StoreUnavailable):
                _end(desk, pulled)
            raise
        _end(desk, pulled)
    return pulled


def _run(desk: Desk, settings: SourceSettings, source: Source, pulled: Pulled, settle_s: float) -> None:
    try:
        _fetch(desk, settings, source, pulled, settle_s)
    finally:
        # Not connected meanwhile: a large delivery takes longer than servers have patience.
        _finish(desk, settings, pulled)
    # Last of all: a server that takes no answers still gets its files fetched.
    _bring_answers(desk, settings, source, pulled)


def _check_catalogue(desk: Desk, settings: SourceSettings) -> None:
    with desk.store.read() as db:
        terms = catalog.read_terms(db, settings.account)
    if settings.event_type is not None and settings.event_type not in terms.event_types:
        raise Unusable(f"Source {settings.name}: account {settings.account} has no event type {settings.event_type}.")


def _fetch(desk: Desk, settings: SourceSettings, source: Source, pulled: Pulled, settle_s: float) -> None:
    """Fetch what is new; a file at which the connection breaks off does not keep the later ones back."""
    with source:
        way = _Way(deque(_new(desk, settings, source.waiting(), pulled)))
        if way.left:
            time.sleep(settle_s)
        _take_while_connected(desk, settings, source, pulled, way)
    with closing(way):
        while way.left and len(way.breaks) < BREAKS:
            with source:
                _take_while_connected(desk, settings, source, pulled, way)
    if way.breaks:
        raise way.breaks[0]


def _new(desk: Desk, settings: SourceSettings, files: list[RemoteFile], pulled: Pulled) -> list[RemoteFile]:
    if settings.after != "keep":
        # What is to be moved or deleted is read again: only its bytes prove that it is the one that was fetched.
        return files
    with desk.store.read() as db:
        seen = fetched.known(db, settings.name, (file.name for file in files))
    new = [file for file in files if _seen(file) not in seen]
    pulled.known = len(files) - len(new)
    return new


def _take_while_connected(
    desk: Desk,
    settings: SourceSettings,
    source: Source,
    pulled: Pulled,
    way: _Way,
) -> None:
    while way.left:
        file = way.left.popleft()
        try:
            _take(desk, settings, source, pulled, file, way)
        except (SourceRefused, SourceUnreachable, UploadRefused) as error:
            if way.receiving is not None:
                # Much of it came: on the next connection it goes on from there.
                way.left.appendleft(file)
                came = way.receiving.part.size_bytes
                _log.warning("resumes source=%s name=%r at=%d because=%r", settings.name, file.name, came, str(error))
                return
            pulled.failed[file.name] = str(error)
            _log.error("not_fetched source=%s name=%r because=%r", settings.name, file.name, str(error))
            if isinstance(error, SourceUnreachable):
                way.breaks.append(error)
                return


def _take(desk: Desk, settings: SourceSettings, source: Source, pulled: Pulled, file: RemoteFile, way: _Way) -> None:
    """Fetch one file, land it unless it has landed before, record it, and settle it on the far side."""
    sid, channel, seen = settings.account, settings.channel, _seen(file)
    if file.size_bytes > settings.max_file_bytes:
        raise SourceRefused(
            f"{file.name} has {file.size_bytes:,} bytes; source {settings.name} takes {settings.max_file_bytes:,} at "
            "most (max_file_bytes)."
        )
    receiving = way.resumed() or _Receiving(
        desk.spool.receive(account=sid, channel=channel, name=file.name, event_type=settings.event_type)
    )
    whole = _received(source, file, receiving, way)
    with receiving.upload as upload:
        if not whole:
            pulled.growing.append(file.name)
            _log.info("still_growing source=%s name=%r", settings.name, file.name)
            return
        with desk.store.read() as db:
            delivery = fetched.delivery_of(db, settings.name, seen, upload.sha256)
        if delivery is None:
            delivery = _unrecorded(desk, settings, file, upload) or upload.land().delivery
            with desk.store.write() as db:
                fetched.record(db, settings.name, seen, upload.sha256, delivery, desk.spool.clock())
            pulled.fetched.append({"name": file.name, "bytes": file.size_bytes, "delivery": delivery, "state": None})
            _log.info("fetched source=%s delivery=%s bytes=%d", settings.name, delivery, file.size_bytes)
        else:
            pulled.known += 1
    if not source.settle(file, delivery):
        pulled.growing.append(file.name)


def _received(source: Source, file: RemoteFile, receiving: _Receiving, way: _Way) -> bool:
    """Whether all of the file came; when the connection broke after much of it, that is kept for the next."""
    had_bytes, kept = receiving.part.size_bytes, False
    try:
        whole = source.fetch(file, receiving.take, receiving.part)
        kept = True
    except SourceUnreachable:
        if receiving.part.size_bytes - had_bytes >= WORTH_BYTES:
            way.receiving, kept = receiving, True
        raise
    finally:
        if not kept:
            receiving.upload.abort()
    return whole


def _unrecorded(desk: Desk, settings: SourceSettings, file: RemoteFile, upload: Upload) -> str | None:
    """The delivery that a round landed before it died."""
    # In this order: a delivery is in the spool until the store has it.
    for envelope in desk.spool.pending(settings.account):
        if (envelope.channel, envelope.name, envelope.sha256) == (settings.channel, file.name, upload.sha256):
            with desk.store.read() as db:
                if not fetched.is_recorded(db, envelope.delivery):
                    return envelope.delivery
    with desk.store.read() as db:
        return fetched.unrecorded(db, settings.account, settings.channel, file.name, upload.sha256)


def _finish(desk: Desk, settings: SourceSettings, pulled: Pulled) -> None:
    """Bring what landed to its end, also what a round landed that died."""
    heads: dict[str, dict[str, Any]] = {}
    for envelope in desk.spool.pending(settings.account):
        if envelope.channel == settings.channel:
            try:
                heads[envelope.delivery] = pipeline.ingest(desk, envelope.delivery, at=desk.spool.clock())
            except Exception:  # noqa: BLE001 - it has landed: whoever looks after the spool tries again
                _log.exception("put_off delivery=%s", envelope.delivery)
    for one in pulled.fetched:
        head = heads.get(one["delivery"]) or _head(desk, one["delivery"])
        if head is not None:
            one |= {key: head[key] for key in ("state", "rows", "message")}


def _head(desk: Desk, delivery: str) -> dict[str, Any] | None:
    """What a dispatcher that was faster made of a delivery; None while nobody has made anything."""
    with desk.store.read() as db:
        return None if deliveries.state_of(db, delivery) is None else deliveries.head(deliveries.find(db, delivery))


def _bring_answers(desk: Desk, settings: SourceSettings, source: Source, pulled: Pulled) -> None:
    """Put the answers that the source does not have yet into its result folder."""
    if not settings.result_folder:
        return
    with desk.store.read() as db:
        waiting = fetched.unreturned(db, settings.name)
    if not waiting:
        return
    with source:
        try:
            for one in waiting:
                _bring(desk, source, one)
                pulled.returned += 1
        except SourceRefused as error:
            pulled.failed["results"] = str(error)
            _log.error("not_returned source=%s because=%r", settings.name, str(error))


def _bring(desk: Desk, source: Source, one: Row[Any]) -> None:
    """Put the answers of one delivery into the result folder; doing it twice changes nothing."""
    base = safe_name(one.name)
    name = base if one.is_first else apart(base, one.delivery)
    for which, pattern in _ANSWERS.items():
        with pipeline.answer_file(desk, one.delivery, which) as answer:
            if answer is not None:
                source.put(pattern.format(name), answer)
    with desk.store.write() as db:
        fetched.returned(db, one.delivery, one.answered_at)


def _end(desk: Desk, pulled: Pulled) -> None:
    told = pulled.told() | {"fetched": len(pulled.fetched)}
    with desk.store.write() as db:
        fetched.end_round(db, pulled.source, told, desk.spool.clock())
    _log.info(
        "pulled source=%s fetched=%d known=%d growing=%d failed=%d returned=%d",
        pulled.source,
        len(pulled.fetched),
        pulled.known,
        len(pulled.growing),
        len(pulled.failed),
        pulled.returned,
    )


def _seen(file: RemoteFile) -> Seen:
    return Seen(*astuple(file))


@contextmanager
def _claimed(claims: Path, name: str) -> Iterator[bool]:
    """Whether this source is ours until the end; the claim goes with the process, however that ends."""
    ensure_folder(claims)
    handle = os.open(claims / f"{name}.claim", os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    try:
        yield claim_or_leave(handle)
    finally:
        os.close(handle)
