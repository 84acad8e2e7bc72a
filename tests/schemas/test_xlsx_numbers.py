import pytest

from schemas.xlsx_numbers import BUILT_IN, shown

ACCOUNTING = '_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)'


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("0", "0"),
        ("16027", "16027"),
        ("12345.0", "12345"),
        ("-0.0", "0"),
        ("1.5E3", "1500"),
        ("1E-3", "0.001"),
        # What a spreadsheet stores for 79.9 and for 0.1 + 0.2.
        ("79.900000000000006", "79.9"),
        ("0.30000000000000004", "0.3"),
        # An id that is written out keeps all its digits; one that lost some is no id any more.
        ("123456789012345", "123456789012345"),
        ("12345678901234567890", "12345678901234567890"),
        ("1E+15", "1E+15"),
        ("1.2345678901234568E+19", "1.2345678901234568E+19"),
        ("1000000000000000.5", "1000000000000000.5"),
        ("", ""),
        ("12,5", "12,5"),
        ("١٢", "١٢"),
        ("1E9999", "1E9999"),
    ],
)
def test_a_number_without_a_format(raw: str, expected: str) -> None:
    """All its digits and no exponent, without the digits that are the computer's."""
    assert shown(raw) == expected


@pytest.mark.parametrize(
    ("raw", "code", "expected"),
    [
        ("1234.5", "0.00", "1234.50"),
        ("79.995", "0.00", "80.00"),
        ("79.99499", "0.00", "79.99"),
        ("79.9", "0", "80"),
        ("12.345", "0.##", "12.35"),
        ("12", "0.##", "12"),
        ("-3", "0.0", "-3.0"),
        ("0", "0.00", "0.00"),
        ("42", "00000", "00042"),
        ("42", '"ID-"0000', "ID-0042"),
        ("42", "\\A\\-0", "A-42"),
        ("0.05", "0%", "5%"),
        ("0.0525", "0.00%", "5.25%"),
        # Grouping, symbols and colours belong to the screen.
        ("1234.5", "#,##0.00", "1234.50"),
        ("1234.5", '"$"#,##0.00', "1234.50"),
        ("1234.5", "[$€-407] #,##0.00", "1234.50"),
        ("1234.5", "[Red]0.0", "1234.5"),
        ("-1234.5", ACCOUNTING, "-1234.50"),
        ("0", ACCOUNTING, "0.00"),
        # A letter does not: whoever reads it must see it.
        ("12.5", '0.00 "USD"', "12.50 USD"),
        # More digits than a spreadsheet computes with.
        ("123.4", "0." + "0" * 30, "123.4" + "0" * 29),
        ("-123456789012345", "0." + "0" * 20, "-123456789012345." + "0" * 20),
    ],
)
def test_a_number_as_its_format_has_it(raw: str, code: str, expected: str) -> None:
    """Decimals, leading zeros, percent signs and letters."""
    assert shown(raw, code) == expected


@pytest.mark.parametrize("code", ["0.00", "0", "0%", "0.##"])
@pytest.mark.parametrize("raw", ["0.00001", "-0.00001"])
def test_no_number_becomes_zero(raw: str, code: str) -> None:
    """An amount of zero reverses the action: it must not come from rounding."""
    assert shown(raw, code) == raw


@pytest.mark.parametrize(
    "code",
    [
        "@",
        "",
        "General",
        "# ?/?",
        "0.00E+00",
        "000-000",
        "0,",
        "[h]:mm",
        "[<10]0;0.0",
        ";;;",
        '"yes";"no"',
        "General;0",
        "0\ue000",
        "yyyy\ue000",
    ],
)
def test_a_format_that_is_not_understood_changes_nothing(code: str) -> None:
    """The number is shown in full."""
    assert shown("123456.75", code) == "123456.75"


@pytest.mark.parametrize(
    ("raw", "code", "expected"),
    [
        ("46402", "yyyy-mm-dd", "2027-01-15"),
        ("46402.5", "m/d/yyyy h:mm AM/PM", "1/15/2027 12:00 PM"),
        ("46402.0625", "dd.mm.yy hh:mm:ss", "15.01.27 01:30:00"),
        ("46402.75", "[$-409]d\\-mmm\\-yyyy", "15-Jan-2027"),
        ("46402", "dddd, mmmm d", "Friday, January 15"),
        ("46402.999999", "h:mm:ss A/P", "12:00:00 A"),
        ("0.5", "mm:ss.0", "00:00.0"),
        ("46402", 'yyyy"y"m"m"', "2027y1m"),
        ("59", "yyyy-mm-dd", "1900-02-28"),
        ("61", "yyyy-mm-dd", "1900-03-01"),
        # No such day, before the first, after the last: a number.
        ("60", "yyyy-mm-dd", "60"),
        ("-1", "yyyy-mm-dd", "-1"),
        ("9999999", "yyyy-mm-dd", "9999999"),
    ],
)
def test_a_date_as_its_format_has_it(raw: str, code: str, expected: str) -> None:
    """Days and times of day; minutes are told from months by what stands beside them."""
    assert shown(raw, code) == expected


def test_dates_may_count_from_1904() -> None:
    """A workbook says which."""
    assert shown("44940", BUILT_IN[14], since_1904=True) == "2027-01-15" == shown("46402", BUILT_IN[14])
