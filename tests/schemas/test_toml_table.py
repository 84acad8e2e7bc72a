"""Reading TOML tables: what is missing, wrong or unknown is collected with its path."""

import pytest

from processing.errors import Unusable
from schemas.toml_table import Table, read_toml


def test_faults_are_collected_with_their_path() -> None:
    """A getter reports its fault and reading goes on; a key nobody asked for is unknown."""
    problems: list[str] = []
    table = Table({"name": 1, "idd": 5}, "account A", problems)
    table.text("name")
    table.number("id")
    table.close()
    assert [problem.split(":")[0] for problem in problems] == [
        "account A \u203a name",
        "account A \u203a id",
        "account A \u203a idd",
    ]


@pytest.mark.parametrize(("text", "where"), [("a = ", "line 1, column 5"), ("a = 1\nb", "line 2")])
def test_what_is_no_toml_is_told_with_its_place(text: str, where: str) -> None:
    """A syntax error names line and column."""
    with pytest.raises(Unusable, match=where):
        read_toml(text, "catalog.toml")
