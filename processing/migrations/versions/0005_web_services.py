"""what Web Services read"""

from alembic import op

revision = '0005'
down_revision = '0001'


def upgrade() -> None:
    op.create_index('action_created', 'action', ['program_id', 'created_at', 'id'], unique=False)
    op.create_index('delivery_finished', 'delivery', ['account_id', 'finished_at'], unique=False)
