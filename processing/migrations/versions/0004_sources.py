"""what was fetched from brands' own servers"""

from alembic import op
import sqlalchemy as sa

revision = '0004'
down_revision = '0003'


def upgrade() -> None:
    op.create_table('fetched',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('modified_at', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('delivery', sa.String(length=64), nullable=False),
    sa.Column('fetched_at', sa.BigInteger(), nullable=False),
    sa.Column('returned_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('fetched_pkey')),
    sa.UniqueConstraint('delivery', name=op.f('fetched_delivery_key')),
    sa.UniqueConstraint('source', 'name', 'size_bytes', 'modified_at', 'sha256',
                        name=op.f('fetched_source_name_size_bytes_modified_at_sha256_key'))
    )
    op.create_table('source_round',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('ended_at', sa.BigInteger(), nullable=False),
    sa.Column('told', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('source', name=op.f('source_round_pkey'))
    )
