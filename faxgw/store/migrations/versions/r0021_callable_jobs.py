"""Jobs with faxes that may be called, each with the time from which: what the dispatcher looks at."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

CALLABLE = sa.text("coalesce(state, '') IN ('ready', 'waiting')")
COLUMNS = ["job", "until", "position", "earliest", "latest", "e164", "state"]
FILL = """
INSERT INTO callable_jobs (job, customer, priority, accepted_at, due_at, trunk)
SELECT j.id, j.customer, d.priority, j.accepted_at,
    CASE WHEN d.due > j.accepted_at THEN d.due ELSE j.accepted_at END, coalesce({trunk}, '')
FROM jobs j JOIN (
    SELECT job, max(CASE WHEN priority > 0 THEN 1 ELSE 0 END) AS priority,
        min(CASE WHEN "until" > earliest THEN "until" ELSE earliest END) AS due
    FROM faxes WHERE coalesce(state, '') IN ('ready', 'waiting') GROUP BY job
) d ON d.job = j.id
"""


def upgrade() -> None:
    """Change the tables."""
    op.drop_index("ix_faxes_callable", "faxes")
    op.create_index("ix_faxes_callable", "faxes", COLUMNS, sqlite_where=CALLABLE, postgresql_where=CALLABLE)
    op.create_table(
        "callable_jobs",
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("accepted_at", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("trunk", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_callable_jobs")),
    )
    op.create_index(
        op.f("ix_callable_jobs_customer_priority_due_at"), "callable_jobs", ["customer", "priority", "due_at"]
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    trunk = "json_extract(j.settings, '$.trunk.value')" if sqlite else "j.settings #>> '{trunk,value}'"
    op.execute(sa.text(FILL.format(trunk=trunk)))
