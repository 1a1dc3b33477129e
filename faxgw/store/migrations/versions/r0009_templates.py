"""Templates of cover pages and overlays; pages beside the body of a job."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.add_column("jobs", sa.Column("cover_text", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("readying", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    readying = sa.text("readying")
    op.create_index(
        "ix_jobs_readying", "jobs", ["not_before"], unique=False, sqlite_where=readying, postgresql_where=readying
    )
    op.create_table(
        "templates",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("format", sa.String(length=8), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.Column("changed_by", sa.String(length=130), nullable=False),
        sa.PrimaryKeyConstraint("customer", "kind", "name", name=op.f("pk_templates")),
    )
    op.create_table(
        "renditions",
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("fax", sa.String(length=48), server_default=sa.text("''"), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("resolution", sa.String(length=12), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_renditions_job")),
        sa.PrimaryKeyConstraint("job", "fax", "kind", "resolution", name=op.f("pk_renditions")),
    )
    op.create_index(op.f("ix_renditions_key"), "renditions", ["key"], unique=False)
