"""what is read from Salesforce orgs"""

from alembic import op
import sqlalchemy as sa

revision = '0011'
down_revision = '0010'


def upgrade() -> None:
    _observation()
    _observed_batch()
    _org_claim()
    _hook_refusal()
    _org_mapping()
    _record_cursor()
    _record_hint()
    _record_seen()
    _unread_lock()


def _observation() -> None:
    op.create_table('observation',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('mapping', sa.Text(), nullable=False),
    sa.Column('record', sa.String(length=18), nullable=False),
    sa.Column('order_id', sa.Text(), nullable=True),
    sa.Column('event_type_id', sa.BigInteger(), nullable=False),
    sa.Column('stamp', sa.BigInteger(), nullable=False),
    sa.Column('observed_at', sa.BigInteger(), nullable=False),
    sa.Column('status_before', sa.Text(), nullable=True),
    sa.Column('status_after', sa.Text(), nullable=True),
    sa.Column('lines', sa.Text(), nullable=False),
    sa.Column('held', sa.Text(), nullable=True),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.Column('left_at', sa.BigInteger(), nullable=True),
    sa.Column('batch', sa.BigInteger(), nullable=True),
    sa.Column('file', sa.Text(), nullable=True),
    sa.Column('line', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('observation_pkey'))
    )
    op.create_index('observation_batch', 'observation', ['batch'], unique=False)
    op.create_index('observation_due', 'observation', ['source', 'id'], unique=False, sqlite_where=sa.text('batch is null and held is null'), postgresql_where=sa.text('batch is null and held is null'))
    op.create_index('observation_held', 'observation', ['source', 'record'], unique=False, sqlite_where=sa.text('held is not null and ended_at is null'), postgresql_where=sa.text('held is not null and ended_at is null'))
    op.create_index('observation_record', 'observation', ['source', 'mapping', 'record'], unique=False)


def _observed_batch() -> None:
    op.create_table('observed_batch',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('made_at', sa.BigInteger(), nullable=False),
    sa.Column('received_at', sa.BigInteger(), nullable=True),
    sa.Column('landed_at', sa.BigInteger(), nullable=True),
    sa.Column('deliveries', sa.Text(), server_default='{}', nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('observed_batch_pkey'))
    )
    op.create_index('observed_batch_due', 'observed_batch', ['source', 'id'], unique=False, sqlite_where=sa.text('landed_at is null'), postgresql_where=sa.text('landed_at is null'))


def _org_claim() -> None:
    op.create_table('org_claim',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('token', sa.String(length=32), nullable=True),
    sa.Column('until', sa.BigInteger(), nullable=True),
    sa.Column('paused_until', sa.BigInteger(), nullable=True),
    sa.Column('look_ups_paused_until', sa.BigInteger(), nullable=True),
    sa.Column('checked', sa.String(length=64), nullable=True),
    sa.Column('checked_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('source', name=op.f('org_claim_pkey'))
    )


def _hook_refusal() -> None:
    op.create_table('hook_refusal',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('messages', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('refused_at', sa.BigInteger(), nullable=True),
    sa.Column('because', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('source', name=op.f('hook_refusal_pkey'))
    )


def _org_mapping() -> None:
    op.create_table('org_mapping',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('mapping', sa.Text(), nullable=False),
    sa.Column('approved_at', sa.BigInteger(), nullable=True),
    sa.Column('checked', sa.String(length=64), nullable=True),
    sa.Column('reading', sa.Text(), nullable=True),
    sa.Column('refused', sa.String(length=64), nullable=True),
    sa.Column('because', sa.Text(), nullable=True),
    sa.Column('checked_at', sa.BigInteger(), nullable=True),
    sa.Column('records', sa.BigInteger(), nullable=True),
    sa.Column('records_before', sa.BigInteger(), nullable=True),
    sa.Column('counted_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('source', 'mapping', name=op.f('org_mapping_pkey'))
    )


def _record_cursor() -> None:
    op.create_table('record_cursor',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('mapping', sa.Text(), nullable=False),
    sa.Column('floor', sa.BigInteger(), nullable=False),
    sa.Column('covered', sa.BigInteger(), nullable=True),
    sa.Column('covered_at', sa.BigInteger(), nullable=True),
    sa.Column('complete_at', sa.BigInteger(), nullable=True),
    sa.Column('swept_at', sa.BigInteger(), nullable=True),
    sa.Column('swept_to', sa.BigInteger(), nullable=True),
    sa.Column('stalled', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.PrimaryKeyConstraint('source', 'mapping', name=op.f('record_cursor_pkey'))
    )


def _record_hint() -> None:
    op.create_table('record_hint',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('notification', sa.String(length=80), nullable=False),
    sa.Column('object', sa.Text(), nullable=False),
    sa.Column('record', sa.String(length=18), nullable=True),
    sa.Column('arrived_at', sa.BigInteger(), nullable=False),
    sa.Column('due_at', sa.BigInteger(), nullable=True),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('outcome', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('record_hint_pkey')),
    sa.UniqueConstraint('source', 'notification', name=op.f('record_hint_source_notification_key'))
    )
    op.create_index('record_hint_due', 'record_hint', ['source', 'due_at'], unique=False, sqlite_where=sa.text('due_at is not null'), postgresql_where=sa.text('due_at is not null'))


def _record_seen() -> None:
    op.create_table('record_seen',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('mapping', sa.Text(), nullable=False),
    sa.Column('record', sa.String(length=18), nullable=False),
    sa.Column('stamp', sa.BigInteger(), nullable=False),
    sa.Column('order_id', sa.Text(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('asked', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('source', 'mapping', 'record', name=op.f('record_seen_pkey')),
    sqlite_with_rowid=False
    )
    op.create_index('record_seen_order', 'record_seen', ['source', 'mapping', 'order_id'], unique=False)


def _unread_lock() -> None:
    op.create_table('unread_lock',
    sa.Column('action_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('channel', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['action_id'], ['action.id'], name=op.f('unread_lock_action_id_fkey')),
    sa.PrimaryKeyConstraint('action_id', 'channel', name=op.f('unread_lock_pkey'))
    )
