"""Answers a delivery: receipt, result and fix file, written from the store and the delivery's own bytes."""

import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Row

from clawback.judging import Case
from clawback.wiring import Desk
from connectors import results
from processing import deliveries
from processing.codes import Code, Verdict
from processing.columns import NONE, Ints
from processing.deliveries import DeliveryState
from processing.instants import told
from processing.model import Trailer
from schemas.result import REPAIRABLE, write_fix, write_result
from schemas.sidecar import described

# Who sends by Web Services asks for the answers there.
ASKED_FOR: Final = frozenset({deliveries.API, "http"})

_BRAKES: Final = frozenset({Code.MOSTLY_BAD, Code.OUTLIER})
# On each of very many lines; the receipt has the money, once.
_HELD: Final = "Held with its file; the receipt says why."
_REFUSED: Final = "Held with its file, and then rejected with it; the receipt says why."

# json.dumps would make one for each line.
_AS_JSON: Final = json.JSONEncoder(ensure_ascii=False)

Writer = Callable[[BinaryIO], object]
Verdicts = Callable[[Ints], pd.DataFrame]
Bytes = Callable[[], Case]
"""A delivery as it was judged. It is asked for where lines are told: a receipt is given of damaged bytes, too."""


def publish(desk: Desk, db: Connection, found: Row[Any], judged: Bytes | None) -> None:
    """Put the delivery's answers where its brand finds them, and remove those there are no longer.

    Doing it twice changes nothing.
    """
    if found.channel in ASKED_FOR:
        return
    home, written = desk.brands / found.sid, files(db, found, judged)
    named = {
        pattern: results.publish(home, pattern, delivery=found.delivery, name=found.name, write=write)
        for pattern, write in written.items()
    }
    prefix, suffix = results.RECEIPT.split("{}")
    own = named[results.RECEIPT].removeprefix(prefix).removesuffix(suffix)
    for pattern in results.PATTERNS:
        if pattern not in written:
            (results.results_folder(home) / pattern.format(own)).unlink(missing_ok=True)


def files(db: Connection, found: Row[Any], judged: Bytes | None) -> dict[str, Writer]:
    """What each file that answers a delivery is written by; without its bytes (``judged``) there is only a receipt."""
    answers: dict[str, Writer] = {results.RECEIPT: lambda out: write_receipt(db, found, out)}
    if judged is not None and (found.state == DeliveryState.DONE or _is_weighed(found)) and not described(found.name):
        case = judged()
        document, verdicts = case.open(), _verdicts(db, found, case)
        answers[results.RESULT] = lambda out: write_result(document, verdicts, out)
        if deliveries.has_repairable(db, found.id, REPAIRABLE):
            with_trailer = case.terms.trailer is Trailer.REQUIRED
            answers[results.FIX] = lambda out: write_fix(document, verdicts, out, with_trailer=with_trailer)
    return answers


def write_receipt(db: Connection, found: Row[Any], out: BinaryIO) -> None:
    """The receipt as JSON, a line of the delivery a row, however many there are."""
    head = json.dumps(deliveries.head(found), indent=2, ensure_ascii=False)
    out.write(head.removesuffix("\n}").encode() + b',\n  "lines": [')
    out.writelines(_separated(deliveries.lines(db, found.id)))
    out.write(b"]\n}\n")


def _separated(lines: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    before = "\n    "
    for line in lines:
        yield (before + _AS_JSON.encode(line)).encode()
        before = ",\n    "
    if before.startswith(","):
        yield b"\n  "


def _is_weighed(found: Row[Any]) -> bool:
    """Whether a brake holds a delivery, or did so until a person rejected it: the text of its lines was judged."""
    return found.state in {DeliveryState.HELD, DeliveryState.REJECTED} and found.code in _BRAKES


def _verdicts(db: Connection, delivery: Row[Any], case: Case) -> Verdicts:
    def verdicts_for(lines: Ints) -> pd.DataFrame:
        found = deliveries.verdicts(db, delivery.id, int(lines[0]), int(lines[-1]))
        locks, at = np.unique(found["locks_at"], return_inverse=True)
        words = [None if one == NONE else told(one, case.terms.zone) for one in locks.tolist()]
        frame = pd.DataFrame({**found, "locks_at": np.array(words, dtype=np.object_)[at]})
        return _with_held(frame, delivery, lines) if _is_weighed(delivery) else frame

    return verdicts_for


def _with_held(frame: pd.DataFrame, delivery: Row[Any], lines: Ints) -> pd.DataFrame:
    """The verdicts of all these lines: those that the store says nothing of are held or refused with their delivery."""
    silent = ~np.isin(lines, frame["line"].to_numpy())
    frame = frame.set_index("line").reindex(lines)
    told = [Verdict.HELD.value, delivery.code, _HELD]
    if delivery.state == DeliveryState.REJECTED:
        told = [Verdict.REFUSED.value, Code.NOT_RELEASED.value, _REFUSED]
    frame.loc[silent, ["verdict", "code", "message"]] = told
    return frame
