"""References of jobs, acknowledgements of received faxes, webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    empty = sa.text("''")
    op.add_column("jobs", sa.Column("reference", sa.String(length=256), server_default=empty, nullable=False))
    named = sa.text("reference != ''")
    op.create_index(
        "ix_jobs_reference", "jobs", ["customer", "reference"], unique=False, sqlite_where=named, postgresql_where=named
    )
    op.add_column("receptions", sa.Column("acknowledged_at", sa.Float(), nullable=True))
    op.add_column(
        "receptions", sa.Column("acknowledged_by", sa.String(length=130), server_default=empty, nullable=False)
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=130), nullable=True),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("former_secret", sa.String(length=100), server_default=empty, nullable=False),
        sa.Column("former_until", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(length=130), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_webhooks_customer")),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_webhooks_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index(op.f("ix_webhooks_customer_id"), "webhooks", ["customer", "id"], unique=False)
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "webhook_tries",
        sa.Column("serial", serial, autoincrement=True, nullable=False),
        sa.Column("webhook", sa.String(length=48), nullable=False),
        sa.Column("item", sa.String(length=48), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("entity", sa.String(length=48), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("ms", sa.Integer(), nullable=False),
        sa.Column("detail", sa.String(length=400), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["webhook"], ["webhooks.id"], name=op.f("fk_webhook_tries_webhook"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_webhook_tries")),
    )
    op.create_index(op.f("ix_webhook_tries_item"), "webhook_tries", ["item"], unique=False)
    op.create_index(op.f("ix_webhook_tries_webhook_serial"), "webhook_tries", ["webhook", "serial"], unique=False)
