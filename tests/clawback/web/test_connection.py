"""What a connection may take of the server's time and room, whoever opened it."""

import base64
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from clawback.serving.web_loop import HANDSHAKE_S
from clawback.wiring import open_desk
from connectors.tokens import Scope
from tests.clawback.serve_site import until
from tests.clawback.web.site import Site, serving, settings_of
from tests.conftest import Clock
from tests.worlds import SID

MOST: Final = 4
IDLE_S: Final = 1
# What a busy machine may add to a second.
PATIENCE_S: Final = 20
HEAD: Final = b"GET /Advertisers/IRacme1/Actions.json HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with few connections, which have to be quick."""
    folder, clock = tmp_path_factory.mktemp("narrow"), Clock()
    settings = settings_of(folder, "", max_connections=MOST, idle_timeout_s=IDLE_S)
    with open_desk(settings, clock) as desk, serving(desk, settings, clock) as running:
        yield running


def opened(site: Site, sent: bytes = b"") -> socket.socket:
    """A connection on which something was sent."""
    host, port = site.url.removeprefix("http://").split(":")
    one = socket.create_connection((host, int(port)), PATIENCE_S)
    one.sendall(sent)
    return one


def answered(one: socket.socket) -> tuple[int, bytes]:
    """The status and the rest of what comes until the server closes, 0 if nothing does."""
    told = b"".join(iter(lambda: one.recv(65536), b""))
    return int(told.split(b" ", 2)[1]) if told else 0, told


def answer(one: socket.socket) -> bytes:
    """The next answer in JSON, whole."""
    told = b""
    while not told.endswith(b"]}"):
        more = one.recv(65536)
        assert more, told
        told += more
    return told


def basic(site: Site) -> bytes:
    """The header of somebody who may write."""
    _, secret = site.office.tokens.make(SID, Scope.WRITE, site.clock())
    return b"Authorization: Basic " + base64.b64encode(f"{SID}:{secret}".encode()) + b"\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET", HEAD], ids=["nothing", "a word", "half a head"])
def test_idle_connections_do_not_shut_others_out(narrow: Site, sent: bytes) -> None:
    """As many as there may be, without a token: each is closed in time, and the next request is served."""
    with ExitStack() as open_ones:
        began = time.monotonic()
        idle = [open_ones.enter_context(opened(narrow, sent)) for _ in range(MOST)]
        with narrow.client() as client:
            refused = client.get("/CompanyInformation")
            assert (refused.status_code, refused.json()["Code"]) == (503, "TOO_MANY_CONNECTIONS")
            assert (refused.headers["retry-after"], refused.headers["connection"]) == ("30", "close")
            assert b"<Code>TOO_MANY_CONNECTIONS</Code>" in client.get("/CompanyInformation.xml").content
        assert [answered(one) for one in idle] == [(0, b"")] * MOST
        assert IDLE_S <= time.monotonic() - began < PATIENCE_S
        with narrow.client() as client:
            until(lambda: client.get("/CompanyInformation").status_code != 503, "there is room again")


def test_a_head_that_trickles_is_not_waited_for(narrow: Site) -> None:
    """Bytes that come all the time do not make the time longer, on a new connection or a used one."""
    for first in (b"", HEAD + b"\r\n"):
        with opened(narrow, first) as one:
            if first:
                assert answer(one).startswith(b"HTTP/1.1 401")
            assert _trickled(one) < PATIENCE_S


def _trickled(one: socket.socket) -> float:
    """How long a byte every tenth of a second was let in."""
    one.settimeout(0.1)
    began = time.monotonic()
    for byte in HEAD * 20:
        try:
            one.sendall(bytes([byte]))
            if not one.recv(65536):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - began


def test_a_used_connection_is_used_again(narrow: Site) -> None:
    """Within the time, and longer than that altogether."""
    with opened(narrow) as one:
        for _ in range(4):
            one.sendall(HEAD + b"\r\n")
            assert answer(one).startswith(b"HTTP/1.1 401")
            time.sleep(IDLE_S / 2)


@pytest.mark.parametrize("path", ["Actions", "Deliveries"])
@pytest.mark.parametrize("step", [b"", b"x"], ids=["stops", "trickles"])
def test_a_body_that_comes_too_slowly(narrow: Site, path: str, step: bytes) -> None:
    """408 in the envelope, and nothing is kept; that a byte comes now and then is not enough."""
    method = {"Actions": "PUT", "Deliveries": "POST"}[path]
    head = f"{method} /Advertisers/{SID}/{path}.json HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n".encode()
    with opened(narrow, head + basic(narrow) + b"\r\n") as one:
        one.settimeout(0.1)
        told, began = b"", time.monotonic()
        while not told and time.monotonic() - began < PATIENCE_S:
            try:
                one.sendall(step)
                told = answer(one)
            except TimeoutError:
                continue
    assert told.startswith(b"HTTP/1.1 408")
    assert b'"BODY_TOO_SLOW"' in told
    assert narrow.desk.spool.pending() == []


def test_a_file_may_take_its_time(narrow: Site) -> None:
    """One that comes steadily is taken, however long all of it takes."""

    def steadily() -> Iterator[bytes]:
        for _ in range(5):
            time.sleep(IDLE_S / 2)
            yield b"A-1,OTHER\n" * 200

    with narrow.client() as client:
        assert client.post("/Deliveries", content=steadily()).status_code == 202
    narrow.finish()


def test_what_comes_after_a_refusal_is_not_waited_for(narrow: Site) -> None:
    """A stranger who goes on sending the body of a request that was refused."""
    head = f"POST /Advertisers/{SID}/Deliveries.json HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n".encode()
    with opened(narrow, head) as one:
        assert answer(one).startswith(b"HTTP/1.1 401")
        assert _trickled(one) < PATIENCE_S


def test_an_answer_that_nobody_takes_is_given_up(narrow: Site) -> None:
    """As many clients as there may be ask for more than fits on the way, and read no more than how it begins."""
    host, port = narrow.url.removeprefix("http://").split(":")
    with ExitStack() as open_ones, narrow.client() as client:
        for _ in range(MOST):
            one = open_ones.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect((host, int(port)))
            one.sendall(b"GET /openapi HTTP/1.1\r\nHost: x\r\n\r\n" * 60)
            assert one.recv(12) == b"HTTP/1.1 200"
        assert client.get("/CompanyInformation").status_code == 503
        until(lambda: client.get("/CompanyInformation").status_code != 503, "there is room again")


def test_what_is_no_http_is_refused_in_the_envelope(narrow: Site) -> None:
    """In XML, as nothing was asked for."""
    with opened(narrow, b"no such thing\r\n\r\n") as one:
        status, told = answered(one)
    assert status == 400
    assert b"<Code>MALFORMED_REQUEST</Code>" in told
    assert b"Content-Type: application/xml" in told


def test_connections_of_one_address(tmp_path: Path, clock: Clock) -> None:
    """One more than it may have is closed at once; behind named proxies addresses are not counted."""
    for proxies, allowed in (("", 2), ("127.0.0.1", 3)):
        settings = settings_of(tmp_path, "", max_connections_per_address=2, proxies=proxies)
        with open_desk(settings, clock) as desk, serving(desk, settings, clock) as site, ExitStack() as open_ones:
            held = [open_ones.enter_context(opened(site)) for _ in range(3)]
            served = []
            for one in held:
                one.sendall(HEAD + b"\r\n")
                try:
                    served.append(one.recv(65536).startswith(b"HTTP/1.1 401"))
                except ConnectionError:
                    served.append(False)
            assert served == [True] * allowed + [False] * (3 - allowed)
            held[0].close()
            until(lambda: _is_served(site), "another may come")


@pytest.mark.parametrize(
    ("proxies", "told"), [("", "127.0.0.1"), ("10.0.0.1", "127.0.0.1"), ("10.0.0.1,127.0.0.1", "203.0.113.9")]
)
def test_a_forwarded_address_is_believed_from_named_proxies(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, proxies: str, told: str
) -> None:
    """Whoever else sends such a header is called by the address that it has."""
    settings = settings_of(tmp_path, "", proxies=proxies)
    with open_desk(settings, clock) as desk, serving(desk, settings, clock) as site, site.client() as client:
        forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        assert client.post(f"{site.url}/hooks/salesforce/nobody", headers=forwarded).status_code == 404
    assert [one.message for one in caplog.records if one.message.startswith("hook_unknown")] == [
        f"hook_unknown from={told}"
    ]


def test_silence_on_tls_is_not_waited_for(tmp_path: Path, clock: Clock) -> None:
    """Neither before the handshake is over nor behind it."""
    settings = settings_of(tmp_path, "", idle_timeout_s=IDLE_S, tls="on")
    with open_desk(settings, clock) as desk, serving(desk, settings, clock) as site, ExitStack() as open_ones:
        trust = ssl.create_default_context(cafile=str(tmp_path / "tls" / "certificate.pem"))
        began = time.monotonic()
        silent, greeted = (open_ones.enter_context(opened(site)) for _ in range(2))
        with trust.wrap_socket(greeted, server_hostname="localhost") as secured:
            assert answered(secured) == (0, b"")
            assert IDLE_S <= time.monotonic() - began < PATIENCE_S
        assert answered(silent) == (0, b"")
        assert HANDSHAKE_S <= time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize(("proxies", "shut_out"), [("", True), ("192.0.2.1", False)])
def test_an_address_has_few_handshakes_at_a_time(tmp_path: Path, clock: Clock, proxies: str, *, shut_out: bool) -> None:
    """The next connection is closed at once; behind proxies, which speak for many, none is."""
    settings = settings_of(tmp_path, "", max_connections_per_address=MOST, tls="on", proxies=proxies)
    with open_desk(settings, clock) as desk, serving(desk, settings, clock) as site, ExitStack() as open_ones:
        began = time.monotonic()
        silent, beyond = ([open_ones.enter_context(opened(site)) for _ in range(count)] for count in (MOST, 1))
        assert answered(beyond[0]) == (0, b"")
        assert (time.monotonic() - began < HANDSHAKE_S) is shut_out
        assert [answered(one) for one in silent] == [(0, b"")] * MOST
        trust = ssl.create_default_context(cafile=str(tmp_path / "tls" / "certificate.pem"))
        with trust.wrap_socket(opened(site), server_hostname="localhost") as secured:
            secured.sendall(HEAD + b"\r\n")
            assert secured.recv(65536).startswith(b"HTTP/1.1 401")


def _is_served(site: Site) -> bool:
    with opened(site) as one:
        try:
            one.sendall(HEAD + b"\r\n")
            return one.recv(65536).startswith(b"HTTP/1.1 401")
        except ConnectionError:
            return False
