"""Whether Prefect's API answers, and how work is done when it does not: by calling the same functions directly."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

import httpx

from flows import work
from flows.ingest import ingest
from processing.errors import ClawbackError

_log = logging.getLogger(__name__)

ANSWER_S: Final = 1.0
LOOK_S: Final = 1.0


class PrefectApi:
    """Prefect's API as the worker sees it: there or away."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(timeout=ANSWER_S, trust_env=False)
        self._health = f"{url}/health"
        self._said: bool | None = None

    async def answers(self) -> bool:
        """Whether it answers now; a change is logged once."""
        try:
            answers = (await self._http.get(self._health)).is_success
        except httpx.HTTPError:
            answers = False
        if answers is not self._said:
            if answers:
                _log.info("prefect_answers")
            elif self._said is None:
                _log.info("prefect_awaited deliveries are applied without it meanwhile")
            else:
                _log.warning("prefect_away deliveries are applied and locks swept without it")
            self._said = answers
        return answers

    async def close(self) -> None:
        """Give the connection back."""
        await self._http.aclose()


async def ingest_by_prefect(api: PrefectApi, pending: Callable[[str], bool], delivery: str) -> None:
    """Bring a delivery to its end in a flow run; when Prefect is away, fails or hangs, without one."""
    if await api.answers():
        await _in_flow_run(api, pending, delivery)
        if not await asyncio.to_thread(pending, delivery):
            return
    await asyncio.to_thread(work.finish, delivery)


async def _in_flow_run(api: PrefectApi, pending: Callable[[str], bool], delivery: str) -> None:
    """Try a flow run; returns when it ended or Prefect hangs before or after the work. Raises our own errors only."""
    begun = threading.Event()
    run = asyncio.create_task(_flow_run(delivery, begun.set))
    while not (await asyncio.wait({run}, timeout=LOOK_S))[0]:
        if not await api.answers() and not (begun.is_set() and await asyncio.to_thread(pending, delivery)):
            # It ends by itself, and what it may still do changes nothing.
            run.add_done_callback(_forgotten)
            _log.warning("flow_hangs delivery=%s", delivery)
            return
    try:
        await run
    except ClawbackError:
        raise
    except Exception as error:  # noqa: BLE001 - a bug of ours shows again when the caller does it without Prefect
        _log.warning("flow_failed delivery=%s error=%s", delivery, type(error).__name__)


async def _flow_run(delivery: str, begun: Callable[[], None]) -> None:
    work.on_begin.set(begun)
    await ingest(delivery)


def _forgotten(run: asyncio.Task[None]) -> None:
    """Nobody waits for it any more; an exception that nobody takes would be complained about."""
    if not run.cancelled():
        run.exception()
