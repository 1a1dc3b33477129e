"""Serials of the journal that a restore can raise to the present millisecond."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables. SQLite's integer keys have 64 bits already."""
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("events", "serial", type_=sa.BigInteger(), existing_type=sa.Integer())
        op.execute("ALTER SEQUENCE events_serial_seq AS bigint")
