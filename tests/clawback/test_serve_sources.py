"""``clawback serve`` with brands' own servers: pulled on schedule, answered there, none in the way of another."""

import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawback.settings import SOURCES, Settings, as_environment
from tests.clawback.serve_site import SID, WITHOUT_WEB, Site, load_world, returns, serving, until
from tests.connectors.source_site import ENVIRON, Brand, by_password

OWN = {f"{flow}/clawback" for flow in ("collect", "ingest", "lock_due", "observe", "pull", "send")}
pytestmark = pytest.mark.xdist_group("serve")


@pytest.fixture
def brand(tmp_path: Path) -> Iterator[Brand]:
    """A brand that delivers by SFTP and wants its answers there."""
    with by_password(tmp_path / "brand" / "feed") as brand:
        (brand.folder / "out").mkdir()
        yield brand


@pytest.fixture
def hanging() -> Iterator[int]:
    """The port of a server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def site(tmp_path: Path, brand: Brand, hanging: int) -> Iterator[Site]:
    """A server with both as sources, the silent one many times over."""
    silent = [brand.settings(name=f"silent{number}", account=SID, port=hanging, timeout_s=60) for number in range(12)]
    own = brand.settings(account=SID, after="delete", result_folder="/out", every_s=10)
    settings = Settings(state=tmp_path / "var", sources=(*silent, own))
    load_world(settings, 100)
    with serving(settings, (), **WITHOUT_WEB, **ENVIRON, CLAWBACK_SOURCES=as_environment(settings)[SOURCES]) as site:
        yield site


def test_pulled_applied_answered(site: Site, brand: Brand) -> None:
    """At the start and then on schedule, however many other servers hang; what leaves the settings is forgotten."""
    for name, numbers in (("first.csv", range(10)), ("second.csv", range(10, 20))):
        content = returns(numbers)
        brand.write(f"{name}.part", content).rename(brand.folder / name)
        until((brand.folder / "out" / f"result_{name}").exists, f"{name} is answered there", log=lambda: site.log)
        assert (brand.folder / "out" / f"result_{name}").read_bytes().count(b",applied,") == 10
        until(lambda: brand.names() == [], f"{name} is deleted")
    site.upload("returns.csv", returns(range(20, 30)))
    site.until_done("returns.csv")
    assert "scheduled flow=pull/acme every_s=10" in site.log
    assert ENVIRON["ACME_PASSWORD"] not in site.log
    site.stop()
    del site.environ[SOURCES]
    site.start()
    until(lambda: deployments(site) == OWN, "sources that are gone are forgotten")


def deployments(site: Site) -> set[str]:
    """What Prefect plans or can run."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{site.places['prefect']['api']}/deployments/filter", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
        return {f"{one['entrypoint'].rpartition(':')[2]}/{one['name']}" for one in json.load(answer)}
