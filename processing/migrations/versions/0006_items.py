"""items"""

from alembic import op
import sqlalchemy as sa

revision = '0006'
down_revision = '0005'


def upgrade() -> None:
    op.add_column('contract', sa.Column('categories_ppm', sa.Text(), server_default='{}', nullable=False))
    op.create_table('item',
    sa.Column('action_id', sa.BigInteger(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('sku', sa.Text(), nullable=False),
    sa.Column('category', sa.Text(), nullable=True),
    sa.Column('quantity', sa.Integer(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('tracked_quantity', sa.Integer(), nullable=False),
    sa.Column('tracked_amount', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('action_id', 'sku', name=op.f('item_pkey')),
    sqlite_with_rowid=False
    )
    op.create_table('item_entry',
    sa.Column('delivery_id', sa.BigInteger(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('action_id', sa.BigInteger(), nullable=False),
    sa.Column('sku', sa.Text(), nullable=False),
    sa.Column('quantity_before', sa.Integer(), nullable=False),
    sa.Column('quantity_after', sa.Integer(), nullable=False),
    sa.Column('amount_before', sa.BigInteger(), nullable=False),
    sa.Column('amount_after', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('delivery_id', 'line', 'sku', name=op.f('item_entry_pkey')),
    sqlite_with_rowid=False
    )
    _what_lines_named()
    op.create_index('item_entry_action_id', 'item_entry', ['action_id'], unique=False)
    if op.get_bind().dialect.name == 'postgresql':
        op.execute("""
            create trigger item_entry_append_only before update or delete on item_entry
            for each statement execute function entries_are_only_added()
        """)
        return
    for verb in ('update', 'delete'):
        op.execute(f"""
            create trigger item_entry_no_{verb} before {verb} on item_entry
            begin select raise(abort, 'entries are only added'); end
        """)


def _what_lines_named() -> None:
    op.create_table('item_word',
    sa.Column('delivery_id', sa.BigInteger(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('action_id', sa.BigInteger(), nullable=False),
    sa.Column('sku', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('delivery_id', 'line', 'sku', name=op.f('item_word_pkey')),
    sqlite_with_rowid=False
    )
    op.create_index('item_word_action', 'item_word', ['action_id'], unique=False)
    op.create_table('adjustment_item',
    sa.Column('delivery_id', sa.BigInteger(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('sku', sa.Text(), nullable=False),
    sa.Column('quantity', sa.Integer(), nullable=True),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('delivery_id', 'line', 'sku', name=op.f('adjustment_item_pkey')),
    sqlite_with_rowid=False
    )
