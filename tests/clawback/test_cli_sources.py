"""``clawback sources`` as an operator meets it: real processes, against OpenSSH."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawback.settings import Settings
from clawback.wiring import open_desk
from flows.work import now
from tests.clawback.test_cli import Run, runner
from tests.connectors.source_site import Brand, key_pair, openssh, public
from tests.worlds import Sale, load

RETURNS = b"ActionId,Amount,Reason\n1000.1,0,ITEM_RETURNED\n1000.2,-3,ORDER_UPDATE\n"


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brand]:
    """A brand that delivers by SFTP."""
    with openssh(tmp_path_factory.mktemp("brand") / "feed", "ed25519") as brand:
        yield brand


def configure(folder: Path, brand: Brand, more: str = "") -> None:
    """Write the settings that name the brand's server."""
    (folder / "clawback.toml").write_text(
        f'[[sftp]]\nname = "acme"\naccount = "IRacme1"\nhost = "127.0.0.1"\nport = {brand.values["port"]}\n'
        f'user = "{brand.values["user"]}"\nkey_file = "{key_pair("ed25519")}"\nfolder = "{brand.folder}"\n{more}'
    )


def pinned(*more: str) -> str:
    """The settings with the right key."""
    return "\n".join([f'host_key = "{public("ed25519")[0]}"', *more])


@pytest.fixture
def run(tmp_path: Path, brand: Brand) -> Run:
    """The command line on an empty installation that knows the brand's server, but not its key."""
    configure(tmp_path, brand)
    return runner(tmp_path)


def test_no_key_is_pinned(run: Run) -> None:
    """Nothing is done before somebody has vouched for the server; the message says how."""
    done = run("sources", "check", "acme")
    assert done.returncode == 2, done.stderr
    assert "`clawback sources scan acme`" in done.stderr


def test_scan(run: Run, brand: Brand, tmp_path: Path) -> None:
    """It shows the line to be put into the settings, with the fingerprint; afterwards it says that it is there."""
    (key,) = public("ed25519")
    done = run("sources", "scan", "acme")
    assert done.returncode == 0, done.stderr
    assert f'host_key = "{key}"' in done.stdout
    assert key.fingerprint in done.stdout
    configure(tmp_path, brand, pinned())
    (found,) = json.loads(run("sources", "scan", "acme", "--json").stdout)
    assert found == {"kind": key.kind, "fingerprint": key.fingerprint, "host_key": str(key), "pinned": True}


def test_check(run: Run, brand: Brand, tmp_path: Path) -> None:
    """Every step in words, and 1 when one of them failed."""
    configure(tmp_path, brand, pinned(f'result_folder = "{brand.folder}/nowhere"'))
    done = run("sources", "check", "acme")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("✓ logged in to sftp://")
    assert done.stdout.splitlines()[2].startswith("✗ There is no folder")
    configure(tmp_path, brand, pinned())
    assert run("sources", "check", "acme").returncode == 0


def test_another_key(run: Run, brand: Brand, tmp_path: Path) -> None:
    """The operator is told both fingerprints and what to do."""
    configure(tmp_path, brand, f'host_key = "{public("rsa")[0]}"')
    done = run("sources", "check", "acme")
    assert done.returncode == 1
    assert public("rsa")[0].fingerprint in done.stderr
    assert "is not the server whose host key is pinned" in done.stderr


def test_pull_and_list(run: Run, brand: Brand, tmp_path: Path) -> None:
    """What is new is applied; 3 when lines were not; the list tells of the newest round."""
    with open_desk(Settings(state=tmp_path / "var"), now) as desk:
        load(desk, tmp_path, [Sale("1000.1", "O-1")])
    configure(tmp_path, brand, pinned('pattern = "*.csv"', 'schedule = "30m"'))
    brand.write("returns.csv", RETURNS)
    done = run("sources", "pull", "acme")
    assert done.returncode == 3, done.stderr
    assert "returns.csv" in done.stdout
    assert "done: read 2, applied 1, rejected 1" in done.stdout
    assert "1 fetched, 0 known already, 0 answered" in done.stdout
    again = json.loads(run("sources", "pull", "acme", "--json").stdout)
    assert (again["fetched"], again["known"], again["busy"]) == ([], 1, False)
    (listed,) = json.loads(run("sources", "list", "--json").stdout)
    assert (listed["source"], listed["every_s"], listed["last"]["known"]) == ("acme", 1800, 1)


def test_unknown_source(run: Run) -> None:
    """Usage: the message names those there are."""
    done = run("sources", "check", "brix", "--json")
    assert done.returncode == 2
    assert "there is acme" in json.loads(done.stdout)["message"]
