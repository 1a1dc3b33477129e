"""Status pushes of jobs, and how far webhooks were told."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "pushes",
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("method", sa.String(length=12), nullable=False),
        sa.Column("principal", sa.String(length=400), nullable=False),
        sa.Column("credentials", sa.String(length=1000), nullable=False),
        sa.Column("form", sa.String(length=4), nullable=False),
        sa.Column("token_url", sa.String(length=2000), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_pushes_job")),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_pushes")),
    )
    op.create_table(
        "feeds",
        sa.Column("name", sa.String(length=24), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feeds")),
    )
