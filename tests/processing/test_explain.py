from pathlib import Path

import pytest

from clawback.wiring import Desk
from processing.explain import SHOWN, shown
from tests.worlds import CLICK, LEAD, LOCK, SALE, Sale, codes, judged, lines, load

SALES = [
    Sale("A-1", "O-1"),
    Sale("A-2", "O-1"),
    Sale("A-3", "O-3", event_type=CLICK),
    Sale("A-4", "O-4", event_type=LEAD),
    Sale("A-5", "O-4", event_type=LEAD),
    Sale("A-6", "O-6", "5000", "JPY"),
    Sale("A-7", "O-7", locks_at="2027-01-20T12:00:00Z"),
    Sale("A-8", "O-8"),
]
FIX = "Write digits with a point before the decimals and nothing else, for example 1234.56."
TOO_LONG = "has more than 8 digits, the decimals of its currency counted. Send the amount in the currency's own unit."


@pytest.fixture
def loaded(desk: Desk, tmp_path: Path) -> Desk:
    """One action for each thing that can be said."""
    load(desk, tmp_path, SALES)
    judged(desk.store, tmp_path, lines("ActionId,Reason", "A-8,OTHER"))
    return desk


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        (
            f",O-1,{SALE},50.00,,OTHER",
            "NEWEST_OF_MANY",
            "2 actions have this order id; the newest was taken. Give the ActionId to reach another.",
        ),
        (
            f",O-1,{SALE},150.00,,OTHER",
            "NEWEST_OF_MANY",
            (
                "2 actions have this order id; the newest was taken. Give the ActionId to reach another. "
                "The new amount is higher than the old one."
            ),
        ),
        (
            f",O-1,{SALE},,,OTHER",
            "AMOUNT_BLANK",
            (
                "Amount is empty and the line changes nothing else. Give the new total, or 0 to reverse the action. "
                "2 actions have this order id; the newest was taken. Give the ActionId to reach another."
            ),
        ),
        ("A-1,,,100.01,,OTHER", "AMOUNT_RAISED", "The new amount is higher than the old one."),
        (
            "A-1,,7,1.00,,OTHER",
            "EVENT_TYPE_UNKNOWN",
            "ActionTrackerId 7 is none of the account's event types. Give the id of one of your event types.",
        ),
        (
            "A-1,,,1.00,,WHY\u00e9",
            "REASON_UNKNOWN",
            (
                "Reason 'WHYé' is neither a standard code nor a disposition code of the event type. "
                "Codes are case-sensitive; use one of the listed codes or have it added to the event type."
            ),
        ),
        ("A-6,,,1.50,,OTHER", "AMOUNT_MALFORMED", f"Amount '1.50' is not an amount of JPY. {FIX}"),
        ("A-6,,,1.2345,USD,OTHER", "AMOUNT_MALFORMED", f"Amount '1.2345' is not an amount of USD. {FIX}"),
        ("A-9,,,1.2345,,OTHER", "AMOUNT_MALFORMED", f"Amount '1.2345' is not an amount of USD. {FIX}"),
        (
            "A-1,,,1000000.00,,OTHER",
            "AMOUNT_TOO_LARGE",
            f"Amount '1000000.00' {TOO_LONG}",
        ),
        (
            "A-1,,,1000000,,OTHER",
            "AMOUNT_TOO_LARGE",
            f"Amount '1000000' {TOO_LONG}",
        ),
        (
            "A-9,,,1.00,,OTHER",
            "UNKNOWN_ACTION",
            (
                "No action of the account has ActionId 'A-9'. "
                "The line waits for it until 2027-02-19T07:00:00-05:00; once the action is loaded, the line is judged "
                "as arrived at 2027-01-20T07:00:00-05:00. Nothing is to be done, unless the value is wrong."
            ),
        ),
        (
            f",O-9,{SALE},1.00,,OTHER",
            "UNKNOWN_ACTION",
            (
                "No action of the account has Oid 'O-9'. "
                "The line waits for it until 2027-02-19T07:00:00-05:00; once the action is loaded, the line is judged "
                "as arrived at 2027-01-20T07:00:00-05:00. Nothing is to be done, unless the value is wrong."
            ),
        ),
        (
            f",O-4,{LEAD},1.00,,OTHER",
            "AMBIGUOUS_ORDER",
            "Order 'O-4' belongs to 2 actions. Send the line again with the ActionId of the one that is meant.",
        ),
        (
            "A-3,,,1.00,,OTHER",
            "CLICKS_NOT_REVERSIBLE",
            "The action is a click, which cannot be changed. Remove the line.",
        ),
        (
            "A-7,,,1.00,,OTHER",
            "ACTION_LOCKED",
            (
                "The action locked at 2027-01-20T07:00:00-05:00; the delivery arrived at 2027-01-20T07:00:00-05:00. "
                "Its commission is owed; settle the difference with the partner."
            ),
        ),
        (
            "A-8,,,1.00,,OTHER",
            "ACTION_REVERSED",
            "The action is reversed and cannot be modified. Send RESET, or have it approved, before you modify it.",
        ),
        (
            "A-1,,,1.00,EUR,OTHER",
            "NO_EXCHANGE_RATE",
            (
                "The action is in USD and there is no rate from EUR for 2027-01-15. "
                "Send the amount in the action's currency, or have the rate loaded."
            ),
        ),
    ],
)
def test_a_line_is_told_why_and_what_to_do(row: str, code: str, message: str, loaded: Desk, tmp_path: Path) -> None:
    """With the line's own values, instants in the account's zone, and every notice."""
    receipt = judged(loaded.store, tmp_path, lines("ActionId,Oid,ActionTrackerId,Amount,Currency,Reason", row))
    assert [(one["code"], one["message"]) for one in receipt["lines"]] == [(code, message)]


def test_an_unchanged_line_needs_no_words(loaded: Desk, tmp_path: Path) -> None:
    """Neither code nor message, but the action it meant."""
    receipt = judged(loaded.store, tmp_path, lines("ActionId,Amount,Reason", "A-1,100.00,OTHER"))
    assert codes(receipt) == [(2, "unchanged", None)]
    assert (receipt["lines"][0]["action_id"], receipt["lines"][0]["locks_at"]) == ("A-1", LOCK.isoformat())
    assert receipt["lines"][0]["message"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "'plain'"),
        ("it's", '"it\'s"'),
        ("a\x07b", "'a\\x07b'"),
        ("x" * SHOWN, repr("x" * SHOWN)),
        ("x" * (SHOWN + 1), repr("x" * SHOWN + "…")),
        (7, "'7'"),
    ],
)
def test_a_brands_value_is_quoted_and_cut(value: object, text: str) -> None:
    """At 80 characters, with odd ones written out."""
    assert shown(value) == text
