"""Recipients of large jobs, written before the job is there."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "staged_faxes",
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("properties", sa.JSON(), nullable=True),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("staged_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job", "position", name=op.f("pk_staged_faxes")),
    )
