"""each outcome of a mailed delivery told once"""

from alembic import op
import sqlalchemy as sa

revision = '0009'
down_revision = '0008'


def upgrade() -> None:
    op.add_column('delivery', sa.Column('mailed_revision', sa.Integer(), server_default='-1', nullable=False))
    with op.batch_alter_table('outbox') as outbox:
        outbox.add_column(sa.Column('revision', sa.Integer(), server_default='0', nullable=False))
        outbox.add_column(sa.Column('thread', sa.String(length=64), server_default='', nullable=False))
        outbox.add_column(sa.Column('overtaken_at', sa.BigInteger(), nullable=True))
        outbox.drop_constraint('outbox_kind_recipient_delivery_key', type_='unique')
        outbox.create_unique_constraint(
            'outbox_kind_recipient_delivery_revision_key', ['kind', 'recipient', 'delivery', 'revision']
        )
    # A message's number is the first two parts of those of its files.
    op.execute("update outbox set thread = substr(delivery, 1, 30)")
    # What was told until now is all there was to tell.
    op.execute("update delivery set mailed_revision = revision where answered_at is not null")
    op.create_index('outbox_thread', 'outbox', ['thread', 'due_at'], unique=False)
