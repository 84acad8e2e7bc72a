"""what Web Services read"""

from alembic import op
import sqlalchemy as sa

revision = '0008'
down_revision = '0007'


def upgrade() -> None:
    op.add_column('delivery', sa.Column('changed_at', sa.BigInteger(), nullable=True))
    op.execute('update delivery set changed_at = finished_at')
    op.create_index('action_created', 'action', ['program_id', 'created_at', 'id'], unique=False)
    op.create_index('delivery_finished', 'delivery', ['account_id', 'finished_at', 'id'], unique=False)
    op.create_index('delivery_changed', 'delivery', ['account_id', 'changed_at', 'id'], unique=False)
