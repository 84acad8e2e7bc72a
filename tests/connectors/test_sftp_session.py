"""What only SSH can do wrong, in the words an operator reads."""

import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from clawback.demo.brand_sftp import BrandFiles
from connectors.sftp_session import logged_in, scan
from connectors.source_settings import Secret
from processing.errors import ClawbackError, SourceRefused, SourceUnreachable, Unusable
from tests.connectors.source_site import Brand, by_password, free_port, key_pair, openssh, public

PHRASE = "a phrase, ünd more"


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brand]:
    """OpenSSH, which lets in by key only."""
    with openssh(tmp_path_factory.mktemp("brand") / "feed", "ed25519") as brand:
        yield brand


def refusal(brand: Brand, **values: object) -> ClawbackError:
    """The error of a login with other settings."""
    settings: Any = brand.settings(**values)
    with pytest.raises(ClawbackError) as error, logged_in(settings, {"X": "not it"}):
        pass
    return error.value


def test_scan(brand: Brand) -> None:
    """Every kind of key the server has; without one pinned, and without logging in."""
    settings: Any = brand.settings(host_key=(), user="nobody-we-know")
    assert scan(settings) == list(public("ed25519"))


def test_scan_of_nothing(brand: Brand) -> None:
    """A server that is away is worth another try."""
    settings: Any = brand.settings(port=free_port())
    with pytest.raises(SourceUnreachable, match="cannot be reached"):
        scan(settings)


def test_no_key_is_pinned(brand: Brand) -> None:
    """Nothing is sent to a server that nobody vouches for."""
    error = refusal(brand, host_key=())
    assert isinstance(error, Unusable)
    assert "`clawback sources scan acme`" in str(error)


def test_two_keys_are_pinned(brand: Brand) -> None:
    """While a brand changes its key, both are right."""
    settings: Any = brand.settings(host_key=(*public("rsa"), *public("ed25519")))
    with logged_in(settings, {}) as transport:
        assert transport.is_authenticated()


def test_a_key_of_another_kind(brand: Brand) -> None:
    """The server has none of the pinned kind: it is not the one."""
    error = refusal(brand, host_key=public("rsa"))
    assert isinstance(error, SourceRefused)
    assert public("rsa")[0].fingerprint in str(error)


def test_key_files_that_cannot_be_used(brand: Brand, tmp_path: Path) -> None:
    """Each is named, with what is wrong, before anything is sent."""
    locked, text = tmp_path / "locked", tmp_path / "text"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a phrase", "-f", locked], check=True)
    text.write_text("no key")
    told = {
        tmp_path / "nowhere": "cannot be read: No such file",
        locked: "has a passphrase. Say where it stands: key_passphrase =",
        text: "is no private key",
        key_pair("rsa").with_suffix(".pub"): "is no private key",
    }
    for path, what in told.items():
        error = refusal(brand, key_file=path)
        assert isinstance(error, Unusable)
        assert f"The key_file {path} of source acme {what}" in str(error)


@pytest.mark.parametrize(("kind", "form"), [("ed25519", ()), ("rsa", ()), ("rsa", ("-m", "PEM")), ("ecdsa", ())])
def test_encrypted_keys(tmp_path: Path, kind: str, form: tuple[str, ...]) -> None:
    """One with a passphrase lets in; a wrong passphrase is told by its setting, and never repeated."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *form, "-N", PHRASE, "-f", key], check=True)
    with openssh(tmp_path / "brand" / "feed", "ed25519") as brand:
        (tmp_path / "brand" / "authorized").write_text(key.with_suffix(".pub").read_text())
        settings: Any = brand.settings(key_file=key, key_passphrase=Secret("env:PHRASE"))
        with logged_in(settings, {"PHRASE": PHRASE}) as transport:
            assert transport.is_authenticated()
        told = {
            "not it": f"does not open its key_file {key}. Put the right one where env:PHRASE says",
            "": "The secret env:PHRASE is empty or not set",
        }
        for phrase, what in told.items():
            with pytest.raises(Unusable, match="The key_passphrase of source acme") as error:
                logged_in(settings, {"PHRASE": phrase}).__enter__()
            assert what in str(error.value)
            assert "not it" not in str(error.value)


def test_passphrase_of_a_key_without_one(brand: Brand) -> None:
    """It is no secret that anybody needs; a file that is no key stays one, whatever opens it."""
    phrase = {"key_passphrase": Secret("env:X")}
    assert "has no passphrase; take key_passphrase out" in str(refusal(brand, **phrase))
    assert "is no private key" in str(refusal(brand, key_file=key_pair("rsa").with_suffix(".pub"), **phrase))


def test_a_way_in_that_the_server_does_not_have(brand: Brand) -> None:
    """It says by which way it lets in."""
    error = refusal(brand, key_file=None, password=Secret("env:X"))
    assert isinstance(error, SourceRefused)
    assert "by publickey only" in str(error)


def test_a_server_without_sftp(brand: Brand, tmp_path: Path) -> None:
    """A login that gives no files is for the brand to mend."""
    config = tmp_path / "brand" / "sshd_config"
    with openssh(tmp_path / "brand" / "feed", "ed25519") as other:
        other.stop()
        config.write_text(config.read_text().replace("Subsystem sftp internal-sftp\n", ""))
        other.start()
        with pytest.raises(SourceRefused, match=r"gives .* no SFTP"), other.source():
            pass
    assert brand.names() == []


def test_names_that_are_not_utf8(brand: Brand) -> None:
    """They are read letter by letter, and found again by the same bytes."""
    raw = b"R\xfccklauf.csv"
    path = Path(f"{brand.folder}/".encode().decode() + raw.decode("utf-8", "surrogateescape"))
    path.write_bytes(b"x")
    with brand.source(after="move") as source:
        (file,) = source.waiting()
        assert file.name == "Rücklauf.csv"
        assert source.fetch(file, len)
        assert source.settle(file, "D-1")
    moved = brand.folder / "processed" / path.name
    assert moved.read_bytes() == b"x"
    moved.unlink()
    moved.parent.rmdir()


def test_links(brand: Brand, tmp_path: Path) -> None:
    """A link to a file is one; a link to nowhere or to a folder is none."""
    (tmp_path / "target").write_bytes(b"x")
    for name, target in {"a.csv": "target", "b.csv": "nowhere", "c.csv": "."}.items():
        (brand.folder / name).symlink_to(tmp_path / target)
    with brand.source() as source:
        assert [file.name for file in source.waiting()] == ["a.csv"]
        assert source.fetch(source.waiting()[0], len)
    for path in brand.folder.iterdir():
        path.unlink()


def test_a_server_that_renames_onto_nothing(tmp_path: Path) -> None:
    """Without posix-rename the older answer is removed first."""

    class Old(BrandFiles):
        """Knows renaming as the first drafts have it."""

        def posix_rename(self, oldpath: str, newpath: str) -> int:
            """Only where nothing lies; OpenSSH's extension is not there."""
            if self.path(newpath).exists():
                return 8
            return super().posix_rename(oldpath, newpath)

    with by_password(tmp_path / "brand" / "feed", Old) as brand, brand.source(result_folder="/") as source:
        for content in (b"old", b"new"):
            source.put("result_returns.csv", BytesIO(content))
        assert (brand.folder / "result_returns.csv").read_bytes() == b"new"


FETCH = """
import resource, sys
from connectors.host_key import HostKey
from connectors.sftp_source import SftpSource
from connectors.source_settings import SftpSettings

port, user, key_file, host_key, folder = sys.argv[1:]
settings = SftpSettings(
    "acme", "IRacme1", "127.0.0.1", user, int(port), key_file=key_file, host_key=HostKey.parse(host_key), folder=folder
)
received = 0

def count(block):
    global received
    received += len(block)

with SftpSource(settings, {}) as source:
    (file,) = source.waiting()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert source.fetch(file, count)
print(received, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_stays_flat(brand: Brand) -> None:
    """A file of 200 MB costs the few blocks that are on their way, not its size."""
    path, values = brand.folder / "large.csv", brand.values
    with path.open("wb") as file:
        file.truncate(200_000_000)
    reached = (values["port"], values["user"], values["key_file"], values["host_key"][0], values["folder"])
    command = [sys.executable, "-c", FETCH, *map(str, reached)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    path.unlink()
    received, grown_mib = map(int, told.split())
    assert received == 200_000_000
    assert grown_mib < 40
