"""Makes uploads that land at the same moment visible together: one claim, and one wait for the disk, for all of them.

Whoever lands first leads for those that come meanwhile; they wait until the leader is done, or lead next. All of them
are durable before any of them is seen, what is short in the journal and the rest in its folder; one that fails fails
alone. What is in the journal has landed, and whoever looks makes its folder.
"""

import logging
import os
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from connectors.durable import begin_new, begin_sync, claim, sync_folder
from connectors.envelope import ENVELOPE, Envelope, sealed
from connectors.journal import FRAME_BYTES, ROOM_BYTES
from connectors.keys import Keys
from connectors.recorded import Recorded, record
from connectors.stamps import Stamps

_log = logging.getLogger(__name__)

# How many uploads are put on disk at a time.
_SYNCING: Final = 4
# How many land at a time, and what each may take of the journal.
_MOST_TOGETHER: Final = 128
_MOST_BYTES: Final = ROOM_BYTES // _MOST_TOGETHER - FRAME_BYTES


class Unsure(Exception):
    """The sender stirred before its upload was seen; the upload is as it was, and may land again or be dropped."""


def always() -> bool:
    """Of a sender that cannot change its mind."""
    return True


def nothing() -> None:
    """Of a sender that waits."""


class Place(NamedTuple):
    """Where an upload's bytes lie: its folder, and the descriptor of the content in it."""

    folder: Path
    handle: int


@dataclass(slots=True)
class Ticket:
    """An upload that wants to land.

    ``placed``: where its bytes lie; it writes them there if they are still in memory. ``held``: gives them if they are.
    ``again``: gives what has landed as the same before, or raises. ``stamp``: the envelope with its number and arrival.
    ``wanted``: asked when everything is on disk and nobody sees it yet; if not, it does not land.
    """

    placed: Callable[[], Place]
    held: Callable[[], bytes | None]
    account: str
    number: str
    key: str | None
    again: Callable[[], Envelope | None]
    stamp: Callable[[Stamps], Envelope]
    wanted: Callable[[], bool] = always
    # Called when it is over, in the thread that led.
    then: Callable[[], None] = nothing
    envelope: Envelope | None = None
    sealed: bytes = b""
    error: BaseException | None = None
    landed_before: bool = False
    # In the journal: whatever happens now, it has landed.
    is_recorded: bool = False
    # Not before all of it is over: the sender that sees this goes on at once.
    is_done: bool = False

    @property
    def same(self) -> Hashable:
        """What two uploads have in common that are one: the place in a container, or the key."""
        if self.number:
            return self.number
        return id(self) if self.key is None else (self.account, self.key)

    def fail(self, error: BaseException) -> None:
        """It did not land; each has an error of its own, as one that is raised in several threads mixes tracebacks."""
        self.error, self.envelope = _own(error), None

    def result(self) -> Envelope:
        """The delivery that it became, or the one that it was before; raises what kept it from landing."""
        if self.error is not None:
            raise self.error
        assert self.envelope is not None  # noqa: S101 - somebody led for it
        return self.envelope


class Landing:
    """Where uploads land: ``new`` is where they are seen, ``order`` the claim under which that happens."""

    def __init__(self, order: Path, new: Path, keys: Keys, recorded: Recorded, clock: Callable[[], datetime]) -> None:
        self._order = order
        self._new = new
        self._keys = keys
        self._recorded = recorded
        self._clock = clock
        self._waiting: list[Ticket] = []
        # Whether the thread will look at what waits.
        self._is_called = False
        self._queue = threading.Lock()
        self._turn = threading.Lock()
        # Their threads begin when they are needed.
        self._thread = ThreadPoolExecutor(1, "landing")
        self._syncing = ThreadPoolExecutor(_SYNCING - 1, "syncing")

    def land(self, ticket: Ticket) -> None:
        """Make an upload visible, together with those that wait; ``ticket.result`` tells how it went."""
        with self._queue:
            self._waiting.append(ticket)
        self._lead_for(ticket)

    def land_soon(self, ticket: Ticket) -> None:
        """The same without waiting: ``ticket.then`` is called when it is over."""
        with self._queue:
            self._waiting.append(ticket)
            is_called, self._is_called = self._is_called, True
        if not is_called:
            self._thread.submit(self._lead_all)

    def _lead_all(self) -> None:
        with self._queue:
            # Before the first look: whoever comes from now on calls again.
            self._is_called = False
        while self._waiting:
            with self._turn:
                self._lead()

    def _lead_for(self, ticket: Ticket) -> None:
        while not ticket.is_done:
            with self._turn:
                if not ticket.is_done:
                    self._lead()

    def _lead(self) -> None:
        with self._queue:
            # What is the same as another has to find it landed.
            first = {ticket.same: ticket for ticket in reversed(self._waiting)}
            batch = list(reversed(first.values()))[:_MOST_TOGETHER]
            chosen = {id(ticket) for ticket in batch}
            self._waiting = [ticket for ticket in self._waiting if id(ticket) not in chosen]
        try:
            with claim(self._order) as order:
                stamps = Stamps(order, self._clock)
                landing = [ticket for ticket in batch if self._is_stamped(ticket, stamps)]
                stamps.keep()
                self._show(landing)
        except BaseException as error:
            for ticket in batch:
                if not (ticket.landed_before or ticket.is_recorded):
                    ticket.fail(ticket.error or error)
            if not isinstance(error, Exception):
                raise
        finally:
            for ticket in batch:
                ticket.is_done = True
            for ticket in batch:
                ticket.then()

    def _is_stamped(self, ticket: Ticket, stamps: Stamps) -> bool:
        """Stamp an upload, unless it landed before or cannot."""
        try:
            ticket.envelope = ticket.again()
            ticket.landed_before = ticket.envelope is not None
            if ticket.landed_before:
                return False
            ticket.envelope = ticket.stamp(stamps)
            ticket.sealed = sealed(ticket.envelope)
        except Exception as error:  # noqa: BLE001 - its sender is told; the others land
            ticket.fail(error)
            return False
        return True

    def _show(self, batch: list[Ticket]) -> None:
        """Make stamped uploads durable, and let them be seen."""
        records = [_record(ticket) for ticket in batch]
        self._record_all([(ticket, told) for ticket, told in zip(batch, records, strict=True) if told is not None])
        others = [ticket for ticket, told in zip(batch, records, strict=True) if told is None]
        if others:
            self._show_synced(others)

    def _record_all(self, batch: list[tuple[Ticket, bytes]]) -> None:
        """By the journal; whoever looks for them makes their folders."""
        # Before they have landed: a key that was not noted would let the same land twice.
        noted = [(ticket, told) for ticket, told in batch if self._is_noted(ticket, self._keys.note)]
        if not noted:
            return
        try:
            self._recorded.append([told for _, told in noted])
        except OSError as error:
            for ticket, _ in noted:
                ticket.fail(error)
        else:
            for ticket, _ in noted:
                ticket.is_recorded = True

    def _is_noted(self, ticket: Ticket, give: Callable[[str, str, str], None]) -> bool:
        """Let an upload's key name it."""
        assert ticket.envelope is not None  # noqa: S101 - it was stamped
        try:
            if ticket.key is not None:
                give(ticket.account, ticket.key, ticket.envelope.delivery)
        except OSError as error:
            ticket.fail(error)
            return False
        return True

    def _show_synced(self, batch: list[Ticket]) -> None:
        """By their own folders."""
        written = [(ticket, handle) for ticket in batch if (handle := self._written(ticket)) is not None]
        # All are begun before the first is waited for, whose content is what is waited for first.
        for ticket, _ in written[1:]:
            begin_sync(ticket.placed().handle)
        for _, handle in written:
            begin_sync(handle)
        self._sync(written)
        kept = [ticket for ticket, _ in written if ticket.error is None]
        moved = [ticket for ticket in kept if self._is_moved(ticket)]
        try:
            if moved:
                sync_folder(self._new)
        except OSError as error:
            # Nobody can have listed them: the claim is still ours. A delivery that may vanish is none.
            for ticket in moved:
                self._take_back(ticket, error)

    def _written(self, ticket: Ticket) -> int | None:
        """Write what is not written yet, and the envelope; gives the envelope's descriptor."""
        try:
            return begin_new(ticket.placed().folder / ENVELOPE, ticket.sealed)
        except OSError as error:
            ticket.fail(error)
            return None

    def _sync(self, written: list[tuple[Ticket, int]]) -> None:
        """Put contents and envelopes on disk, in a few threads: the disk serves those that wait together at once."""
        shares = [written[first::_SYNCING] for first in range(_SYNCING)]
        others = [self._syncing.submit(_sync, share) for share in shares[1:] if share]
        _sync(shares[0])
        wait(others)

    def _is_moved(self, ticket: Ticket) -> bool:
        """Give an upload's key, and show it, if it is wanted still."""
        assert ticket.envelope is not None  # noqa: S101 - it was stamped
        try:
            if not ticket.wanted():
                (ticket.placed().folder / ENVELOPE).unlink()
                ticket.fail(Unsure())
                return False
            if not self._is_noted(ticket, self._keys.give):
                return False
            ticket.placed().folder.rename(self._new / ticket.envelope.delivery)
        except Exception as error:  # noqa: BLE001 - those that are seen already have landed, whatever became of this
            ticket.fail(error)
            return False
        return True

    def _take_back(self, ticket: Ticket, error: OSError) -> None:
        assert ticket.envelope is not None  # noqa: S101 - it was stamped
        try:
            (self._new / ticket.envelope.delivery).rename(ticket.placed().folder)
        except OSError:
            # It stays seen and will be applied, so nobody is told to send it again.
            _log.exception("not_taken_back delivery=%s", ticket.envelope.delivery)
        else:
            ticket.fail(error)


def _record(ticket: Ticket) -> bytes | None:
    """What the journal keeps of an upload, ``None`` if it is not to: it is long, or its sender may change its mind."""
    content = ticket.held() if ticket.wanted is always else None
    if content is None:
        return None
    told = record(ticket.sealed, ticket.key, content)
    return told if len(told) <= _MOST_BYTES else None


def _sync(written: list[tuple[Ticket, int]]) -> None:
    for ticket, envelope in written:
        try:
            os.fsync(ticket.placed().handle)
            os.fsync(envelope)
            sync_folder(ticket.placed().folder)
        except Exception as error:  # noqa: BLE001 - its sender is told; the others land
            ticket.fail(error)
        finally:
            os.close(envelope)


def _own(error: BaseException) -> BaseException:
    return OSError(error.errno, os.strerror(error.errno)) if isinstance(error, OSError) and error.errno else error
