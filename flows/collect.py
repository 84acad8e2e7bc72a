"""The flow that brings everything in the spool to its end: the safety net behind the dispatcher."""

import asyncio

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import work
from flows.retry import DELAYS_S, RETRIES, is_retryable


@task(retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=is_retryable, cache_policy=NO_CACHE)
async def finish_waiting() -> work.Round:
    """Judge and answer all that waits; doing it twice changes nothing."""
    return await asyncio.to_thread(work.finish_all)


@flow(name="collect", flow_run_name="everything that waits")
async def collect() -> State[work.Round]:
    """Bring everything that waits in the spool to its end, oldest first."""
    done = await finish_waiting()
    if done["failures"]:
        named = "; ".join(f"{delivery} {error}" for delivery, error in done["failures"].items())
        return Failed(message=f"{done['finished']} finished, {len(done['failures'])} not: {named}", data=done)
    return Completed(message=f"{done['finished']} finished", data=done)
