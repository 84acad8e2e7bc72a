"""What a number cell of a spreadsheet shows, as far as its file tells.

Decimals, leading zeros, percent signs, letters and dates are as the cell's format has them. What depends on the screen
that shows it is left out: grouping, currency symbols, colours; the point stands before the decimals. A format that is
not understood changes nothing, nor does one that would make a zero of another number: the number is shown in full.
Formats are those of ECMA-376 part 1, 18.8.31.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Final

GENERAL: Final = "General"
BUILT_IN: Final = {
    0: GENERAL,
    1: "0",
    2: "0.00",
    3: "0",
    4: "0.00",
    9: "0%",
    10: "0.00%",
    # Their order depends on the reader's country; ISO 8601 is the one that does not.
    14: "yyyy-mm-dd",
    15: "d-mmm-yy",
    16: "d-mmm",
    17: "mmm-yy",
    18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM",
    20: "h:mm",
    21: "h:mm:ss",
    22: "yyyy-mm-dd hh:mm",
    **dict.fromkeys(range(27, 37), "yyyy-mm-dd"),
    37: "0",
    38: "0",
    39: "0.00",
    40: "0.00",
    41: "0",
    42: "0",
    43: "0.00",
    44: "0.00",
    45: "mm:ss",
    **dict.fromkeys(range(50, 59), "yyyy-mm-dd"),
}
"""The codes of the formats that a file names by number only."""

Show = Callable[[Decimal], str | None]

_RAW: Final = re.compile(r"[+-]?\d{1,400}(?:\.\d{1,400})?(?:[Ee][+-]?\d{1,3})?")
_INTEGER: Final = re.compile(r"-?\d+")
# A spreadsheet computes with 15 digits; those behind them are its own.
_DIGITS: Final = Context(prec=15, rounding=ROUND_HALF_UP)
_LOST: Final = Decimal(10) ** 15
_LITERAL: Final = re.compile(r'"([^"]*)"|\\(.)|_.|\*.|\[[^\]]*\]', re.DOTALL)
_PLACES: Final = re.compile(r"([#?0,]*)(?:\.([#?0]*))?(%?)")
_NUMBER: Final = re.compile(r"[#?0.,%]+")
_DATE: Final = re.compile(r"y+|m+|d+|h+|s+|AM/PM|A/P|\.0+|.", re.IGNORECASE | re.DOTALL)
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LAST_DAY: Final = 2_958_466
_LEAP_DAY: Final = 60
_UNIT: Final = "\ue000"


def shown(raw: str, code: str = GENERAL, *, since_1904: bool = False) -> str:
    """The text of a number as it stands in the file (``raw``) under a format ``code``; dates count from 1900 or 1904.

    An integer that is written out keeps all its digits. One of more than 15 digits in scientific notation has lost
    digits in the spreadsheet: it is shown as it is, so that no other id comes of it.
    """
    if not _RAW.fullmatch(raw):
        return raw
    show = _formatter(code, since_1904)
    text = show(Decimal(raw)) if show else None
    return _general(raw) if text is None else text


def _general(raw: str) -> str:
    if _INTEGER.fullmatch(raw) or abs(Decimal(raw)) >= _LOST:
        return raw
    return _plain(_DIGITS.create_decimal(raw))


def _plain(number: Decimal, least: int = 0) -> str:
    """Digits without an exponent, with ``least`` decimals and more only if they are not zero."""
    text = f"{number:f}"
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0").ljust(least, "0")
    whole = "0" if whole == "-0" and not decimals.strip("0") else whole
    return f"{whole}.{decimals}" if decimals else whole


@lru_cache(maxsize=256)
def _formatter(code: str, since_1904: bool) -> Show | None:  # noqa: FBT001 - the cache's key
    """How numbers are shown under a code, ``None`` where that is all their digits."""
    if _UNIT in code:
        return None
    literals: list[str] = []

    def kept(found: re.Match[str]) -> str:
        literals.append(found[1] or found[2] or "")
        return _UNIT

    bare = _LITERAL.sub(kept, code)
    elapsed = re.search(r"\[(h+|m+|s+|[<>=])", code, re.IGNORECASE)
    section = bare.split(";")[0]
    if elapsed or not section or "@" in section or section.lower() == GENERAL.lower():
        return None
    if re.search(r"[ymdhs]", section.replace("E", ""), re.IGNORECASE):
        return _dates(section, literals, since_1904=since_1904)
    return _numbers(section, literals)


def _numbers(section: str, literals: list[str]) -> Show | None:
    pieces = _NUMBER.split(section)
    [*numbers] = _NUMBER.findall(section)
    places = _PLACES.fullmatch(numbers[0]) if len(numbers) == 1 else None
    if places is None or places[1].endswith(",") or "/" in section or "E" in section.upper():
        return None
    before, after = pieces[0], pieces[1]
    prefix = _letters(before, literals[: before.count(_UNIT)])
    suffix = _letters(after, literals[before.count(_UNIT) :][: after.count(_UNIT)])
    digits, least, most = places[1].count("0"), (places[2] or "").count("0"), len(places[2] or "")
    percent = places[3]
    # Those before the point are at most as many as a spreadsheet computes with, and one more by rounding.
    wide = Context(prec=_DIGITS.prec + 1 + most)

    def show(number: Decimal) -> str | None:
        scaled = number.scaleb(2) if percent else number
        if abs(scaled) >= _LOST:
            return None
        rounded = _DIGITS.create_decimal(scaled).quantize(Decimal(1).scaleb(-most), ROUND_HALF_UP, wide)
        if number and not rounded:
            return None
        whole, point, decimals = _plain(rounded.copy_abs(), least).partition(".")
        sign = "-" if rounded < 0 else ""
        return f"{prefix}{sign}{whole.zfill(digits)}{point}{decimals}{percent}{suffix}"

    return show


def _letters(piece: str, literals: list[str]) -> str:
    """A literal that says something; blanks and symbols are decoration."""
    text = "".join(literals.pop(0) if each == _UNIT else each for each in piece)
    return text if any(each.isalnum() for each in text) else ""


def _dates(section: str, literals: list[str], *, since_1904: bool) -> Show:
    tokens: list[str] = _DATE.findall(section)
    half = any(token.upper() in {"AM/PM", "A/P"} for token in tokens)
    units = [at for at, token in enumerate(tokens) if token[0].lower() in "ymdhs"]
    names = "".join(tokens[at][0].lower() for at in units)
    for nth, at in enumerate(units):
        # An m between hours and seconds, or beside one of them, is minutes.
        if names[nth] == "m" and len(tokens[at]) <= 2 and (names[:nth].endswith("h") or names[nth + 1 :][:1] == "s"):
            tokens[at] = "n" * len(tokens[at])

    def show(number: Decimal) -> str | None:
        instant = _instant(number, since_1904=since_1904)
        if instant is None:
            return None
        rest = iter(literals)
        return "".join(next(rest, "") if token == _UNIT else _part(token, instant, half=half) for token in tokens)

    return show


def _instant(number: Decimal, *, since_1904: bool) -> datetime | None:
    """The calendar day and time of day of a serial number."""
    if not 0 <= number < _LAST_DAY or (not since_1904 and int(number) == _LEAP_DAY):
        return None
    # In a spreadsheet 1900 has a 29 February; the days before it count from one day later.
    start = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30 if number > _LEAP_DAY else 31)  # noqa: DTZ001
    return start + timedelta(seconds=int((number * 86_400).to_integral_value(ROUND_HALF_UP)))


def _part(token: str, instant: datetime, *, half: bool) -> str:
    """One token of a date format, ``n`` being minutes."""
    kind, size = token[0].lower(), len(token)
    hour = (instant.hour - 1) % 12 + 1 if half else instant.hour
    names = {"m": _MONTHS[instant.month - 1], "d": _DAYS[instant.weekday()]}
    if kind in names and size >= 3:
        return names[kind] if size == 4 else names[kind][:3]
    if kind == "y":
        return f"{instant.year % 100:02}" if size <= 2 else str(instant.year)
    if kind == "a":
        return ("AM" if instant.hour < 12 else "PM")[: 1 if size == 3 else 2]
    numbers = {"m": instant.month, "d": instant.day, "h": hour, "n": instant.minute, "s": instant.second}
    if kind in numbers:
        return str(numbers[kind]).zfill(min(size, 2))
    return token if not token.startswith(".") else "." + "0" * (size - 1)
