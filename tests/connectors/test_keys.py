import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.envelope import Envelope
from connectors.keys import Keys
from connectors.spool import Spool
from processing.errors import KeyReused

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool whose clock stands still."""
    return Spool(tmp_path, clock=lambda: NOON)


def land(
    spool: Spool, content: bytes = b"x\n", key: str = "monday", account: str = "acme", name: str = "a"
) -> Envelope:
    """Land some bytes under a key."""
    return spool.land(content, account=account, channel="api", name=name, key=key)


def test_the_same_under_a_key_lands_once(spool: Spool, tmp_path: Path) -> None:
    """Before and after it was acknowledged, in this process or the next."""
    first = land(spool)
    assert land(spool) == first
    spool.acknowledge(first.delivery)
    assert land(Spool(tmp_path, clock=lambda: NOON)) == first
    assert spool.pending() == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_key_belongs_to_one_request(spool: Spool, tmp_path: Path) -> None:
    """Other bytes or another kind of request are refused and leave nothing; other accounts have keys of their own."""
    first = land(spool)
    for other in ({"content": b"y\n"}, {"name": "b"}):
        with pytest.raises(KeyReused, match=f"belongs to another request, delivery {first.delivery}"):
            land(spool, **other)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert land(spool, account="other").delivery != first.delivery
    assert land(spool, key="tuesday").delivery != first.delivery
    assert len(spool.pending()) == 3


def test_a_key_of_a_delivery_that_never_landed_is_free(spool: Spool, tmp_path: Path) -> None:
    """A crash before the rename leaves a key without a delivery: the request lands when it is sent again."""
    Keys(tmp_path / "keys").give("acme", "monday", "20270115T120000000000-00000000")
    first = land(spool, b"y\n")
    assert spool.pending() == [first]
    assert land(spool, b"y\n") == first


def test_many_at_once_land_once(spool: Spool) -> None:
    """Whoever comes first."""
    landed: list[Envelope] = []
    threads = [threading.Thread(target=lambda: landed.append(land(spool))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert landed == [replace(landed[0])] * 16
    assert spool.pending() == [landed[0]]
