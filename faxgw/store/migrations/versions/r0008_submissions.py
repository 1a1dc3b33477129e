"""Jobs that come with their structure: keys, reports that clients delete, documents fetched from elsewhere."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.add_column("faxes", sa.Column("properties", sa.JSON(), nullable=True))
    op.create_table(
        "job_references",
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("charset", sa.String(length=64), nullable=True),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("pending", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("not_before", sa.Float(), nullable=False),
        sa.Column("give_up_at", sa.Float(), nullable=False),
        sa.Column("lease_fence", sa.Integer(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_job_references_job")),
        sa.PrimaryKeyConstraint("job", "position", name=op.f("pk_job_references")),
    )
    op.create_index("ix_job_references_pending", "job_references", ["not_before"], unique=False, **_where("pending"))
    op.create_table(
        "job_keys",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_job_keys")),
    )
    op.create_index(op.f("ix_job_keys_created_at"), "job_keys", ["created_at"], unique=False)
    op.create_table(
        "job_reports",
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=320), nullable=False),
        sa.Column("interface", sa.String(length=12), nullable=False),
        sa.Column("accepted_at", sa.Float(), nullable=False),
        sa.Column("reference", sa.JSON(), nullable=False),
        sa.Column("deleted_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_job_reports_job")),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_job_reports")),
    )
    kept = _where("deleted_at IS NULL")
    op.create_index("ix_job_reports_owner", "job_reports", ["customer", "owner", "accepted_at"], unique=False, **kept)
    op.create_index("ix_job_reports_kept", "job_reports", ["accepted_at"], unique=False, **kept)


def _where(condition: str) -> dict[str, Any]:  # one type for all values would not fit the other keywords
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
