"""Outcomes of other threads come to the loop that waits for them: each once, whatever else came with it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import pytest

from clawback.web.outcomes import Outcomes

MANY = 2_000


def test_each_gets_its_own() -> None:
    """Results and errors, from several threads, while others are asked for."""
    outcomes, waiting = Outcomes(), [Future[int]() for _ in range(MANY)]

    def bring(first: int) -> None:
        for number in range(first, MANY, 4):
            if number % 7:
                waiting[number].set_result(number)
            else:
                waiting[number].set_exception(ValueError(number))

    async def ask(number: int) -> int:
        await asyncio.sleep(number % 5 * 0.001)
        try:
            return await outcomes.of(waiting[number])
        except ValueError as error:
            return -int(str(error))

    async def ask_all() -> list[int]:
        threads = [threading.Thread(target=bring, args=(first,)) for first in range(4)]
        asked = asyncio.gather(*map(ask, range(MANY)))
        for thread in threads:
            thread.start()
        return await asyncio.wait_for(asked, 30)

    assert asyncio.run(ask_all()) == [number if number % 7 else -number for number in range(MANY)]


def test_who_waits_no_longer_disturbs_nobody() -> None:
    """An outcome that nobody wants any more is passed over; the others come."""
    outcomes, gone, there = Outcomes(), Future[int](), Future[int]()

    async def ask() -> int:
        left = asyncio.ensure_future(outcomes.of(gone))
        stayed = asyncio.ensure_future(outcomes.of(there))
        await asyncio.sleep(0)
        left.cancel()
        gone.set_exception(ValueError("nobody is told"))
        there.set_result(1)
        with suppress(asyncio.CancelledError):
            await left
        return await asyncio.wait_for(stayed, 30)

    assert asyncio.run(ask()) == 1


def test_one_wake_up_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is woken once for what comes while it is busy."""
    outcomes, waiting, calls = Outcomes(), [Future[int]() for _ in range(10)], list[Callable[[], None]]()

    async def ask() -> list[int]:
        loop = asyncio.get_running_loop()
        asked = asyncio.gather(*map(outcomes.of, waiting))
        await asyncio.sleep(0)
        call = loop.call_soon_threadsafe

        def counted(tell: Callable[[], None]) -> None:
            calls.append(tell)
            call(tell)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        for number, one in enumerate(waiting):
            one.set_result(number)
        return await asked

    assert asyncio.run(ask()) == list(range(10))
    assert len(calls) == 1
