"""the first tables"""

from alembic import op
import sqlalchemy as sa

revision = '0001'
down_revision = None


def upgrade() -> None:
    _catalogue()
    _contract()
    _action()
    _delivery()
    _entry_and_line()
    if op.get_bind().dialect.name == 'postgresql':
        _postgresql()
    else:
        _sqlite()


def _catalogue() -> None:
    op.create_table('account',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('sid', sa.String(length=64), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('timezone', sa.Text(), nullable=False),
    sa.Column('currency', sa.String(length=3), nullable=False),
    sa.Column('encoding', sa.Text(), nullable=True),
    sa.Column('ignore_columns', sa.Text(), server_default='[]', nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('account_pkey')),
    sa.UniqueConstraint('sid', name=op.f('account_sid_key'))
    )
    op.create_table('disposition',
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('event_type_id', sa.BigInteger(), nullable=False),
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('disposition_account_id_fkey')),
    sa.PrimaryKeyConstraint('account_id', 'event_type_id', 'code', name=op.f('disposition_pkey'))
    )
    op.create_table('event_type',
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('event_type_id', sa.BigInteger(), nullable=False),
    sa.Column('program_id', sa.BigInteger(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('level', sa.Text(), nullable=False),
    sa.Column('basis', sa.Text(), nullable=False),
    sa.Column('same_order', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('event_type_account_id_fkey')),
    sa.PrimaryKeyConstraint('account_id', 'event_type_id', name=op.f('event_type_pkey'))
    )
    op.create_table('partner',
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('partner_id', sa.BigInteger(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('partner_account_id_fkey')),
    sa.PrimaryKeyConstraint('account_id', 'partner_id', name=op.f('partner_pkey'))
    )
    op.create_table('program',
    sa.Column('program_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('program_account_id_fkey')),
    sa.PrimaryKeyConstraint('program_id', name=op.f('program_pkey'))
    )


def _contract() -> None:
    op.create_table('contract',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('program_id', sa.BigInteger(), nullable=False),
    sa.Column('partner_id', sa.BigInteger(), nullable=False),
    sa.Column('effective', sa.Date(), nullable=False),
    sa.Column('locking', sa.Text(), nullable=False),
    sa.Column('payment', sa.Text(), nullable=False),
    sa.Column('percent_ppm', sa.BigInteger(), nullable=True),
    sa.Column('fixed_minor', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('contract_account_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('contract_pkey')),
    sa.UniqueConstraint('account_id', 'program_id', 'partner_id', 'effective', name=op.f('contract_account_id_program_id_partner_id_effective_key'))
    )


def _action() -> None:
    op.create_table('action',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('action_id', sa.String(length=64), nullable=False),
    sa.Column('program_id', sa.BigInteger(), nullable=False),
    sa.Column('event_type_id', sa.BigInteger(), nullable=False),
    sa.Column('partner_id', sa.BigInteger(), nullable=False),
    sa.Column('contract_id', sa.Integer(), nullable=False),
    sa.Column('order_id', sa.String(length=64), nullable=True),
    sa.Column('event_at', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('locks_at', sa.BigInteger(), nullable=False),
    sa.Column('locked_at', sa.BigInteger(), nullable=True),
    sa.Column('clears_on', sa.Date(), nullable=True),
    sa.Column('state', sa.String(length=8), nullable=False),
    sa.Column('currency', sa.String(length=3), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('payout', sa.BigInteger(), nullable=False),
    sa.Column('customer_status', sa.Text(), nullable=True),
    sa.Column('tracked_amount', sa.BigInteger(), nullable=False),
    sa.Column('tracked_payout', sa.BigInteger(), nullable=False),
    sa.Column('tracked_status', sa.Text(), nullable=True),
    sa.Column('prior_amount', sa.BigInteger(), nullable=True),
    sa.Column('prior_payout', sa.BigInteger(), nullable=True),
    sa.Column('changes', sa.Integer(), server_default='0', nullable=False),
    sa.Column('version', sa.Integer(), server_default='0', nullable=False),
    sa.Column('changed_by', sa.BigInteger(), nullable=True),
    sa.CheckConstraint("state in ('PENDING', 'APPROVED', 'REVERSED')", name=op.f('action_state')),
    sa.PrimaryKeyConstraint('id', name=op.f('action_pkey')),
    sa.UniqueConstraint('account_id', 'action_id', name=op.f('action_account_id_action_id_key'))
    )
    op.create_index('action_due', 'action', ['account_id', 'locks_at'], unique=False, sqlite_where=sa.text('locked_at is null'), postgresql_where=sa.text('locked_at is null'))
    op.create_index('action_order', 'action', ['account_id', 'event_type_id', 'order_id'], unique=False)


def _delivery() -> None:
    op.create_table('delivery',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('delivery', sa.String(length=64), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('channel', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('received_at', sa.BigInteger(), nullable=False),
    sa.Column('event_type_id', sa.BigInteger(), nullable=True),
    sa.Column('sent_by', sa.Text(), nullable=True),
    sa.Column('reading', sa.Text(), server_default='{}', nullable=False),
    sa.Column('identity', sa.String(length=64), nullable=True),
    sa.Column('duplicate_of', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('summary', sa.Text(), server_default='{}', nullable=False),
    sa.Column('finished_at', sa.BigInteger(), nullable=True),
    sa.Column('answered_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('delivery_account_id_fkey')),
    sa.ForeignKeyConstraint(['duplicate_of'], ['delivery.id'], name=op.f('delivery_duplicate_of_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('delivery_pkey')),
    sa.UniqueConstraint('account_id', 'identity', name=op.f('delivery_account_id_identity_key')),
    sa.UniqueConstraint('delivery', name=op.f('delivery_delivery_key'))
    )
    op.create_index('delivery_received', 'delivery', ['account_id', 'received_at'], unique=False)


def _entry_and_line() -> None:
    op.create_table('entry',
    sa.Column('delivery_id', sa.BigInteger(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('action_id', sa.BigInteger(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('change', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('state_before', sa.String(length=8), nullable=False),
    sa.Column('state_after', sa.String(length=8), nullable=False),
    sa.Column('amount_before', sa.BigInteger(), nullable=False),
    sa.Column('amount_after', sa.BigInteger(), nullable=False),
    sa.Column('payout_before', sa.BigInteger(), nullable=False),
    sa.Column('payout_after', sa.BigInteger(), nullable=False),
    sa.Column('status_before', sa.Text(), nullable=True),
    sa.Column('status_after', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('delivery_id', 'line', name=op.f('entry_pkey')),
    sa.UniqueConstraint('action_id', 'version', name=op.f('entry_action_id_version_key')),
    sqlite_with_rowid=False
    )
    op.create_table('line',
    sa.Column('delivery_id', sa.BigInteger(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=False),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('action_id', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('delivery_id', 'line', name=op.f('line_pkey')),
    sqlite_with_rowid=False
    )


def _postgresql() -> None:
    # Room on each page lets an update stay on its page, which halves the cost of a large delivery. A quarter is enough
    # where one delivery changes a fifth of all actions; more only makes the table larger.
    op.execute("alter table action set (fillfactor = 75)")
    op.execute("""
        create function entries_are_only_added() returns trigger language plpgsql as $$
        begin raise exception 'entries are only added'; end $$
    """)
    op.execute("""
        create trigger entry_append_only before update or delete on entry
        for each statement execute function entries_are_only_added()
    """)


def _sqlite() -> None:
    for verb in ('update', 'delete'):
        op.execute(f"""
            create trigger entry_no_{verb} before {verb} on entry
            begin select raise(abort, 'entries are only added'); end
        """)
