"""Where a flow's work runs when it may hang."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Done = TypeVar("_Done")


async def alone(do: Callable[[str], _Done], source: str) -> _Done:
    """Do it in a thread of its own: a source that hangs must not take one from those that others wait for."""
    executor = ThreadPoolExecutor(1, thread_name_prefix=source)
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, do, source)
    finally:
        executor.shutdown(wait=False)
