"""Public keys of logins; how long an idempotency key holds."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "login_keys",
        sa.Column("login", sa.String(length=320), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("comment", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(length=130), nullable=False),
        sa.Column("last_used_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["login"], ["logins.name"], name=op.f("fk_login_keys_login"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("login", "fingerprint", name=op.f("pk_login_keys")),
    )
    op.add_column("job_keys", sa.Column("valid_until", sa.Float(), server_default=sa.text("0"), nullable=False))
    op.create_index(op.f("ix_job_keys_valid_until"), "job_keys", ["valid_until"], unique=False)
