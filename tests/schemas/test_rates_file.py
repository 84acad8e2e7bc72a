from datetime import date
from pathlib import Path

import pytest

from processing.errors import Unreadable, Unusable
from processing.exchange import Rate
from schemas import rates_file
from tests.worlds import lines, written


def test_rates_are_read_exactly(tmp_path: Path) -> None:
    """Ten decimals fit; a date column may be called so."""
    file = written(
        tmp_path, "rates.csv", lines("Date;From;To;Rate", "2027-01-31;JPY;USD;0.0067123456", "2027-02-01;KWD;JPY;12")
    )
    assert list(rates_file.read(file)) == [
        (
            [Rate(date(2027, 1, 31), "JPY", "USD", 67_123_456), Rate(date(2027, 2, 1), "KWD", "JPY", 120_000_000_000)],
            [],
        )
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2027-02-29,EUR,USD,1.1", "Day '2027-02-29' is not a date"),
        ("2027-01-01,eur,USD,1.1", "From 'eur' is not a currency"),
        ("2027-01-01,EUR,XAU,1.1", "To 'XAU' is not a currency"),
        ("2027-01-01,EUR,EUR,1", "From and To are both EUR"),
        ("2027-01-01,EUR,USD,0.0000000000", "is not a rate; write how much one EUR is in USD"),
        ("2027-01-01,EUR,USD,1.00000000001", "at most 10 decimals"),
        ("2027-01-01,EUR,USD,-1", "is not a rate"),
        ('2027-01-01,EUR,USD,"1,1"', "is not a rate"),
        ("2027-01-01,EUR,USD,1e3", "is not a rate"),
        ("2027-01-01,EUR,USD,123456789", "is not a rate"),
        ("2027-01-01,EUR,USD", "The line has 3 fields"),
    ],
)
def test_a_line_that_is_no_rate_is_told(line: str, message: str, tmp_path: Path) -> None:
    """With its number and what to write; the others are loaded."""
    file = written(tmp_path, "rates.csv", lines("Day,From,To,Rate", line, "2027-01-01,EUR,USD,1.1"))
    [(rates, [problem])] = rates_file.read(file)
    assert (len(rates), problem.line) == (1, 2)
    assert message in problem.message


def test_a_file_without_a_column_is_no_file_of_rates(tmp_path: Path) -> None:
    """The missing one is named."""
    file = written(tmp_path, "rates.csv", lines("Day,From,Rate", "2027-01-01,EUR,1"))
    with pytest.raises(Unusable, match=r"rates.csv has no column To"):
        list(rates_file.read(file))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_of_rates_that_may_be_cut_off_is_not_loaded(encoding: str, tmp_path: Path) -> None:
    """The rate of a last line that does not end may lack digits; the line is named, and a trailer proves it."""
    whole = "Day,From,To,Rate\r\n2027-01-15,EUR,USD,1.2099\r\n\r\n2027-01-16,EUR,USD,1.2250"
    message = r"rates\.csv: line 4 does not end with a line break, .* Have it exported again; if nothing is missing"
    for cut in (0, 3):
        file = written(tmp_path, "rates.csv", whole[: len(whole) - cut].encode(encoding))
        with pytest.raises(Unusable, match=message):
            list(rates_file.read(file))
    for end in ("\n", "\r\n", "\n#TRAILER,2", "\n#TRAILER,2\n"):
        [(rates, problems)] = rates_file.read(written(tmp_path, "rates.csv", (whole + end).encode(encoding)))
        assert (len(rates), problems) == (2, [])
    with pytest.raises(Unreadable, match="The trailer says 3 lines"):
        list(rates_file.read(written(tmp_path, "rates.csv", whole + "\n#TRAILER,3\n")))
