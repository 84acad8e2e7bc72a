"""A connection of the web server: how long its client may take, and what is told before the application is asked."""

import asyncio
import logging
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from clawback.web.refusal import FULL, LEAST_BYTES_PER_S, Refused, fields_of
from clawback.web.representation import XML, Single, as_xml

_log = logging.getLogger(__name__)


class Connection(H11Protocol):
    """Uvicorn's own, which waits for no head and no reader without an end.

    A head has to be whole when the keep-alive time is over, from the opening or from the last answer; of an answer at
    least ``LEAST_BYTES_PER_S`` have to be taken. Beyond ``most`` connections a request is refused, and beyond
    ``most_per_address`` (0 for any number) a connection is closed at once.
    """

    most: int
    most_per_address: int
    _reader: asyncio.TimerHandle | None = None
    _unread_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        # So that it is told of whatever waits to be taken, however little that is.
        transport.set_write_buffer_limits(high=1, low=0)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        if self.client is not None and 0 < self.most_per_address < self._addresses()[self.client[0]]:
            _log.warning("too_many_connections from=%s", self.client[0])
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._forget_reader()

    def data_received(self, data: bytes) -> None:
        """Take some bytes in; uvicorn's own stops its clock at the first byte of a head, not at the last."""
        # Of requests whose client has gone some are served still, and one that was answered may not have ended.
        full = len(self.connections) > self.most or len(self.tasks) > 2 * self.most
        self.app_state = {**self.app_state, FULL: full}
        self.conn.receive_data(data)
        self.handle_events()

    def pause_writing(self) -> None:
        """Look after a while whether what waits is being taken."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """All is taken."""
        super().resume_writing()
        self._forget_reader()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the envelope; nothing is known yet of what the client reads."""
        del msg
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = as_xml(Single(fields_of(Refused.MALFORMED_REQUEST)))
            headers = [("Content-Type", f"{XML}; charset=utf-8"), ("Content-Length", str(len(body)))]
            head = h11.Response(
                status_code=Refused.MALFORMED_REQUEST.status, headers=[*headers, ("Connection", "close")]
            )
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _addresses(self) -> Counter[str]:
        return Counter(one.client[0] for one in self.connections if isinstance(one, Connection) and one.client)

    def _watch_reader(self) -> None:
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._reader = self.loop.call_later(self.timeout_keep_alive, self._look_at_reader)

    def _look_at_reader(self) -> None:
        taken = self._unread_bytes - self.transport.get_write_buffer_size()
        if taken < LEAST_BYTES_PER_S * self.timeout_keep_alive:
            # To close would be to wait until all is taken.
            self.transport.abort()
        else:
            self._watch_reader()

    def _forget_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None


def connection(most: int, most_per_address: int) -> type[Connection]:
    """The connections of a server with these limits."""
    limits: dict[str, Any] = {"most": most, "most_per_address": most_per_address}
    return type("LimitedConnection", (Connection,), limits)
