"""e-mail messages and the outbox"""

from alembic import op
import sqlalchemy as sa

revision = '0007'
down_revision = '0006'

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table('message',
    sa.Column('id', ROW_ID, nullable=False),
    sa.Column('message', sa.String(length=64), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('recipient', sa.Text(), nullable=False),
    sa.Column('sender', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('thread', sa.Text(), server_default='[]', nullable=False),
    sa.Column('identity', sa.String(length=64), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('unanswered', sa.Text(), nullable=False),
    sa.Column('received_at', sa.BigInteger(), nullable=False),
    sa.Column('decided_at', sa.BigInteger(), nullable=False),
    sa.Column('decided_by', sa.Text(), nullable=True),
    sa.Column('answered_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('message_account_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('message_pkey')),
    sa.UniqueConstraint('account_id', 'identity', name=op.f('message_account_id_identity_key')),
    sa.UniqueConstraint('message', name=op.f('message_message_key'))
    )
    op.create_index('message_received', 'message', ['account_id', 'received_at'], unique=False)
    op.create_table('outbox',
    sa.Column('id', ROW_ID, nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('recipient', sa.Text(), nullable=False),
    sa.Column('delivery', sa.String(length=64), nullable=False),
    sa.Column('made_at', sa.BigInteger(), nullable=False),
    sa.Column('due_at', sa.BigInteger(), nullable=True),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('done_at', sa.BigInteger(), nullable=True),
    sa.Column('given_up_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('outbox_pkey')),
    sa.UniqueConstraint('kind', 'recipient', 'delivery', name=op.f('outbox_kind_recipient_delivery_key'))
    )
    op.create_index('outbox_due', 'outbox', ['kind', 'due_at'], unique=False)
