"""The flows on a real Prefect: what they do, what they tell, and when they try again."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import Failed
from prefect.testing.utilities import prefect_test_harness

from clawback.salesforce import rounds
from clawback.settings import Settings, as_environment, load
from clawback.wiring import Desk, claims_folder, open_desk
from connectors.durable import claim
from connectors.envelope import Envelope
from flows import work
from flows.collect import collect
from flows.ingest import ingest
from flows.lock_due import lock_due
from flows.observe import observe
from flows.pull import pull
from flows.retry import is_retryable
from processing.errors import LedgerConflict, SpoolBroken, StoreUnavailable, Unusable
from tests.clawback.salesforce.site import ENVIRON as CRM
from tests.clawback.salesforce.site import mapping_table, settings_for
from tests.clawback.serve_site import SID, load_world, returns
from tests.connectors.source_site import ENVIRON, by_password
from tests.salesforce_org.server import serving
from tests.salesforce_org.world import World

REVERSED = {"Closed Lost": {"outcome": "reverse", "reason": "ORDER_ERROR"}}
pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.anyio,
    # Prefect leaves the sockets of its events to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """What runs the async tests; anyio's plugin comes with Prefect."""
    return "asyncio"


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    """A Prefect of this module's own; it takes ten seconds to start."""
    with prefect_test_harness(), temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield
    gc.collect()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """An installation with a hundred actions, that the environment names."""
    settings = Settings(state=tmp_path / "var")
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    load_world(settings, 100, fresh=True)
    with open_desk(settings, work.now) as opened:
        yield opened


def landed(desk: Desk, name: str, content: bytes, sid: str = SID) -> Envelope:
    """A delivery in the spool."""
    return desk.spool.land(content, account=sid, channel="ftp", name=name)


async def run_of(state: State[Any]) -> str:
    """The name of the flow run that ended in this state."""
    assert state.state_details.flow_run_id is not None
    async with get_client() as client:
        return (await client.read_flow_run(state.state_details.flow_run_id)).name


@pytest.mark.usefixtures("prefect")
class TestOnPrefect:
    """As the dispatcher and the schedules run them."""

    async def test_ingest(self, desk: Desk) -> None:
        """It applies the delivery; its run is named after account and delivery and tells the counts."""
        delivery = landed(desk, "returns.csv", returns(range(10))).delivery
        state = await ingest(delivery, return_state=True)
        assert state.message == "done: read 10, applied 10"
        head: Any = await state.aresult()
        assert head["state"] == "done"
        assert await run_of(state) == f"{SID} {delivery}"
        assert desk.spool.pending() == []

    async def test_ingest_again(self, desk: Desk) -> None:
        """A second run of the same delivery changes nothing and tells the same."""
        delivery = landed(desk, "returns.csv", returns(range(10))).delivery
        first = await (await ingest(delivery, return_state=True)).aresult()
        assert await (await ingest(delivery, return_state=True)).aresult() == first

    async def test_ingest_of_nothing(self, desk: Desk) -> None:
        """A delivery that is not there fails at once, its run is named after what was asked for."""
        assert desk.spool.pending() == []
        state = await ingest("20270120T120000000000-00000000", return_state=True)
        assert state.is_failed()
        assert await run_of(state) == "20270120T120000000000-00000000"

    async def test_collect(self, desk: Desk) -> None:
        """Everything that waits is finished; one that cannot be fails the run, which says why."""
        landed(desk, "a.csv", returns(range(10)))
        landed(desk, "b.csv", returns(range(10, 20)))
        assert (await collect(return_state=True)).message == "2 finished"
        stranger = landed(desk, "c.csv", returns(range(10)), sid="IRnobody9").delivery
        landed(desk, "d.csv", returns(range(20, 30)))
        state = await collect(return_state=True)
        assert state.is_failed()
        assert state.message is not None
        assert state.message.startswith(f"1 finished, 1 not: {stranger} NotFound: ")

    async def test_lock_due(self, desk: Desk) -> None:
        """What is due at the instant is locked; nothing is due twice."""
        assert desk.spool.pending() == []
        state = await lock_due("2099-01-01T00:00:00+00:00", return_state=True)
        assert state.message == f"{SID}: 100 locked, 0 deferred"
        assert await run_of(state) == "as of 2099-01-01T00:00:00+00:00"
        assert (await lock_due(return_state=True)).message == "nothing was due"

    async def test_pull(self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A source's round: what it did, what could not be had, and that nobody else is at it."""
        with by_password(tmp_path / "brand" / "feed") as brand:
            sources = (brand.settings(account=SID, result_folder="/out"),)
            settings = replace(load({}), state=tmp_path / "var", sources=sources)
            for name, value in (as_environment(settings) | ENVIRON).items():
                monkeypatch.setenv(name, value)
            brand.write("returns.csv", returns(range(10)))
            state = await pull("acme", return_state=True)
            assert state.is_failed()
            assert state.message is not None
            assert state.message.startswith("1 fetched, 0 known, 0 still growing, 1 not: results: ")
            (brand.folder / "out").mkdir()
            assert (await pull("acme", return_state=True)).message == "0 fetched, 1 known, 0 still growing"
            assert brand.names("out") == ["receipt_returns.csv.json", "result_returns.csv"]
            with claim(claims_folder(settings) / "acme.claim"):
                state = await pull("acme", return_state=True)
            assert state.message == "it is being pulled already"
            assert await run_of(state) == "acme"
        assert desk.spool.pending() == []

    async def test_observe(self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An org's round: what was read, what waits for a person's yes, and that nobody else reads it."""
        with serving(tmp_path, World(now=work.now())) as org:
            its = settings_for(org, account=SID, backfill="ask", mapping=[mapping_table(statuses=REVERSED)])
            settings = replace(load({}), state=tmp_path / "var", sources=(its,))
            for name, value in (as_environment(settings) | CRM).items():
                monkeypatch.setenv(name, value)
            org.world.add("Opportunity", Order_Number__c="O-1", StageName="Closed Lost")
            state = await observe("crm", return_state=True)
            assert state.message == "1 read, 1 changed, 0 held, 1 wait for `clawback sources start crm`"
            assert await run_of(state) == "crm"
            with rounds.claimed(desk, its) as reader:
                assert reader is not None
                assert (await observe("crm", return_state=True)).message == "it is being read already"
            org.end_sessions()
            org.refuses_all_tokens = True
            assert (await observe("crm", return_state=True)).is_failed()

    @pytest.mark.parametrize(
        ("error", "tries"), [(StoreUnavailable("busy"), 3), (SpoolBroken("damaged"), 1), (ValueError("a bug"), 1)]
    )
    async def test_tries_again(self, error: Exception, tries: int) -> None:
        """Only what says of itself that trying again can help."""
        tried = []

        @task(retries=2, retry_delay_seconds=0, retry_condition_fn=is_retryable, cache_policy=NO_CACHE)
        async def failing() -> None:
            tried.append(error)
            raise error

        state: Any = await failing(return_state=True)  # type: ignore[misc] # Prefect's types miss the coroutine
        assert state.is_failed()
        assert len(tried) == tries


@pytest.mark.parametrize("error", [StoreUnavailable("busy"), LedgerConflict("moved")])
async def test_is_retryable(error: Exception) -> None:
    """What the error tree calls retryable."""
    assert await is_retryable(*_failed(error))


@pytest.mark.parametrize("error", [Unusable("no"), SpoolBroken("damaged"), KeyError("bug")])
async def test_is_not_retryable(error: Exception) -> None:
    """What a person must see to, and bugs."""
    assert not await is_retryable(*_failed(error))


@pytest.mark.parametrize("text", ["yesterday", "2027-02-28", "2027-02-28T00:00:00"])
def test_lock_needs_an_instant(text: str, desk: Desk) -> None:
    """A time without a zone is nobody's midnight."""
    assert desk.spool.pending() == []
    with pytest.raises(Unusable, match="Give an instant such as"):
        work.lock(text)


def test_needs_no_prefect(desk: Desk) -> None:
    """The same functions without a flow: remove Prefect and it still runs."""
    delivery = landed(desk, "returns.csv", returns(range(10))).delivery
    assert work.account_of(delivery) == SID
    assert work.finish(delivery)["rows"]["applied"] == 10
    assert work.finish_all() == {"finished": 0, "failures": {}}
    assert work.lock() == []


def _failed(error: Exception) -> tuple[Any, Any, State[Any]]:
    return None, None, Failed(data=error)
