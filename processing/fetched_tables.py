"""The database tables of what is fetched from brands' own servers; the rules of ``processing.tables`` hold."""

from sqlalchemy import BigInteger, Column, String, Table, Text, UniqueConstraint

from processing.tables import RowId, metadata

# What was fetched from brands' own servers, for ever: the same file is not fetched again, another always is.
fetched = Table(
    "fetched",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Whole seconds by the clock of the far side: part of an identity, no instant of ours.
    Column("modified_at", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("delivery", String(64), nullable=False, unique=True),
    Column("fetched_at", BigInteger, nullable=False),
    # The instant of the answers that the source has in its result folder.
    Column("returned_at", BigInteger),
    UniqueConstraint("source", "name", "size_bytes", "modified_at", "sha256"),
)

# The newest round of each source, as it is told to people.
source_round = Table(
    "source_round",
    metadata,
    Column("source", Text, primary_key=True),
    Column("ended_at", BigInteger, nullable=False),
    Column("told", Text, nullable=False),
)
