"""The catalogue file: the whole of it, and every fault with its path."""

from datetime import date

import pytest

from processing.errors import Unusable
from processing.model import (
    Account,
    Basis,
    Change,
    Contract,
    EventType,
    Level,
    Partner,
    Payout,
    Program,
    SameOrder,
    Trailer,
)
from processing.terms import Period
from schemas.catalog import parse

ACME = """\
[[account]]
sid = "IRacme1"
name = "Acme Outdoor"
timezone = "America/New_York"
currency = "USD"
ignore_columns = ["Notes", "Clerk"]
encoding = "Windows-1252"
trailer = "required"
  [[account.program]]
  id = 1000
  name = "Acme Partners"
    [[account.program.event_type]]
    id = 16027
    name = "Online Sale"
    level = "order"
    basis = "sale"
    same_order = "hold"
      [[account.program.event_type.disposition]]
      code = "RETURNED"
      outcome = "reverse"
      [[account.program.event_type.disposition]]
      code = "returned"
      outcome = "modify"
    [[account.program.contract]]
    partner = { id = 501, name = "Trail Blog" }
    effective = 2026-01-01
    locking = { months = 0, days = 27, after = "month" }
    payment = { months = 0, days = 20, after = "month" }
    payout = { percent = "5.00" }
    [[account.program.contract]]
    partner = { id = 501, name = "Trail Blog" }
    effective = 2026-07-01
    locking = { months = 1, days = 15, after = "day" }
    payment = { months = 0, days = 15, after = "day" }
    payout = { fixed = "12.00" }
"""

ACCOUNT = Account(
    sid="IRacme1",
    name="Acme Outdoor",
    timezone="America/New_York",
    currency="USD",
    programs=(
        Program(
            id=1000,
            name="Acme Partners",
            event_types=(
                EventType(
                    id=16027,
                    name="Online Sale",
                    level=Level.ORDER,
                    basis=Basis.SALE,
                    dispositions={"RETURNED": Change.REVERSE, "returned": Change.MODIFY},
                    same_order=SameOrder.HOLD,
                ),
            ),
            contracts=(
                Contract(
                    partner=Partner(501, "Trail Blog"),
                    effective=date(2026, 1, 1),
                    locking=Period(0, 27, "month"),
                    payment=Period(0, 20, "month"),
                    payout=Payout(50_000, None),
                ),
                Contract(
                    partner=Partner(501, "Trail Blog"),
                    effective=date(2026, 7, 1),
                    locking=Period(1, 15, "day"),
                    payment=Period(0, 15, "day"),
                    payout=Payout(None, 1200),
                ),
            ),
        ),
    ),
    ignore_columns=("Notes", "Clerk"),
    encoding="cp1252",
    trailer=Trailer.REQUIRED,
)

SMALL = """\
[[account]]
sid = "IRsmall"
name = "Small"
timezone = "Asia/Tokyo"
currency = "JPY"
"""

HERE = "account IRacme1 > program 1000"
SECOND = "account IRsmall > program 2"
EVENT_TYPE = f"{HERE} > event_type 16027"
CONTRACT = f"{HERE} > contract 501 of 2026-01-01"
LATER = f"{HERE} > contract 501 of 2026-07-01"

# Ends of messages that several rows share.
AN_ID = " is not an id; give a whole number from 1 to 9223372036854775807"
A_DAY = " is not a date; write it like 2026-01-31, without quotation marks"
AS_TEXT = '; write it in quotation marks, for example "5.00"'
ONE_LINE = " is not one line of text without spaces around it"
ENCODING = " is not an encoding that is read; give a name like windows-1252"
EITHER = 'give either percent or fixed, for example { percent = "5.00" }'


def faults(text: str) -> list[str]:
    """The faults of a catalogue, with a plain sign between the steps of a path."""
    with pytest.raises(Unusable) as caught:
        parse(text, "acme.toml")
    first, *lines = str(caught.value).splitlines()
    assert first == f"acme.toml has {len(lines)} problem{'s' if len(lines) > 1 else ''}:"
    return [line.strip().replace("\u203a", ">") for line in lines]


def test_the_whole_format() -> None:
    """Everything that the format has is read, and the order of the file is kept."""
    assert parse(ACME, "acme.toml") == (ACCOUNT,)


def test_what_may_be_left_out() -> None:
    """An account alone is a catalogue, and what is optional has its default."""
    assert parse(SMALL, "acme.toml") == (Account("IRsmall", "Small", "Asia/Tokyo", "JPY", ()),)
    text = ACME.replace('    same_order = "hold"\n', "")
    assert parse(text, "acme.toml")[0].programs[0].event_types[0].same_order is SameOrder.NEWEST


def test_a_file_from_windows() -> None:
    """A byte order mark and line ends of Windows change nothing."""
    assert parse("\ufeff" + ACME.replace("\n", "\r\n"), "acme.toml") == (ACCOUNT,)


def test_accounts_are_apart() -> None:
    """Two accounts may use the same numbers, and call a partner by different names."""
    other = ACME.replace("IRacme1", "IRacme2").replace("Trail Blog", "Trailblog")
    assert [account.sid for account in parse(ACME + other, "acme.toml")] == ["IRacme1", "IRacme2"]


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        (
            'sid = "IRacme1"',
            'sid = "IR acme"',
            "account IR acme > sid",
            '"IR acme" is not 1 to 64 letters, digits, _ or -',
        ),
        ('sid = "IRacme1"', "sid = 7", "account 7 > sid", "7 is not text; put it in quotation marks"),
        ('sid = "IRacme1"\n', "", "account #1 > sid", "is missing"),
        ('"Acme Outdoor"', '""', "account IRacme1 > name", '""' + ONE_LINE),
        ('"Acme Outdoor"', '" A"', "account IRacme1 > name", '" A"' + ONE_LINE),
        ('"Acme Outdoor"', '"A\\nB"', "account IRacme1 > name", '"A\\nB"' + ONE_LINE),
        (
            "America/New_York",
            "America/New_Yrk",
            "account IRacme1 > timezone",
            '"America/New_Yrk" is not a time zone; did you mean "America/New_York"?',
        ),
        (
            "America/New_York",
            "../../etc/passwd",
            "account IRacme1 > timezone",
            '"../../etc/passwd" is not a time zone; give a name like America/New_York',
        ),
        (
            '"USD"',
            '"XAU"',
            "account IRacme1 > currency",
            '"XAU" is not a currency of ISO 4217; give three capital letters, like USD',
        ),
        (
            '["Notes", "Clerk"]',
            '"Notes"',
            "account IRacme1 > ignore_columns",
            '"Notes" is not a list; write it like ["Notes", "Clerk"]',
        ),
        ('"Clerk"]', "3]", "account IRacme1 > ignore_columns", "3 is not text; put it in quotation marks"),
        ('"Clerk"]', '"Notes"]', "account IRacme1 > ignore_columns", '"Notes" is listed twice'),
        (
            '"required"',
            '"always"',
            "account IRacme1 > trailer",
            '"always" is neither "optional" nor "required"',
        ),
        ("Windows-1252", "klingon", "account IRacme1 > encoding", '"klingon"' + ENCODING),
        ("Windows-1252", "rot13", "account IRacme1 > encoding", '"rot13"' + ENCODING),
        ("Windows-1252", "utf-7", "account IRacme1 > encoding", '"utf-7"' + ENCODING),
        (
            "currency = ",
            'curency = "EUR"\ncurrency = ',
            "account IRacme1 > curency",
            'is not known; did you mean "currency"?',
        ),
        ("id = 1000", "id = -1", "account IRacme1 > program -1 > id", "-1" + AN_ID),
        ("id = 16027", "id = true", f"{HERE} > event_type True > id", "true" + AN_ID),
        ('"order"', '"orders"', f"{EVENT_TYPE} > level", '"orders" is neither "order" nor "item"'),
        ('"sale"', '"Sale"', f"{EVENT_TYPE} > basis", '"Sale" is none of "sale", "lead", "click"'),
        ('    basis = "sale"\n', "", f"{EVENT_TYPE} > basis", "is missing"),
        ('"hold"', '"oldest"', f"{EVENT_TYPE} > same_order", '"oldest" is neither "newest" nor "hold"'),
        (
            '"modify"',
            '"restore"',
            f"{EVENT_TYPE} > disposition returned > outcome",
            '"restore" is none of "modify", "reverse", "approve", "reset"',
        ),
        ('"returned"', '"RETURNED"', f"{EVENT_TYPE} > disposition RETURNED", "is given twice"),
        ("{ id = 501", "{ id = 0", f"{HERE} > contract 0 of 2026-01-01 > partner > id", "0" + AN_ID),
        ('{ id = 501, name = "Trail Blog" }', "501", f"{HERE} > contract #1 > partner", "501 is not a table"),
        ("2026-01-01", '"2026-01-01"', f"{CONTRACT} > effective", '"2026-01-01"' + A_DAY),
        ("2026-01-01", "2026-01-01T00:00:00", f"{CONTRACT} 00:00:00 > effective", "2026-01-01 00:00:00" + A_DAY),
        ("2026-07-01", "2026-01-01", CONTRACT, "is given twice"),
        (
            "days = 27",
            "days = 28",
            f"{CONTRACT} > locking",
            "A period of days only has at most 27, not 28: give a longer one in months and days",
        ),
        ("days = 20, ", "", f"{CONTRACT} > payment > days", "is missing"),
        (
            "days = 20",
            "hours = 1, days = 20",
            f"{CONTRACT} > payment > hours",
            "is not known; known are after, days, months",
        ),
        ('{ percent = "5.00" }', "5", f"{CONTRACT} > payout", "5 is not a table"),
        ('{ percent = "5.00" }', "{}", f"{CONTRACT} > payout", EITHER),
        ('percent = "5.00"', 'percent = "5", fixed = "1"', f"{CONTRACT} > payout", EITHER),
        (
            'percent = "5.00"',
            "percent = 5.00",
            f"{CONTRACT} > payout > percent",
            "5.0 is a float, and money never is one" + AS_TEXT,
        ),
        ('percent = "5.00"', "percent = 5", f"{CONTRACT} > payout > percent", "5 is not text" + AS_TEXT),
        ('"5.00"', '"100.01"', f"{CONTRACT} > payout > percent", '"100.01" is more than 100 percent'),
        (
            'percent = "5.00"',
            'fixed = "1.005"',
            f"{CONTRACT} > payout > fixed",
            '"1.005" has more decimals than USD, which has 2',
        ),
        (
            'percent = "5.00"',
            'fixed = "-1"',
            f"{CONTRACT} > payout > fixed",
            '"-1" is negative; a partner is never paid less than nothing',
        ),
    ],
)
def test_a_fault_has_its_path(old: str, new: str, where: str, message: str) -> None:
    """One thing that is wrong is one problem, with the path to it, the value and the next step."""
    assert old in ACME
    assert faults(ACME.replace(old, new, 1)) == [f"{where}: {message}"]


@pytest.mark.parametrize(
    ("case", "text", "expected"),
    [
        ("two accounts with one sid", SMALL + SMALL, ["account IRsmall: is given twice"]),
        (
            "a program twice",
            SMALL + '[[account.program]]\nid = 1\nname = "A"\n' * 2,
            ["account IRsmall > program 1: is given twice"],
        ),
        (
            "an event type in two programs",
            SMALL
            + "".join(
                f'[[account.program]]\nid = {number}\nname = "A"\n'
                '[[account.program.event_type]]\nid = 7\nname = "B"\nlevel = "item"\nbasis = "lead"\n'
                for number in (1, 2)
            ),
            [f"{SECOND} > event_type 7: is given twice, first as account IRsmall > program 1 > event_type 7"],
        ),
        (
            "a partner with two names",
            '501, name = "Trail Blg"'.join(ACME.rsplit('501, name = "Trail Blog"', 1)),
            [f'{LATER} > partner > name: "Trail Blg" is the partner called "Trail Blog" before; one id has one name'],
        ),
        (
            "a fixed payout in yen has no decimals",
            ACME.replace("USD", "JPY").replace("12.00", "12.50"),
            [f'{LATER} > payout > fixed: "12.50" has more decimals than JPY, which has 0'],
        ),
        (
            "a fixed payout in no currency is judged later",
            ACME.replace("USD", "XXX"),
            ['account IRacme1 > currency: "XXX" is not a currency of ISO 4217; give three capital letters, like USD'],
        ),
        ("nothing", "", ["there is no account; begin with [[account]]"]),
        ("an unknown key only", "acount = 1", ['acount: is not known; did you mean "account"?']),
        (
            "one table instead of a list",
            "[account]",
            ["account: is not a list of tables; write each as [[account]] with its path"],
        ),
        (
            "an empty account",
            "[[account]]",
            [f"account #1 > {key}: is missing" for key in ("sid", "currency", "name", "timezone")],
        ),
    ],
)
def test_a_file_with_faults(case: str, text: str, expected: list[str]) -> None:
    """All faults of a file come together."""
    assert faults(text) == expected, case


def test_a_long_value_is_shortened() -> None:
    """A value of any length makes a message that can be read."""
    assert all(len(fault) < 300 for fault in faults(ACME.replace("Acme Outdoor", "A\\n" * 10_000)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a = \nb = 1", r"line 1, column 5", id="a value is missing"),
        pytest.param('x = "1"\n y == 3', r"line 2, column 5", id="in the middle"),
        pytest.param("[[account]]\nsid = [", r"line 2, column 8, the end of the file", id="cut off"),
        pytest.param("a = 1\na = 2\n", r"line 2, column 6", id="a key twice"),
        pytest.param("a = " + "[" * 100_000, "nested too deeply", id="nested without end"),
    ],
)
def test_no_toml(text: str, message: str) -> None:
    """A file that is no TOML is refused with the place of the mistake."""
    with pytest.raises(Unusable, match=f"acme.toml is not TOML: .*{message}"):
        parse(text, "acme.toml")


def test_payouts_by_category() -> None:
    """Percentages of the items of a category, beside the percentage of all others."""
    text = ACME.replace('percent = "5.00"', 'percent = "5.00", categories = { Shoes = "8.00", "Hi-Fi" = "0" }')
    [contract, *_] = parse(text, "catalog.toml")[0].programs[0].contracts
    assert contract.payout.categories == {"Shoes": 80_000, "Hi-Fi": 0}
    assert parse(ACME, "catalog.toml")[0].programs[0].contracts[0].payout.categories == {}


@pytest.mark.parametrize(
    ("payout", "words"),
    [
        ('percent = "5.00", categories = { Shoes = 8.0 }', "Shoes: 8.0 is a float, and money never is one; write it"),
        ('percent = "5.00", categories = { Shoes = "101" }', 'Shoes: "101" is more than 100 percent'),
        ('percent = "5.00", categories = "Shoes"', 'categories: "Shoes" is not a table'),
        ('fixed = "5.00", categories = { Shoes = "8.00" }', "categories: stand beside percent alone"),
    ],
)
def test_payouts_by_category_that_cannot_be_used(payout: str, words: str) -> None:
    """Each fault is told with its path."""
    with pytest.raises(Unusable, match="has 1 problem") as caught:
        parse(ACME.replace('percent = "5.00"', payout, 1), "catalog.toml")
    assert words in str(caught.value)
