import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from processing.codes import Code
from processing.errors import Unusable
from schemas.check import Checked, check
from schemas.chunk import BadLine
from schemas.csv_lines import read_head, read_lines
from schemas.xml_lines import COLUMNS
from schemas.xml_lines import read_lines as read_xml

HEADER = "ActionId,Oid,ActionTrackerId,Amount,CurrencyCode,CustomerStatus,Reason\n"
GOOD = "1000.1.1,,,10.00,,,RETURNED"


def checked(text: str, *, ignore: tuple[str, ...] = (), event_type: int | None = None) -> Checked:
    """A whole CSV file, judged."""
    head = read_head(iter([text]), ignore)
    [chunk] = read_lines(iter([text]), head, 1_000_000)
    return check(chunk, head.columns, event_type=event_type)


def text(*cells: str | None) -> pd.arrays.ArrowExtensionArray:
    """A column of texts."""
    return pd.arrays.ArrowExtensionArray(pa.array(cells, pa.string()))


def test_good_lines_become_a_frame() -> None:
    """Ids stay text, blank is missing, amounts are 1/10,000 exactly, and the index is the line."""
    lines = [
        "1000.1.1,,,10.05,USD,NEW,RETURNED",
        "",
        ",NA,16027,,,,own code",
        "A,O 2,0,99999999.9999,KWD,,RESET",
        "A,,,0000000000000000000000000000000000001.5,,,R",
        "A,,,0,,,R",
    ]
    result = checked(HEADER + "\n".join(lines))
    assert result.bad == []
    expected = pd.DataFrame(
        {
            "action_id": text("1000.1.1", None, "A", "A", "A"),
            "order_id": text(None, "NA", "O 2", None, None),
            "event_type": pd.array([None, 16027, 0, None, None], "Int64"),
            "amount_scaled": pd.array([100500, None, 999999999999, 15000, 0], "Int64"),
            "amount_text": text("10.05", "", "99999999.9999", "0" * 36 + "1.5", "0"),
            "currency": text("USD", None, "KWD", None, None),
            "customer_status": text("NEW", None, None, None, None),
            "reason": text("RETURNED", "own code", "RESET", "R", "R"),
        },
        pd.Index([2, 4, 5, 6, 7], dtype="int64", name="line"),
    )
    pd.testing.assert_frame_equal(result.good, expected)


def test_columns_that_a_file_lacks_are_missing() -> None:
    """A file of ids and reasons gives the same frame."""
    result = checked("Oid;EventTypeId;DispositionCode\nO1;16027;RETURNED\n")
    assert result.bad == []
    assert list(result.good.columns) == list(checked(HEADER + GOOD).good.columns)
    assert list(result.good.dtypes) == list(checked(HEADER + GOOD).good.dtypes)
    [row] = result.good.to_dict("records")
    assert (row["order_id"], row["event_type"], row["reason"], row["amount_text"]) == ("O1", 16027, "RETURNED", "")
    assert result.good[["action_id", "amount_scaled", "currency", "customer_status"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("case", "line", "bad"),
    [
        ("no id at all", ",,,1,,,R", (Code.MISSING_IDENTIFIER, None, None)),
        ("an order without its event type", ",O1,,1,,,R", (Code.MISSING_IDENTIFIER, None, None)),
        ("an event type without an order", ",,16027,1,,,R", (Code.MISSING_IDENTIFIER, None, None)),
        ("only delimiters", ",,,,,,", (Code.MISSING_IDENTIFIER, None, None)),
        ("a bad action id", "1 2,,,1,,,R", (Code.ACTION_ID_MALFORMED, "ActionId", "1 2")),
        ("a bad id beside a good one", "1 2,O1,1,1,,,R", (Code.ACTION_ID_MALFORMED, "ActionId", "1 2")),
        ("a long order id", "A," + "x" * 90 + ",,1,,,R", (Code.ORDER_ID_TOO_LONG, "Oid", "x" * 79 + "…")),
        ("a bad event type", "A,,16o27,1,,,R", (Code.EVENT_TYPE_MALFORMED, "ActionTrackerId", "16o27")),
        ("a malformed amount", "A,,,1e5,,,R", (Code.AMOUNT_MALFORMED, "Amount", "1e5")),
        ("a negative amount", "A,,,-5,,,R", (Code.AMOUNT_NEGATIVE, "Amount", "-5")),
        ("a negative, malformed amount", "A,,,-5e,,,R", (Code.AMOUNT_MALFORMED, "Amount", "-5e")),
        ("a huge negative amount", "A,,,-999999999,,,R", (Code.AMOUNT_NEGATIVE, "Amount", "-999999999")),
        ("a huge amount", "A,,,100000000,,,R", (Code.AMOUNT_TOO_LARGE, "Amount", "100000000")),
        ("no currency", "A,,,1,usd,,R", (Code.CURRENCY_UNKNOWN, "CurrencyCode", "usd")),
        ("a long status", "A,,,1,," + "x" * 41 + ",R", (Code.CUSTOMER_STATUS_TOO_LONG, "CustomerStatus", "x" * 41)),
        ("no reason", "A,,,1,,,", (Code.REASON_MISSING, "Reason", "")),
        ("a reason with a blank", "A,,,1,,,R ", (Code.REASON_UNKNOWN, "Reason", "R ")),
        ("an order id with a blank", "A,O1 ,,1,,,R", (Code.SURROUNDING_BLANK, "Oid", "O1 ")),
        ("NUL", "A\x00,,,1,,,R", (Code.CONTROL_CHARACTER, "ActionId", "A\x00")),
        ("a tab", "A,,,1\t,,,R", (Code.CONTROL_CHARACTER, "Amount", "1\t")),
        ("everything wrong", "1 2,,x,-5,usd,,", (Code.ACTION_ID_MALFORMED, "ActionId", "1 2")),
        ("all from the event type on", "A,,x,-5,usd,,", (Code.EVENT_TYPE_MALFORMED, "ActionTrackerId", "x")),
        ("all from the reason on", "A,,,-5,usd,,", (Code.REASON_MISSING, "Reason", "")),
        ("damage first", ",,,,,\x00,", (Code.CONTROL_CHARACTER, "CustomerStatus", "\x00")),
        ("a formula", "A,,,=1+1,,,R", (Code.AMOUNT_MALFORMED, "Amount", "=1+1")),
        ("too few fields", "A,,,1,,R", (Code.FIELD_COUNT, None, "A,,,1,,R")),
        ("an open quotation mark", 'A,,,1,,"n,R', (Code.QUOTING, None, 'A,,,1,,"n,R')),
    ],
)
def test_a_bad_line_gets_one_code(case: str, line: str, bad: tuple[Code, str | None, str | None]) -> None:
    """Exactly the damaged line is rejected, with column, raw value and the first code; its neighbours stay."""
    result = checked(f"{HEADER}{GOOD}\n\n{line}\n{GOOD}\n")
    assert result.good.index.tolist() == [2, 5], case
    [found] = result.bad
    assert (found.line, found.code, found.field, found.value) == (4, *bad)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("A,,,1e5,EUR,,R", "Amount '1e5' is not an amount of EUR. Write digits with a point"),
        ("A,,,1e5,,,R", "Amount '1e5' is not an amount of money. Write"),
        ("A,,,1e5,usd,,R", "Amount '1e5' is not an amount of money. Write"),
        (",,,1,,,R", "The line names no action. Give ActionId, or Oid together with ActionTrackerId."),
        ("A,O1\u3000,,1,,,R", r"Oid 'O1\u3000' begins or ends with a blank. Send the cell without it."),
        ("A,O\x001,,1,,,R", r"Oid contains a control character: 'O\x001'. Send the cell as plain text."),
        ("A,O\x001 ,,1,,,R", r"Oid contains a control character: 'O\x001 '. Send the cell as plain text."),
        ("A,,,1,usd,,R", "CurrencyCode 'usd' is not a currency of ISO 4217. Give three capital letters"),
        ("A b,,,1,,,R", "ActionId 'A b' is not an action id"),
    ],
)
def test_messages_show_the_value_and_the_next_step(line: str, message: str) -> None:
    """A message says what was sent and what to do."""
    [bad] = checked(HEADER + line).bad
    assert bad.message.startswith(message)


def test_an_event_type_given_with_the_delivery() -> None:
    """It stands in where a line names none."""
    text = HEADER + ",O1,,1,,,R\n,O2,7,1,,,R\n,,,1,,,R\n"
    result = checked(text, event_type=16027)
    assert result.good["event_type"].tolist() == [16027, 7]
    assert [(bad.line, bad.code) for bad in result.bad] == [(4, Code.MISSING_IDENTIFIER)]


def test_ignored_columns() -> None:
    """Their text is free, but a NUL in them is damage all the same."""
    text = 'ActionId,Note,Reason\nA,"two\nlines",R\nB,\x00,R\nC,\x01,\n'
    result = checked(text, ignore=("note",))
    assert result.good.index.tolist() == [2]
    assert [(bad.line, bad.code, bad.field, bad.value) for bad in result.bad] == [
        (4, Code.CONTROL_CHARACTER, "Note", "\x00"),
        (5, Code.CONTROL_CHARACTER, "Note", "\x01"),
    ]


def test_reversals_change_nothing_else() -> None:
    """In a request to reverse, amounts other than zero are refused, and what could change something is left out."""
    requests = [
        "<Oid>1</Oid><ActionTrackerId>7</ActionTrackerId><Reason>R</Reason>",
        "<ActionId>A</ActionId><Amount>0.00</Amount><CustomerStatus>NEW</CustomerStatus><Reason>R</Reason>",
        "<ActionId>A</ActionId><Amount>5.00</Amount><Reason>R</Reason>",
        "<ActionId>A</ActionId><Amount>5,00</Amount><Reason>R</Reason>",
    ]
    inside = "</ReversalRequest><ReversalRequest>".join(requests)
    text = f"<ReversalRequests><ReversalRequest>{inside}</ReversalRequest></ReversalRequests>"
    [chunk] = read_xml(iter([text]), (), 100)
    result = check(chunk, COLUMNS, reversals=True)
    assert result.good.index.tolist() == [1, 2]
    assert result.good[["currency", "customer_status"]].isna().all(axis=None)
    assert result.good["amount_scaled"].fillna(-1).tolist() == [-1, 0]
    assert result.good["amount_text"].tolist() == ["", "0.00"]
    assert [(bad.line, bad.code) for bad in result.bad] == [(3, Code.AMOUNT_MALFORMED), (4, Code.AMOUNT_MALFORMED)]
    assert result.bad[0].message.startswith("Amount '5.00' stands in a ReversalRequest.")
    assert result.bad[1].message.startswith("Amount '5,00' is not an amount of money.")


def test_an_empty_chunk() -> None:
    """A stretch in which no line could be read has its bad lines and an empty frame of the same shape."""
    result = checked(HEADER + "a,b\nc\n")
    assert len(result.good) == 0
    assert [bad.line for bad in result.bad] == [2, 3]
    assert list(result.good.dtypes) == list(checked(HEADER + GOOD).good.dtypes)


def test_bad_lines_are_in_order() -> None:
    """Lines that could not be read and lines that break the contract are told together, in order."""
    head = read_head(iter([HEADER]))
    [chunk] = read_lines(iter([HEADER + f"{GOOD}\n" * 3]), head, 100)
    unreadable = BadLine(3, Code.QUOTING, "", None, None)
    cells = chunk.cells.copy()
    cells.iloc[0, 3] = "x"
    cells.iloc[2, 3] = "-1"
    chunk = replace(chunk, lines=np.array([2, 4, 5]), cells=cells, bad=[unreadable])
    result = check(chunk, head.columns)
    assert [(bad.line, bad.code) for bad in result.bad] == [
        (2, Code.AMOUNT_MALFORMED),
        (3, Code.QUOTING),
        (5, Code.AMOUNT_NEGATIVE),
    ]
    assert result.good.index.tolist() == [4]


def test_a_bug_of_the_contract_is_no_lines_fault() -> None:
    """A failure that belongs to no line stops the run; nothing is rejected or accepted because of it."""
    head = read_head(iter([HEADER]))
    [chunk] = read_lines(iter([HEADER + GOOD]), head, 100)
    nulls = chunk.cells.assign(Amount=pd.arrays.ArrowExtensionArray(pa.array([None], pa.string())))
    with pytest.raises(Exception, match="contains null values"):
        check(replace(chunk, cells=nulls), head.columns)


@pytest.mark.parametrize(
    ("variable", "value"), [("PANDERA_VALIDATION_ENABLED", "False"), ("PANDERA_VALIDATION_DEPTH", "SCHEMA_ONLY")]
)
def test_pandera_switched_off_from_outside(variable: str, value: str) -> None:
    """With Pandera's own switch in the environment, not one line is judged."""
    code = (
        "from schemas.check import check; from schemas.csv_lines import *;"
        f"t={HEADER + GOOD!r}; h=read_head(iter([t])); [c]=read_lines(iter([t]),h,9); check(c,h.columns)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, variable: value}, cwd=root, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert f"{Unusable.__name__}: {variable}" in done.stderr.decode()
