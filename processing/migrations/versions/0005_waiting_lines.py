"""waiting lines, revisions of receipts, and deliveries that undo others"""

from alembic import op
import sqlalchemy as sa

revision = '0005'
down_revision = '0004'


def upgrade() -> None:
    op.add_column('account', sa.Column('waiting_days', sa.Integer(), server_default='30', nullable=False))
    op.add_column('delivery', sa.Column('revision', sa.Integer(), server_default='0', nullable=False))
    for name in ('waits_until', 'undoes', 'undone_by'):
        op.add_column('delivery', sa.Column(name, sa.BigInteger(), nullable=True))
    _partial('delivery_unanswered', 'delivery', ['account_id', 'received_at'], 'answered_at is null')
    _partial('delivery_waits', 'delivery', ['waits_until'], 'waits_until is not null')
    _partial('delivery_undoes', 'delivery', ['undoes'], 'undoes is not null')
    _waiting_line()
    _judged_later()


def _waiting_line() -> None:
    op.create_table('waiting_line',
    sa.Column('delivery_id', sa.BigInteger(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('action_id', sa.String(length=64), nullable=True),
    sa.Column('order_id', sa.String(length=64), nullable=True),
    sa.Column('event_type_id', sa.BigInteger(), nullable=True),
    sa.Column('ready', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('held', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.PrimaryKeyConstraint('delivery_id', 'line', name=op.f('waiting_line_pkey')),
    sqlite_with_rowid=False
    )
    op.create_index('waiting_action', 'waiting_line', ['account_id', 'action_id'], unique=False)
    op.create_index('waiting_order', 'waiting_line', ['account_id', 'event_type_id', 'order_id'], unique=False)
    op.create_index('waiting_ready', 'waiting_line', ['account_id', 'delivery_id'], unique=False, sqlite_where=sa.text('ready = 1'), postgresql_where=sa.text('ready'))


def _judged_later() -> None:
    op.create_table('judged_later',
    sa.Column('delivery_id', sa.BigInteger(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('judged_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['delivery_id', 'line'], ['entry.delivery_id', 'entry.line'], name=op.f('judged_later_delivery_id_fkey')),
    sa.PrimaryKeyConstraint('delivery_id', 'line', name=op.f('judged_later_pkey')),
    sqlite_with_rowid=False
    )
    op.create_index('judged_later_at', 'judged_later', ['account_id', 'judged_at', 'delivery_id', 'line'], unique=False)


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, unique=False, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
