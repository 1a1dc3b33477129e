"""Logins of their own, API tokens, who keeps a row of the directory, and what a number is for."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LOGINS = """
INSERT INTO logins (name, customer, "user", password, scopes, allow, state, managed)
SELECT login, customer, id, password, '{scopes}', '[]', 'active', 'file' FROM users
WHERE login IS NOT NULL AND password IS NOT NULL
"""
"""Until now only the settings file could give a login."""
SCOPES = '["faxes:read", "faxes:write", "inbox:read", "inbox:write", "templates", "webhooks"]'


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "logins",
        sa.Column("name", sa.String(length=320), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=130), nullable=True),
        sa.Column("password", sa.String(length=200), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("allow", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("created_at", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_used_at", sa.Float(), nullable=True),
        _managed(),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_logins_customer")),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_logins_user")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_logins")),
    )
    op.create_index(op.f("ix_logins_customer"), "logins", ["customer"], unique=False)
    op.create_index(op.f("ix_logins_user"), "logins", ["user"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=True),
        sa.Column("user", sa.String(length=130), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("allow", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(length=130), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("last_used_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_tokens_customer")),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_tokens_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
    )
    op.create_index(op.f("ix_tokens_customer_created_at"), "tokens", ["customer", "created_at"], unique=False)
    op.create_index(op.f("ix_tokens_user"), "tokens", ["user"], unique=False)
    op.execute(LOGINS.format(scopes=SCOPES))
    for table in ("customers", "profiles", "senders", "domains", "numbers"):
        op.add_column(table, _managed())
    op.add_column("numbers", sa.Column("inbound", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("numbers", sa.Column("clip", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("numbers", sa.Column("clip_until", sa.Float(), nullable=True))
    op.add_column(
        "numbers", sa.Column("origin", sa.String(length=12), server_default=sa.text("'assigned'"), nullable=False)
    )
    with op.batch_alter_table("users") as batch:
        batch.add_column(_managed())
        batch.drop_constraint(op.f("uq_users_login"), type_="unique")
        batch.drop_column("password")
        batch.drop_column("login")


def _managed() -> sa.Column[str]:
    return sa.Column("managed", sa.String(length=12), server_default=sa.text("''"), nullable=False)
