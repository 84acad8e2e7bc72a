"""Whether Prefect's API answers, and how work is done when it does not: by calling the same functions directly."""

import asyncio
import logging
from collections.abc import Callable

import httpx

from flows import work
from flows.ingest import ingest
from processing.errors import ClawbackError

_log = logging.getLogger(__name__)

ANSWER_S = 1.0


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
    """Bring a delivery to its end in a flow run; when Prefect is away or fails, without one."""
    if await api.answers():
        try:
            await ingest(delivery)
        except ClawbackError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours shows again below, and is raised from there
            _log.warning("flow_failed delivery=%s error=%s", delivery, type(error).__name__)
        if not await asyncio.to_thread(pending, delivery):
            return
    await asyncio.to_thread(work.finish, delivery)
