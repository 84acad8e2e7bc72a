"""Actions with items in a file of actions: judges the items, and puts the lines of each action together.

The items of an action stand in one line, numbered, or one a line in lines of the same ActionId that follow one another.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from processing.actions import Problem
from processing.columns import Bools, Ints, Objects
from processing.columns import texts as texts_of
from processing.money import SCALE, parse_scaled
from processing.money import texts as written
from schemas.chunk import TEXT, Chunk, quoted
from schemas.columns import Columns
from schemas.contract import matches, trimmed, unspoiled
from schemas.item_columns import FIELDS, item_numbers, item_texts, name_of

Lines = tuple[pd.DataFrame, pd.DataFrame, list[Problem]]
"""The texts of lines (index line), their items as ``item_texts`` has them with ``row`` the line, and bad lines."""

_PATTERNS: Final = {
    "sku": r".{1,255}",
    "category": r".{0,255}",
    "quantity": r"0{0,5}[1-9][0-9]{0,5}",
    "amount": r"[0-9]{1,8}(\.[0-9]{1,4})?",
}
_WANTED: Final = {
    "sku": "1 to 255 characters without blanks around them",
    "category": "at most 255 characters without blanks around them",
    "quantity": "a whole number from 1 to 999999",
    "amount": "digits with a point before the decimals, for example 1234.56",
}


def whole_actions(lines: Iterator[Lines]) -> Iterator[Lines]:
    """The same lines, cut so that those of one action are together, and beside a bad line between them."""
    kept: Lines | None = None
    for each in lines:
        texts, items, bad = each if kept is None else _both(kept, each)
        numbers = texts.index.to_numpy(np.int64)
        cut = _last_action(texts["action_id"].to_numpy(object), numbers, np.array([one.line for one in bad], np.int64))
        begins = numbers[cut] if len(numbers) else 0
        whole = [one for one in bad if one.line < begins]
        yield texts.iloc[:cut], items[items["row"] < begins], whole
        kept = texts.iloc[cut:], items[items["row"] >= begins], bad[len(whole) :]
    if kept is not None:
        yield kept


def _last_action(names: Objects, lines: Ints, bad: Ints) -> int:
    """Where the last action begins; one more when a bad line stands between, which may be either's."""
    starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]])) if len(names) else [0]
    for cut in reversed(starts):
        if cut == 0 or not ((bad > lines[cut - 1]) & (bad < lines[cut])).any():
            return int(cut)
    return 0


def lines_of(chunk: Chunk, texts: pd.DataFrame, columns: Columns) -> Lines:
    """A chunk of a file with items; ``texts``: its other columns."""
    items = item_texts(chunk, columns)
    assert items is not None  # noqa: S101 - the caller knows that there are columns for items
    items = items.assign(row=chunk.lines[items["row"].to_numpy()])
    return texts.set_axis(chunk.lines), items, [Problem(one.line, one.message) for one in chunk.bad]


def merged(
    lines: Lines, columns: Columns, judge: Callable[[pd.DataFrame], list[Problem]]
) -> tuple[pd.DataFrame, pd.DataFrame, list[Problem]]:
    """The actions of some lines, the sound ones a row; their items; and the problems, one an action.

    The first frame is like the texts, under each action's first line, its amount the sum of the items'. The second:
    index that line; position, sku, category (NA where blank), quantity, amount_scaled. ``judge`` tells what is wrong
    with the other columns of lines.
    """
    texts, items, unreadable = lines
    of_items = texts.index.isin(items["row"])
    run = _runs(texts["action_id"], of_items)
    first = texts.index.to_numpy()[np.unique(run, return_index=True)[1]][run]
    items = items.assign(run=run[texts.index.get_indexer(pd.Index(items["row"]))])
    problems = _item_problems(items, columns)
    sound = ~items["row"].isin([one.line for one in problems])
    items = items.assign(scaled=0)
    items.loc[sound, "scaled"] = parse_scaled(items.loc[sound, "amount"])
    sums = items.groupby("run")["scaled"].sum().reindex(np.unique(run), fill_value=0).to_numpy()[run]
    total = texts["amount"]
    amount = pd.Series(written(sums, np.full(len(texts), SCALE, np.int8)), texts.index, TEXT)
    texts = texts.assign(amount=total.where(~of_items, amount))
    judged = texts.assign(amount=texts["amount"].where(~of_items | (total == ""), total))
    problems += judge(judged)
    problems += _differences(texts, first, of_items)
    problems += _beside(texts, of_items, unreadable, columns)
    good = ~texts.index.isin([one.line for one in problems])
    problems += _other_totals(total[good & of_items], sums[good & of_items])
    faulty = np.isin(run, run[texts.index.isin([one.line for one in problems])])
    kept = texts[~faulty & (texts.index == first)]
    owned = items[~np.isin(items["run"], run[faulty])]
    return kept, _converted(owned, run, first), _one_each(problems, texts.index, run) + unreadable


def _both(one: Lines, other: Lines) -> Lines:
    return _below(one[0], other[0]), _below(one[1], other[1]).reset_index(drop=True), one[2] + other[2]


def _below(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Two frames below one another, each column of texts in one piece again."""
    both = pd.concat([one, other])
    for name in both.columns[both.dtypes == TEXT]:
        pieces: Any = pa.array(both[name], pa.string())
        both[name] = pd.arrays.ArrowExtensionArray(pieces.combine_chunks())
    return both


def _runs(action_id: pd.Series, of_items: Bools) -> Ints:
    """The number of the action that each line belongs to; a line without items is one of its own."""
    names = action_id.to_numpy(object)
    same = np.zeros(len(names), dtype=np.bool_)
    same[1:] = (names[1:] == names[:-1]) & of_items[1:] & of_items[:-1] & (names[1:] != "")
    return np.cumsum(~same) - 1


def _item_problems(items: pd.DataFrame, columns: Columns) -> list[Problem]:
    problems = []
    for field in FIELDS:
        cells = items[field]
        sound = matches(_PATTERNS[field])(cells) & unspoiled(cells) & trimmed(cells)
        for at in np.flatnonzero(~sound.to_numpy(bool)):
            name, value = name_of(columns, field, int(items["number"].iloc[at])), quoted(cells.iloc[at])
            message = f"{name} {value} cannot be loaded; it must be {_WANTED[field]}."
            problems.append(Problem(int(items["row"].iloc[at]), message))
    twice = items.duplicated(["run", "sku"]).to_numpy(bool)
    for row, sku in zip(items["row"][twice], items["sku"][twice], strict=True):
        problems.append(Problem(int(row), f"Sku {quoted(sku)} stands twice in the action; give each item once."))
    return problems


def _differences(texts: pd.DataFrame, first: Ints, of_items: Bools) -> list[Problem]:
    """Lines of one action that differ in more than their items."""
    others = texts.drop(columns="amount").to_numpy(object)
    heads = others[texts.index.get_indexer(pd.Index(first))]
    differs = (others != heads).any(axis=1) & of_items
    return [
        Problem(
            int(texts.index.to_numpy()[at]),
            f"ActionId {quoted(texts['action_id'].iloc[at])} has other values than in line {first[at]}; "
            "the lines of one action differ in their items alone.",
        )
        for at in np.flatnonzero(differs)
    ]


def _beside(texts: pd.DataFrame, of_items: Bools, unreadable: list[Problem], columns: Columns) -> list[Problem]:
    """Lines with one item beside a line that cannot be read: it may be one more item of the same action."""
    if not unreadable or len(item_numbers(columns)) > 1:
        return []
    bad = np.array([one.line for one in unreadable])
    place = np.searchsorted(texts.index.to_numpy(np.int64), bad)
    near = [(at, line) for at, line in zip([*place - 1, *place], [*bad, *bad], strict=True) if 0 <= at < len(texts)]
    return [
        Problem(
            int(texts.index.to_numpy()[at]),
            f"Line {line} beside it cannot be read, and may hold another item of the action.",
        )
        for at, line in near
        if of_items[at]
    ]


def _other_totals(total: pd.Series, sums: Ints) -> list[Problem]:
    given = (total != "").to_numpy(bool)
    differs = np.flatnonzero(given)[parse_scaled(total[given]) != sums[given]]
    return [
        Problem(int(total.index[at]), f"Amount {quoted(total.iloc[at])} is not the sum of the items' amounts.")
        for at in differs
    ]


def _one_each(problems: list[Problem], lines: pd.Index, run: Ints) -> list[Problem]:
    """The first problem of each action."""
    found: dict[int, Problem] = {}
    for one, at in zip(
        problems, lines.get_indexer(pd.Index([one.line for one in problems], dtype=np.int64)), strict=True
    ):
        found.setdefault(int(run[at]), one)
    return list(found.values())


def _converted(items: pd.DataFrame, run: Ints, first: Ints) -> pd.DataFrame:
    line = dict(zip(run.tolist(), first.tolist(), strict=True))
    return pd.DataFrame(
        {
            "position": items.groupby("run").cumcount().to_numpy() + 1,
            "sku": texts_of(items["sku"]),
            "category": texts_of(items["category"].where(items["category"] != "")),
            "quantity": np.asarray(pa.array(items["quantity"], pa.string()).cast(pa.int64()), np.int64),
            "amount_scaled": items["scaled"].to_numpy(np.int64),
        },
        index=pd.Index(items["run"].map(line).to_numpy(np.int64), name="line"),
    )
