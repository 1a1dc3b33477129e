"""Received faxes that wait to be fetched."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "pulls",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("topic", sa.String(length=64), nullable=False),
        sa.Column("reception", sa.String(length=48), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("hidden_until", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("acknowledged_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pulls")),
    )
    op.create_index(
        op.f("ix_pulls_customer_topic_created_at"), "pulls", ["customer", "topic", "created_at"], unique=False
    )
    op.create_index(op.f("ix_pulls_created_at"), "pulls", ["created_at"], unique=False)
    op.create_table(
        "pull_documents",
        sa.Column("pull", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("url_name", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("content_type", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["pull"], ["pulls.id"], name=op.f("fk_pull_documents_pull")),
        sa.PrimaryKeyConstraint("pull", "position", name=op.f("pk_pull_documents")),
        sa.UniqueConstraint("url_name", name=op.f("uq_pull_documents_url_name")),
    )
    op.create_index(op.f("ix_pull_documents_key"), "pull_documents", ["key"], unique=False)
