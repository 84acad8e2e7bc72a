"""The process dies amid the statements of a settling, on both stores; the next round makes up for it."""

import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from clawback import pipeline
from clawback.wiring import Desk
from tests.conftest import Clock
from tests.crashes import Died, crashing
from tests.worlds import SID, Sale, action, dump, ingest, lines, load, values

# A cursor that the dead process left open is told of when its memory is freed.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <function ServerCursorMixin")
HEAD = "ActionId,Amount,Reason"
# Each statement would cost a minute of processor time; these are spread over all of them.
STRIDE = 5


def told(desk: Desk, name: str) -> dict[str, Any]:
    """The newest receipt of a delivery of this name that the brand has."""
    found: dict[str, Any] = json.loads((desk.brands / SID / "results" / f"receipt_{name}.json").read_text())
    return found


def test_a_settling_that_dies_is_done_by_the_next_round(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    """Each waiting line is applied once, each brand told; a new delivery waits whenever the last one is settled."""
    load(desk, tmp_path, [Sale("A-1")])
    number, settled, delivery = 0, True, ""
    for at in itertools.count(1, STRIDE):
        if settled:
            number += 1
            one, other = f"W-{number}", f"V-{number}"
            rows = (f"{one},40.00,OTHER", "A-1,x,OTHER", f"{other},0,OTHER", f"{one},30.00,OTHER", "A-404,0,OTHER")
            delivery = ingest(desk, lines(HEAD, *rows), name=f"{number}.csv")["delivery"]
            load(desk, tmp_path, [Sale(one), Sale(other)])
        before = dump(desk.store)
        with suppress(Died), crashing(desk.store, at, Died):
            pipeline.settle_waiting(desk, at=clock.now)
            break
        settled = bool(pipeline.receipt(desk, delivery)["revisions"])
        if not settled:
            assert dump(desk.store) == before
            continue
        assert pipeline.collect(desk, at=clock.now).failures == {}
        receipt = pipeline.receipt(desk, delivery)
        balance = {"read": 5, "applied": 3, "unchanged": 0, "rejected": 1, "refused": 0, "waiting": 1, "held": 0}
        assert (receipt["rows"], told(desk, f"{number}.csv")) == (balance, receipt), at
        assert [len(action(desk.store, each)["history"]) for each in (one, other)] == [2, 1]
        assert (values(desk.store, one)[1], values(desk.store, other)[0]) == ("30.00", "REVERSED")
    assert (at > 20, number > 1) == (True, True)
