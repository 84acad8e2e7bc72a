"""The flow that sends what is due in the outbox: replies, and notices of messages that were set aside."""

import asyncio

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import work
from flows.retry import DELAYS_S, RETRIES, is_retryable


@task(retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=is_retryable, cache_policy=NO_CACHE)
async def send_due() -> dict[str, int]:
    """Send what is due; each is claimed by one sender."""
    return await asyncio.to_thread(work.send)


@flow(name="send", flow_run_name="what is due in the outbox")
async def send() -> State[dict[str, int]]:
    """Send what is due in the outbox."""
    done = await send_due()
    told = ", ".join(f"{lines} {what.replace('_', ' ')}" for what, lines in done.items() if lines)
    return Completed(message=told or "nothing was due", data=done)
