"""The file by which exchange rates are loaded: Day, From, To, Rate."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import pandas as pd

from processing.actions import Problem
from processing.errors import Unusable
from processing.exchange import DECIMALS, Rate
from processing.money import is_currency
from schemas import csv_lines
from schemas.chunk import Chunk, quoted
from schemas.columns import Vocabulary
from schemas.decode import read_text

CHUNK_LINES: Final = 50_000
VOCABULARY: Final = Vocabulary({"day": ("Day", "Date"), "source": ("From",), "target": ("To",), "rate": ("Rate",)})

_RATE: Final = re.compile(rf"([0-9]{{1,8}})(?:\.([0-9]{{1,{DECIMALS}}}))?")


def read(path: Path) -> Iterator[tuple[list[Rate], list[Problem]]]:
    """The rates of the file and what is wrong with its other lines, chunk by chunk.

    Raises Unreadable, and Unusable if it may have been cut off, or naming a column that is missing.
    """
    encoding, head = csv_lines.read_whole_head(path, VOCABULARY)
    lacking = [VOCABULARY.display[name] for name in VOCABULARY.names if name not in head.columns]
    if lacking:
        raise Unusable(f"{path.name} has no column {', '.join(lacking)}; a file of rates needs it.")
    for chunk in csv_lines.read_lines(read_text(path, encoding), head, CHUNK_LINES):
        texts = pd.DataFrame({name: chunk.cells.iloc[:, at] for name, at in head.columns.positions.items()})
        yield _judged(chunk, texts)


def _judged(chunk: Chunk, texts: pd.DataFrame) -> tuple[list[Rate], list[Problem]]:
    rates, problems = list[Rate](), [Problem(one.line, one.message) for one in chunk.bad]
    rows = zip(*(texts[name].tolist() for name in VOCABULARY.names), strict=True)
    for line, row in zip(chunk.lines.tolist(), rows, strict=True):
        try:
            rates.append(_rate(*row))
        except ValueError as error:
            problems.append(Problem(line, str(error)))
    return rates, problems


def _rate(day: str, source: str, target: str, rate: str) -> Rate:
    """One line's rate; raises ValueError with the sentence that says what is wrong."""
    for column, code in (("From", source), ("To", target)):
        if not is_currency(code):
            raise ValueError(f"{column} {quoted(code)} is not a currency of ISO 4217; give three capital letters.")
    if source == target:
        raise ValueError(f"From and To are both {source}; a currency has no rate to itself.")
    found = _RATE.fullmatch(rate)
    scaled = int(found[1] + (found[2] or "").ljust(DECIMALS, "0")) if found else 0
    if not scaled:
        raise ValueError(
            f"Rate {quoted(rate)} is not a rate; write how much one {source} is in {target}, like 1.0856, with at most "
            f"{DECIMALS} decimals."
        )
    try:
        return Rate(date.fromisoformat(day), source, target, scaled)
    except ValueError:
        raise ValueError(f"Day {quoted(day)} is not a date; write it like 2027-01-31.") from None
