"""The inbox with real clients: who is let in, what a message is, and that 250 means on disk."""

import os
import smtplib
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from connectors.landing import Ticket
from connectors.spool import Spool
from connectors.upload import Upload
from processing.errors import UploadRefused
from tests.connectors.ftp_site import clock, eventually
from tests.connectors.smtp_site import ACCOUNT, CSV, DOMAIN, Serve, Site, mail, serving
from tests.mail_world import raw

HEADER = b"Subject: Returns\r\n\r\n"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start an inbox with the given settings; it stops when the test ends."""
    with ExitStack() as stack:
        yield lambda **values: stack.enter_context(serving(tmp_path, **values))


@pytest.fixture
def site(serve: Serve) -> Site:
    """An inbox without TLS."""
    return serve()


def test_message_lands_as_it_was_sent(site: Site) -> None:
    """Its bytes, whose it is, and what the session told."""
    message = mail(site.address)
    with site.client(local_hostname="mail.acme.example") as client:
        client.send_message(message, from_addr="bounces@acme.example")
    (envelope,) = site.spool.pending()
    sent = message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert site.contents() == [sent]
    assert (envelope.account, envelope.channel, envelope.event_type, envelope.proven) == (ACCOUNT, "email", 16027, True)
    assert envelope.trace == {
        "mail_from": "bounces@acme.example",
        "peer": "127.0.0.1",
        "helo": "mail.acme.example",
        "tls": "",
        "recipient": site.address,
    }
    site.spool.verify(envelope.delivery)


def test_starttls_is_required_when_it_is_set(serve: Serve) -> None:
    """Nothing but EHLO before it; after it all as usual."""
    site = serve(tls="required")
    with site.client() as client:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            client.send_message(mail(site.address))
        client.starttls(context=site.trusting())
        client.send_message(mail(site.address))
        assert not client.has_extn("auth")
    (envelope,) = site.spool.pending()
    assert envelope.trace is not None
    assert envelope.trace["tls"].startswith("TLSv1.")


def test_command_before_tls_is_not_taken_over_into_it(serve: Serve) -> None:
    """What somebody injects behind STARTTLS is dropped."""
    site = serve(tls="optional")
    with site.line() as line:
        line.send(f"STARTTLS\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<{site.address}>\r\n".encode())
        assert line.hear().startswith("220")
        with site.trusting().wrap_socket(line.connection, server_hostname="localhost") as secured:
            secured.sendall(b"EHLO a\r\nRCPT TO:<" + site.address.encode() + b">\r\n")
            answers = b""
            while b"MAIL" not in answers:
                answers += secured.recv(4096)
    assert b"503 Error: need MAIL command" in answers


@pytest.mark.parametrize(
    "recipient", ["somebody@returns.example", "{local}@elsewhere.example", "{local}%elsewhere.example@returns.example"]
)
def test_nothing_is_relayed(site: Site, recipient: str) -> None:
    """Only recipients that we made are known, before any byte of the message."""
    local = site.address.partition("@")[0]
    with site.client() as client:
        client.ehlo()
        client.mail("ops@acme.example")
        assert client.rcpt(recipient.format(local=local))[0] == 550
        assert client.docmd("DATA")[0] == 503


def test_revoked_address_is_unknown(site: Site) -> None:
    """At once, while the server runs; until then it is known in capitals too."""
    local = site.address.partition("@")[0]
    with site.client() as client:
        client.ehlo()
        client.mail("ops@acme.example")
        assert client.rcpt(site.address.upper())[0] == 250
        site.book.close_mailbox(ACCOUNT, local)
        assert client.rcpt(site.address)[0] == 550


def test_nobody_logs_in(serve: Serve) -> None:
    """There is nothing to guess at."""
    site = serve(tls="optional")
    with site.client() as client:
        client.starttls(context=site.trusting())
        client.ehlo()
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 502


def test_size_is_refused_before_and_while_reading(serve: Serve) -> None:
    """552 at MAIL for a declared size; 552 after the data for one that was not declared; then all goes on."""
    site = serve(max_message_bytes=100_000)
    with site.line() as line:
        assert line.say("MAIL FROM:<a@b.example> SIZE=100001").startswith("552")
        line.begin(site.address)
        line.send(HEADER + (b"x" * 998 + b"\r\n") * 120 + b".\r\n")
        assert line.hear().startswith("552 5.3.4")
        line.begin(site.address)
        line.send(HEADER + b"small\r\n.\r\n")
        assert line.hear().startswith("250")
    assert site.contents() == [HEADER + b"small\r\n"]
    assert not site.leftovers()


def test_endless_message_is_cut_off(serve: Serve) -> None:
    """Who does not stop at twice the limit is told why, and hung up on."""
    site = serve(max_message_bytes=100_000)
    with site.line() as line:
        line.begin(site.address)
        with suppress(OSError):
            for _ in range(10_000):
                line.send(b"x" * 998 + b"\r\n")
        with suppress(OSError):
            assert line.hear().startswith("552")
    assert eventually(lambda: not site.leftovers())
    assert site.contents() == []


def test_limits_of_connections_recipients_and_rate(serve: Serve) -> None:
    """Each with a temporary refusal."""
    site = serve(max_connections_per_address=2, max_recipients=1, max_messages_per_minute=1)
    other = f"{site.book.open_mailbox(ACCOUNT).local}@{DOMAIN}"
    with site.line() as line, site.line():
        with site.line() as third:
            assert third.greeting.startswith("421")
        line.begin(site.address)
        line.send(HEADER + b".\r\n")
        assert line.hear().startswith("250")
        line.say("MAIL FROM:<ops@acme.example>")
        assert line.say(f"RCPT TO:<{site.address}>").startswith("250")
        assert line.say(f"RCPT TO:<{other}>").startswith("452 4.5.3")
        assert line.say("DATA").startswith("450 4.7.1")
    assert eventually(lambda: not site.leftovers())


def test_silence_ends_a_session(serve: Serve) -> None:
    """Before a command, and within a message; a session that lasts too long ends as well."""
    site = serve(idle_timeout_s=0.2, session_timeout_s=1)
    with site.line() as line:
        assert line.hear() == ""
    with site.line() as line:
        line.begin(site.address)
        line.send(HEADER)
        assert line.hear() == ""
    with site.line() as line:
        line.begin(site.address)
        begun = time.monotonic()
        with suppress(OSError):
            while time.monotonic() < begun + 10:
                line.send(b"slowly\r\n")
                time.sleep(0.02)
        assert time.monotonic() < begun + 5
    assert site.contents() == []
    assert eventually(lambda: not site.leftovers())


def test_two_recipients_are_two_envelopes(site: Site) -> None:
    """One for each address; an address named twice is one."""
    other = f"{site.book.open_mailbox('IRbrix2').local}@{DOMAIN}"
    with site.client() as client:
        client.send_message(mail(site.address), to_addrs=[site.address, other, site.address])
    assert sorted(envelope.account for envelope in site.spool.pending()) == [ACCOUNT, "IRbrix2"]


def test_message_twice_is_one_envelope(site: Site) -> None:
    """A client that lost our 250 sends it again."""
    message = mail(site.address)
    for _ in range(2):
        with site.client() as client:
            client.send_message(message)
    with site.client() as client:
        client.send_message(mail(site.address, CSV + b"1000.2,50.00,ITEM_RETURNED\r\n"))
    assert len(site.spool.pending()) == 2
    assert not site.leftovers()


def test_unusual_addresses_are_taken(site: Site) -> None:
    """The null return path of a bounce, UTF-8 with SMTPUTF8, and bytes that are no UTF-8."""
    with site.line() as line:
        for number, sender in enumerate([b"<>", "<büro@åcme.example> SMTPUTF8".encode(), b"<b\xfcro@acme.example>"]):
            line.send(b"MAIL FROM:" + sender + b"\r\n")
            assert line.hear().startswith("250")
            assert line.say(f"RCPT TO:<{site.address}>").startswith("250")
            line.say("DATA")
            line.send(HEADER + b"%d\r\n.\r\n" % number)
            assert line.hear().startswith("250")
    traces = [envelope.trace or {} for envelope in site.spool.pending()]
    assert [trace["mail_from"] for trace in traces] == ["", "büro@åcme.example", "b?ro@acme.example"]


def test_pipelining(site: Site) -> None:
    """Commands and messages without waiting for replies."""
    transaction = f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{site.address}>\r\nDATA\r\n".encode()
    with site.line() as line:
        line.send(b"".join(transaction + b"n: %d\r\n\r\n.\r\n" % number for number in range(20)) + b"QUIT\r\n")
        replies = []
        while reply := line.hear():
            replies.append(reply[:3])
    assert replies == ["250", "250", "354", "250"] * 20 + ["221"]
    assert site.contents() == [b"n: %d\r\n\r\n" % number for number in range(20)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b".\r\n",
        b"..\r\n.\r\n\r\n.dot\r\n",
        b"ends with dots ...\r\n",
        b"\r\n.\r\r\n\r\n",
        b"bare\n.\nlines\n..\n\r\n",
        b"bare\r.\rreturns\r\n",
        b"\xff\x00\xfe 8 bit\r\n",
        b"x" * 200_000 + b"\r\n.\r\n",
    ],
)
def test_content_is_transparent(site: Site, content: bytes) -> None:
    """Dots are stuffed and unstuffed, however the bytes are cut on their way."""
    stuffed = b"".join(
        b"." + line if line.startswith(b".") else line for line in content.split(b"\r\n") for line in [line + b"\r\n"]
    )
    stuffed = stuffed[:-2] + b".\r\n"
    for step in (1 if len(stuffed) < 100 else 7919, len(stuffed)):
        with site.line() as line:
            line.begin(site.address)
            for at in range(0, len(stuffed), step):
                line.send(stuffed[at : at + step])
                if step == 1:
                    time.sleep(0.001)
            assert line.hear().startswith("250")
    assert set(site.contents()) == {content}


@pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n.\r", b"\r.\r\n"])
def test_nothing_is_smuggled(site: Site, ending: bytes) -> None:
    """What only other servers take for an end is content, and so is the message behind it."""
    hidden = f"MAIL FROM:<evil@b.example>\r\nRCPT TO:<{site.address}>\r\nDATA\r\nSubject: hidden\r\n\r\nx\r\n".encode()
    with site.line() as line:
        line.begin(site.address)
        line.send(HEADER + b"text" + ending + hidden + b".\r\n")
        assert line.hear().startswith("250")
        assert line.say("NOOP").startswith("250")
    # A dot that begins a line was put there by the client.
    assert site.contents() == [HEADER + b"text" + ending.replace(b"\r\n.", b"\r\n") + hidden]


def test_large_attachment(site: Site) -> None:
    """25 MB, as base64 a third more, byte by byte."""
    content = os.urandom(25_000_000)
    message = mail(site.address, content, "returns.xlsx")
    with site.client() as client:
        client.send_message(message)
    (landed,) = site.contents()
    assert landed == message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def test_swaks(serve: Serve, program: Callable[[str], str]) -> None:
    """A client that checks every reply, with TLS and with a file."""
    site = serve(tls="required")
    file = site.folder / "returns.csv"
    file.write_bytes(CSV)
    command = [
        program("swaks"),
        "--server",
        f"localhost:{site.server.port}",
        "--tls",
        "--pipeline",
        "--to",
        site.address,
    ]
    command += ["--from", "ops@acme.example", "--attach-type", "text/csv", "--attach", f"@{file}", "--suppress-data"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (landed,) = site.contents()
    assert b"returns.csv" in landed


@pytest.mark.parametrize("reset", [False, True])
def test_message_that_is_cut_off_leaves_nothing(site: Site, *, reset: bool) -> None:
    """At any byte before the last, by a closed or a broken connection; the rest of it never lands as another."""
    message = raw(mail(site.address)) + b".\r\n"
    for cut in [*range(0, len(message) - 1, 23), *range(len(message) - 6, len(message))]:
        with site.line() as line:
            line.begin(site.address)
            line.send(message[:cut])
            if reset:
                line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert eventually(lambda: not site.server.sessions)
    assert site.contents() == []
    assert not site.leftovers()


class Slow(Spool):
    """A spool whose landing takes as long as the test wants."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clock=clock)
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.fails = False

    def reveal(self, ticket: Ticket) -> None:
        """Wait, or fail."""
        self.reached.set()
        self.go_on.wait(20)
        if self.fails:
            raise UploadRefused("'message.eml' could not be stored (No space left on device); /secret/path")
        super().reveal(ticket)


@pytest.mark.parametrize("cut", ["close", "reset", "half"])
def test_client_that_leaves_after_the_dot(serve: Serve, tmp_path: Path, cut: str) -> None:
    """While we land: the message is there once, and sending it again does not make it two."""
    spool = Slow(tmp_path / "slow")
    site = serve(spool=spool)
    with site.line() as line:
        line.begin(site.address)
        line.send(HEADER + b"once\r\n.\r\n")
        assert spool.reached.wait(10)
        if cut == "half":
            line.connection.shutdown(socket.SHUT_WR)
            assert line.hear() == ""
        elif cut == "reset":
            line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    spool.go_on.set()
    assert eventually(lambda: len(spool.pending()) == 1)
    with site.line() as line:
        line.begin(site.address)
        line.send(HEADER + b"once\r\n.\r\n")
        assert line.hear().startswith("250")
    assert site.contents() == [HEADER + b"once\r\n"]


def test_our_trouble_is_451_and_tells_nothing(serve: Serve, tmp_path: Path) -> None:
    """The client keeps the message and sends it again; no word of ours reaches it."""
    spool = Slow(tmp_path / "slow")
    spool.fails = True
    spool.go_on.set()
    site = serve(spool=spool)
    with site.line() as line:
        line.begin(site.address)
        line.send(HEADER + b"x\r\n.\r\n")
        assert line.hear() == "451 4.3.0 The message could not be stored; nothing was kept. Send it again later."
        spool.fails = False
        line.begin(site.address)
        line.send(HEADER + b"x\r\n.\r\n")
        assert line.hear().startswith("250")
    assert not list((tmp_path / "slow" / "tmp").iterdir())


@pytest.mark.parametrize("size_bytes", [100, 3_000_000])
def test_bug_is_451_and_tells_nothing(site: Site, monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    """Whatever is raised, wherever; what is left of the message is never taken for commands."""

    def broken(_upload: Upload, _data: bytes) -> None:
        raise RuntimeError("the secret of the exception")

    with site.line() as line:
        with monkeypatch.context() as patch:
            patch.setattr(Upload, "write", broken)
            line.begin(site.address)
            line.send(HEADER + b"NOOP\r\n" * (size_bytes // 6) + b".\r\n")
            assert line.hear().startswith("451 4.3.0 The message could not be stored")
            assert line.say("NOOP") == "250 OK"
        line.begin(site.address)
        line.send(HEADER + b"x\r\n.\r\n")
        assert line.hear().startswith("250")
    assert not site.leftovers()


def test_many_clients(site: Site) -> None:
    """1,000 messages by 20 clients: each has landed once when its client is told so."""

    def send(client_number: int) -> None:
        with site.client() as client:
            for number in range(50):
                told = f"Subject: {client_number}-{number}\r\n\r\nx\r\n"
                client.sendmail("ops@acme.example", site.address, told)

    threads = [threading.Thread(target=send, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = {f"Subject: {one}-{number}\r\n\r\nx\r\n".encode() for one in range(20) for number in range(50)}
    contents = site.contents()
    assert len(contents) == 1000
    assert set(contents) == sent
    assert not site.leftovers()
