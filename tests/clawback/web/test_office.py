"""The threads in which the web server asks the store: who waits for a ledger holds up nobody else."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from clawback.web.office import STORE_THREADS
from processing.store import claim_account
from tests.clawback.serve_site import until
from tests.clawback.web.site import Site
from tests.clawback.web.test_conversions import ORDER
from tests.worlds import OTHER_SID, SID


def test_who_waits_for_a_ledger_keeps_nobody_from_reading(site: Site, tmp_path: Path) -> None:
    """While a large file of a brand is applied, as many of its requests wait as may, and others are answered."""
    site.load(tmp_path)
    names = [f"O-{number}" for number in range(STORE_THREADS)]
    with site.client() as client, site.client(OTHER_SID) as other, ThreadPoolExecutor(STORE_THREADS) as waiting:
        assert other.get("/CompanyInformation").is_success
        with _claimed(site):
            sent = [waiting.submit(client.post, "/Conversions", data={**ORDER, "OrderId": name}) for name in names]
            until(lambda: site.office._claiming.borrowed_tokens == STORE_THREADS, "all of them wait")  # noqa: SLF001 - seen nowhere else
            assert other.get("/CompanyInformation", timeout=5).is_success
            assert not any(one.done() for one in sent)
        assert all(one.result().is_success for one in sent)


@contextmanager
def _claimed(site: Site) -> Iterator[None]:
    """The ledger of an account in somebody's hands."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with site.desk.store.write() as db:
            claim_account(db, SID)
            held.set()
            over.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    try:
        yield
    finally:
        over.set()
        holder.join()
