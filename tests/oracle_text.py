"""What is wrong with a line's text, one line at a time: the part of the oracle that needs no ledger."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

EXPONENTS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
COLUMNS = ("action_id", "order_id", "event_type", "amount", "currency", "customer_status", "reason")


@dataclass(frozen=True)
class Line:
    """A line's cells by our column names; ``whole`` is False where it has more or fewer cells than the header."""

    number: int
    cells: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True

    def get(self, column: str) -> str:
        """The cell, empty where the file has no such column."""
        return self.cells.get(column, "")


def trimmed(text: str) -> str:
    """A text without what stands at its ends and is not seen."""
    invisible = "\xad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"
    return text.strip().strip(invisible).strip()


def header_fault(columns: tuple[str, ...]) -> str | None:
    """What is wrong with the header."""
    for at, column in enumerate(columns):
        if column not in COLUMNS and not re.fullmatch("(sku|category|quantity|amount)[0-9]+", column):
            return "COLUMN_UNKNOWN"
        if column in columns[:at]:
            return "COLUMN_TWICE"
    return None


def text_fault(line: Line, columns: tuple[str, ...], event_type: int | None) -> str | None:
    """The first fault of a line's text, in the order in which codes are answered."""
    if not line.whole:
        return "FIELD_COUNT"
    if any(re.search(r"[\x00-\x1f\x7f-\x9f]", line.get(column)) for column in columns):
        return "CONTROL_CHARACTER"
    blanks = [column for column in columns if column.startswith(("sku", "category"))]
    if any(trimmed(line.get(column)) != line.get(column) for column in ("order_id", "customer_status", *blanks)):
        return "SURROUNDING_BLANK"
    return (
        _identity_fault(line, event_type)
        or _item_fault(line, columns)
        or _reason_fault(line)
        or _quantity_fault(line, columns)
        or _amount_fault([line.get(column) for column in columns if column.startswith("amount")])
        or _value_fault(line)
    )


def _identity_fault(line: Line, event_type: int | None) -> str | None:
    typed = line.get("event_type") != "" or event_type is not None
    if not line.get("action_id") and not (line.get("order_id") and typed):
        return "MISSING_IDENTIFIER"
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", line.get("action_id")):
        return "ACTION_ID_MALFORMED"
    if len(line.get("order_id")) > 64:
        return "ORDER_ID_TOO_LONG"
    if not re.fullmatch(r"[0-9]{0,10}", line.get("event_type")):
        return "EVENT_TYPE_MALFORMED"
    return None


def _reason_fault(line: Line) -> str | None:
    if not line.get("reason").strip():
        return "REASON_MISSING"
    return "REASON_UNKNOWN" if line.get("reason") != trimmed(line.get("reason")) else None


def _item_fault(line: Line, columns: tuple[str, ...]) -> str | None:
    skus = [line.get(column) for column in columns if column.startswith("sku")]
    for column in columns:
        if column.startswith("sku") and not line.get(column):
            number = column.removeprefix("sku")
            if any(line.get(f"{field}{number}") for field in ("category", "quantity", "amount")):
                return "SKU_MISSING"
    given = [sku for sku in skus if sku]
    return "SKU_TWICE" if len(set(given)) < len(given) else None


def _quantity_fault(line: Line, columns: tuple[str, ...]) -> str | None:
    quantities = [line.get(column) for column in columns if column.startswith("quantity")]
    return None if all(re.fullmatch("[0-9]{0,6}", one) for one in quantities) else "QUANTITY_MALFORMED"


def _amount_fault(amounts: list[str]) -> str | None:
    given = [amount for amount in amounts if amount]
    if not all(re.fullmatch(r"-?[0-9]+(\.[0-9]{1,4})?", amount) for amount in given):
        return "AMOUNT_MALFORMED"
    if any(amount.startswith("-") for amount in given):
        return "AMOUNT_NEGATIVE"
    return "AMOUNT_TOO_LARGE" if any(int(amount.partition(".")[0]) > 99_999_999 for amount in given) else None


def _value_fault(line: Line) -> str | None:
    if line.get("currency") not in {"", *EXPONENTS}:
        return "CURRENCY_UNKNOWN"
    return "CUSTOMER_STATUS_TOO_LONG" if len(line.get("customer_status")) > 40 else None
