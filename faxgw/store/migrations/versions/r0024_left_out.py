"""Parts of a mail that its fax lacks, kept with the job."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.add_column("jobs", sa.Column("left_out", sa.JSON(none_as_null=True), nullable=True))
