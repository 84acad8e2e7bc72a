"""One round of a source: bring answers back, fetch what is new, finish it, bring its answers back too.

What was fetched is recorded after it landed and before the far side's file is moved or deleted, so that a round may die
anywhere: the next one finds the delivery that has no record yet, and lands nothing twice.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Final

from clawback import pipeline
from clawback.wiring import Desk
from connectors.durable import PRIVATE_FILE, claim_or_leave, ensure_folder
from connectors.results import FIX, RECEIPT, RESULT, safe_name
from connectors.source import RemoteFile, Source, apart
from connectors.source_settings import SourceSettings
from connectors.spool import Upload
from processing import catalog, deliveries, fetched
from processing.errors import ClawbackError, SourceRefused, StoreUnavailable, Unusable, UploadRefused
from processing.fetched import Seen

_log = logging.getLogger(__name__)

# Between the listing and the first download. Servers tell times in whole seconds: a file that is written after this
# wait has another time than the listing says, so an overwrite never goes unseen.
SETTLE_S: Final = 2.0
_ANSWERS: Final = {"receipt": RECEIPT, "result": RESULT, "fix": FIX}
GROWING: Final = "still growing"


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
    with source:
        _bring_answers(desk, settings, source, pulled)
        _fetch(desk, settings, source, pulled, settle_s)
    # Not connected meanwhile: a large delivery takes longer than servers have patience.
    if _finish(desk, settings, pulled) and settings.result_folder:
        with source:
            _bring_answers(desk, settings, source, pulled)


def _check_catalogue(desk: Desk, settings: SourceSettings) -> None:
    with desk.store.read() as db:
        terms = catalog.read_terms(db, settings.account)
    if settings.event_type is not None and settings.event_type not in terms.event_types:
        raise Unusable(f"Source {settings.name}: account {settings.account} has no event type {settings.event_type}.")


def _fetch(desk: Desk, settings: SourceSettings, source: Source, pulled: Pulled, settle_s: float) -> None:
    files = source.waiting()
    new = files
    if settings.after == "keep":
        with desk.store.read() as db:
            seen = fetched.known(db, settings.name, (file.name for file in files))
        new = [file for file in files if _seen(file) not in seen]
        pulled.known = len(files) - len(new)
    # What is to be moved or deleted is always read again: only its bytes prove that it is the one that was fetched.
    if new:
        time.sleep(settle_s)
    for file in new:
        try:
            _take(desk, settings, source, pulled, file)
        except (SourceRefused, UploadRefused) as error:
            pulled.failed[file.name] = str(error)
            _log.error("not_fetched source=%s name=%r because=%r", settings.name, file.name, str(error))


def _take(desk: Desk, settings: SourceSettings, source: Source, pulled: Pulled, file: RemoteFile) -> None:
    """Fetch one file, land it unless it has landed before, record it, and settle it on the far side."""
    sid, channel, seen = settings.account, settings.channel, _seen(file)
    if file.size_bytes > settings.max_file_bytes:
        raise SourceRefused(
            f"{file.name} has {file.size_bytes:,} bytes; source {settings.name} takes {settings.max_file_bytes:,} at "
            "most (max_file_bytes)."
        )
    with desk.spool.receive(account=sid, channel=channel, name=file.name, event_type=settings.event_type) as upload:
        if not source.fetch(file, upload.write):
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


def _finish(desk: Desk, settings: SourceSettings, pulled: Pulled) -> int:
    """Bring what landed to its end, also what a round landed that died; gives how many deliveries came to theirs."""
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
    return len(heads) + sum(one["state"] is not None for one in pulled.fetched)


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
    for one in waiting:
        base = safe_name(one.name)
        name = base if one.is_first else apart(base, one.delivery)
        try:
            for which, pattern in _ANSWERS.items():
                with pipeline.answer_file(desk, one.delivery, which) as answer:
                    if answer is not None:
                        source.put(pattern.format(name), answer)
        except SourceRefused as error:
            pulled.failed["results"] = str(error)
            _log.error("not_returned source=%s delivery=%s because=%r", settings.name, one.delivery, str(error))
            return
        with desk.store.write() as db:
            fetched.returned(db, one.delivery, one.answered_at)
        pulled.returned += 1


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
