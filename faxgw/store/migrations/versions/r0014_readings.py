"""What was read on received pages, and the documents made of received faxes."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "readings",
        sa.Column("reception", sa.String(length=48), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_fence", sa.Integer(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("not_before", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("done_at", sa.Float(), nullable=True),
        sa.Column("reading", sa.JSON(), nullable=True),
        sa.Column("why", sa.String(length=400), server_default=sa.text("''"), nullable=False),
        sa.ForeignKeyConstraint(["reception"], ["receptions.id"], name=op.f("fk_readings_reception")),
        sa.PrimaryKeyConstraint("reception", "page", name=op.f("pk_readings")),
    )
    op.create_index(op.f("ix_readings_state_not_before"), "readings", ["state", "not_before"])
    op.create_table(
        "reception_documents",
        sa.Column("reception", sa.String(length=48), nullable=False),
        sa.Column("variant", sa.String(length=80), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("content_type", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["reception"], ["receptions.id"], name=op.f("fk_reception_documents_reception")),
        sa.PrimaryKeyConstraint("reception", "variant", "position", name=op.f("pk_reception_documents")),
    )
    op.create_index(op.f("ix_reception_documents_key"), "reception_documents", ["key"])
