"""Rounds of a source that is a URL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clawback.pulling import Pulled, pull
from clawback.wiring import Desk
from processing.errors import SourceRefused
from tests.connectors.http_site import Publisher, published, publishing
from tests.worlds import Sale, action, lines, load


@pytest.fixture
def brand(tmp_path: Path) -> Iterator[Publisher]:
    """A brand that publishes its returns."""
    with publishing(tmp_path / "brand" / "feed") as found:
        yield found


def a_round(desk: Desk, brand: Publisher, folder: Path, **values: object) -> Pulled:
    """One round."""
    settings = brand.settings(**values)
    pulled = pull(desk, settings, brand.source(**values), claims=folder / "claims", settle_s=0)
    assert pulled is not None
    return pulled


@pytest.mark.parametrize("compare", ["headers", "content"])
def test_each_content_is_fetched_once(desk: Desk, tmp_path: Path, brand: Publisher, compare: str) -> None:
    """What was published is applied; nothing new is nothing; what is published anew is one more delivery."""
    load(desk, tmp_path, [Sale("A-1")])
    published(brand, lines("ActionId,Amount,Reason", "A-1,40,ORDER_UPDATE").encode())
    (one,) = a_round(desk, brand, tmp_path, compare=compare).fetched
    assert (one["name"], one["state"], one["rows"]["applied"]) == ("returns.csv", "done", 1)
    again = a_round(desk, brand, tmp_path, compare=compare)
    assert (again.fetched, again.known) == ([], 1)
    published(brand, lines("ActionId,Amount,Reason", "A-1,30,ORDER_UPDATE").encode())
    assert len(a_round(desk, brand, tmp_path, compare=compare).fetched) == 1
    assert action(desk.store, "A-1")["amount"] == "30.00"


def test_what_is_too_large_is_left(desk: Desk, tmp_path: Path, brand: Publisher) -> None:
    """By its headers before a byte of it comes."""
    load(desk, tmp_path, [Sale("A-1")])
    published(brand, b"x" * 2000)
    assert "takes 1,000 at most" in a_round(desk, brand, tmp_path, max_file_bytes=1000).failed["returns.csv"]
    assert {method for method, _, _ in brand.manners.heard} == {"HEAD"}
    with pytest.raises(SourceRefused, match="max_file_bytes"):
        a_round(desk, brand, tmp_path, max_file_bytes=1000, compare="content")
    assert desk.spool.pending() == []
