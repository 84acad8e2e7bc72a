"""webhooks and their events"""

from alembic import op
import sqlalchemy as sa

revision = '0010'
down_revision = '0009'

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table('webhook',
    sa.Column('id', ROW_ID, nullable=False),
    sa.Column('webhook', sa.String(length=32), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('kinds', sa.Text(), nullable=False),
    sa.Column('made_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('webhook_account_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('webhook_pkey')),
    sa.UniqueConstraint('webhook', name=op.f('webhook_webhook_key'))
    )
    op.create_table('webhook_event',
    sa.Column('id', ROW_ID, nullable=False),
    sa.Column('event', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('delivery_id', sa.BigInteger(), nullable=False),
    sa.Column('made_at', sa.BigInteger(), nullable=False),
    sa.Column('about', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('webhook_event_account_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('webhook_event_pkey')),
    sa.UniqueConstraint('event', name=op.f('webhook_event_event_key'))
    )
    op.create_index('webhook_event_delivery_id', 'webhook_event', ['delivery_id'], unique=False)
    op.create_index('webhook_event_made', 'webhook_event', ['account_id', 'made_at'], unique=False)
