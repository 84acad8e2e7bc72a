"""The flow that brings one landed delivery to its end."""

import asyncio
from typing import Any

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import work
from flows.retry import DELAYS_S, RETRIES, is_retryable
from processing.errors import ClawbackError


def run_name() -> str:
    """The account and the delivery."""
    delivery = str(runtime.flow_run.parameters["delivery"])
    try:
        return f"{work.account_of(delivery)} {delivery}"
    except ClawbackError:
        # The run itself says what is wrong with the delivery.
        return delivery


@task(retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=is_retryable, cache_policy=NO_CACHE)
async def finish_delivery(delivery: str) -> dict[str, Any]:
    """Judge and answer a delivery; doing it twice changes nothing."""
    return await asyncio.to_thread(work.finish, delivery)


@flow(name="ingest", flow_run_name=run_name, validate_parameters=False)
async def ingest(delivery: str) -> State[dict[str, Any]]:
    """Bring one landed delivery to its end, and those of its account that landed before it."""
    head = await finish_delivery(delivery)
    counts = ", ".join(f"{verdict} {lines}" for verdict, lines in head["rows"].items() if lines)
    return Completed(message=f"{head['state']}: {counts or 'no lines'}", data=head)
