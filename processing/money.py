"""Money in whole minor units of an ISO 4217 currency: reading it, writing it and taking a percentage, always exactly.

Three integers are in use: minor units (the cents of USD), scaled amounts of 1/10,000 of a currency's own unit (so that
amounts of several currencies fit one column before their currency is known), and parts per million for percentages.
"""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from iso4217 import Currency

from processing.errors import Unusable

SCALE: Final = 4
MOST_MINOR: Final = 10**14
MILLION: Final = 1_000_000

# Gold, testing codes and the like have no minor unit: nobody can be paid in them.
_EXPONENTS: Final = {str(each.code): each.exponent for each in Currency if each.exponent is not None}
_PLAIN: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_PERCENT: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")
_UNKNOWN: Final = -1


def is_currency(code: str) -> bool:
    """Whether ``code`` is a currency of ISO 4217 in which one can be paid."""
    return code in _EXPONENTS


def exponent(code: str) -> int:
    """How many decimals a currency has: JPY 0, USD 2, KWD 3."""
    if code not in _EXPONENTS:
        raise Unusable(f'"{code}" is not a currency of ISO 4217; give three capital letters, for example USD.')
    return _EXPONENTS[code]


def to_minor(amount: str | Decimal, currency: str) -> int:
    """An amount in minor units, exactly."""
    if isinstance(amount, str) and not _PLAIN.fullmatch(amount):
        raise Unusable(f'"{amount}" is not an amount; write digits with a point before the decimals, like 1234.56.')
    decimals = exponent(currency)
    value = Decimal(amount)
    if not value.is_finite() or value.adjusted() > len(str(MOST_MINOR)):
        raise Unusable(f'"{amount}" is not an amount that can be kept in {currency}.')
    # Fractions do not round, whatever the decimal context says.
    minor = Fraction(value) * 10**decimals
    if minor.denominator != 1:
        raise Unusable(f'"{amount}" has more decimals than {currency}, which has {decimals}.')
    if abs(minor) > MOST_MINOR:
        raise Unusable(f'"{amount}" is not an amount that can be kept in {currency}.')
    return int(minor)


def to_text(minor: int, currency: str) -> str:
    """An amount of minor units as a plain decimal."""
    decimals = exponent(currency)
    digits = str(abs(minor)).zfill(decimals + 1)
    point = len(digits) - decimals
    sign = "-" if minor < 0 else ""
    return sign + digits[:point] + ("." + digits[point:] if decimals else "")


def percent_ppm(percent: str) -> int:
    """A percentage from 0 to 100 with up to four decimals, in parts per million."""
    if not _PERCENT.fullmatch(percent):
        raise Unusable(f'"{percent}" is not a percentage; write digits with a point before the decimals, like 5.00.')
    ppm = int(Fraction(percent) * 10**SCALE)
    if ppm > MILLION:
        raise Unusable(f'"{percent}" is more than 100 percent.')
    return ppm


def exponents(currencies: "pd.Series[str]") -> npt.NDArray[np.int8]:
    """The exponent of each currency, -1 where it is none of ours."""
    of_row, codes = pd.factorize(currencies)
    # The last element answers for missing values, which factorize numbers -1.
    known = [_EXPONENTS.get(code, _UNKNOWN) for code in codes.tolist()]
    return np.array([*known, _UNKNOWN], np.int8)[of_row]


def parse_scaled(texts: "pd.Series[str]") -> npt.NDArray[np.int64]:
    """Plain decimals that were judged before, in 1/10,000, exactly.

    They have at most four decimals and none is missing. The largest that fits is 922337203685477.5807; one that does
    not raises ``ValueError`` for the whole column, so whoever judges them allows at most 14 digits before the point.
    """
    arrow = pa.array(texts, pa.string())
    if arrow.null_count:
        raise ValueError("A missing amount cannot be read; give only the rows that have one.")
    scaled = pc.multiply(pc.cast(arrow, pa.decimal128(19, SCALE)), pa.scalar(10**SCALE, pa.decimal128(5, 0)))
    return np.asarray(pc.cast(scaled, pa.int64()), np.int64)


def to_minor_columns(
    scaled: npt.NDArray[np.int64], exponents: npt.NDArray[np.int8]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Scaled amounts in minor units of their currencies, and whether each is exact.

    One that is not exact, or whose currency is none of ours (exponent -1), means nothing.
    """
    divisors = np.array([10 ** (SCALE - decimals) for decimals in range(SCALE + 1)], np.int64)[exponents]
    minor, rest = np.divmod(scaled, divisors)
    return minor, (rest == 0) & (exponents >= 0)


def texts(minor: npt.NDArray[np.int64], exponents: npt.NDArray[np.int8]) -> npt.NDArray[np.object_]:
    """``to_text`` of each amount, given the exponent of its currency."""
    if not np.isin(exponents, range(SCALE + 1)).all():
        raise ValueError("An amount without a currency of ours cannot be written.")
    result = np.empty(len(minor), object)
    for decimals in range(SCALE + 1):
        rows = exponents == decimals
        if rows.all():
            return _texts(minor, decimals)
        if rows.any():
            result[rows] = _texts(minor[rows], decimals)
    return result


@overload
def rate_percent(amount: int, percent_ppm: int) -> int: ...
@overload
def rate_percent(amount: npt.NDArray[np.int64], percent_ppm: int | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]: ...
def rate_percent(
    amount: int | npt.NDArray[np.int64], percent_ppm: int | npt.NDArray[np.int64]
) -> int | npt.NDArray[np.int64]:
    """A percentage of an amount, rounded half up to the minor unit; for one amount or a column."""
    for name, value, most in (("amount", amount, MOST_MINOR), ("percentage", percent_ppm, MILLION)):
        if np.any(np.less(value, 0)) or np.any(np.greater(value, most)):
            raise ValueError(f"An {name} outside 0 to {most} cannot be rated.")
    # The product itself would not fit into 64 bits; its two parts do: 10^8 * 10^6 and 10^6 * 10^6.
    millions, rest = amount // MILLION, amount % MILLION
    return millions * percent_ppm + (rest * percent_ppm + MILLION // 2) // MILLION


def _texts(minor: npt.NDArray[np.int64], decimals: int) -> npt.NDArray[np.object_]:
    whole, rest = np.divmod(np.abs(minor), 10**decimals)
    parts = [pc.cast(pa.array(whole), pa.string())]
    if decimals:
        parts.append(pc.utf8_lpad(pc.cast(pa.array(rest), pa.string()), decimals, "0"))
    column = pc.binary_join_element_wise(*parts, ".")  # type: ignore[call-overload]  # the stubs know no plain separator
    if (minor < 0).any():
        column = pc.binary_join_element_wise(pa.array(np.where(minor < 0, "-", "")), column, "")
    return np.asarray(column.to_numpy(zero_copy_only=False), object)
