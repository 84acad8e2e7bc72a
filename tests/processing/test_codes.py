import string

import pytest

from processing.codes import MEANINGS, Code, Scope, Verdict

REJECTED = {
    *("MISSING_IDENTIFIER", "ACTION_ID_MALFORMED", "ORDER_ID_TOO_LONG", "REASON_MISSING", "REASON_UNKNOWN"),
    *("AMOUNT_MALFORMED", "AMOUNT_NEGATIVE", "AMOUNT_TOO_LARGE", "AMOUNT_BLANK", "CURRENCY_UNKNOWN"),
    *("CUSTOMER_STATUS_TOO_LONG", "FIELD_COUNT", "NOTHING_TO_CHANGE", "SKU_MISSING", "QUANTITY_MALFORMED"),
}
REFUSED = {
    *("ACTION_LOCKED", "ACTION_REVERSED", "TOO_MANY_CHANGES", "CLICKS_NOT_REVERSIBLE", "NO_EXCHANGE_RATE"),
    *("SUPERSEDED", "CHANGED_SINCE", "UNDONE", "NOT_RELEASED"),
    *("NOT_ITEM_LEVEL", "ITEM_UNKNOWN", "ITEM_LINES_NEEDED", "QUANTITY_NEEDED", "SUPERSEDED"),
}


def test_the_designs_codes_have_the_designs_verdicts() -> None:
    """Section 4.8, as far as single lines go; an unknown action waits."""
    verdicts = {code.value: code.meaning.verdict for code in Code if code.meaning.scope is Scope.LINE}
    assert {code for code, verdict in verdicts.items() if verdict is Verdict.REJECTED} >= REJECTED
    assert {code for code, verdict in verdicts.items() if verdict is Verdict.REFUSED} == REFUSED
    assert (verdicts["UNKNOWN_ACTION"], verdicts["AMBIGUOUS_ORDER"]) == (Verdict.WAITING, Verdict.HELD)


@pytest.mark.parametrize("code", Code)
def test_a_message_is_sentences_with_the_lines_values(code: Code) -> None:
    """The sentence takes every value it names, and ends; so does the next step."""
    names = {name for _, name, _, _ in string.Formatter().parse(MEANINGS[code].sentence) if name}
    message = code.message(**{name: f"<{name}>" for name in names})
    assert all(f"<{name}>" in message for name in names)
    assert "{" not in message
    assert message == message.strip()
    assert MEANINGS[code].next_step == "" or MEANINGS[code].next_step.endswith((".", ").", '("").'))


def test_only_notices_have_no_verdict() -> None:
    """A notice goes with whatever verdict a line has."""
    assert {code for code in Code if code.meaning.verdict is None} == {
        code for code in Code if code.meaning.scope is Scope.NOTICE
    }
