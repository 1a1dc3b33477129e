"""Retention, legal holds, audit, junk and duplicates."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")


def upgrade() -> None:
    """Change the tables."""
    unreckoned = sa.text("purge_at IS NULL AND finished_at IS NOT NULL")
    for table in ("jobs", "receptions"):
        op.add_column(table, sa.Column("purge_at", sa.Float(), nullable=True))
        op.add_column(table, sa.Column("purged", sa.Integer(), server_default=sa.text("0"), nullable=False))
        op.create_index(
            f"ix_{table}_unreckoned", table, ["finished_at"], sqlite_where=unreckoned, postgresql_where=unreckoned
        )
        op.create_index(op.f(f"ix_{table}_purge_at"), table, ["purge_at"])
    op.create_table(
        "holds",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("entity", sa.String(length=48), nullable=False),
        sa.Column("since", sa.Float(), nullable=True),
        sa.Column("until", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("set_at", sa.Float(), nullable=False),
        sa.Column("set_by", sa.String(length=130), nullable=False),
        sa.Column("lifted_at", sa.Float(), nullable=True),
        sa.Column("lifted_by", sa.String(length=130), server_default=_EMPTY, nullable=False),
        sa.Column("lifted_why", sa.String(length=400), server_default=_EMPTY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_table(
        "audit",
        sa.Column("serial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.String(length=130), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("entity", sa.String(length=64), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_entity_serial"), "audit", ["entity", "serial"])
    op.create_index(op.f("ix_audit_at"), "audit", ["at"])
    op.create_table(
        "audit_ends",
        sa.Column("name", sa.String(length=8), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_audit_ends")),
    )
    op.create_table(
        "page_prints",
        sa.Column("reception", sa.String(length=48), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("ink", sa.Float(), nullable=False),
        sa.Column("print", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["reception"], ["receptions.id"], name=op.f("fk_page_prints_reception")),
        sa.PrimaryKeyConstraint("reception", "page", name=op.f("pk_page_prints")),
    )
    op.create_index(op.f("ix_page_prints_number_at"), "page_prints", ["number", "at"])
    op.create_index(op.f("ix_page_prints_at"), "page_prints", ["at"])
    op.create_table(
        "junk",
        sa.Column("reception", sa.String(length=48), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("duplicate_of", sa.String(length=48), nullable=False),
        sa.Column("judged_at", sa.Float(), nullable=False),
        sa.Column("release_at", sa.Float(), nullable=True),
        sa.Column("settled_at", sa.Float(), nullable=True),
        sa.Column("settled_by", sa.String(length=130), server_default=_EMPTY, nullable=False),
        sa.Column("told_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["reception"], ["receptions.id"], name=op.f("fk_junk_reception")),
        sa.PrimaryKeyConstraint("reception", name=op.f("pk_junk")),
    )
    op.create_index(op.f("ix_junk_state_release_at"), "junk", ["state", "release_at"])
    op.create_index(op.f("ix_junk_number_judged_at"), "junk", ["number", "judged_at"])
    op.create_table(
        "junk_verdicts",
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("value", sa.String(length=160), nullable=False),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=130), nullable=False),
        sa.PrimaryKeyConstraint("number", "kind", "value", name=op.f("pk_junk_verdicts")),
    )
