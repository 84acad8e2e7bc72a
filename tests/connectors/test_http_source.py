"""A file at a URL: the contract of all sources, and what only HTTP has."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.outside import Client
from connectors.places import Guard, Place, networks
from connectors.source_settings import Secret
from processing.errors import SourceRefused, SourceUnreachable, Unusable
from tests.connectors import test_sources_contract as contract
from tests.connectors.brands import authority
from tests.connectors.http_site import Publisher, published, publishing
from tests.connectors.source_site import PASSWORD, Brand

# All of the contract that does not speak of folders.
test_bytes_arrive_as_they_are = contract.test_bytes_arrive_as_they_are
test_what_changes_during_the_download_is_not_whole = contract.test_what_changes_during_the_download_is_not_whole
test_what_changed_since_the_listing_is_not_fetched = contract.test_what_changed_since_the_listing_is_not_fetched
test_keep = contract.test_keep
test_a_connection_that_breaks = contract.test_a_connection_that_breaks
test_a_server_that_dies_during_the_download = contract.test_a_server_that_dies_during_the_download
test_a_server_that_falls_silent = contract.test_a_server_that_falls_silent


@pytest.fixture(scope="module", params=["http", "https"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    """A web server, without and with TLS."""
    with publishing(tmp_path_factory.mktemp("brand") / "feed", tls=request.param == "https") as brand:
        yield brand


@pytest.fixture
def brand(running: Publisher) -> Publisher:
    """The same with nothing published and good manners."""
    for path in running.folder.iterdir():
        path.unlink()
    manners = running.manners
    manners.etags, manners.dates, manners.head, manners.compressed, manners.status = True, True, True, False, 0
    manners.empty_heads = False
    manners.moved.clear()
    manners.heard.clear()
    return running


def fetched(brand: Brand, **values: object) -> tuple[int, bytes | None]:
    """The file's identity and its bytes, None if it was not whole."""
    received = bytearray()
    with brand.source(**values) as source:
        (file,) = source.waiting()
        return file.modified_at, bytes(received) if source.fetch(file, received.extend) else None


@pytest.mark.parametrize(
    "manners",
    [{}, {"etags": False}, {"dates": False}, {"head": False}, {"etags": False, "dates": False}, {"empty_heads": True}],
    ids=["both", "dates only", "etags only", "no HEAD", "neither", "HEAD of nothing"],
)
def test_what_tells_that_it_is_new(brand: Publisher, manners: dict[str, bool]) -> None:
    """By ETag, by Last-Modified, by its content: the same file is the same, and another is another."""
    for name, value in manners.items():
        setattr(brand.manners, name, value)
    brand.write("returns.csv", b"first", 1_700_000_000)
    first = fetched(brand)
    assert first == fetched(brand)
    assert first[1] == b"first"
    brand.write("returns.csv", b"other", 1_700_000_060)
    other = fetched(brand)
    assert other[1] == b"other"
    assert other[0] != first[0]


def test_headers_spare_the_download(brand: Publisher) -> None:
    """Looking costs a HEAD; who does not trust headers goes by the content."""
    brand.write("returns.csv", b"x" * 100)
    with brand.source() as source:
        assert source.waiting()[0].size_bytes == 100
    assert [method for method, _, _ in brand.manners.heard] == ["HEAD"]
    brand.manners.heard.clear()
    assert fetched(brand, compare="content")[1] == b"x" * 100
    assert [method for method, _, _ in brand.manners.heard] == ["GET"]


def test_size_limit(brand: Publisher) -> None:
    """What has no length is read no further than the limit."""
    brand.write("returns.csv", b"x" * 1_000_000)
    with pytest.raises(SourceRefused, match="more bytes than the 1,000 of max_file_bytes"):
        fetched(brand, compare="content", max_file_bytes=1000)
    with brand.source(max_file_bytes=1000) as source:
        (step,) = source.check()
    assert (step.ok, "more than max_file_bytes (1,000)" in step.message) == (False, True)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (403, SourceRefused, r"refuses our authorization \(403\)"),
        (400, SourceRefused, "answers 400"),
        (429, SourceUnreachable, "answers 429"),
        (503, SourceUnreachable, "answers 503"),
    ],
)
def test_answers_that_are_no_file(brand: Publisher, status: int, kind: type[Exception], told: str) -> None:
    """Somebody has to see to it, or it is worth another try."""
    brand.write("returns.csv", b"x")
    brand.manners.status = status
    with pytest.raises(kind, match=told), brand.source():
        pass


def test_no_file(brand: Publisher) -> None:
    """Said in words, without what may be a secret in the URL."""
    with brand.source(path="/returns.csv?key=s3cret") as source, pytest.raises(SourceRefused) as error:
        source.waiting()
    assert "returns.csv is not there (404)" in str(error.value)
    assert "s3cret" not in str(error.value)


def test_wrong_secret(brand: Publisher, caplog: pytest.LogCaptureFixture) -> None:
    """It is told by nobody; one that is missing is named by its reference."""
    brand.write("returns.csv", b"x")
    with (
        pytest.raises(SourceRefused, match=r"refuses our authorization \(401\)") as error,
        brand.source(authorization=Secret("env:WRONG")),
    ):
        pass
    assert "not it" not in str(error.value) + caplog.text
    with pytest.raises(Unusable, match="env:NOWHERE"), brand.source(authorization=Secret("env:NOWHERE")):
        pass


def test_compressed_on_the_way(brand: Publisher) -> None:
    """Nobody could tell whether it is whole."""
    brand.write("returns.csv", b"x")
    brand.manners.compressed = True
    with pytest.raises(SourceRefused, match="compresses the file"), brand.source():
        pass


def test_names(brand: Publisher) -> None:
    """The end of the path, decoded; or what the settings say."""
    brand.write("Rückläufer März.csv", b"x")
    path = "/R%C3%BCckl%C3%A4ufer%20M%C3%A4rz.csv?day=1"
    for values, name in (({}, "Rückläufer März.csv"), ({"file": "returns.csv"}, "returns.csv")):
        with brand.source(path=path, **values) as source:
            assert source.waiting()[0].name == name


def test_redirects_are_followed_to_where_they_may(brand: Publisher) -> None:
    """Within the server with the secret, to another without it; not in circles."""
    brand.write("returns.csv", b"x")
    brand.manners.moved["/old"] = "/returns.csv"
    assert fetched(brand, path="/old", file="returns.csv")[1] == b"x"
    brand.manners.moved["/circle"] = "/circle"
    with pytest.raises(SourceRefused, match="redirects more than 5 times"), brand.source(path="/circle"):
        pass


def test_a_redirect_may_name_a_part_of_the_file(brand: Publisher) -> None:
    """A fragment is the client's own business, and is never sent."""
    brand.write("returns.csv", b"x")
    brand.manners.moved["/old"] = "/returns.csv#newest"
    assert fetched(brand, path="/old", file="returns.csv")[1] == b"x"


@pytest.mark.parametrize(
    "location", ["/the returns.csv", "ftp://brand.example/x", "http://a:b@brand.example/", "http://["]
)
def test_a_redirect_that_cannot_be_followed_is_the_brands(brand: Publisher, location: str) -> None:
    """The settings are right; whoever publishes the file has to correct it. What it holds may be a secret."""
    brand.manners.moved["/old"] = location
    with pytest.raises(SourceRefused, match=r"/old redirects to what is no URL .* Ask the brand") as error:
        fetched(brand, path="/old")
    assert "a:b" not in str(error.value)


def test_the_secret_goes_to_nobody_else(tmp_path: Path) -> None:
    """Another port is another server: it is asked, and told nothing."""
    with publishing(tmp_path / "a" / "feed") as one, publishing(tmp_path / "b" / "feed") as other:
        other.write("returns.csv", b"x")
        one.manners.moved["/returns.csv"] = f"http://127.0.0.1:{other.values['port']}/returns.csv"
        with pytest.raises(SourceRefused, match="refuses our authorization"), one.source():
            pass
    assert all("Authorization" in headers for _, _, headers in one.manners.heard)
    assert other.manners.heard
    assert not any("Authorization" in headers for _, _, headers in other.manners.heard)


@pytest.mark.parametrize("networks_named", ["", "10.0.0.0/8", "127.0.0.2/32"])
def test_private_addresses_are_not_reached(tmp_path: Path, networks_named: str) -> None:
    """Neither at once nor by a redirect."""
    with publishing(tmp_path / "feed", tls=True) as brand:
        with pytest.raises(SourceRefused, match=r"the address 127\.0\.0\.1 is not a public one; nothing was sent"):
            fetched(brand, private_networks=networks_named)
        assert brand.manners.heard == []
        brand.manners.moved["/returns.csv"] = "https://169.254.169.254/latest/meta-data"
        with pytest.raises(SourceRefused, match=r"169\.254\.169\.254 is not a public one"):
            fetched(brand)


def test_no_way_back_from_tls(tmp_path: Path) -> None:
    """A redirect to HTTP is refused before anything is sent there."""
    with publishing(tmp_path / "a" / "feed") as plain, publishing(tmp_path / "b" / "feed", tls=True) as brand:
        brand.manners.moved["/returns.csv"] = f"http://127.0.0.1:{plain.values['port']}/returns.csv"
        with pytest.raises(SourceRefused, match="without TLS; nothing was sent there"), brand.source():
            pass
        assert plain.manners.heard == []


def test_a_stranger_learns_nothing(tmp_path: Path) -> None:
    """A server whose certificate nobody vouches for, or that is another's, is told nothing."""
    with publishing(tmp_path / "feed", tls=True) as brand:
        for stranger in ({"ca_file": None}, {"host": "127.0.0.2"}):
            with pytest.raises((SourceRefused, SourceUnreachable)), brand.source(**stranger):
                pass
        assert brand.manners.heard == []


@contextmanager
def _answering(*addresses: str) -> Iterator[tuple[Guard, list[str]]]:
    """A name server that gives another address each time it is asked."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_kind: Any) -> list[Any]:  # noqa: ANN401 - getaddrinfo's
        asked.append(host)
        address = addresses[min(len(asked), len(addresses)) - 1]
        return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)

    yield Guard(networks("127.0.0.1/32"), resolve=resolve), asked


def test_a_name_that_changes_its_mind(tmp_path: Path) -> None:
    """The address that was checked is the one that is connected to: the name is resolved once for each connection."""
    with publishing(tmp_path / "feed") as brand, _answering("127.0.0.1", "127.0.0.2") as (guard, asked):
        published(brand, b"x")
        place = Place.parse(f"http://brand.example:{brand.values['port']}/returns.csv")
        client = Client(guard, timeout_s=5)
        with client.ask("GET", place, {"Authorization": PASSWORD}) as answer:
            assert (answer.status, answer.read()) == (200, b"x")
        assert asked == ["brand.example"]
        with pytest.raises(SourceRefused, match=r"127\.0\.0\.2"), client.ask("GET", place, {}):
            pass
        assert len(brand.manners.heard) == 1


def test_another_authority(tmp_path: Path) -> None:
    """The file of certificates has to be one."""
    bad = tmp_path / "ca.pem"
    bad.write_text("none")
    with publishing(tmp_path / "feed", tls=True) as brand:
        with pytest.raises(Unusable, match="cannot be read"), brand.source(ca_file=bad):
            pass
        brand.write("returns.csv", b"x")
        assert fetched(brand, ca_file=authority()[1])[1] == b"x"
