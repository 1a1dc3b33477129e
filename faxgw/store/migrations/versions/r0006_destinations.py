"""What calls taught of each destination, and how each call was to be made."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "destinations",
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("called_at", sa.Float(), nullable=False),
        sa.Column("calls", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("e164", name=op.f("pk_destinations")),
    )
    op.create_index(op.f("ix_destinations_called_at"), "destinations", ["called_at"], unique=False)
    op.add_column("attempts", sa.Column("manner", sa.JSON(), nullable=True))
