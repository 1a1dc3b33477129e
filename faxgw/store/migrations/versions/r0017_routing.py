"""Targets and rules of received faxes, and replies to their callers."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")
_ZERO = sa.text("0")


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "targets",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("address", sa.String(length=1000), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("formats", sa.JSON(), nullable=False),
        sa.Column("searchable", sa.Boolean(), nullable=False),
        sa.Column("upright", sa.Boolean(), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("encryption", sa.String(length=12), nullable=False),
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("secrets", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(length=130), nullable=False),
        sa.Column("managed", sa.String(length=12), server_default=_EMPTY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_targets")),
        sa.UniqueConstraint("customer", "name", name=op.f("uq_targets_customer_name")),
    )
    op.create_table(
        "routing_rules",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("level", sa.String(length=12), nullable=False),
        sa.Column("scope", sa.String(length=130), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(length=130), nullable=False),
        sa.Column("managed", sa.String(length=12), server_default=_EMPTY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_rules")),
        sa.UniqueConstraint(
            "customer", "level", "scope", "name", name=op.f("uq_routing_rules_customer_level_scope_name")
        ),
    )
    op.create_table(
        "reception_replies",
        sa.Column("reception", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("caller", sa.String(length=20), nullable=False),
        sa.Column("template", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("job", sa.String(length=48), nullable=True),
        sa.Column("why", sa.String(length=400), server_default=_EMPTY, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("not_before", sa.Float(), server_default=_ZERO, nullable=False),
        sa.ForeignKeyConstraint(["reception"], ["receptions.id"], name=op.f("fk_reception_replies_reception")),
        sa.PrimaryKeyConstraint("reception", name=op.f("pk_reception_replies")),
    )
    op.create_index(op.f("ix_reception_replies_customer_caller_at"), "reception_replies", ["customer", "caller", "at"])
    op.create_index(op.f("ix_reception_replies_state_not_before"), "reception_replies", ["state", "not_before"])
    op.create_index(op.f("ix_reception_replies_job"), "reception_replies", ["job"])
    op.add_column("receptions", sa.Column("awaits_until", sa.Float(), nullable=True))
    read = sa.Column("read_pages", sa.Integer(), server_default=_ZERO, nullable=False)
    op.add_column("receptions", read)
    op.add_column("receptions", sa.Column("routing", sa.JSON(), nullable=True))
