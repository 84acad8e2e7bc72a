"""The worker: dispatches what lands and runs the schedules, in a process that has everything imported already."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from clawback.serving.dispatch import LONGEST_WAIT_S, Dispatcher, pause
from clawback.serving.part import Supervisor, now, run
from clawback.settings import Settings
from clawback.wiring import open_spool

if TYPE_CHECKING:
    from prefect import Flow

    from clawback.serving.schedules import Scheduled

# One for each delivery in hand and each schedule, and some to look at the spool meanwhile.
THREADS: Final = 12
# How often the outbox is looked at: a look costs milliseconds.
ANSWERS_S: Final = 2.0
HEEDS_S: Final = 1.0
# After that the worker is ready whether Prefect knows the schedules or not: it works without Prefect, too.
READY_S: Final = 30.0

_log = logging.getLogger(__name__)


def serve_work(settings: Settings, supervisor: Supervisor, _port: int) -> None:
    """Work until told to stop.

    The event loop runs beside the main thread, which alone gets signals: Prefect's engine would take SIGTERM over.
    """
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS + len(settings.sources)))
    stop = asyncio.Event()
    supervisor.when_told_to_stop(lambda: loop.call_soon_threadsafe(stop.set))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            loop.run_until_complete(_work(settings, stop, lambda: supervisor.report(ready=True)))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


async def _work(settings: Settings, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    # The environment must be complete before Prefect is imported.
    from clawback.serving.api import PrefectApi, ingest_by_prefect  # noqa: PLC0415
    from clawback.serving.schedules import Schedules  # noqa: PLC0415
    from flows import work  # noqa: PLC0415

    # What fails in a run is said where its outcome is known.
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    spool = open_spool(settings, now)
    api = PrefectApi(os.environ["PREFECT_API_URL"])

    def waits(delivery: str) -> bool:
        return any(envelope.delivery == delivery for envelope in spool.pending())

    answered = asyncio.Event()

    async def finish(delivery: str) -> None:
        await ingest_by_prefect(api, waits, delivery)
        answered.set()

    dispatcher = Dispatcher(spool.pending, finish)
    schedules = Schedules(_schedules(settings, lambda: dispatcher.busy), api, now)
    at_last = asyncio.get_running_loop().call_later(READY_S, ready)

    def known() -> None:
        at_last.cancel()
        ready()

    parts = [dispatcher.run(stop), schedules.run(stop, known), _send_answers(answered, stop, work.send)]
    if any(org.hook for org in settings.orgs):
        parts.append(_heed(stop, work.heed))
    await asyncio.gather(*parts)
    await api.close()


def _schedules(settings: Settings, busy: Callable[[], bool]) -> "list[Scheduled]":
    from clawback.serving.schedules import Scheduled  # noqa: PLC0415
    from flows import work  # noqa: PLC0415
    from flows.collect import collect  # noqa: PLC0415
    from flows.ingest import ingest  # noqa: PLC0415
    from flows.lock_due import lock_due  # noqa: PLC0415
    from flows.observe import observe  # noqa: PLC0415
    from flows.pull import pull  # noqa: PLC0415
    from flows.send import send  # noqa: PLC0415

    every = settings.schedule

    def of(flow: "Flow[..., Any]", do: Callable[[str], object], source: str, every_s: int | None) -> Scheduled:
        parameters = {"source": source}
        return Scheduled(flow, every_s, partial(do, source), name=source, parameters=parameters, prompt=False)

    return [
        Scheduled(collect, every.collect_every_s, work.finish_all, busy),
        Scheduled(lock_due, every.lock_every_s, work.lock),
        Scheduled(ingest),
        Scheduled(send, every.send_every_s, work.send),
        # Without a schedule, for any source; those that are no longer in the settings are forgotten by its name.
        Scheduled(pull, prompt=False),
        Scheduled(observe, prompt=False),
        *(of(pull, work.pull, one.name, one.every_s) for one in settings.servers),
        *(of(observe, work.observe, one.name, one.every_s) for one in settings.orgs),
    ]


async def _heed(stop: asyncio.Event, heed: Callable[[], object]) -> None:
    """Read again what triggers told of, soon after they told it; what fails is put off in the store."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(heed)
        except Exception as error:  # noqa: BLE001 - the next look tries again, and polling sees it anyway
            _log.warning("not_heeded because=%r", str(error))
        await pause(stop, HEEDS_S)


async def _send_answers(answered: asyncio.Event, stop: asyncio.Event, send: Callable[[], object]) -> None:
    """Send replies and events as soon as there are some, also those of what a person released on a command line.

    The schedule does the same by Prefect, which shows it.
    """
    wait_s = ANSWERS_S
    while not stop.is_set():
        await pause(answered, wait_s)
        answered.clear()
        try:
            await asyncio.to_thread(send)
            wait_s = ANSWERS_S
        except Exception:  # noqa: BLE001 - it is tried again
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            _log.exception("not_sent again_in_s=%g", wait_s)


if __name__ == "__main__":
    run("worker", serve_work)
