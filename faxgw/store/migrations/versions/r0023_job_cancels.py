"""Jobs that are cancelled as a whole."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "job_cancels",
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_job_cancels")),
    )
