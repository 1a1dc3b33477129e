"""Ranges of numbers; of received faxes the entry they came to and the caller's sub-address."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.add_column("numbers", sa.Column("last", sa.String(length=20), nullable=True))
    entry = sa.Column("entry", sa.String(length=20), server_default=sa.text("''"), nullable=False)
    op.add_column("receptions", entry)
    sub = sa.Column("sub_address", sa.String(length=24), server_default=sa.text("''"), nullable=False)
    op.add_column("receptions", sub)
    op.execute("UPDATE receptions SET entry = number")
