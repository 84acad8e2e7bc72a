"""The flow that locks the actions whose lock has come."""

import asyncio
from typing import Any

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import work
from flows.retry import DELAYS_S, RETRIES, is_retryable


def run_name() -> str:
    """The instant for which it locks."""
    return f"as of {runtime.flow_run.parameters.get('as_of') or 'now'}"


@task(retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=is_retryable, cache_policy=NO_CACHE)
async def sweep(as_of: str | None) -> list[dict[str, Any]]:
    """Lock what is due; doing it twice changes nothing."""
    return await asyncio.to_thread(work.lock, as_of)


@flow(name="lock_due", flow_run_name=run_name)
async def lock_due(as_of: str | None = None) -> State[list[dict[str, Any]]]:
    """Lock what is due at ``as_of``, by default now; deliveries that arrived before are finished first."""
    swept = await sweep(as_of)
    told = "; ".join(f"{one['account']}: {one['locked']} locked, {one['deferred']} deferred" for one in swept)
    return Completed(message=told or "nothing was due", data=swept)
