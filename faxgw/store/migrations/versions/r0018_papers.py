"""Papers of numbers: letters of authority and consents."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "number_papers",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("content_type", sa.String(length=100), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("until", sa.Float(), nullable=True),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.Column("added_by", sa.String(length=130), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_number_papers_customer")),
        sa.ForeignKeyConstraint(["number"], ["numbers.e164"], name=op.f("fk_number_papers_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_number_papers")),
    )
    op.create_index(op.f("ix_number_papers_number"), "number_papers", ["number"], unique=False)
