"""The database tables of proposed adjustments; the rules of ``processing.tables`` hold."""

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Table, Text

from processing.tables import metadata

# What a line asked for after its action had locked: proposed for the next cycle, never applied by itself.
adjustment = Table(
    "adjustment",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("action_id", BigInteger, nullable=False),
    Column("change", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("amount_after", BigInteger, nullable=False),
    Column("payout_after", BigInteger, nullable=False),
    PrimaryKeyConstraint("delivery_id", "line"),
    sqlite_with_rowid=False,
)

# What it asked of the items that it named; ``quantity`` is null where it left that.
adjustment_item = Table(
    "adjustment_item",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("sku", Text, nullable=False),
    Column("quantity", Integer),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("delivery_id", "line", "sku"),
    sqlite_with_rowid=False,
)
