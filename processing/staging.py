"""Temporary tables of one connection: they carry a chunk of lines to the database in bulk."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

staging = MetaData()

staged_action = Table(
    "staged_action",
    staging,
    Column("line", BigInteger),
    Column("action_id", Text),
    Column("program_id", BigInteger),
    Column("event_type_id", BigInteger),
    Column("partner_id", BigInteger),
    Column("contract_id", BigInteger),
    Column("order_id", Text),
    Column("event_at", BigInteger),
    Column("created_at", BigInteger),
    Column("locks_at", BigInteger),
    Column("locks_given", BigInteger),
    Column("currency", Text),
    Column("amount", BigInteger),
    Column("payout", BigInteger),
    Column("customer_status", Text),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DELETE ROWS",
)

staged_id = Table(
    "staged_id", staging, Column("id", BigInteger), prefixes=["TEMPORARY"], postgresql_on_commit="DELETE ROWS"
)

# An action that an undone delivery changed: its entries from ``first`` to ``last`` are ``entries`` of the delivery.
# ``stands`` is the version whose values the action has, ``prior`` the one whose values it returns to, ``under`` the
# newest below ``stands`` that is not the delivery's own.
staged_undo = Table(
    "staged_undo",
    staging,
    Column("action_id", BigInteger, primary_key=True, autoincrement=False),
    Column("line", BigInteger),
    Column("first_line", BigInteger),
    Column("first", BigInteger),
    Column("entries", BigInteger),
    Column("stands", BigInteger),
    Column("under", BigInteger),
    Column("prior", BigInteger),
    Column("code", Text),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DELETE ROWS",
)

staged_item = Table(
    "staged_item",
    staging,
    Column("action_id", BigInteger),
    Column("sku", Text),
    Column("quantity", Integer),
    Column("amount", BigInteger),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DELETE ROWS",
)
