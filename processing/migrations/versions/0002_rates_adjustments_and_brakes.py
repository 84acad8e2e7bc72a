"""rates, adjustments and brakes"""

from alembic import op
import sqlalchemy as sa

revision = '0002'
down_revision = '0001'


def upgrade() -> None:
    op.add_column('account', sa.Column('brakes', sa.Text(), server_default='{}', nullable=False))
    op.create_table('exchange_rate',
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('source', sa.String(length=3), nullable=False),
    sa.Column('target', sa.String(length=3), nullable=False),
    sa.Column('scaled', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('day', 'source', 'target', name=op.f('exchange_rate_pkey'))
    )
    op.create_table('adjustment',
    sa.Column('delivery_id', sa.BigInteger(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('action_id', sa.BigInteger(), nullable=False),
    sa.Column('change', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('amount_after', sa.BigInteger(), nullable=False),
    sa.Column('payout_after', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('delivery_id', 'line', name=op.f('adjustment_pkey')),
    sqlite_with_rowid=False
    )
