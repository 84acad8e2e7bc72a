"""The schedules: deployments that Prefect plans and shows, whose runs the worker takes and runs in its own process.

A subprocess for each run, as Prefect's Runner makes, costs seconds of imports a minute. Runs that were missed are
skipped but for the newest, so that they never pile up. What is overdue is done without Prefect.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from prefect import Flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import OrchestrationResult
from prefect.deployments.runner import RunnerDeployment
from prefect.flow_engine import run_flow_async
from prefect.states import Crashed, Pending

from clawback.serving.api import PrefectApi
from clawback.serving.dispatch import pause

_log = logging.getLogger(__name__)

DEPLOYMENT: Final = "clawback"
LOOK_S: Final = 5.0
LATE_S: Final = 15.0
START_S: Final = 5.0


@dataclass(slots=True)
class Scheduled:
    """A flow that Prefect plans every so many seconds, never when ``every_s`` is None.

    ``instead`` does the same without Prefect; ``busy`` says that a planned run would only be in the way. A flow with
    several schedules has a ``name`` and ``parameters`` for each; nobody waits at the start for one that is not
    ``prompt``.
    """

    flow: Flow[..., Any]
    every_s: int | None = None
    instead: Callable[[], object] | None = None
    busy: Callable[[], bool] = lambda: False
    name: str = DEPLOYMENT
    parameters: dict[str, Any] = field(default_factory=dict)
    prompt: bool = True
    deployment: UUID | None = None
    due: float = field(default_factory=lambda: time.monotonic() + LATE_S)
    running: asyncio.Task[None] | None = None

    @property
    def told(self) -> str:
        """The flow, and which of its schedules this is, for logs."""
        return self.flow.name if self.name == DEPLOYMENT else f"{self.flow.name}/{self.name}"

    def put_off(self, more_s: float = 0) -> None:
        """It was done: due again after its interval."""
        self.due = time.monotonic() + (self.every_s or 0) + more_s


class Schedules:
    """Keeps Prefect's deployments and runs what it plans."""

    def __init__(self, schedules: list[Scheduled], api: PrefectApi, now: Callable[[], datetime]) -> None:
        self._schedules = schedules
        self._api = api
        self._now = now
        self._known = False
        shortest_s = min((one.every_s for one in schedules if one.every_s), default=LOOK_S)
        self._look_s = min(LOOK_S, shortest_s / 2)

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Run what is due until told to stop; ``ready`` is called when Prefect knows the schedules."""
        while not stop.is_set():
            try:
                answers = await self._api.answers()
                if answers:
                    await self._with_prefect(ready)
                await self._catch_up(answers=answers)
            except Exception as error:  # noqa: BLE001 - Prefect may fail in any way; what is overdue is done without it
                _log.warning("schedules_failed error=%r again_in_s=%g", str(error), self._look_s, exc_info=True)
                await self._catch_up(answers=False)
            await pause(stop, self._look_s if self._known else 0.5)

    async def _with_prefect(self, ready: Callable[[], None]) -> None:
        async with get_client() as client:
            if not self._known:
                await _bury_the_dead(client)
                await self._begin_all(client, [one for one in self._schedules if one.prompt])
                ready()
                await self._begin_all(client, [one for one in self._schedules if not one.prompt])
                await self._forget_others(client)
                self._known = True
            await self._take_due(client)

    async def _begin_all(self, client: PrefectClient, schedules: list[Scheduled]) -> None:
        for one in schedules:
            interval = timedelta(seconds=one.every_s) if one.every_s else None
            deployment: RunnerDeployment = await one.flow.ato_deployment(
                one.name, interval=interval, parameters=one.parameters
            )
            one.deployment = await deployment.aapply()
            _log.info("scheduled flow=%s every_s=%s", one.told, one.every_s)
        await self._run_all(client, schedules)

    async def _run_all(self, client: PrefectClient, schedules: list[Scheduled]) -> None:
        """Do now what may have been missed; the first flow run of a process also takes much longer than the next."""
        for one in schedules:
            if one.every_s and one.deployment:
                run = await client.create_flow_run_from_deployment(one.deployment, name="at the start")
                await self._begin(client, one, run)
        running = [one.running for one in schedules if one.running and one.prompt]
        if running:
            await asyncio.wait(running, timeout=START_S)

    async def _forget_others(self, client: PrefectClient) -> None:
        """Delete the schedules of what is no longer in the settings; Prefect would plan runs that nobody takes."""
        kept = {one.deployment for one in self._schedules}
        names = {one.flow.name for one in self._schedules}
        filtered = FlowFilter(name=FlowFilterName(any_=sorted(names)))
        for deployment in await client.read_deployments(flow_filter=filtered):
            if deployment.id not in kept:
                await client.delete_deployment(deployment.id)

    async def _take_due(self, client: PrefectClient) -> None:
        known: dict[UUID | None, Scheduled] = {one.deployment: one for one in self._schedules if one.deployment}
        planned = await client.get_scheduled_flow_runs_for_deployments(
            [one for one in known if one], scheduled_before=self._now()
        )
        newest = {run.deployment_id: run.id for run in planned if run.auto_scheduled}
        for run in planned:
            one = known.get(run.deployment_id)
            if one is None:
                continue
            if not run.auto_scheduled:
                await self._begin(client, one, run)
            elif run.id != newest[run.deployment_id]:
                await _skip(client, run, "missed; a later run does its work")
            elif one.running or one.busy():
                one.put_off(LATE_S)
                await _skip(client, run, "its work is being done already")
            else:
                await self._begin(client, one, run)

    async def _begin(self, client: PrefectClient, one: Scheduled, run: FlowRun) -> None:
        """Start a run in this process; one that was asked for while another runs is taken up at a later look."""
        if one.running:
            return
        answer: OrchestrationResult[Any] = await client.set_flow_run_state(run.id, Pending())
        if answer.state is not None and answer.state.is_pending():
            one.running = asyncio.create_task(self._run(one, run))

    async def _run(self, one: Scheduled, run: FlowRun) -> None:
        try:
            state: Any = await run_flow_async(one.flow, flow_run=run, parameters=run.parameters, return_type="state")
            one.put_off(LATE_S)
            if not state.is_completed():
                _log.error("failed flow=%s because=%r", one.told, state.message)
        except Exception as error:  # noqa: BLE001 - Prefect failed; ``due`` stays, so the work is done without it
            _log.warning("flow_failed flow=%s error=%r", one.told, str(error))
        finally:
            one.running = None

    async def _catch_up(self, *, answers: bool) -> None:
        """Do what is overdue without Prefect, unless somebody paused it there."""
        for one in self._schedules:
            if one.every_s and one.instead and not one.running and time.monotonic() >= one.due:
                if answers and await _is_paused(one):
                    one.put_off()
                elif one.busy():
                    one.put_off(LATE_S)
                else:
                    one.running = asyncio.create_task(self._run_directly(one, one.instead))

    async def _run_directly(self, one: Scheduled, instead: Callable[[], object]) -> None:
        try:
            _log.info("running flow=%s without=prefect", one.told)
            await asyncio.to_thread(instead)
        except Exception:  # noqa: BLE001 - the next round tries again
            _log.exception("failed flow=%s", one.told)
        finally:
            one.put_off()
            one.running = None


async def _is_paused(one: Scheduled) -> bool:
    if one.deployment is None:
        return False
    async with get_client() as client:
        deployment = await client.read_deployment(one.deployment)
    return deployment.paused or not any(schedule.active for schedule in deployment.schedules)


async def _skip(client: PrefectClient, run: FlowRun, why: str) -> None:
    skipped: State[Any] = State(type=StateType.CANCELLED, name="Skipped", message=why)
    await client.set_flow_run_state(run.id, skipped)


async def _bury_the_dead(client: PrefectClient) -> None:
    """End the runs that an earlier worker left: this process is the only one that runs flows here."""
    alive = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    for run in await client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=alive))):
        ended: State[Any] = Crashed(message="Its worker ended before it did; its work is done by another run.")
        await client.set_flow_run_state(run.id, ended, force=True)
