"""The tables of what is read from brands' Salesforce orgs: how far, what every record said, and what became of it.

Instants are those of ``processing.tables``; those of ``record_cursor`` and every ``stamp`` are by the org's clock.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from processing.tables import RowId, metadata, partial_index

# One reader of a brand's Salesforce org at a time, and what people decided or found about it.
org_claim = Table(
    "org_claim",
    metadata,
    Column("source", Text, primary_key=True),
    # Whose claim it is until ``until``; whoever comes later takes another token, and the earlier one writes no more.
    Column("token", String(32)),
    Column("until", BigInteger),
    # No poll before, and no trigger is heeded: few of the org's calls of the day are left, or none.
    Column("paused_until", BigInteger),
    # No call at all before: a look-up found none left.
    Column("look_ups_paused_until", BigInteger),
    # The settings, but for the mappings, that were checked last and found right, and when.
    Column("checked", String(64)),
    Column("checked_at", BigInteger),
)

# Messages at the hook of an org that were none of its own. In a row of their own: whoever sends such messages keeps
# nobody from writing under the claim.
hook_refusal = Table(
    "hook_refusal",
    metadata,
    Column("source", Text, primary_key=True),
    Column("messages", BigInteger, nullable=False, server_default="0"),
    # When and why the last was refused.
    Column("refused_at", BigInteger),
    Column("because", Text),
)

# What people decided or found about a mapping of an org.
org_mapping = Table(
    "org_mapping",
    metadata,
    Column("source", Text, nullable=False),
    Column("mapping", Text, nullable=False),
    # From when on what it observes is applied; null while its first reading waits to be approved.
    Column("approved_at", BigInteger),
    # The digest of the mapping that was found right last, and what it reads, as JSON.
    Column("checked", String(64)),
    Column("reading", Text),
    # The digest of one that was found wrong since then, and why.
    Column("refused", String(64)),
    Column("because", Text),
    # When either was found; null when it is in doubt.
    Column("checked_at", BigInteger),
    # How many records of its object our user saw when they were counted last, and about a day before.
    Column("records", BigInteger),
    Column("records_before", BigInteger),
    # When ``records`` was counted.
    Column("counted_at", BigInteger),
    PrimaryKeyConstraint("source", "mapping"),
)

# How far the records of a mapping were read; instants by the org's clock, where nothing else is said.
record_cursor = Table(
    "record_cursor",
    metadata,
    Column("source", Text, nullable=False),
    Column("mapping", Text, nullable=False),
    # What was stamped before it was read whole; what is stamped from it on is read again.
    Column("floor", BigInteger, nullable=False),
    # What the org told last of the oldest transaction that was not seen, and when it was asked.
    Column("covered", BigInteger),
    Column("covered_at", BigInteger),
    # When the last poll that read everything began, and the last look-up of the actions that lock soon; the earlier of
    # the org's clock and ours.
    Column("complete_at", BigInteger),
    Column("swept_at", BigInteger),
    # The newest action (row id) of those that were looked up then: nobody has asked for what was loaded since.
    Column("swept_to", BigInteger),
    Column("stalled", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("source", "mapping"),
)

# What every record said when it was read last, and what was asked of the ledger for it.
record_seen = Table(
    "record_seen",
    metadata,
    Column("source", Text, nullable=False),
    Column("mapping", Text, nullable=False),
    Column("record", String(18), nullable=False),
    Column("stamp", BigInteger, nullable=False),
    Column("order_id", Text),
    Column("state", Text, nullable=False),
    Column("asked", Text),
    PrimaryKeyConstraint("source", "mapping", "record"),
    sqlite_with_rowid=False,
)
Index("record_seen_order", record_seen.c.source, record_seen.c.mapping, record_seen.c.order_id)

# A change of a record, in the order in which they were observed: the lines it becomes, or why it is held.
observation = Table(
    "observation",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("mapping", Text, nullable=False),
    Column("record", String(18), nullable=False),
    Column("order_id", Text),
    Column("event_type_id", BigInteger, nullable=False),
    Column("stamp", BigInteger, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Column("status_before", Text),
    Column("status_after", Text),
    Column("lines", Text, nullable=False),
    Column("held", Text),
    # A hold ends when the record says something else, or a person lets it go.
    Column("ended_at", BigInteger),
    # When a person let it go; null again when the record says something else.
    Column("left_at", BigInteger),
    Column("batch", BigInteger),
    # Which of the batch's files its lines stand in, and the number of the first of them.
    Column("file", Text),
    Column("line", BigInteger),
)
partial_index("observation_due", "batch is null and held is null", observation.c.source, observation.c.id)
partial_index("observation_held", "held is not null and ended_at is null", observation.c.source, observation.c.record)
Index("observation_record", observation.c.source, observation.c.mapping, observation.c.record)
Index("observation_batch", observation.c.batch)

# Observations that become deliveries together; written down before the first of them lands.
observed_batch = Table(
    "observed_batch",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    # The arrival of its deliveries, however late they land; null in old batches, for the instant at which they land.
    Column("received_at", BigInteger),
    Column("landed_at", BigInteger),
    # By their files, as JSON.
    Column("deliveries", Text, nullable=False, server_default="{}"),
)
partial_index("observed_batch_due", "landed_at is null", observed_batch.c.source, observed_batch.c.id)

# Actions that locked though a feed (a channel) that may have had something to say of them had not been read.
unread_lock = Table(
    "unread_lock",
    metadata,
    Column("action_id", ForeignKey("action.id"), nullable=False),
    Column("channel", Text, nullable=False),
    PrimaryKeyConstraint("action_id", "channel"),
)

# What triggers told: records to be read again. Kept, so that a notification that is sent twice is one.
record_hint = Table(
    "record_hint",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("notification", String(80), nullable=False),
    Column("object", Text, nullable=False),
    Column("record", String(18)),
    Column("arrived_at", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("outcome", Text),
    UniqueConstraint("source", "notification"),
)
partial_index("record_hint_due", "due_at is not null", record_hint.c.source, record_hint.c.due_at)
