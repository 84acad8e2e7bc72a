"""proof that files are whole: which accounts end theirs with a trailer, and what waits for a file or an answer"""

from alembic import op
import sqlalchemy as sa

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    op.add_column('account', sa.Column('trailer', sa.Text(), server_default='optional', nullable=False))
    op.create_index('delivery_state', 'delivery', ['account_id', 'state'])
