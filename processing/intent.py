"""What each line asks for: the five rules that turn reason, amount and the file's columns into a change.

Intent is never guessed from an empty cell: only a file that has no column to change anything means reversals.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from processing.catalog import Terms
from processing.codes import Code
from processing.columns import NONE, Bools, Ints, Objects, blank, missing, pick, texts
from processing.item_intent import ITEMS, ask_items, settle
from processing.items import AskedItems
from processing.match import Matched
from processing.model import Change
from processing.money import exponents, to_minor_columns
from processing.reasons import FOR_MODIFICATIONS_ONLY, FOR_REVERSALS_ONLY, RESET, STANDARD_REASONS

LARGEST_MINOR: Final = 99_999_999


@dataclass(frozen=True, slots=True)
class FileShape:
    """Which columns that could change something a delivery has; ``reversals_only`` for a file of that kind alone.

    In a file of items ``has_amount`` is whether it can give a quantity or an amount of an item.
    """

    has_amount: bool
    has_other: bool
    reversals_only: bool = False


@dataclass(slots=True)
class Asked:
    """What the lines of a chunk ask for, a column an array; lines with a ``code`` are rejected and ask nothing.

    ``change`` holds ``Change`` or None; ``amount`` is in minor units of the line's currency, ``NONE`` where the line
    gives none; ``foreign`` marks lines that name another currency than the action's, ``converted`` those whose amount
    was turned into it. ``items`` are what the lines of a file of items ask of them; such a line is a modification,
    unless its reason says something of the whole action.
    """

    line: Ints
    row: Ints
    change: Objects
    amount: Ints
    customer_status: Objects
    reason: Objects
    currency: Objects
    foreign: Bools
    converted: Bools
    code: Objects
    items: AskedItems | None = None

    def __len__(self) -> int:
        return len(self.line)


def ask(lines: pd.DataFrame, matched: Matched, terms: Terms, shape: FileShape) -> Asked:
    """Judge what each checked line asks of the action it matched.

    ``lines``: index line number; columns event_type, amount_scaled (Int64), currency, customer_status, reason (text),
    and in a file of items ``items`` (``item_intent.ITEMS``).
    """
    row = matched.row
    code = blank(len(lines))
    given_type = lines["event_type"].to_numpy(np.int64, na_value=NONE)
    _first(code, (given_type != NONE) & ~np.isin(given_type, list(terms.event_types)), Code.EVENT_TYPE_UNKNOWN)
    event_type = np.where(row >= 0, pick(matched.actions.event_type_id, row, NONE), given_type)
    outcome = _outcomes(lines["reason"], event_type, terms)
    _first(code, outcome == Code.REASON_UNKNOWN, Code.REASON_UNKNOWN)
    amount, currency, foreign = _amounts(lines, matched, terms.currency, code)
    said = amount
    if shape.reversals_only:
        # Its 0 says that a reversal is meant, and gives no value.
        amount = np.full_like(amount, NONE)
    tracked_zero = pick(matched.actions.tracked_amount, row, NONE) == 0
    status = texts(lines["customer_status"])
    others = ~missing(status) | lines["currency"].notna().to_numpy()
    change = _changes(outcome, amount, tracked_zero=tracked_zero, others=others, shape=shape)
    given = (amount != NONE) | others
    empty = Code.AMOUNT_BLANK if shape.has_amount else Code.NOTHING_TO_CHANGE
    items = None
    meant = change
    if ITEMS in lines:
        items = ask_items(lines[ITEMS], exponents(pd.Series(currency, dtype=str)), LARGEST_MINOR, code)
        returning = shape.reversals_only or not (shape.has_amount or shape.has_other)
        meant, said = settle(items, change, outcome, code, returning=returning, empty=empty)
        # In a file of items an empty Sku does not mean the whole action.
        _first(code, ~items.named & missing(outcome) & ~others, Code.SKU_MISSING)
        given |= items.named
    _first(code, ((change == Change.MODIFY) & ~given) | missing(change), empty)
    _first(code, _misplaced(lines["reason"], event_type, outcome, meant, said), Code.REASON_MISPLACED)
    change[~missing(code)] = None
    line = lines.index.to_numpy(np.int64)
    converted = np.zeros(len(line), dtype=np.bool_)
    return Asked(line, row, change, amount, status, texts(lines["reason"]), currency, foreign, converted, code, items)


def is_reason(reason: str, event_type: int, terms: Terms) -> bool:
    """Whether a reason is a standard code or one of the event type's disposition codes."""
    return _outcome(reason, event_type, terms) is not Code.REASON_UNKNOWN


def _changes(outcome: Objects, amount: Ints, *, tracked_zero: Bools, others: Bools, shape: FileShape) -> Objects:
    """Rules 1 to 4 of the design's section 4.2, the first that holds; None where none does."""
    ids_and_reasons = np.full(len(amount), shape.reversals_only or not (shape.has_amount or shape.has_other))
    conditions = [
        ~missing(outcome) & (outcome != Code.REASON_UNKNOWN),
        ids_and_reasons & shape.reversals_only,
        (amount == 0) & ~tracked_zero,
        amount >= 0,
        ids_and_reasons,
        others,
    ]
    choices = [outcome, Change.REVERSE, Change.REVERSE, Change.MODIFY, Change.REVERSE, Change.MODIFY]
    change = blank(len(amount))
    for holds, choice in zip(reversed(conditions), reversed(choices), strict=True):
        change[holds] = choice[holds] if isinstance(choice, np.ndarray) else choice
    return change


def _outcomes(reason: pd.Series, event_type: Ints, terms: Terms) -> Objects:
    """The change a reason stands for by itself, None for a reason without one, REASON_UNKNOWN for no reason at all."""
    kinds, names = pd.factorize(reason)
    types, numbers = pd.factorize(event_type)
    unique, inverse = np.unique(kinds.astype(np.int64) * len(numbers) + types, return_inverse=True)
    meanings = np.empty(len(unique), dtype=np.object_)
    for k, pair in enumerate(unique.tolist()):
        meanings[k] = _outcome(str(names[pair // len(numbers)]), int(numbers[pair % len(numbers)]), terms)
    return np.asarray(meanings[inverse], dtype=np.object_)


def _outcome(reason: str, event_type: int, terms: Terms) -> Change | Code | None:
    if event_type == NONE:
        known = reason in STANDARD_REASONS or any(reason in codes for codes in terms.dispositions.values())
        return None if known else Code.REASON_UNKNOWN
    own = terms.dispositions.get(event_type, {}).get(reason)
    if own is not None:
        return own
    if reason == RESET:
        return Change.RESET
    return None if reason in STANDARD_REASONS else Code.REASON_UNKNOWN


def _misplaced(reason: pd.Series, event_type: Ints, outcome: Objects, change: Objects, amount: Ints) -> Bools:
    """Standard reasons used for what they do not mean; an amount of 0 is clear enough to reverse for any reason.

    Nothing is said of a line whose event type is unknown: the reason may be a disposition code of its own.
    """
    silent = (change == Change.REVERSE) & (amount == NONE) & reason.isin(FOR_MODIFICATIONS_ONLY).to_numpy(bool)
    wrong = (change == Change.MODIFY) & reason.isin(FOR_REVERSALS_ONLY).to_numpy(bool)
    return np.asarray((silent | wrong) & missing(outcome) & (event_type != NONE), dtype=np.bool_)


def _amounts(lines: pd.DataFrame, matched: Matched, default: str, code: Objects) -> tuple[Ints, Objects, Bools]:
    """Amounts in minor units of the line's currency, that currency, and whether it differs from the action's.

    A line that names none means the action's.
    """
    scaled = lines["amount_scaled"].to_numpy(np.int64, na_value=NONE)
    currency, own = _currencies(lines, matched, default)
    minor, exact = to_minor_columns(np.maximum(scaled, 0), exponents(pd.Series(currency, dtype=str)))
    given = scaled != NONE
    _first(code, given & ~exact, Code.AMOUNT_MALFORMED)
    _first(code, given & (minor > LARGEST_MINOR), Code.AMOUNT_TOO_LARGE)
    return np.where(given, minor, NONE), currency, currency != own


def _currencies(lines: pd.DataFrame, matched: Matched, default: str) -> tuple[Objects, Objects]:
    """The currency of each line, and that of its action."""
    own = pick(matched.actions.currency, matched.row, default)
    sent = texts(lines["currency"])
    return np.where(missing(sent), own, sent), own


def _first(code: Objects, fault: Bools, meaning: Code) -> None:
    """A line keeps the first fault that was found."""
    code[fault & missing(code)] = meaning
