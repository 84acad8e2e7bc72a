"""The database tables; instants are integers of microseconds since the epoch in UTC, money is integer minor units.

``id`` is a row's own number; a brand's own numbers and names keep the brand's words (``sid``, ``action_id``).
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

# SQLite numbers rows by itself only when the key is spelt INTEGER.
RowId = BigInteger().with_variant(Integer, "sqlite")


def partial_index(name: str, where: str, *columns: Column[Any]) -> None:
    """An index of the rows for which ``where`` holds, on either store."""
    Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sid", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("encoding", Text),
    Column("ignore_columns", Text, nullable=False, server_default="[]"),
    # When a delivery is held for a second pair of eyes, as JSON; empty for the usual values.
    Column("brakes", Text, nullable=False, server_default="{}"),
    # Whether a CSV file that does not end with a trailer may be incomplete.
    Column("trailer", Text, nullable=False, server_default="optional"),
    Column("waiting_days", Integer, nullable=False, server_default="30"),
)

# A program belongs to one account: its id alone tells whose an action is.
program = Table(
    "program",
    metadata,
    Column("program_id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("name", Text, nullable=False),
)

event_type = Table(
    "event_type",
    metadata,
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("event_type_id", BigInteger, nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("same_order", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "event_type_id"),
)

disposition = Table(
    "disposition",
    metadata,
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("event_type_id", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "event_type_id", "code"),
)

partner = Table(
    "partner",
    metadata,
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("partner_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "partner_id"),
)

contract = Table(
    "contract",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("partner_id", BigInteger, nullable=False),
    Column("effective", Date, nullable=False),
    Column("locking", Text, nullable=False),
    Column("payment", Text, nullable=False),
    Column("percent_ppm", BigInteger),
    Column("fixed_minor", BigInteger),
    Column("categories_ppm", Text, nullable=False, server_default="{}"),
    UniqueConstraint("account_id", "program_id", "partner_id", "effective"),
)

# Actions, entries and lines are written in bulk, by rows read in the same transaction. A foreign key would look each of
# them up once more, at about half the cost of the whole load.
action = Table(
    "action",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("account_id", Integer, nullable=False),
    Column("action_id", String(64), nullable=False),
    Column("program_id", BigInteger, nullable=False),
    Column("event_type_id", BigInteger, nullable=False),
    Column("partner_id", BigInteger, nullable=False),
    Column("contract_id", Integer, nullable=False),
    Column("order_id", String(64)),
    Column("event_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("locks_at", BigInteger, nullable=False),
    Column("locked_at", BigInteger),
    Column("clears_on", Date),
    Column("state", String(8), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("payout", BigInteger, nullable=False),
    Column("customer_status", Text),
    Column("tracked_amount", BigInteger, nullable=False),
    Column("tracked_payout", BigInteger, nullable=False),
    Column("tracked_status", Text),
    # What a reversal took away, so that an approval can give it back.
    Column("prior_amount", BigInteger),
    Column("prior_payout", BigInteger),
    Column("changes", Integer, nullable=False, server_default="0"),
    Column("version", Integer, nullable=False, server_default="0"),
    Column("changed_by", BigInteger),
    UniqueConstraint("account_id", "action_id"),
    CheckConstraint("state in ('PENDING', 'APPROVED', 'REVERSED')", name="state"),
)
Index("action_order", action.c.account_id, action.c.event_type_id, action.c.order_id)
partial_index("action_due", "locked_at is null", action.c.account_id, action.c.locks_at)
Index("action_created", action.c.program_id, action.c.created_at, action.c.id)

# While an action is reversed its items are kept as they were, so that an approval can give them back.
item = Table(
    "item",
    metadata,
    Column("action_id", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("sku", Text, nullable=False),
    Column("category", Text),
    Column("quantity", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("tracked_quantity", Integer, nullable=False),
    Column("tracked_amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("action_id", "sku"),
    sqlite_with_rowid=False,
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("delivery", String(64), nullable=False, unique=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("event_type_id", BigInteger),
    Column("sent_by", Text),
    # How the account's files were read when this one was judged, as JSON: its answers are read the same way.
    Column("reading", Text, nullable=False, server_default="{}"),
    # The digest of the first delivery of these bytes; null for duplicates and for those of which nothing was applied.
    Column("identity", String(64)),
    Column("duplicate_of", ForeignKey("delivery.id")),
    Column("state", Text, nullable=False),
    Column("code", Text),
    Column("message", Text),
    Column("summary", Text, nullable=False, server_default="{}"),
    Column("finished_at", BigInteger),
    # When it was finished or revised last: by this, programs find what is new to them.
    Column("changed_at", BigInteger),
    Column("answered_at", BigInteger),
    # How often its receipt changed: an answer counts only if it tells of the newest revision.
    Column("revision", Integer, nullable=False, server_default="0"),
    # The newest revision that a reply by e-mail told of.
    Column("mailed_revision", Integer, nullable=False, server_default="-1"),
    # Until when lines of it wait for their action; null when none does.
    Column("waits_until", BigInteger),
    # The delivery that this one undid, and the one that undid this one and was not undone itself.
    Column("undoes", BigInteger),
    Column("undone_by", BigInteger),
    UniqueConstraint("account_id", "identity"),
)
Index("delivery_received", delivery.c.account_id, delivery.c.received_at)
Index("delivery_finished", delivery.c.account_id, delivery.c.finished_at, delivery.c.id)
Index("delivery_changed", delivery.c.account_id, delivery.c.changed_at, delivery.c.id)
Index("delivery_state", delivery.c.account_id, delivery.c.state)
partial_index("delivery_unanswered", "answered_at is null", delivery.c.account_id, delivery.c.received_at)
partial_index("delivery_waits", "waits_until is not null", delivery.c.waits_until)
partial_index("delivery_undoes", "undoes is not null", delivery.c.undoes)

entry = Table(
    "entry",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("action_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("change", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state_before", String(8), nullable=False),
    Column("state_after", String(8), nullable=False),
    Column("amount_before", BigInteger, nullable=False),
    Column("amount_after", BigInteger, nullable=False),
    Column("payout_before", BigInteger, nullable=False),
    Column("payout_after", BigInteger, nullable=False),
    Column("status_before", Text),
    Column("status_after", Text),
    PrimaryKeyConstraint("delivery_id", "line"),
    UniqueConstraint("action_id", "version"),
    sqlite_with_rowid=False,
)

# When entries were made by lines of deliveries that were finished before: lines that had waited, or were replayed.
# By the foreign key PostgreSQL expects an entry for each; it would expect none, and read them all.
judged_later = Table(
    "judged_later",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("account_id", Integer, nullable=False),
    Column("judged_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("delivery_id", "line"),
    ForeignKeyConstraint(["delivery_id", "line"], ["entry.delivery_id", "entry.line"]),
    sqlite_with_rowid=False,
)
Index(
    "judged_later_at",
    judged_later.c.account_id,
    judged_later.c.judged_at,
    judged_later.c.delivery_id,
    judged_later.c.line,
)

# What an entry did to each item that it changed; a reversal changes the action alone.
item_entry = Table(
    "item_entry",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("action_id", BigInteger, nullable=False),
    Column("sku", Text, nullable=False),
    Column("quantity_before", Integer, nullable=False),
    Column("quantity_after", Integer, nullable=False),
    Column("amount_before", BigInteger, nullable=False),
    Column("amount_after", BigInteger, nullable=False),
    PrimaryKeyConstraint("delivery_id", "line", "sku"),
    sqlite_with_rowid=False,
)
Index("item_entry_action_id", item_entry.c.action_id)

# The items that a line named which is applied or unchanged, and found right as they were.
item_word = Table(
    "item_word",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("action_id", BigInteger, nullable=False),
    Column("sku", Text, nullable=False),
    PrimaryKeyConstraint("delivery_id", "line", "sku"),
    sqlite_with_rowid=False,
)
Index("item_word_action", item_word.c.action_id)

# Every line that has no entry, and those with an entry that carry a notice.
line = Table(
    "line",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("code", Text),
    Column("message", Text),
    Column("action_id", BigInteger),
    PrimaryKeyConstraint("delivery_id", "line"),
    sqlite_with_rowid=False,
)

# E-mail messages, whose attachments are deliveries. Only what was accepted has an identity.
message = Table(
    "message",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("message", String(64), nullable=False, unique=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("subject", Text, nullable=False),
    # The Message-IDs that a reply names: those it refers to and its own, as JSON.
    Column("thread", Text, nullable=False, server_default="[]"),
    Column("identity", String(64)),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # Why there is no reply; empty when there is one.
    Column("unanswered", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("decided_by", Text),
    Column("answered_at", BigInteger),
    UniqueConstraint("account_id", "identity"),
)
Index("message_received", message.c.account_id, message.c.received_at)

# What is to be sent outside; ``delivery`` may also be a message. ``due_at`` is null for what is done or given up.
outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("delivery", String(64), nullable=False),
    # Which revision of the delivery's receipt it tells of, and what it belongs to: a thread is sent in order.
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("thread", String(64), nullable=False, server_default=""),
    Column("made_at", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("done_at", BigInteger),
    Column("given_up_at", BigInteger),
    Column("overtaken_at", BigInteger),
    UniqueConstraint("kind", "recipient", "delivery", "revision"),
)
Index("outbox_due", outbox.c.kind, outbox.c.due_at)
Index("outbox_thread", outbox.c.thread, outbox.c.due_at)

# What one unit of a currency was worth in another on a day, in 10^-10 (processing.exchange).
exchange_rate = Table(
    "exchange_rate",
    metadata,
    Column("day", Date, nullable=False),
    Column("source", String(3), nullable=False),
    Column("target", String(3), nullable=False),
    Column("scaled", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "source", "target"),
)

# Lines that wait, by what names their action; ``ready`` once an action was loaded that one may mean, ``held`` when it
# was then given that verdict.
waiting_line = Table(
    "waiting_line",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("account_id", Integer, nullable=False),
    Column("action_id", String(64)),
    Column("order_id", String(64)),
    Column("event_type_id", BigInteger),
    Column("ready", Boolean, nullable=False, server_default=false()),
    Column("held", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("delivery_id", "line"),
    sqlite_with_rowid=False,
)
Index("waiting_action", waiting_line.c.account_id, waiting_line.c.action_id)
Index("waiting_order", waiting_line.c.account_id, waiting_line.c.event_type_id, waiting_line.c.order_id)
Index(
    "waiting_ready",
    waiting_line.c.account_id,
    waiting_line.c.delivery_id,
    sqlite_where=text("ready = 1"),
    postgresql_where=text("ready"),
)
