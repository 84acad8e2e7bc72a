"""The database tables of webhooks; the rules of ``processing.tables`` hold."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table, Text

from processing.tables import RowId, metadata

# Where a program of an account wants to be told; its secret follows from its name, and is not kept.
webhook = Table(
    "webhook",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("webhook", String(32), nullable=False, unique=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("url", Text, nullable=False),
    # The kinds of events it wants, as JSON.
    Column("kinds", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
)

# What accounts with webhooks are told. ``about`` is JSON: a receipt's head, or the lines whose entries are meant.
webhook_event = Table(
    "webhook_event",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("event", String(64), nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("delivery_id", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("about", Text, nullable=False),
)
Index("webhook_event_delivery_id", webhook_event.c.delivery_id)
Index("webhook_event_made", webhook_event.c.account_id, webhook_event.c.made_at)
