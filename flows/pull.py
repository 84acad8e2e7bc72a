"""The flow that does one round of a source: a brand's own server, from which deliveries are fetched."""

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import work
from flows.retry import DELAYS_S, RETRIES, is_retryable
from flows.threads import alone


@task(retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=is_retryable, cache_policy=NO_CACHE)
async def fetch_and_answer(source: str) -> dict[str, Any] | None:
    """Fetch, finish and answer what is new; doing it twice changes nothing."""
    return await alone(work.pull, source)


@flow(name="pull", flow_run_name="{source}", validate_parameters=False)
async def pull(source: str) -> State[dict[str, Any] | None]:
    """One round of a source: fetch what is new there, apply it, and put the answers into its result folder."""
    done = await fetch_and_answer(source)
    if done is None:
        return Completed(message="it is being pulled already", data=None)
    told = f"{len(done['fetched'])} fetched, {done['known']} known, {len(done['growing'])} still growing"
    if done["failed"]:
        named = "; ".join(f"{name}: {why}" for name, why in done["failed"].items())
        return Failed(message=f"{told}, {len(done['failed'])} not: {named}", data=done)
    return Completed(message=told, data=done)
