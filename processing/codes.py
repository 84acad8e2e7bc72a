"""The stable, machine-readable codes a brand meets, each with its verdict, its sentence and the next step.

One table: receipts, the command line and the documents read it. A message is made once, when a line is judged, by
filling the sentence with the line's own values; the next step needs none.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final


class Verdict(StrEnum):
    """The one fate of a line."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    REFUSED = "refused"
    WAITING = "waiting"
    HELD = "held"


class Scope(Enum):
    """What a code is said about."""

    LINE = "line"
    DELIVERY = "delivery"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says; ``sentence`` has ``{names}`` that a line's values fill."""

    scope: Scope
    verdict: Verdict | None
    sentence: str
    next_step: str


class Code(StrEnum):
    """All codes; the order within a verdict is the order in which a line with several faults is answered."""

    FIELD_COUNT = "FIELD_COUNT"
    QUOTING = "QUOTING"
    CONTROL_CHARACTER = "CONTROL_CHARACTER"
    SURROUNDING_BLANK = "SURROUNDING_BLANK"
    MISSING_IDENTIFIER = "MISSING_IDENTIFIER"
    ACTION_ID_MALFORMED = "ACTION_ID_MALFORMED"
    ORDER_ID_TOO_LONG = "ORDER_ID_TOO_LONG"
    EVENT_TYPE_MALFORMED = "EVENT_TYPE_MALFORMED"
    EVENT_TYPE_UNKNOWN = "EVENT_TYPE_UNKNOWN"
    SKU_MISSING = "SKU_MISSING"
    SKU_TWICE = "SKU_TWICE"
    REASON_MISSING = "REASON_MISSING"
    REASON_UNKNOWN = "REASON_UNKNOWN"
    REASON_MISPLACED = "REASON_MISPLACED"
    QUANTITY_MALFORMED = "QUANTITY_MALFORMED"
    AMOUNT_MALFORMED = "AMOUNT_MALFORMED"
    AMOUNT_NEGATIVE = "AMOUNT_NEGATIVE"
    AMOUNT_TOO_LARGE = "AMOUNT_TOO_LARGE"
    AMOUNT_BLANK = "AMOUNT_BLANK"
    CURRENCY_UNKNOWN = "CURRENCY_UNKNOWN"
    CUSTOMER_STATUS_TOO_LONG = "CUSTOMER_STATUS_TOO_LONG"
    NOTHING_TO_CHANGE = "NOTHING_TO_CHANGE"

    UNKNOWN_ACTION = "UNKNOWN_ACTION"
    AMBIGUOUS_ORDER = "AMBIGUOUS_ORDER"
    CLICKS_NOT_REVERSIBLE = "CLICKS_NOT_REVERSIBLE"
    NOT_ITEM_LEVEL = "NOT_ITEM_LEVEL"
    ITEM_UNKNOWN = "ITEM_UNKNOWN"
    ITEM_LINES_NEEDED = "ITEM_LINES_NEEDED"
    ACTION_LOCKED = "ACTION_LOCKED"
    SUPERSEDED = "SUPERSEDED"
    CHANGED_SINCE = "CHANGED_SINCE"
    UNDONE = "UNDONE"
    NOT_RELEASED = "NOT_RELEASED"
    ACTION_REVERSED = "ACTION_REVERSED"
    TOO_MANY_CHANGES = "TOO_MANY_CHANGES"
    NO_EXCHANGE_RATE = "NO_EXCHANGE_RATE"
    QUANTITY_NEEDED = "QUANTITY_NEEDED"

    NOT_READABLE = "NOT_READABLE"
    COLUMN_UNKNOWN = "COLUMN_UNKNOWN"
    COLUMN_TWICE = "COLUMN_TWICE"
    NO_LINES = "NO_LINES"
    TOO_LARGE = "TOO_LARGE"
    TRAILER_MISMATCH = "TRAILER_MISMATCH"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    REPLACED = "REPLACED"
    MAYBE_INCOMPLETE = "MAYBE_INCOMPLETE"
    MOSTLY_BAD = "MOSTLY_BAD"
    OUTLIER = "OUTLIER"

    UNDONE_SINCE = "UNDONE_SINCE"
    NEWEST_OF_MANY = "NEWEST_OF_MANY"
    AMOUNT_RAISED = "AMOUNT_RAISED"
    CATEGORY_DIFFERS = "CATEGORY_DIFFERS"
    CURRENCY_CONVERTED = "CURRENCY_CONVERTED"

    @property
    def meaning(self) -> Meaning:
        """Scope, verdict, sentence and next step of this code."""
        return MEANINGS[self]

    def message(self, **values: object) -> str:
        """The sentence filled with ``values``, followed by the next step."""
        meaning = MEANINGS[self]
        return f"{meaning.sentence.format(**values)} {meaning.next_step}".strip()


def _rejected(sentence: str, next_step: str) -> Meaning:
    return Meaning(Scope.LINE, Verdict.REJECTED, sentence, next_step)


def _refused(sentence: str, next_step: str) -> Meaning:
    return Meaning(Scope.LINE, Verdict.REFUSED, sentence, next_step)


def _whole(verdict: Verdict, sentence: str, next_step: str) -> Meaning:
    return Meaning(Scope.DELIVERY, verdict, sentence, next_step)


def _notice(sentence: str, next_step: str = "") -> Meaning:
    return Meaning(Scope.NOTICE, None, sentence, next_step)


MEANINGS: Final[dict[Code, Meaning]] = {
    Code.MISSING_IDENTIFIER: _rejected(
        "The line names no action.", "Give ActionId, or Oid together with ActionTrackerId."
    ),
    Code.ACTION_ID_MALFORMED: _rejected(
        "ActionId {value} is not an action id: letters, digits, '.', '-' and '_', at most 64 characters.",
        "Copy the id as text; a spreadsheet may have turned it into a number.",
    ),
    Code.ORDER_ID_TOO_LONG: _rejected(
        "Oid {value} is longer than 64 characters.", "Send the order id as it was tracked."
    ),
    Code.EVENT_TYPE_MALFORMED: _rejected(
        "ActionTrackerId {value} is not a whole number.", "Give the id of the event type, for example 16027."
    ),
    Code.EVENT_TYPE_UNKNOWN: _rejected(
        "ActionTrackerId {value} is none of the account's event types.", "Give the id of one of your event types."
    ),
    Code.FIELD_COUNT: _rejected(
        "The line has {value} fields, the header has {expected}.", "Quote cells that contain the delimiter."
    ),
    Code.QUOTING: _rejected(
        "The line has a quotation mark that is not closed or stands inside a cell: {value}.",
        'Quote the whole cell and write each quotation mark in it twice ("").',
    ),
    Code.CONTROL_CHARACTER: _rejected("{field} contains a control character: {value}.", "Send the cell as plain text."),
    Code.SURROUNDING_BLANK: _rejected("{field} {value} begins or ends with a blank.", "Send the cell without it."),
    Code.SKU_MISSING: _rejected("The line does not say which item it is about.", "Give the item's Sku."),
    Code.SKU_TWICE: _rejected("Sku {value} stands twice in the line.", "Name each item once."),
    Code.REASON_MISSING: _rejected("Reason is empty.", "Give a standard reason code or one of your disposition codes."),
    Code.REASON_UNKNOWN: _rejected(
        "Reason {value} is neither a standard code nor a disposition code of the event type.",
        "Codes are case-sensitive; use one of the listed codes or have it added to the event type.",
    ),
    Code.REASON_MISPLACED: _rejected(
        "Reason {value} cannot be given for a {change}.",
        "Give a reason that fits, or say with Amount what is meant: the new total, or 0 to reverse the action.",
    ),
    Code.QUANTITY_MALFORMED: _rejected(
        "Quantity {value} is not a whole number from 0 to 999999.", "Give the new quantity, or 0 to return the item."
    ),
    Code.AMOUNT_MALFORMED: _rejected(
        "Amount {value} is not an amount of {currency}.",
        "Write digits with a point before the decimals and nothing else, for example 1234.56.",
    ),
    Code.AMOUNT_NEGATIVE: _rejected(
        "Amount {value} is negative.", "Amount is the new total; send 0 to reverse the action."
    ),
    Code.AMOUNT_TOO_LARGE: _rejected(
        "Amount {value} has more than 8 digits, the decimals of its currency counted.",
        "Send the amount in the currency's own unit.",
    ),
    Code.AMOUNT_BLANK: _rejected(
        "Amount is empty and the line changes nothing else.", "Give the new total, or 0 to reverse the action."
    ),
    Code.CURRENCY_UNKNOWN: _rejected(
        "CurrencyCode {value} is not a currency of ISO 4217.", "Give three capital letters, for example USD."
    ),
    Code.CUSTOMER_STATUS_TOO_LONG: _rejected(
        "CustomerStatus {value} is longer than 40 characters.", "Send NEW, EXISTING or your own shorter status."
    ),
    Code.NOTHING_TO_CHANGE: _rejected(
        "The line asks for a modification and gives no new value.", "Give Amount or CustomerStatus."
    ),
    Code.UNKNOWN_ACTION: Meaning(
        Scope.LINE,
        Verdict.WAITING,
        "No action of the account has {field} {value}. The line waits for it until {until}; once the action is loaded, "
        "the line is judged as arrived at {received_at}.",
        "Nothing is to be done, unless the value is wrong.",
    ),
    Code.AMBIGUOUS_ORDER: Meaning(
        Scope.LINE,
        Verdict.HELD,
        "Order {value} belongs to {count} actions.",
        "Send the line again with the ActionId of the one that is meant.",
    ),
    Code.CLICKS_NOT_REVERSIBLE: _refused("The action is a click, which cannot be changed.", "Remove the line."),
    Code.NOT_ITEM_LEVEL: _refused(
        "The action has no items; its event type is tracked by order.", "Give the order's new Amount, without any Sku."
    ),
    Code.ITEM_UNKNOWN: _refused(
        "The action has no item {value}.", "Give the Sku as it was tracked; items cannot be added to an action."
    ),
    Code.ITEM_LINES_NEEDED: _refused(
        "The action has several items, and an amount of the order does not say which of them changed.",
        "Give Sku, Quantity and Amount of each item that changed.",
    ),
    Code.ACTION_LOCKED: _refused(
        "The action locked at {locks_at}; the delivery arrived at {received_at}.",
        "Its commission is owed; settle the difference with the partner.",
    ),
    Code.CHANGED_SINCE: _refused(
        "Delivery {value} changed the action since.", "Undo that delivery first, or change the action by itself."
    ),
    Code.UNDONE: _refused("The delivery was undone while the line waited for its action.", "Send the line again."),
    Code.NOT_RELEASED: _refused(
        "The line was held, alone or with its file, and {value} rejected it.",
        "If it is right after all, send it again in another file.",
    ),
    Code.SUPERSEDED: _refused(
        "A later line or delivery, which arrived at {changed_at}, has the last word on the action.",
        "If this line is still right, send it again.",
    ),
    Code.ACTION_REVERSED: _refused(
        "The action is reversed and cannot be modified.", "Send RESET, or have it approved, before you modify it."
    ),
    Code.TOO_MANY_CHANGES: _refused(
        "The action was changed {value} times, and is modified no more.",
        "It can still be reversed, approved and reset; for more, ask the programme's desk.",
    ),
    Code.NO_EXCHANGE_RATE: _refused(
        "The action is in {currency} and there is no rate from {value} for {day}.",
        "Send the amount in the action's currency, or have the rate loaded.",
    ),
    Code.QUANTITY_NEEDED: _refused(
        "Item {value} is returned, and an amount alone does not say how many are kept after all.",
        "Give its Quantity, too.",
    ),
    Code.NOT_READABLE: _whole(Verdict.REJECTED, "{reason}", "Send the file again as UTF-8 CSV or XML."),
    Code.COLUMN_UNKNOWN: _whole(
        Verdict.REJECTED,
        "Column {value} is not known.{suggestion}",
        "Rename or remove it, or have it listed as a column to ignore.",
    ),
    Code.COLUMN_TWICE: _whole(Verdict.REJECTED, "Columns {value} mean the same thing, {field}.", "Keep one of them."),
    Code.NO_LINES: _whole(
        Verdict.REJECTED, "The file has no lines below its header.", "Send the file again with its lines."
    ),
    Code.TOO_LARGE: _whole(
        Verdict.REJECTED, "The delivery has {value}; nothing of it was read.", "Split it into several files."
    ),
    Code.TRAILER_MISMATCH: _whole(
        Verdict.REJECTED, "{reason}", "Nothing was applied; send the whole file with the trailer that belongs to it."
    ),
    Code.DIGEST_MISMATCH: _whole(
        Verdict.REJECTED,
        "The delivery has the digest {value}; its sidecar, delivery {count}, says {expected}.",
        "Nothing was applied; send the file again, or the sidecar that belongs to it.",
    ),
    Code.REPLACED: _whole(
        Verdict.REJECTED,
        "Delivery {value} begins with the same bytes and goes on, so this one was cut off.",
        "Nothing of it was applied; see the answer to the other.",
    ),
    Code.MAYBE_INCOMPLETE: _whole(
        Verdict.HELD,
        "The last line does not end with a line break, so the file may have been cut off.",
        "Send it again with a line break at the end.",
    ),
    Code.MOSTLY_BAD: _whole(
        Verdict.HELD, "{reason}", "Have it released to apply the others, or rejected, and send a corrected file."
    ),
    Code.OUTLIER: _whole(
        Verdict.HELD,
        "{reason}",
        "What is held was not applied; have it released if it is right, or rejected if it is not.",
    ),
    Code.UNDONE_SINCE: _notice(
        "The line was applied, and what it changed was undone since.", "If it shall hold after all, send it again."
    ),
    Code.NEWEST_OF_MANY: _notice(
        "{count} actions have this order id; the newest was taken.", "Give the ActionId to reach another."
    ),
    Code.CATEGORY_DIFFERS: _notice(
        "Item {value} has another category.", "A file cannot change it; the item keeps the one it was tracked with."
    ),
    Code.AMOUNT_RAISED: _notice("The new amount is higher than the old one."),
    Code.CURRENCY_CONVERTED: _notice("The amount in {currency} was converted with the rate of the action's day."),
}
assert MEANINGS.keys() == set(Code)  # noqa: S101 - a code without a meaning is a bug that must show at import
