"""The file by which actions are loaded: its columns, its contract, and its conversion to numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from processing.actions import Problem
from processing.columns import NONE, Ints
from processing.errors import Unusable
from processing.money import parse_scaled
from schemas import csv_lines, item_actions
from schemas.chunk import TEXT, Chunk, quoted
from schemas.columns import Vocabulary
from schemas.contract import ACTION_ID, assert_judging, currencies, matches, trimmed, unspoiled
from schemas.decode import read_text
from schemas.item_columns import item_numbers

CHUNK_LINES: Final = 50_000
REQUIRED: Final = (
    "action_id",
    "program_id",
    "event_type",
    "partner_id",
    "order_id",
    "event_at",
    "amount",
    "currency",
)
VOCABULARY: Final = Vocabulary(
    {
        "action_id": ("ActionId",),
        "program_id": ("CampaignId",),
        "event_type": ("ActionTrackerId", "EventTypeId"),
        "partner_id": ("MediaPartnerId",),
        "order_id": ("Oid", "OrderId"),
        "event_at": ("EventDate",),
        "amount": ("Amount",),
        "currency": ("Currency", "CurrencyCode"),
        "customer_status": ("CustomerStatus",),
        "created_at": ("CreationDate",),
        "locks_at": ("LockingDate",),
    },
    total=True,
)

_NUMBER: Final = r"[0-9]{1,15}"
_INSTANT: Final = r"(19|20|21)\d\d-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?"
_OFFSET: Final = r"(?:Z|[+-]\d\d:?\d\d)$"
_WANTED: Final = {
    "action_id": "letters, digits, '.', '-' and '_', at most 64",
    "program_id": "a whole number",
    "event_type": "a whole number",
    "partner_id": "a whole number",
    "order_id": "at most 64 characters, no blank at the ends, no control character",
    "event_at": "an ISO 8601 date and time, for example 2027-01-15T10:00:00-05:00",
    "amount": "digits with a point before the decimals, for example 1234.56",
    "currency": "three capital letters of ISO 4217",
    "customer_status": "at most 40 characters, no blank at the ends, no control character",
    "created_at": "an ISO 8601 date and time",
    "locks_at": "an ISO 8601 date and time",
}
_PATTERNS: Final = {
    "action_id": ACTION_ID,
    "program_id": _NUMBER,
    "event_type": _NUMBER,
    "partner_id": _NUMBER,
    "order_id": r".{0,64}",
    "event_at": _INSTANT,
    "amount": r"[0-9]{1,12}(\.[0-9]{1,4})?",
    "customer_status": r".{0,40}",
    "created_at": f"({_INSTANT})?",
    "locks_at": f"({_INSTANT})?",
}


def _exists(instants: pd.Series) -> pd.Series:
    """Which cells are blank or an instant that the calendar has."""
    return (instants == "") | pd.to_datetime(instants, format="ISO8601", utc=True, errors="coerce").notna()


_CONTRACT: Final = pandera.DataFrameSchema(
    {
        **{name: pandera.Column(TEXT, pandera.Check(matches(pattern))) for name, pattern in _PATTERNS.items()},
        **{
            name: pandera.Column(TEXT, [pandera.Check(matches(_PATTERNS[name])), pandera.Check(_exists)])
            for name in ("event_at", "created_at", "locks_at")
        },
        # As in deliveries: an order id that none of their lines may have would never be found.
        **{
            name: pandera.Column(TEXT, [pandera.Check(each) for each in (matches(_PATTERNS[name]), unspoiled, trimmed)])
            for name in ("order_id", "customer_status")
        },
        "currency": pandera.Column(TEXT, pandera.Check(currencies)),
    },
    strict=True,
    coerce=False,
)


@dataclass(frozen=True, slots=True)
class ActionLines:
    """A chunk of an actions file: the lines whose text is sound, and what is wrong with the others.

    ``texts``: index line (int64); the columns of ``VOCABULARY`` as Arrow strings, "" where blank or absent. ``items``:
    those of the actions in a file that has columns for them, as ``item_actions.merged`` gives them; each action then
    stands under the first of its lines.
    """

    texts: pd.DataFrame
    problems: list[Problem]
    items: pd.DataFrame | None = None


def read(path: Path) -> Iterator[ActionLines]:
    """The file's lines, chunk by chunk.

    Raises Unreadable, and Unusable if it may have been cut off, or naming a column that is missing.
    """
    assert_judging()
    encoding, head = csv_lines.read_whole_head(path, VOCABULARY)
    by_item = bool(item_numbers(head.columns))
    required = [name for name in REQUIRED if not (by_item and name == "amount")]
    missing = [VOCABULARY.display[name] for name in required if name not in head.columns]
    if missing:
        raise Unusable(f"{path.name} has no column {', '.join(missing)}; an actions file needs it.")
    chunks = csv_lines.read_lines(read_text(path, encoding), head, CHUNK_LINES)
    positions = {name: head.columns.positions.get(name) for name in VOCABULARY.names}
    if not by_item:
        yield from (_judged(chunk, positions) for chunk in chunks)
        return
    lines = (item_actions.lines_of(chunk, _texts(chunk, positions), head.columns) for chunk in chunks)
    for each in item_actions.whole_actions(lines):
        texts, items, problems = item_actions.merged(each, head.columns, _problems)
        yield ActionLines(texts, problems, items)


def converted(texts: pd.DataFrame, zone: ZoneInfo) -> pd.DataFrame:
    """Sound lines as ``processing.actions.load`` takes them; instants without an offset are in the account's zone."""
    event_at = _instants(texts["event_at"], zone)
    created_at = _instants(texts["created_at"], zone)
    return pd.DataFrame(
        {
            "action_id": texts["action_id"],
            "order_id": _present(texts["order_id"]),
            "currency": texts["currency"],
            "customer_status": _present(texts["customer_status"]),
            "program_id": texts["program_id"].astype(np.int64),
            "event_type": texts["event_type"].astype(np.int64),
            "partner_id": texts["partner_id"].astype(np.int64),
            "amount_scaled": parse_scaled(texts["amount"]),
            "event_at": event_at,
            "created_at": np.where(created_at == NONE, event_at, created_at),
            "locks_at": _instants(texts["locks_at"], zone),
        },
        index=texts.index,
    )


def _texts(chunk: Chunk, positions: dict[str, int | None]) -> pd.DataFrame:
    blank = pd.Series("", chunk.cells.index, TEXT)
    return pd.DataFrame(
        {name: blank if at is None else chunk.cells.iloc[:, at] for name, at in positions.items()}, chunk.cells.index
    )


def _judged(chunk: Chunk, positions: dict[str, int | None]) -> ActionLines:
    texts = _texts(chunk, positions).set_axis(pd.Index(chunk.lines, name="line"))
    problems = [Problem(one.line, one.message) for one in chunk.bad] + _problems(texts)
    return ActionLines(texts[~np.isin(chunk.lines, [one.line for one in problems])], problems)


def _problems(texts: pd.DataFrame) -> list[Problem]:
    """What is wrong with the text of lines (index line), one problem a line."""
    try:
        _CONTRACT.validate(texts, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases.dropna(subset="index").drop_duplicates("index")
        return [
            Problem(line, _problem(column, texts.loc[line, column]))
            for line, column in zip(cases["index"].astype(int), cases["column"], strict=True)
        ]
    return []


def _problem(column: str, value: str) -> str:
    return f"{VOCABULARY.display[column]} {quoted(value)} cannot be loaded; it must be {_WANTED[column]}."


def _present(texts: pd.Series) -> pd.Series:
    return texts.where(texts != "")


def _instants(texts: pd.Series, zone: ZoneInfo) -> Ints:
    """Microseconds since the epoch, ``NONE`` for a blank cell."""
    given = (texts != "").to_numpy(bool)
    local = given & ~texts.str.contains(_OFFSET).to_numpy(bool)
    micros = np.full(len(texts), NONE, dtype=np.int64)
    micros[given & ~local] = _micros(pd.to_datetime(texts[given & ~local], format="ISO8601", utc=True))
    if local.any():
        naive = pd.to_datetime(texts[local], format="ISO8601")
        # An hour that the clock repeats means its first pass, one that it skips the moment after the jump.
        first = np.ones(len(naive), dtype=bool)
        micros[local] = _micros(naive.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward"))
    return micros


def _micros(instants: pd.Series) -> Ints:
    micros: Ints = instants.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    return micros
