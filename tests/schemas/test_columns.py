import pytest

from processing.codes import Code
from processing.errors import Unreadable
from schemas.columns import ORDER_LEVEL, map_header


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("ActionId", "action_id"),
        ("ActionID", "action_id"),
        ("action_id", "action_id"),
        ("Action-Id", "action_id"),
        (" ACTION ID ", "action_id"),
        ("Oid", "order_id"),
        ("OrderId", "order_id"),
        ("Order ID", "order_id"),
        ("ActionTrackerID", "event_type"),
        ("EventTypeId", "event_type"),
        ("amount", "amount"),
        ("currencyCode", "currency"),
        ("Currency", "currency"),
        ("Customer Status", "customer_status"),
        ("Reason", "reason"),
        ("DispositionCode", "reason"),
    ],
)
def test_each_alias_means_its_column(name: str, column: str) -> None:
    """Names match without case, spaces, underscores and hyphens, and by the aliases brands use."""
    assert ORDER_LEVEL.column(name) == column
    assert map_header([name]).positions == {column: 0}


@pytest.mark.parametrize(
    ("case", "header", "code", "words"),
    [
        (
            "misspelt",
            ["ActionId", "Ammount", "Reason"],
            Code.COLUMN_UNKNOWN,
            "Column 'Ammount' is not known. Did you mean Amount?",
        ),
        ("misspelt order", ["OderId", "Reason"], Code.COLUMN_UNKNOWN, "Did you mean Oid?"),
        ("nothing alike", ["ActionId", "Warehouse"], Code.COLUMN_UNKNOWN, "Column 'Warehouse' is not known. Rename"),
        ("alike, but there already", ["Amount", "Amounts"], Code.COLUMN_UNKNOWN, "'Amounts' is not known. Rename"),
        (
            "two names of one column",
            ["Oid", "Order ID"],
            Code.COLUMN_TWICE,
            "'Oid' and 'Order ID' mean the same thing, Oid",
        ),
        ("the same name twice", ["Amount", "Amount"], Code.COLUMN_TWICE, "Keep one of them"),
        ("no name", ["ActionId", ""], Code.NOT_READABLE, "Column 2 of the header has no name."),
        ("a name of blanks", ["ActionId", "  "], Code.NOT_READABLE, "Column 2"),
        ("a letter that only looks like one", ["Amοunt"], Code.COLUMN_UNKNOWN, "Did you mean Amount?"),  # noqa: RUF001
    ],
)
def test_a_header_that_is_not_understood_names_the_column(case: str, header: list[str], code: Code, words: str) -> None:
    """An unknown column is never skipped in silence."""
    with pytest.raises(Unreadable) as raised:
        map_header(header)
    assert raised.value.code is code, case
    assert words in str(raised.value)


def test_ignored_columns_keep_their_place() -> None:
    """A column that the account lists is kept as sent and means nothing, however often it is there."""
    columns = map_header(["Store No", "Oid", "store_no"], ignore=["Store-No"])
    assert columns.header == ("Store No", "Oid", "store_no")
    assert columns.positions == {"order_id": 1}
    assert columns.ignored == {0, 2}
    assert "order_id" in columns
    assert "amount" not in columns


def test_a_known_column_cannot_be_ignored() -> None:
    """Ignoring Amount would turn each price correction into a reversal."""
    assert map_header(["Amount"], ignore=["Amount"]).positions == {"amount": 0}
