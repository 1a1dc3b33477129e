"""Indexes of the faxes that wait: the dispatcher's look, the next time, expiry."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CALLABLE = sa.text("coalesce(state, '') IN ('ready', 'waiting')")
UNFINISHED = sa.text("finished_at IS NULL")
INDEXES = (
    (
        "ix_faxes_callable",
        ["customer", "job", "position", "priority", "until", "earliest", "latest", "e164", "state"],
        CALLABLE,
    ),
    ("ix_faxes_callable_until", ["until", "earliest"], CALLABLE),
    ("ix_faxes_callable_earliest", ["earliest", "until"], CALLABLE),
    ("ix_faxes_open_latest", ["latest"], UNFINISHED),
)


def upgrade() -> None:
    """Change the tables."""
    for name, columns, where in INDEXES:
        op.create_index(name, "faxes", columns, unique=False, sqlite_where=where, postgresql_where=where)
