"""Uploads that end well, are refused, or break off, over connections without TLS."""

import ftplib
import hashlib
import io
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.credentials import Credentials
from connectors.ftp_uploads import Kept
from connectors.landing import Ticket, Unsure, always
from connectors.spool import Spool
from tests.connectors.ftp_site import (
    ACCOUNTS,
    PASSWORD,
    Serve,
    Site,
    begin,
    clock,
    eventually,
    logged_in,
    only,
    outcome,
    reply,
    send,
)

CONTENT = b"ActionId,Amount,Reason\r\n" + b"".join(b"%d,0,RETURNED\r\n" % n for n in range(20_000))


def reset(connection: socket.socket) -> None:
    """Close with a RST instead of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_upload_lands_and_leaves_the_folder(site: Site) -> None:
    """The bytes are those that were sent, the 226 names the delivery, and the listing shows no trace of the file."""
    with logged_in(site) as client:
        answer = send(client, "returns.csv", CONTENT)
        envelope = only(site)
        assert answer.startswith(f"226 Delivery {envelope.delivery} received; {len(CONTENT)} bytes")
        assert (envelope.account, envelope.channel, envelope.name) == (ACCOUNTS[0], "ftp", "returns.csv")
        assert envelope.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert site.contents() == {"returns.csv": CONTENT}
        assert client.nlst() == ["results"]
    assert site.leftovers() == []


@pytest.mark.parametrize("content", [b"", b"x", b"no line end\r", bytes(range(256)) * 4])
def test_bytes_sent_as_text_are_kept_as_they_came(site: Site, content: bytes) -> None:
    """Without TYPE I, or with TYPE A, no byte is changed: a file is what the brand sent."""
    with logged_in(site) as client:
        client.voidcmd("TYPE A")
        with client.transfercmd("STOR returns.csv") as data:
            data.sendall(content)
        assert outcome(client).startswith("226 Delivery")
    assert site.contents() == {"returns.csv": content}


def test_active_mode(site: Site) -> None:
    """A client that lets the server connect back can send, too."""
    with logged_in(site) as client:
        client.set_pasv(False)
        assert client.storbinary("STOR returns.csv", io.BytesIO(CONTENT)).startswith("226 Delivery")
    assert site.contents() == {"returns.csv": CONTENT}


class Gated(Spool):
    """A spool that lands only when it may."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clock=clock)
        self.asked = threading.Event()
        self.may = threading.Event()

    def reveal_soon(self, ticket: Ticket) -> None:
        """Wait for permission, as for a slow disk."""
        self._wait(super().reveal_soon, ticket)

    def reveal(self, ticket: Ticket) -> None:
        """The same."""
        self._wait(super().reveal, ticket).join()

    def _wait(self, reveal: Callable[[Ticket], None], ticket: Ticket) -> threading.Thread:
        def waiting() -> None:
            self.asked.set()
            assert self.may.wait(30)
            reveal(ticket)

        thread = threading.Thread(target=waiting)
        thread.start()
        return thread


@contextmanager
def about_to_land(serve: Serve, folder: Path) -> Iterator[tuple[Site, Gated, ftplib.FTP]]:
    """A client that has sent a whole file, whose delivery may not land yet."""
    spool = Gated(folder / "spool")
    site = serve(spool=spool)
    try:
        with logged_in(site) as client:
            with begin(client, "returns.csv") as data:
                data.sendall(CONTENT)
            assert spool.asked.wait(10)
            yield site, spool, client
    finally:
        spool.may.set()


def test_226_comes_after_landing_and_nobody_else_waits(serve: Serve, tmp_path: Path) -> None:
    """While a delivery is on its way to disk its client gets no 226, and other clients are served."""
    with about_to_land(serve, tmp_path) as (site, spool, client), logged_in(site, ACCOUNTS[1]) as other:
        # Sent ahead of the answer: it is answered in its turn.
        client.putcmd("PWD")
        assert other.nlst() == ["results"]
        assert client.sock is not None
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.sock.recv(1, socket.MSG_PEEK)
        assert spool.pending() == []
        client.sock.settimeout(10)
        spool.may.set()
        assert outcome(client).startswith("226 Delivery")
        assert outcome(client).startswith('257 "/"')
        assert len(spool.pending()) == 1


def test_closing_the_server_finishes_what_lands(serve: Serve, tmp_path: Path) -> None:
    """An upload that is complete when the server is told to stop still lands and is answered."""
    with about_to_land(serve, tmp_path) as (site, spool, client):
        closing = threading.Thread(target=site.server.close)
        closing.start()
        spool.may.set()
        closing.join()
        assert outcome(client).startswith("226 Delivery")
    assert site.contents() == {"returns.csv": CONTENT}


def test_client_that_hangs_up_before_it_is_durable(serve: Serve, tmp_path: Path) -> None:
    """A killed client looks like one that hangs up after its last byte, and nothing was acknowledged: nothing lands."""
    with about_to_land(serve, tmp_path) as (site, spool, client):
        client.close()
        spool.may.set()
        assert eventually(lambda: not site.leftovers())
        assert spool.pending() == []


def test_abort_before_it_is_durable(serve: Serve, tmp_path: Path) -> None:
    """ABOR counts until the delivery can be seen; the next upload is another."""
    with about_to_land(serve, tmp_path) as (site, spool, client):
        client.putcmd("ABOR")
        spool.may.set()
        assert outcome(client).startswith("426 The upload was aborted")
        assert outcome(client).startswith("225 ")
        assert send(client, "again.csv", CONTENT).startswith("226 Delivery")
    assert site.contents() == {"again.csv": CONTENT}
    assert site.leftovers() == []


def test_a_kept_file_is_kept_only_if_it_is_wanted(tmp_path: Path) -> None:
    """Asked when it is on disk; what is not wanted then can be kept still, or is removed."""
    kept = Kept(tmp_path, tmp_path / "returns.csv.part")
    kept.write(CONTENT)
    with pytest.raises(Unsure):
        kept.keep(lambda: False)
    assert not (tmp_path / "returns.csv.part").exists()
    kept.keep(always)
    kept.abort()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [CONTENT]


def test_several_brands_at_once(site: Site) -> None:
    """Clients of two brands that send at the same time get one delivery each, in their own accounts."""
    answers: list[str] = []

    def work(number: int) -> None:
        with logged_in(site, ACCOUNTS[number % 2]) as client:
            answers.extend(send(client, f"{number}-{n}.csv", b"%d" % number * 50_000) for n in range(5))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 40
    assert all(answer.startswith("226 Delivery") for answer in answers)
    assert site.contents() == {f"{w}-{n}.csv": b"%d" % w * 50_000 for w in range(8) for n in range(5)}
    assert all((int(e.name[0]) % 2) == ACCOUNTS.index(e.account) for e in site.spool.pending())
    assert site.leftovers() == []


def test_two_writers_of_one_name_are_two_deliveries(site: Site) -> None:
    """Two uploads of one name at once do not mix."""
    with logged_in(site) as one, logged_in(site) as two, begin(one, "a.csv") as first, begin(two, "a.csv") as second:
        for _ in range(10):
            first.sendall(b"1" * 1000)
            second.sendall(b"2" * 1000)
        first.close()
        second.close()
        assert {outcome(one)[:3], outcome(two)[:3]} == {"226"}
    contents = {site.spool.content(e.delivery).read_bytes() for e in site.spool.pending()}
    assert contents == {b"1" * 10_000, b"2" * 10_000}


# --- uploads that break off


def test_reset_data_connection_is_an_aborted_upload(site: Site) -> None:
    """A data connection that ends by RST answers 426, nothing lands, and the session goes on."""
    with logged_in(site) as client:
        data = begin(client, "returns.csv")
        data.sendall(CONTENT)
        reset(data)
        assert outcome(client).startswith("426 The upload broke off; nothing was kept.")
        assert (site.spool.pending(), site.leftovers()) == ([], [])
        assert send(client, "returns.csv", CONTENT).startswith("226 Delivery")


def test_both_connections_reset(site: Site) -> None:
    """A client that vanishes leaves nothing."""
    with logged_in(site) as client:
        data = begin(client, "returns.csv")
        data.sendall(CONTENT)
        reset(data)
        assert client.sock is not None
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert eventually(lambda: not site.leftovers())
    assert site.spool.pending() == []


@pytest.mark.parametrize("how", [socket.socket.close, reset])
def test_control_connection_lost_first(site: Site, how: Callable[[socket.socket], None]) -> None:
    """When the control connection ends, by FIN or RST, the upload is aborted, even if its data then ends well."""
    client = ftplib.FTP()  # noqa: S321 - it is what brands use
    client.connect("localhost", site.server.port, timeout=10)
    client.login(ACCOUNTS[0], PASSWORD)
    data = begin(client, "returns.csv")
    data.sendall(CONTENT)
    assert client.sock is not None
    assert client.file is not None
    client.file.close()
    how(client.sock)
    data.close()
    assert eventually(lambda: not site.leftovers())
    assert site.spool.pending() == []


def test_killed_client_lands_nothing(site: Site) -> None:
    """A client that is killed closes both connections at once; what it had sent so far is no delivery."""
    script = (
        "import ftplib, os, sys\n"
        "client = ftplib.FTP()\n"
        "client.connect('localhost', int(sys.argv[1]))\n"
        "client.login(sys.argv[2], sys.argv[3])\n"
        "data = client.transfercmd('STOR returns.csv')\n"
        "data.sendall(b'half a file')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    for _ in range(5):
        subprocess.run(
            [sys.executable, "-c", script, str(site.server.port), ACCOUNTS[0], PASSWORD], check=False, timeout=30
        )
    assert eventually(lambda: not site.leftovers())
    assert site.spool.pending() == []


@pytest.mark.parametrize("ahead", ["ABOR", "NOOP\r\nABOR"])
def test_abort_and_end_of_data_at_once(site: Site, ahead: str) -> None:
    """ABOR counts, whichever of it and the end of the data the server sees first."""
    for _ in range(10):
        with logged_in(site) as client:
            with begin(client, "returns.csv") as data:
                data.sendall(b"half a file")
                assert client.sock is not None
                client.sock.sendall(ahead.encode() + b"\r\n")
            answers = [outcome(client)[:3] for _ in range(2 + ahead.count("\n"))]
            assert "426" in answers
            assert client.sendcmd("NOOP").startswith("200")
    assert (site.spool.pending(), site.leftovers()) == ([], [])


def test_abort_during_the_upload(site: Site) -> None:
    """ABOR while bytes come answers 426 for the upload and 226 for itself, and nothing lands."""
    with logged_in(site) as client, begin(client, "returns.csv") as data:
        data.sendall(CONTENT)
        client.putcmd("ABOR")
        assert outcome(client).startswith("426 The upload was aborted by ABOR")
        assert outcome(client).startswith("226 ABOR")
        assert client.nlst() == ["results"]
    assert (site.spool.pending(), site.leftovers()) == ([], [])


def test_abort_before_the_data_connection(site: Site) -> None:
    """After an ABOR the next data connection is not taken for the upload that was given up."""
    with logged_in(site) as client:
        host, port = client.makepasv()
        assert client.sendcmd("STOR returns.csv").startswith("150")
        assert client.sendcmd("ABOR").startswith("225")
        host, port = client.makepasv()
        with socket.create_connection((host, port)) as data:
            data.sendall(CONTENT)
        assert client.sendcmd("NOOP").startswith("200")
    assert (site.spool.pending(), site.leftovers()) == ([], [])


def test_stalled_upload_is_aborted(serve: Serve) -> None:
    """When no byte comes for the idle time the answer is 426 and nothing lands."""
    site = serve(idle_timeout_s=0.3)
    with logged_in(site) as client, begin(client, "returns.csv") as data:
        data.sendall(CONTENT)
        assert outcome(client).startswith("426 Nothing arrived for 0.3 seconds")
    assert (site.spool.pending(), site.leftovers()) == ([], [])


def test_stopped_server_lands_nothing_unfinished(serve: Serve) -> None:
    """An upload that is under way when the server stops is aborted."""
    site = serve()
    with logged_in(site) as client:
        with begin(client, "returns.csv") as data:
            data.sendall(CONTENT)
            site.server.close()
        assert outcome(client).startswith("426 The upload broke off")
    assert (site.spool.pending(), site.leftovers()) == ([], [])


# --- declared lengths, sizes, quota, disk


@pytest.mark.parametrize(
    ("kind", "declared", "answer"),
    [
        ("I", 100, "226 Delivery"),
        ("I", 101, "426 101 bytes were announced with ALLO and 100 arrived"),
        ("I", 99, "552 99 bytes were announced with ALLO and 100 arrived"),
        ("A", 99, "226 Delivery"),
        ("A", 101, "426 101 bytes were announced"),
    ],
)
def test_announced_length_must_come(site: Site, kind: str, declared: int, answer: str) -> None:
    """Bytes that are not as many as ALLO announced are refused; sent as text, line ends may have added some."""
    with logged_in(site) as client:
        client.voidcmd(f"TYPE {kind}")
        assert client.sendcmd(f"ALLO {declared}").startswith("200")
        with client.transfercmd("STOR returns.csv") as data:
            data.sendall(b"x" * 100)
        assert outcome(client).startswith(answer)
        # Only an exact length proves that no byte is missing.
        assert [one.proven for one in site.spool.pending()] == [kind == "I"] * answer.startswith("226")
        assert send(client, "again.csv", b"the announcement was for one file").startswith("226")
    assert site.leftovers() == []


@pytest.mark.parametrize(
    ("length", "code"), [("x", "501"), ("-1", "501"), ("9" * 30, "552"), ("1001", "552"), ("1000 R 10", "200")]
)
def test_announcement_is_checked(serve: Serve, length: str, code: str) -> None:
    """An announced length that is none, or more than a file may have, is refused before anything is sent."""
    with logged_in(serve(max_upload_bytes=1000)) as client:
        assert reply(client, f"ALLO {length}")[:3] == code


def test_too_large_a_file(serve: Serve) -> None:
    """A file over the limit is stopped with 552 and nothing of it stays; one of just that size is fine."""
    site = serve(max_upload_bytes=100_000)
    with logged_in(site) as client:
        assert send(client, "large.csv", b"x" * 100_001).startswith("552 A file can have at most 100000 bytes")
        assert (site.spool.pending(), site.leftovers()) == ([], [])
        assert send(client, "fits.csv", b"x" * 100_000).startswith("226")


def test_quota_counts_what_waits(serve: Serve) -> None:
    """An account's waiting deliveries, kept files, answers and uploads under way count together; 552 beyond."""
    site = serve(quota_bytes=100_000)
    with logged_in(site) as client, logged_in(site, ACCOUNTS[1]) as other:
        assert send(client, "a.csv", b"x" * 40_000).startswith("226")
        assert send(client, "b.csv.part", b"x" * 30_000).startswith("226")
        (site.home() / "results" / "result_a.csv").write_bytes(b"x" * 20_000)
        assert send(client, "c.csv", b"x" * 10_001).startswith("552 The account's 100000 bytes are full")
        assert reply(client, "ALLO 10001").startswith("200")
        assert reply(client, "STOR c.csv").startswith("552 The account's 100000 bytes are full")
        assert send(other, "d.csv", b"x" * 100_000).startswith("226")
        client.delete("b.csv.part")
        assert send(client, "c.csv", b"x" * 10_001).startswith("226")
        site.spool.acknowledge(site.spool.pending(ACCOUNTS[0])[0].delivery)
        assert send(client, "e.csv", b"x" * 60_000).startswith("226")
    assert site.leftovers() == []


def test_quota_is_counted_again_near_it(serve: Serve) -> None:
    """What came since the last count is added to it; once that is no little part of the quota, all of it is counted."""
    site = serve(quota_bytes=160_000)
    with logged_in(site) as client:
        assert send(client, "first.csv", b"x" * 4_000).startswith("226")
        (site.home() / "results" / "result_first.csv").write_bytes(b"x" * 155_000)
        assert send(client, "far.csv", b"x" * 6_001).startswith("226")
        assert reply(client, "STOR near.csv").startswith("552 The account's 160000 bytes are full")
        (site.home() / "results" / "result_first.csv").unlink()
        assert send(client, "near.csv", b"x" * 10).startswith("226")
    assert site.leftovers() == []


def test_quota_counts_all_sessions(serve: Serve) -> None:
    """Two uploads at once cannot exceed together what neither exceeds alone."""
    site = serve(quota_bytes=500_000)
    with logged_in(site) as one, logged_in(site) as two, begin(one, "a.csv") as first:
        first.sendall(b"x" * 300_000)
        assert eventually(lambda: any(p.stat().st_size == 300_000 for p in site.folder.glob("spool/tmp/*/content")))
        assert send(two, "b.csv", b"x" * 300_000).startswith("552")
        first.close()
        assert outcome(one).startswith("226")
    assert [e.name for e in site.spool.pending()] == ["a.csv"]


SERVE_ON_FULL_DISK = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from connectors.credentials import Credentials
from connectors.hosted_ftp import FtpSettings, HostedFtp
from connectors.spool import Spool

folder = Path(sys.argv[1])
spool = Spool(folder / "spool", clock=lambda: datetime.now(UTC))
settings = FtpSettings(certificate=folder / "c", key=folder / "k", port=0, tls="off")
server = HostedFtp(settings, spool=spool, credentials=Credentials(Path(sys.argv[2])), folder=folder / "ftp")
server.start()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
print(server.port, flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize("name", ["returns.csv", "returns.csv.part"])
def test_full_disk(tmp_path: Path, credentials: Credentials, name: str) -> None:
    """When the disk takes no more the answer is 452, nothing stays, and a file that fits is received afterwards."""
    script = [sys.executable, "-c", SERVE_ON_FULL_DISK, str(tmp_path), str(credentials.folder)]
    with (
        subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as server,
        ftplib.FTP() as client,  # noqa: S321 - it is what brands use
    ):
        try:
            assert server.stdout is not None
            client.connect("127.0.0.1", int(server.stdout.readline()), timeout=10)
            client.login(ACCOUNTS[0], PASSWORD)
            assert send(client, name, b"x" * 1_000_000).startswith(f"452 '{name}' could not be stored (File too large)")
            assert [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "order"] == []
            assert send(client, name, b"x" * 1000).startswith("226")
        finally:
            server.kill()


# --- temporary names


@pytest.mark.parametrize("temporary", ["returns.csv.part", ".in.returns.csv.", "returns.csv.filepart", "RETURNS.TMP"])
def test_upload_under_a_temporary_name_lands_when_renamed(site: Site, temporary: str) -> None:
    """A temporary name is kept and shown, not delivered; renamed, it lands before the 250 and is gone."""
    with logged_in(site) as client:
        assert send(client, temporary, CONTENT).startswith(f"226 {temporary} is stored under its temporary name")
        assert site.spool.pending() == []
        assert client.nlst() == sorted([temporary, "results"])
        answer = client.rename(temporary, "returns.csv")
        assert answer.startswith(f"250 Delivery {only(site).delivery} received; {len(CONTENT)} bytes")
        assert client.nlst() == ["results"]
    assert site.contents() == {"returns.csv": CONTENT}
    assert site.leftovers() == []


def test_kept_file_is_replaced_renamed_and_deleted(site: Site) -> None:
    """A kept file can be sent again, get another temporary name, and be deleted, all without a delivery."""
    with logged_in(site) as client:
        send(client, "a.part", b"first")
        send(client, "a.part", b"second!")
        assert client.rename("a.part", "b.part").startswith("250 Renamed to b.part")
        assert client.size("b.part") == 7
        client.delete("b.part")
        assert client.nlst() == ["results"]
    assert site.spool.pending() == []


def test_gone_before_it_was_accepted(site: Site) -> None:
    """A data connection that is reset before the server takes it up: the upload is answered nevertheless, and ended."""
    with logged_in(site) as client:
        client.voidcmd("TYPE I")
        for number in range(100):
            with socket.create_connection(client.makepasv()) as data:
                client.putcmd(f"STOR {number}.part")
                reset(data)
            answer = client.getmultiline()
            assert (outcome(client) if answer[0] == "1" else answer).startswith(("425", "426"))
    assert site.leftovers() == []


@pytest.mark.parametrize("command", ["LIST", "NLST", "RETR results/result_a.csv"])
def test_a_reader_that_is_gone_before_it_was_accepted(site: Site, command: str) -> None:
    """The same for what is read: there is always an answer, and the session goes on."""
    (site.home() / "results").mkdir(parents=True)
    (site.home() / "results" / "result_a.csv").write_text("x")
    with logged_in(site) as client:
        client.voidcmd("TYPE I")
        for _ in range(100):
            with socket.create_connection(client.makepasv()) as data:
                client.putcmd(command)
                reset(data)
            answer = client.getmultiline()
            assert (outcome(client) if answer[0] == "1" else answer).startswith(("226", "425", "426"))


def test_broken_off_upload_keeps_the_older_file(site: Site) -> None:
    """An upload to a temporary name that breaks off leaves what was there before."""
    with logged_in(site) as client:
        send(client, "a.part", b"whole")
        data = begin(client, "a.part")
        data.sendall(CONTENT)
        reset(data)
        assert outcome(client).startswith("426")
        assert client.size("a.part") == 5
    assert site.leftovers() == []


def test_renaming_what_is_not_there(site: Site) -> None:
    """Only kept files can be renamed, only into the main folder, and RNTO needs RNFR."""
    (site.home() / "results").mkdir(parents=True)
    (site.home() / "results" / "result_a.csv").write_text("x")
    with logged_in(site) as client:
        send(client, "a.part", b"x")
        assert reply(client, "RNFR b.part").startswith("550")
        assert reply(client, "RNFR results/result_a.csv").startswith("550")
        assert reply(client, "RNFR results").startswith("550")
        assert reply(client, "RNTO b.csv").startswith("503")
        for target in ("results/a.csv", "results", "receipt_a.csv", "/"):
            assert reply(client, "RNFR a.part").startswith("350")
            assert reply(client, f"RNTO {target}").startswith("553"), target
    assert site.spool.pending() == []


def test_leftovers_are_removed_at_the_start(serve: Serve, tmp_path: Path) -> None:
    """What a killed server left of a kept file is removed by the next one."""
    incoming = tmp_path / "ftp" / ".incoming"
    incoming.mkdir(parents=True)
    (incoming / "0123456789abcdef").write_bytes(b"half")
    assert serve().leftovers() == []
