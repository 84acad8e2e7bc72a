"""Money is exact: reading, writing and rating, for one amount and for a column."""

from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.errors import Unusable
from processing.money import (
    MILLION,
    MOST_MINOR,
    exponent,
    exponents,
    is_currency,
    parse_scaled,
    percent_ppm,
    rate_percent,
    texts,
    to_minor,
    to_minor_columns,
    to_text,
)

# A busy machine is not a failure.


@pytest.mark.parametrize(("code", "decimals"), [("JPY", 0), ("USD", 2), ("EUR", 2), ("KWD", 3), ("CLF", 4)])
def test_exponent(code: str, decimals: int) -> None:
    """A currency has the decimals that ISO 4217 gives it."""
    assert is_currency(code)
    assert exponent(code) == decimals


@pytest.mark.parametrize("code", ["XAU", "XXX", "XTS", "XDR", "usd", "US", "", "USDX", "ABC"])
def test_no_currency(code: str) -> None:
    """Metals, testing codes and misspellings are no currencies of ours."""
    assert not is_currency(code)
    with pytest.raises(Unusable, match="is not a currency"):
        exponent(code)


@pytest.mark.parametrize(
    ("amount", "currency", "minor", "text"),
    [
        ("1234.56", "USD", 123456, "1234.56"),
        ("1234", "USD", 123400, "1234.00"),
        ("0.05", "USD", 5, "0.05"),
        ("0", "USD", 0, "0.00"),
        ("-0.05", "USD", -5, "-0.05"),
        ("007", "USD", 700, "7.00"),
        ("12.3000", "USD", 1230, "12.30"),
        ("1234", "JPY", 1234, "1234"),
        ("0", "JPY", 0, "0"),
        ("-12", "JPY", -12, "-12"),
        ("12.0", "JPY", 12, "12"),
        ("0.001", "KWD", 1, "0.001"),
        ("1.5", "KWD", 1500, "1.500"),
        ("0.0001", "CLF", 1, "0.0001"),
        (Decimal("1E+2"), "USD", 10000, "100.00"),
        ("1000000000000.00", "USD", MOST_MINOR, "1000000000000.00"),
    ],
)
def test_minor_units(amount: str | Decimal, currency: str, minor: int, text: str) -> None:
    """An amount is kept in minor units and written with all of its currency's decimals."""
    assert to_minor(amount, currency) == minor
    assert to_text(minor, currency) == text


@pytest.mark.parametrize(
    ("amount", "currency", "message"),
    [
        ("12.005", "USD", "more decimals than USD, which has 2"),
        ("0.5", "JPY", "more decimals than JPY, which has 0"),
        ("1.00000000000000000000000000000000001", "USD", "more decimals"),
        ("1e3", "USD", "is not an amount"),
        ("+1", "USD", "is not an amount"),
        ("1,234.56", "USD", "is not an amount"),
        (".5", "USD", "is not an amount"),
        ("5.", "USD", "is not an amount"),
        (" 5", "USD", "is not an amount"),
        ("٣", "USD", "is not an amount"),
        ("", "USD", "is not an amount"),
        (Decimal("NaN"), "USD", "cannot|can be kept"),
        (Decimal("Infinity"), "USD", "can be kept"),
        (Decimal("1E+999999"), "USD", "can be kept"),
        ("1000000000000.01", "USD", "can be kept"),
        ("1", "XAU", "is not a currency"),
    ],
)
def test_no_amount(amount: str | Decimal, currency: str, message: str) -> None:
    """What is not exactly an amount of the currency is refused with the reason."""
    with pytest.raises(Unusable, match=message):
        to_minor(amount, currency)


def test_the_decimal_context_changes_nothing() -> None:
    """An amount with more digits than the context keeps is read exactly all the same."""
    with localcontext(Context(prec=3)):
        assert to_minor("123456.78", "USD") == 12345678
        assert to_minor(Decimal("123456.78"), "USD") == 12345678


@pytest.mark.parametrize(
    ("percent", "ppm"),
    [("0", 0), ("5", 50_000), ("5.00", 50_000), ("0.0001", 1), ("12.3456", 123_456), ("100", MILLION)],
)
def test_percent(percent: str, ppm: int) -> None:
    """A percentage is held in parts per million."""
    assert percent_ppm(percent) == ppm


@pytest.mark.parametrize("percent", ["100.0001", "999", "-1", "5%", "0.00001", "", "1e1", "five"])
def test_no_percent(percent: str) -> None:
    """What is not a percentage from 0 to 100 with at most four decimals is refused."""
    with pytest.raises(Unusable, match="percent"):
        percent_ppm(percent)


@pytest.mark.parametrize(
    ("case", "amount", "percent", "payout"),
    [
        ("exact", 10_000, "5.00", 500),
        ("nothing", 0, "5.00", 0),
        ("no percentage", 10_000, "0", 0),
        ("all of it", 12_345, "100", 12_345),
        ("just under a half", 149, "1.0000", 1),
        ("a half goes up", 150, "1.0000", 2),
        ("a half of one unit goes up", 1, "50", 1),
        ("under a half of one unit", 1, "49.9999", 0),
        ("the largest", MOST_MINOR, "100", MOST_MINOR),
        ("the largest, nearly all", MOST_MINOR, "99.9999", MOST_MINOR - 10**8),
    ],
)
def test_rate_percent(case: str, amount: int, percent: str, payout: int) -> None:
    """A payout is rounded half up to the minor unit."""
    ppm = percent_ppm(percent)
    assert rate_percent(amount, ppm) == payout, case
    assert rate_percent(np.array([amount]), ppm).tolist() == [payout], case


@pytest.mark.parametrize(
    ("amount", "ppm"), [(-1, 50_000), (MOST_MINOR + 1, 50_000), (100, -1), (100, MILLION + 1), (10**30, 1)]
)
def test_rate_percent_guards_its_range(amount: int, ppm: int) -> None:
    """An amount or percentage that could overflow is an error, never a wrong payout."""
    with pytest.raises(ValueError, match="cannot be rated"):
        rate_percent(amount, ppm)
    with pytest.raises((ValueError, OverflowError)):
        rate_percent(np.array([1, amount], np.int64), ppm)


AMOUNTS = st.lists(st.integers(0, MOST_MINOR), min_size=1, max_size=20)


@given(AMOUNTS, st.integers(0, MILLION))
def test_rating_agrees_with_decimal(amounts: list[int], ppm: int) -> None:
    """One amount, a column, a column of percentages and decimal arithmetic give the same payout."""
    exact = Context(prec=60)
    expected = [
        int(exact.divide(Decimal(amount * ppm), Decimal(MILLION)).quantize(Decimal(1), ROUND_HALF_UP, exact))
        for amount in amounts
    ]
    column = np.array(amounts, np.int64)
    assert [rate_percent(amount, ppm) for amount in amounts] == expected
    assert rate_percent(column, ppm).tolist() == expected
    assert rate_percent(column, np.full(len(amounts), ppm, np.int64)).tolist() == expected


CODES = {0: "JPY", 2: "USD", 3: "KWD", 4: "CLF"}
ROWS = st.lists(st.tuples(st.integers(-(10**18), 10**18), st.sampled_from(sorted(CODES))), max_size=20)


@given(ROWS)
def test_texts_agree(rows: list[tuple[int, int]]) -> None:
    """A column of amounts in several currencies is written like its rows."""
    minor, decimals = np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.int8)
    assert texts(minor, decimals).tolist() == [to_text(amount, CODES[each]) for amount, each in rows]


@pytest.mark.parametrize("dtype", [object, "str", pd.ArrowDtype(pa.string()), pd.ArrowDtype(pa.large_string())])
@pytest.mark.parametrize(
    ("given_", "scaled"),
    [
        (["0", "1", "1.5", "0012.3456", "99999999.99"], [0, 10_000, 15_000, 123_456, 999_999_999_900]),
        (["99999999999999.9999"], [999_999_999_999_999_999]),
        (["922337203685477.5807"], [2**63 - 1]),
        ([], []),
    ],
)
def test_parse_scaled(dtype: object, given_: list[str], scaled: list[int]) -> None:
    """Text of any storage becomes exact integers, also from the chunks of a longer column."""
    column = pd.Series(given_, dtype=dtype)  # type: ignore[call-overload]  # the stubs list the dtypes one by one
    assert parse_scaled(column).tolist() == scaled
    assert parse_scaled(pd.concat([column, column])).tolist() == scaled + scaled
    assert parse_scaled(column).dtype == np.int64


@pytest.mark.parametrize("text", ["922337203685477.5808", "999999999999999", "1.00005", "x", None])
def test_parse_scaled_never_guesses(text: str | None) -> None:
    """What does not fit, and what no contract would have let through, is an error."""
    with pytest.raises(ValueError, match=r".+"):
        parse_scaled(pd.Series(["1.00", text], dtype="str"))


@given(st.lists(st.decimals(0, 10**10, places=4), min_size=1, max_size=20), st.sampled_from(sorted(CODES)))
def test_columns_of_minor_units_agree(amounts: list[Decimal], decimals: int) -> None:
    """A column is exact where the scalar rule can read the amount, and has the same minor units there."""
    column = parse_scaled(pd.Series([f"{amount:f}" for amount in amounts], dtype="str"))
    minor, exact = to_minor_columns(column, np.full(len(amounts), decimals, np.int8))
    for amount, value, fits in zip(amounts, minor.tolist(), exact.tolist(), strict=True):
        if fits:
            assert to_minor(amount, CODES[decimals]) == value
        else:
            with pytest.raises(Unusable, match="more decimals"):
                to_minor(amount, CODES[decimals])


def test_exponents_of_a_column() -> None:
    """Each row has its currency's exponent; what is no currency, or missing, has -1."""
    column = pd.Series(["USD", "JPY", None, "XAU", "KWD", "USD"], dtype="str")
    assert exponents(column).tolist() == [2, 0, -1, -1, 3, 2]
    assert exponents(column.iloc[:0]).tolist() == []


def test_no_currency_in_a_column() -> None:
    """An amount whose currency is none of ours is never exact and never written."""
    unknown = np.array([-1, 2], np.int8)
    assert to_minor_columns(np.array([0, 15_000]), unknown)[1].tolist() == [False, True]
    with pytest.raises(ValueError, match="without a currency"):
        texts(np.array([0, 150]), unknown)
