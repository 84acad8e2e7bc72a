"""When a flow tries again: only for errors that say of themselves that trying again can help."""

from typing import Any, Final

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

# The store's own patience comes on top; what still fails then is tried again by the dispatcher and every round.
RETRIES: Final = 3
DELAYS_S: Final = [1.0, 5.0, 30.0]


async def is_retryable(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 - Prefect's call
    """Whether the error that ended a task can go away by itself; a bug is never retried."""
    error = await state.aresult(raise_on_failure=False)
    return bool(getattr(error, "retryable", False))
