"""The tables [[sftp]], [[ftp]] and [[http]]: what they mean, and a clear error for what they cannot."""

from pathlib import Path

import pytest

from clawback.settings import Settings, as_environment, load
from connectors.host_key import HostKey
from connectors.source_settings import FtpPullSettings, HttpSettings, Secret, SftpSettings
from processing.errors import NotFound, Unusable

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9eQy9Az0Q4yY4nC3n8ZzJm3m2q7n1pVb8mXbq3hQK"
SFTP = """
[[sftp]]
name = "acme"
account = "IRacme1"
host = "sftp.acme.example"
user = "clawback"
"""
FTP = """
[[ftp]]
name = "brix"
account = "IRbrix2"
host = "ftp.brix.example"
user = "clawback"
password = "env:BRIX_PASSWORD"
"""
HTTP = """
[[http]]
name = "plum"
account = "IRacme1"
url = "https://plum.example/returns.csv?key=1"
"""


def read(folder: Path, text: str) -> Settings:
    """The settings of a file with this text."""
    (folder / "clawback.toml").write_text(text)
    return load({}, folder)


def test_what_is_given_and_what_is_assumed(tmp_path: Path) -> None:
    """Four hours, all files, and nothing on the far side is touched, unless it says otherwise."""
    more = f'key_file = "keys/acme"\nhost_key = "{KEY}"\nschedule = "30m"\nevent_type = 16027\nafter = "move"\n'
    settings = read(tmp_path, SFTP + more + FTP)
    assert settings.source("acme") == SftpSettings(
        name="acme",
        account="IRacme1",
        host="sftp.acme.example",
        user="clawback",
        key_file=tmp_path / "keys" / "acme",
        host_key=HostKey.parse(KEY),
        every_s=1800,
        event_type=16027,
        after="move",
    )
    assert settings.source("brix") == FtpPullSettings(
        name="brix",
        account="IRbrix2",
        host="ftp.brix.example",
        user="clawback",
        password=Secret("env:BRIX_PASSWORD"),
    )
    assert [one.every_s for one in settings.sources] == [1800, 4 * 3600]


def test_another_process_has_the_same_sources(tmp_path: Path) -> None:
    """By its environment, whatever its folder; secrets go as references."""
    text = (
        SFTP
        + f'password = "file:secret"\nhost_key = """\n{KEY}\n"""\nschedule = "off"\n'
        + FTP
        + 'ca_file = "ca.pem"\nschedule = "30d"\n'
    )
    settings = read(tmp_path, text)
    assert load(as_environment(settings), Path("/")) == settings
    assert isinstance(settings.servers[0], SftpSettings)
    assert settings.servers[0].password == Secret(f"file:{tmp_path / 'secret'}")


def test_a_url_is_shown_without_its_secrets(tmp_path: Path) -> None:
    """What follows the path is for the server alone; nothing is changed there, and no answers are put there."""
    settings = read(tmp_path, HTTP + 'authorization = "env:PLUM"\nschedule = "1h"\n')
    (source,) = settings.sources
    url = "https://plum.example/returns.csv?key=1"
    assert source == HttpSettings("plum", "IRacme1", url, authorization=Secret("env:PLUM"), every_s=3600)
    assert (source.place, source.after, source.result_folder) == ("https://plum.example/returns.csv", "keep", "")
    assert load(as_environment(settings), Path("/")) == settings


def test_the_hosted_server_beside_sources(tmp_path: Path) -> None:
    """TOML knows a name as a table or as a list of tables."""
    settings = read(tmp_path, "[ftp_server]\nport = 21\n" + FTP)
    assert (settings.ftp.port, len(settings.sources)) == (21, 1)
    with pytest.raises(Unusable, match=r"the hosted server's table is called \[ftp_server\]"):
        read(tmp_path, "[ftp]\nport = 21\n" + FTP)
    with pytest.raises(Unusable, match="the same table"):
        read(tmp_path, "[ftp]\nport = 21\n[ftp_server]\nport = 22\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SFTP, "sftp acme: give one of key_file and password"),
        (SFTP + 'key_file = "a"\npassword = "env:A"\n', "give one of key_file and password"),
        (SFTP + "password = 'env:A'\nkey_passphrase = 'env:B'\n", "key_passphrase opens a key_file"),
        (SFTP + "key_file = 'a'\nkey_passphrase = 'hunter2'\n", "write env:NAME or file:PATH"),
        (SFTP + "hostkey = 'x'\n", "sftp acme: hostkey is no setting. Did you mean host_key?"),
        (SFTP + "password = 'hunter2'\n", "write env:NAME or file:PATH"),
        (SFTP + "password = 2\n", "write env:NAME or file:PATH"),
        (SFTP + "password = 'env:CLAWBACK_ACME'\n", "does not begin with CLAWBACK_"),
        (SFTP + "password = 'env:A'\nhost_key = 'SHA256:abc'\n", "is written like in known_hosts"),
        (SFTP + f"password = 'env:A'\nhost_key = '{KEY[:-8]}'\n", "The ssh-ed25519 host key is not whole"),
        (SFTP + "password = 'env:A'\nhost_key = 'ssh-rsa AAAA'\n", "The ssh-rsa host key is not whole"),
        (SFTP + "password = 'env:A'\nafter = 'burn'\n", "after is 'burn'; it can be 'keep', 'move', 'delete'"),
        (SFTP + "password = 'env:A'\nschedule = 'often'\n", "schedule is 'often'; write 4h"),
        (SFTP + "password = 'env:A'\nschedule = '1s'\n", "schedule is '1s'; write 4h"),
        (SFTP + "password = 'env:A'\nschedule = 5\n", "schedule is 5; write 4h"),
        (SFTP + "password = 'env:A'\nport = 70000\n", "port is 70000"),
        (SFTP + "password = 'env:A'\nport = '22'\n", "port is '22'; it must be a whole number"),
        (SFTP + "password = 'env:A'\nfolder = 1\n", "folder is 1; it must be a text"),
        (SFTP + "password = 'env:A'\nfolder = ''\n", "folder is empty"),
        (SFTP + "password = 'env:A'\nfolder = \"a\\nDELE b\"\n", "printable"),
        (SFTP + "password = 'env:A'\npattern = 'a/*.csv'\n", "it is for names in the folder"),
        (SFTP.replace("acme", "Acme/../x", 1) + "password = 'env:A'\n", "a name has up to 32 of"),
        (SFTP.replace('user = "clawback"', "") + "password = 'env:A'\n", "sftp acme: user is missing"),
        ("[[sftp]]\nhost = 'x'\n", "sftp without a name: name is missing"),
        ("[sftp]\nname = 'x'\n", "write [[sftp]]"),
        ("sftp = ['x']\n", "write [[sftp]]"),
        ("sources = 1\n", "sources is no setting"),
        (FTP.replace('password = "env:BRIX_PASSWORD"', ""), "ftp brix: password is missing"),
        (FTP + "tls = 'optional'\n", "tls is 'optional'; it can be 'required', 'off'"),
        (HTTP.replace("https", "http"), "http plum: the URL is without TLS"),
        (HTTP.replace("https://", "https://u:hunter2@"), "http plum: The URL cannot be used"),
        (HTTP + "url2 = 'x'\n", "http plum: url2 is no setting. Did you mean url?"),
        (HTTP + "header = 'A: b'\n", "header is 'A: b'"),
        (HTTP + "file = 'a/b'\n", "file is 'a/b'"),
        (HTTP + "authorization = 'Bearer hunter2'\n", "write env:NAME or file:PATH"),
        (HTTP + "authorization = 'env:A'\ntls = 'off'\n", "never sent to public addresses without TLS"),
        (HTTP + "private_networks = 'home'\n", "'home' is no list of networks"),
        (HTTP + "compare = 'size'\n", "compare is 'size'; it can be 'headers', 'content'"),
        ("[http]\nname = 'x'\n", "write [[http]]"),
        (FTP + FTP, "2 sources are called 'brix'"),
        (FTP + SFTP.replace("acme", "brix", 1) + "password = 'env:A'\n", "2 sources are called 'brix'"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, message: str) -> None:
    """The kind, the source and the key; never what may be a secret."""
    with pytest.raises(Unusable) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert "hunter2" not in str(error.value)


def test_what_is_passed_on_must_be_whole(tmp_path: Path) -> None:
    """The variable is named."""
    with pytest.raises(Unusable, match="CLAWBACK_SOURCES is not JSON"):
        load({"CLAWBACK_SOURCES": "["}, tmp_path)


def test_unknown_source(tmp_path: Path) -> None:
    """The message names those there are."""
    with pytest.raises(NotFound, match="none yet"):
        read(tmp_path, "").source("acme")
    with pytest.raises(NotFound, match="there is brix"):
        read(tmp_path, FTP).source("acme")
