"""The flow that does one round of a Salesforce org: what has changed there becomes deliveries."""

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import work
from flows.retry import DELAYS_S, RETRIES, is_retryable
from flows.threads import alone


@task(retries=RETRIES, retry_delay_seconds=DELAYS_S, retry_condition_fn=is_retryable, cache_policy=NO_CACHE)
async def read_and_apply(source: str) -> dict[str, Any] | None:
    """Read, deliver and finish what has changed; doing it twice changes nothing."""
    return await alone(work.observe, source)


@flow(name="observe", flow_run_name="{source}", validate_parameters=False)
async def observe(source: str) -> State[dict[str, Any] | None]:
    """One round of an org: read what has changed there, and apply it."""
    done = await read_and_apply(source)
    if done is None:
        return Completed(message="it is being read already", data=None)
    read = done["records"]
    told = f"{read.get('read', 0)} read, {read.get('changed', 0)} changed, {done['held']} held"
    if done["unapproved"]:
        told += f", {done['unapproved']} wait for `clawback sources start {source}`"
    return Completed(message=told, data=done)
