"""Runs one ``clawback`` command and prints how long its parts took: PART <name> <seconds>.

The parts are called a few times per 50,000 lines, so that timing them costs nothing.
"""

import sys
import time

BEGAN = time.perf_counter()

from collections.abc import Callable, Iterator  # noqa: E402 - the imports are what is measured first
from typing import Any  # noqa: E402

from clawback import answers, judging, pipeline  # noqa: E402
from clawback.cli import main  # noqa: E402
from processing import apply  # noqa: E402

SPENT: dict[str, float] = {"start and imports": time.perf_counter() - BEGAN}


def timed(name: str, owner: Any, attribute: str) -> None:
    """Add up the seconds spent in a function."""
    function: Callable[..., Any] = getattr(owner, attribute)

    def call(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            SPENT[name] = SPENT.get(name, 0) + time.perf_counter() - began

    setattr(owner, attribute, call)


def timed_iterator(name: str, owner: Any, attribute: str) -> None:
    """Add up the seconds spent in getting the next item."""
    function: Callable[..., Iterator[Any]] = getattr(owner, attribute)

    def call(*arguments: Any, **named: Any) -> Iterator[Any]:
        items = function(*arguments, **named)
        while True:
            began = time.perf_counter()
            item = next(items, None)
            SPENT[name] = SPENT.get(name, 0) + time.perf_counter() - began
            if item is None:
                return
            yield item

    setattr(owner, attribute, call)


timed_iterator("read and check the text", judging.Case, "checked")
timed("match with the actions", apply, "match")
timed("judge the intent", apply, "ask")
timed("decide", apply, "decide")
timed("write actions, entries, lines", apply.Application, "_write")
timed("judge, in one transaction", pipeline, "_judge")
timed("receipt and result file", answers, "publish")

try:
    main()
finally:
    SPENT["commit and claim"] = (
        SPENT["judge, in one transaction"]
        - sum(
            SPENT[name]
            for name in SPENT
            if name not in {"start and imports", "judge, in one transaction", "receipt and result file", "decide"}
        )
        - SPENT["decide"]
    )
    del SPENT["judge, in one transaction"]
    SPENT["the whole process"] = time.perf_counter() - BEGAN
    for part, seconds in SPENT.items():
        print(f"PART {part} {seconds:.2f}", file=sys.stdout, flush=True)
