"""The database tables; instants are integers of microseconds since the epoch in UTC, money is integer minor units.

``id`` is a row's own number; a brand's own numbers and names keep the brand's words (``sid``, ``action_id``).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
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
Index(
    "action_due",
    action.c.account_id,
    action.c.locks_at,
    sqlite_where=text("locked_at is null"),
    postgresql_where=text("locked_at is null"),
)
Index("action_created", action.c.program_id, action.c.created_at, action.c.id)

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
    # Until when lines of it wait for their action; null when none does.
    Column("waits_until", BigInteger),
    # The delivery that this one undid, and the one that undid this one and was not undone itself.
    Column("undoes", BigInteger),
    Column("undone_by", BigInteger),
    UniqueConstraint("account_id", "identity"),
)
Index("delivery_received", delivery.c.account_id, delivery.c.received_at)
Index("delivery_changed", delivery.c.account_id, delivery.c.changed_at)
Index("delivery_state", delivery.c.account_id, delivery.c.state)
Index(
    "delivery_unanswered",
    delivery.c.account_id,
    delivery.c.received_at,
    sqlite_where=text("answered_at is null"),
    postgresql_where=text("answered_at is null"),
)
Index(
    "delivery_waits",
    delivery.c.waits_until,
    sqlite_where=text("waits_until is not null"),
    postgresql_where=text("waits_until is not null"),
)
Index(
    "delivery_undoes",
    delivery.c.undoes,
    sqlite_where=text("undoes is not null"),
    postgresql_where=text("undoes is not null"),
)

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

# What a line asked for after its action had locked: proposed for the next cycle, never applied by itself.
adjustment = Table(
    "adjustment",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("action_id", BigInteger, nullable=False),
    Column("change", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("amount_before", BigInteger, nullable=False),
    Column("amount_after", BigInteger, nullable=False),
    Column("payout_before", BigInteger, nullable=False),
    Column("payout_after", BigInteger, nullable=False),
    PrimaryKeyConstraint("delivery_id", "line"),
    sqlite_with_rowid=False,
)

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

# Lines with the verdict waiting, by what names their action; ``ready`` once an action was loaded that one may mean.
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

# Temporary tables of one connection: they carry a chunk of lines to the database in bulk.
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
# ``stands`` is the version whose values the action has, ``prior`` the one whose values it returns to.
staged_undo = Table(
    "staged_undo",
    staging,
    Column("action_id", BigInteger, primary_key=True, autoincrement=False),
    Column("line", BigInteger),
    Column("first_line", BigInteger),
    Column("first", BigInteger),
    Column("entries", BigInteger),
    Column("stands", BigInteger),
    Column("prior", BigInteger),
    Column("code", Text),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DELETE ROWS",
)
