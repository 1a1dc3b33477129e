"""Received faxes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "receptions",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("dialled", sa.String(length=160), nullable=False),
        sa.Column("caller", sa.String(length=160), nullable=False),
        sa.Column("display", sa.String(length=200), nullable=False),
        sa.Column("ident", sa.String(length=40), server_default=sa.text("''"), nullable=False),
        sa.Column("trunk", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=200), nullable=False),
        sa.Column("dialog", sa.JSON(), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("answered_at", sa.Float(), nullable=True),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("pages", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("page_end", sa.String(length=4), server_default=sa.text("''"), nullable=False),
        sa.Column("farewell", sa.Boolean(), nullable=True),
        sa.Column("cause", sa.String(length=32), server_default=sa.text("''"), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.Column("trace", sa.JSON(), nullable=True),
        sa.Column("document_key", sa.String(length=200), nullable=True),
        sa.Column("document_sha256", sa.String(length=64), nullable=True),
        sa.Column("document_size", sa.Integer(), nullable=True),
        sa.Column("thumbnail", sa.LargeBinary(), nullable=True),
        sa.Column("problem", sa.String(length=400), server_default=sa.text("''"), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_fence", sa.Integer(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("not_before", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_receptions_customer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receptions")),
    )
    op.create_index(op.f("ix_receptions_customer_started_at"), "receptions", ["customer", "started_at"], unique=False)
    op.create_index(op.f("ix_receptions_document_key"), "receptions", ["document_key"], unique=False)
    op.create_index(op.f("ix_receptions_started_at"), "receptions", ["started_at"], unique=False)
    op.create_index(op.f("ix_receptions_state_not_before"), "receptions", ["state", "not_before"], unique=False)

    op.create_table(
        "reception_pages",
        sa.Column("reception", sa.String(length=48), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("x_resolution", sa.Integer(), nullable=False),
        sa.Column("y_resolution", sa.Integer(), nullable=False),
        sa.Column("bad_rows", sa.Integer(), nullable=False),
        sa.Column("encoding", sa.String(length=8), nullable=False),
        sa.Column("page_end", sa.String(length=4), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["reception"], ["receptions.id"], name=op.f("fk_reception_pages_reception")),
        sa.PrimaryKeyConstraint("reception", "page", name=op.f("pk_reception_pages")),
    )
    op.create_index(op.f("ix_reception_pages_key"), "reception_pages", ["key"], unique=False)

    op.add_column("outbox", sa.Column("reception", sa.String(length=48), nullable=True))
    op.create_index(op.f("ix_outbox_reception"), "outbox", ["reception"], unique=False)
