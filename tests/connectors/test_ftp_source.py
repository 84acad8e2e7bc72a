"""What only FTP can do wrong, and servers that know less than pyftpdlib does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pyftpdlib.handlers import FTPHandler

from connectors.source import Part, RemoteFile
from processing.errors import SourceRefused, SourceUnreachable, Unusable
from tests.connectors.brands import ftp
from tests.connectors.source_site import PASSWORD_AT, USER, Brand


@contextmanager
def old_server(folder: Path, *missing: str) -> Iterator[Brand]:
    """A server that does not know some commands."""
    known = {name: how for name, how in FTPHandler.proto_cmds.items() if name not in missing}
    folder.mkdir()
    with ftp(folder, tls=False, proto_cmds=known) as brand:
        yield brand


def test_a_server_that_lists_only_names(tmp_path: Path) -> None:
    """Size and time are asked for each; the rest is the same."""
    with old_server(tmp_path / "feed", "MLSD", "MLST") as brand:
        brand.write("b.csv", b"x" * 1000, 1_700_000_000)
        brand.write("a.csv", b"yz", 1_700_000_001)
        (brand.folder / "c.csv").mkdir()
        received: list[bytes] = []
        with brand.source(pattern="*.csv", after="move") as source:
            files = source.waiting()
            assert files == [RemoteFile("b.csv", 1000, 1_700_000_000), RemoteFile("a.csv", 2, 1_700_000_001)]
            assert source.fetch(files[0], received.append)
            assert source.settle(files[0], "D-1")
        assert b"".join(received) == b"x" * 1000
        assert brand.names("processed") == ["b.csv"]


def test_a_server_that_cannot_begin_in_the_middle(tmp_path: Path) -> None:
    """It sends all of the file; what is there already is compared, and not kept twice."""
    content = bytes(range(256)) * 2000
    with old_server(tmp_path / "feed", "REST") as brand:
        brand.write("a.csv", content)
        for its, expected in ((content, True), (content[::-1], False)):
            part, received = Part(), list[bytes]()
            part.add(its[:300_000])
            with brand.source() as source:
                assert source.fetch(source.waiting()[0], received.append, part) is expected
            assert b"".join(received) == (content[300_000:] if expected else b"")


def test_a_server_that_cannot_prove_anything(tmp_path: Path) -> None:
    """Without times no file is known to be whole."""
    with old_server(tmp_path / "feed", "MLSD", "MLST", "MDTM") as brand:
        brand.write("a.csv", b"x")
        with brand.source() as source:
            assert source.waiting() == []


def test_a_server_without_tls(tmp_path: Path) -> None:
    """It is told what can be done; nothing was sent."""
    with old_server(tmp_path / "feed") as brand, pytest.raises(SourceRefused, match=r'offers no TLS.*tls = "off"'):
        brand.source(tls="required").__enter__()


def test_a_ca_file_that_cannot_be_used(tmp_path: Path) -> None:
    """A person has to see to it."""
    with old_server(tmp_path / "feed") as brand, pytest.raises(Unusable, match=r"The ca_file .*/nowhere"):
        brand.source(tls="required", ca_file=tmp_path / "nowhere").__enter__()


@pytest.mark.parametrize(
    ("greeting", "kind", "what"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", SourceRefused, "does not answer like an FTP server"),
        (b"421 Too many users.\r\n", SourceUnreachable, "421 Too many users"),
        (b"", SourceUnreachable, "broke off"),
    ],
)
def test_what_is_no_server(greeting: bytes, kind: type[Exception], what: str) -> None:
    """Another service, one that is full, and one that hangs up at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with suppress(OSError):
                client, _ = listener.accept()
                with client:
                    client.sendall(greeting)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(1024):
                        pass

        threading.Thread(target=greet, daemon=True).start()
        reached = {"host": "127.0.0.1", "port": listener.getsockname()[1], "tls": "off"}
        values = {"user": USER, "password": PASSWORD_AT, **reached}
        brand = Brand("ftp", Path(), values, lambda: None, lambda: None)
        with pytest.raises(kind, match=what), brand.source():
            pass
