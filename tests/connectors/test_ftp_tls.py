"""TLS on both connections: who must use it, and which uploads over it are whole."""

import ftplib
import io
import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from connectors.credentials import Credentials
from connectors.ftp_settings import FtpSettings
from connectors.ftp_tls import ensure_certificate
from connectors.hosted_ftp import HostedFtp
from connectors.spool import Spool
from processing.errors import Unusable
from tests.connectors.ftp_site import (
    ACCOUNTS,
    PASSWORD,
    Serve,
    Site,
    begin,
    clock,
    logged_in,
    logged_in_by_tls,
    outcome,
    reply,
    send,
)

CONTENT = b"ActionId,Reason\r\n" + b"1,RETURNED\r\n" * 20_000
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def secure(serve: Serve) -> Site:
    """A server that requires TLS."""
    return serve(tls="required")


def test_certificate_is_made_once_and_holds(serve: Serve, tmp_path: Path) -> None:
    """The certificate of the first start is valid for this host under strict checks, stays, and its key is private."""
    site = serve(tls="required")
    key = tmp_path / "tls" / "key.pem"
    made = (site.certificate.read_bytes(), key.read_bytes())
    assert key.stat().st_mode & 0o777 == 0o600
    with logged_in_by_tls(site) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() == "TLSv1.3"
    site.server.close()
    with logged_in_by_tls(serve(tls="required")):
        assert (site.certificate.read_bytes(), key.read_bytes()) == made


@pytest.mark.parametrize(
    ("certificate", "key", "fault"),
    [
        ("own", None, "has no key"),
        ("own", "other", "cannot be used together"),
        (None, "text", "cannot be read"),
        ("text", "own", "cannot be used together"),
    ],
)
def test_unusable_certificate_is_named(
    tmp_path: Path, credentials: Credentials, certificate: str | None, key: str | None, fault: str
) -> None:
    """A certificate and a key that do not belong together are refused at the start, and are not replaced."""
    (tmp_path / "text").write_text("no PEM")
    for name in ("own", "other"):
        ensure_certificate(FtpSettings(certificate=tmp_path / f"{name}.c", key=tmp_path / f"{name}.k"), clock)
    paths = (tmp_path / "certificate.pem", tmp_path / "key.pem")
    given = [
        None if c is None else (tmp_path / (c if c == "text" else c + end))
        for c, end in ((certificate, ".c"), (key, ".k"))
    ]
    for path, source in zip(paths, given, strict=True):
        if source is not None:
            path.write_bytes(source.read_bytes())
    server = HostedFtp(
        FtpSettings(certificate=paths[0], key=paths[1], port=0),
        spool=Spool(tmp_path / "spool", clock=clock),
        credentials=credentials,
        folder=tmp_path / "ftp",
    )
    with pytest.raises(Unusable, match=fault):
        server.start()
    for path, source in zip(paths, given, strict=True):
        assert (path.read_bytes() if path.exists() else None) == (source.read_bytes() if source else None)


def test_certificate_for_a_key_that_is_there(serve: Serve, tmp_path: Path) -> None:
    """An operator's key, or one that a crash left alone, gets its certificate and stays."""
    ensure_certificate(FtpSettings(certificate=tmp_path / "c.pem", key=tmp_path / "tls" / "key.pem"), clock)
    key = (tmp_path / "tls" / "key.pem").read_bytes()
    with logged_in_by_tls(serve(tls="required")):
        assert (tmp_path / "tls" / "key.pem").read_bytes() == key


@pytest.mark.parametrize("version", VERSIONS)
def test_upload_by_tls(secure: Site, version: ssl.TLSVersion) -> None:
    """An upload that ends with close_notify lands, with TLS 1.2 and 1.3; so do a download and an empty listing."""
    with logged_in_by_tls(secure) as client:
        client.context.minimum_version = client.context.maximum_version = version
        data = begin(client, "probe.csv")
        assert isinstance(data, ssl.SSLSocket)
        assert data.version() == {VERSIONS[0]: "TLSv1.2", VERSIONS[1]: "TLSv1.3"}[version]
        data.unwrap().close()
        assert outcome(client).startswith("226")
        assert send(client, "returns.csv", CONTENT).startswith("226 Delivery")
        assert client.nlst("results") == []
        (secure.home() / "results" / "result_returns.csv").write_bytes(CONTENT)
        fetched = io.BytesIO()
        client.retrbinary("RETR results/result_returns.csv", fetched.write)
        assert fetched.getvalue() == CONTENT
    assert secure.contents() == {"probe.csv": b"", "returns.csv": CONTENT}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_upload_without_close_notify_is_aborted(secure: Site, version: ssl.TLSVersion, how: str) -> None:
    """A TLS stream that ends without close_notify may be cut by anybody: 426, and nothing lands."""
    with logged_in_by_tls(secure) as client:
        client.context.minimum_version = client.context.maximum_version = version
        data = begin(client, "returns.csv")
        data.sendall(CONTENT)
        if how == "RST":
            data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        data.close()
        assert outcome(client).startswith("426 The upload broke off; nothing was kept.")
        assert (secure.spool.pending(), secure.leftovers()) == ([], [])
        assert send(client, "returns.csv", CONTENT).startswith("226 Delivery")


@pytest.mark.parametrize("version", VERSIONS)
def test_abort_by_tls(secure: Site, version: ssl.TLSVersion) -> None:
    """ABOR aborts also when it comes together with a proper end of the data."""
    with logged_in_by_tls(secure) as client:
        client.context.minimum_version = client.context.maximum_version = version
        data = begin(client, "returns.csv")
        data.sendall(b"half")
        client.putcmd("ABOR")
        assert isinstance(data, ssl.SSLSocket)
        with suppress(OSError):  # the server may have closed it before
            data.unwrap()
        data.close()
        assert outcome(client).startswith("426")
        assert outcome(client)[:3] in {"225", "226"}
        assert client.voidcmd("NOOP").startswith("200")
    assert (secure.spool.pending(), secure.leftovers()) == ([], [])


def test_data_connection_without_handshake_is_aborted(secure: Site) -> None:
    """Bytes in plain text on a data connection that was to be secured are no upload."""
    with logged_in_by_tls(secure) as client:
        client.voidcmd("TYPE I")
        with socket.create_connection(client.makepasv()) as data:
            assert client.sendcmd("STOR returns.csv")[:3] in {"125", "150"}
            data.sendall(CONTENT)
            assert outcome(client)[:3] in {"426", "522"}
    assert (secure.spool.pending(), secure.leftovers()) == ([], [])


def test_damaged_record_is_aborted(secure: Site) -> None:
    """A TLS record that fails its check aborts the upload."""
    with logged_in_by_tls(secure) as client:
        data = begin(client, "returns.csv")
        data.sendall(CONTENT)
        with socket.socket(fileno=data.detach()) as raw:
            raw.setblocking(True)
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            assert outcome(client).startswith("426")
    assert (secure.spool.pending(), secure.leftovers()) == ([], [])


def test_required_means_both_connections(secure: Site) -> None:
    """Without TLS there is no login, and with TLS no data connection in plain text."""
    with ftplib.FTP() as client:  # noqa: S321 - it is what brands use
        client.connect("localhost", secure.server.port, timeout=10)
        assert reply(client, f"USER {ACCOUNTS[0]}").startswith("550 SSL/TLS required")
        assert reply(client, f"PASS {PASSWORD}").startswith("550 SSL/TLS required")
    with logged_in_by_tls(secure) as client:
        client.prot_c()
        for command in ("PASV", "EPSV", "PORT 127,0,0,1,200,1"):
            assert reply(client, command).startswith("550 SSL/TLS required")


def test_optional_takes_both(serve: Serve) -> None:
    """With optional TLS both kinds of client can send, and a secured one may send its data in plain text."""
    site = serve(tls="optional")
    with logged_in(site) as plain, logged_in_by_tls(site) as secured:
        assert send(plain, "a.csv", CONTENT).startswith("226")
        assert send(secured, "b.csv", CONTENT).startswith("226")
        secured.prot_c()
        assert send(secured, "c.csv", CONTENT).startswith("226")
    assert site.contents() == dict.fromkeys(("a.csv", "b.csv", "c.csv"), CONTENT)


def test_off_knows_no_tls(site: Site) -> None:
    """Without TLS the commands for it are not there."""
    with ftplib.FTP() as client:  # noqa: S321 - it is what brands use
        client.connect("localhost", site.server.port, timeout=10)
        assert reply(client, "AUTH TLS").startswith("500")
        assert "AUTH" not in client.sendcmd("FEAT")


def test_old_tls_is_refused(secure: Site) -> None:
    """Nobody gets in with TLS 1.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with ftplib.FTP_TLS(context=context) as client:  # noqa: S321 - the same
        client.connect("localhost", secure.server.port, timeout=10)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.auth()
        client.close()


@pytest.mark.parametrize("injected", [b"NOOP\r\n", b"USER evil\r\nNOOP\r\n", b"NO"])
def test_command_sent_with_auth_is_forgotten(secure: Site, injected: bytes) -> None:
    """What came in plain text behind AUTH TLS, perhaps from somebody in between, is not run after the handshake."""
    with socket.create_connection(("localhost", secure.server.port), timeout=10) as plain:
        assert plain.recv(100).startswith(b"220")
        plain.sendall(b"AUTH TLS\r\n" + injected)
        assert plain.recv(100) == b"234 AUTH TLS successful.\r\n"
        with secure.trusting().wrap_socket(plain, server_hostname="localhost") as control:
            control.sendall(b"SYST\r\n")
            assert control.recv(100).startswith(b"215")
            control.settimeout(0.2)
            with pytest.raises(TimeoutError):
                control.recv(100)


def test_several_servers_in_one_process(tmp_path: Path, serve: Serve) -> None:
    """Servers with different settings do not share anything."""
    one = serve(tmp_path / "one", tls="required")
    two = serve(tmp_path / "two", tls="off", max_upload_bytes=10)
    with logged_in_by_tls(one) as secured, logged_in(two) as plain:
        assert send(secured, "a.csv", CONTENT).startswith("226")
        assert send(plain, "b.csv", b"x" * 11).startswith("552")
        assert send(plain, "c.csv", b"x" * 10).startswith("226")
    assert (list(one.contents()), list(two.contents())) == (["a.csv"], ["c.csv"])


def test_client_that_never_finishes_its_handshake(serve: Serve) -> None:
    """Such a client is disconnected after the idle time, and the server can always be closed."""
    site = serve(tls="required", idle_timeout_s=0.3)
    with socket.create_connection(("localhost", site.server.port), timeout=10) as client:
        client.recv(100)
        client.sendall(b"AUTH TLS\r\n")
        client.recv(100)
        assert client.recv(100) == b""
    with socket.create_connection(("localhost", site.server.port), timeout=10) as client:
        client.recv(100)
        client.sendall(b"AUTH TLS\r\n")
        client.recv(100)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError):
            while client.recv(100):
                pass
    with logged_in_by_tls(site) as secured, begin(secured, "a.csv"):
        site.server.close()
        secured.close()
