"""Tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "customers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
    )
    op.create_table(
        "events",
        sa.Column("serial", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("entity", sa.String(length=48), nullable=False),
        sa.Column("job", sa.String(length=48), nullable=True),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("who", sa.String(length=130), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_entity_serial"), "events", ["entity", "serial"], unique=False)
    op.create_index(op.f("ix_events_job_serial"), "events", ["job", "serial"], unique=False)
    op.create_table(
        "nodes",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_nodes")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("target", sa.String(length=1000), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("job", sa.String(length=48), nullable=True),
        sa.Column("message", sa.String(length=48), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_fence", sa.Integer(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("done_at", sa.Float(), nullable=True),
        sa.Column("detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_job"), "outbox", ["job"], unique=False)
    op.create_index(op.f("ix_outbox_state_due_at"), "outbox", ["state", "due_at"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("trunk", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("call_id", sa.String(length=200), nullable=False),
        sa.Column("from_tag", sa.String(length=64), nullable=False),
        sa.Column("branch", sa.String(length=100), nullable=False),
        sa.Column("cseq", sa.Integer(), nullable=False),
        sa.Column("dialog", sa.JSON(), nullable=True),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("mark", sa.String(length=10), nullable=False),
        sa.Column("planned_at", sa.Float(), nullable=False),
        sa.Column("answered_at", sa.Float(), nullable=True),
        sa.Column("exposed_at", sa.Float(), nullable=True),
        sa.Column("done_at", sa.Float(), nullable=True),
        sa.Column("cause", sa.String(length=32), server_default=sa.text("''"), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.Column("trace", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_attempts_customer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index(
        "uq_attempts_open_number",
        "attempts",
        ["number"],
        unique=True,
        sqlite_where=sa.text("done_at IS NULL"),
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "domains",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=True),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_domains_customer")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_domains")),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=130), nullable=False),
        sa.Column("how", sa.String(length=12), nullable=False),
        sa.Column("login", sa.String(length=320), nullable=False),
        sa.Column("sender", sa.String(length=320), nullable=False),
        sa.Column("message_id", sa.String(length=998), nullable=False),
        sa.Column("subject", sa.String(length=998), nullable=False),
        sa.Column("envid", sa.String(length=200), nullable=False),
        sa.Column("ret", sa.String(length=8), nullable=False),
        sa.Column("file_key", sa.String(length=200), nullable=False),
        sa.Column("file_sha256", sa.String(length=64), nullable=False),
        sa.Column("file_size", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_fence", sa.Integer(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("not_before", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("job", sa.String(length=48), nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_messages_customer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(op.f("ix_messages_file_key"), "messages", ["file_key"], unique=False)
    op.create_index(op.f("ix_messages_state_received_at"), "messages", ["state", "received_at"], unique=False)
    op.create_table(
        "profiles",
        sa.Column("id", sa.String(length=130), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_profiles_customer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profiles")),
        sa.UniqueConstraint("customer", "name", name=op.f("uq_profiles_customer_name")),
    )
    op.create_table(
        "dedupe",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("message", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["message"], ["messages.id"], name=op.f("fk_dedupe_message")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_dedupe")),
    )
    op.create_index(op.f("ix_dedupe_created_at"), "dedupe", ["created_at"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("message", sa.String(length=48), nullable=True),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=130), nullable=False),
        sa.Column("owner", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.String(length=998), nullable=False),
        sa.Column("in_reply_to", sa.String(length=998), nullable=False),
        sa.Column("accepted_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("open", sa.Integer(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("report_to", sa.JSON(), nullable=False),
        sa.Column("resend_of", sa.String(length=48), nullable=True),
        sa.Column("body_key", sa.String(length=200), nullable=True),
        sa.Column("body_sha256", sa.String(length=64), nullable=True),
        sa.Column("body_size", sa.Integer(), nullable=True),
        sa.Column("pages", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("page_facts", sa.JSON(), nullable=False),
        sa.Column("thumbnail", sa.LargeBinary(), nullable=True),
        sa.Column("render_tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_fence", sa.Integer(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("not_before", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_jobs_customer")),
        sa.ForeignKeyConstraint(["message"], ["messages.id"], name=op.f("fk_jobs_message")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_body_key"), "jobs", ["body_key"], unique=False)
    op.create_index(op.f("ix_jobs_customer_accepted_at"), "jobs", ["customer", "accepted_at"], unique=False)
    op.create_index(
        "ix_jobs_unrendered",
        "jobs",
        ["not_before"],
        unique=False,
        sqlite_where=sa.text("body_key IS NULL"),
        postgresql_where=sa.text("body_key IS NULL"),
    )
    op.create_table(
        "message_recipients",
        sa.Column("message", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=600), nullable=False),
        sa.Column("number_typed", sa.String(length=160), nullable=False),
        sa.Column("number_e164", sa.String(length=20), nullable=False),
        sa.Column("sub_address", sa.String(length=24), nullable=False),
        sa.Column("notify", sa.String(length=64), nullable=False),
        sa.Column("orcpt", sa.String(length=600), nullable=False),
        sa.Column("duplicate_of", sa.String(length=48), nullable=True),
        sa.Column("fax", sa.String(length=48), nullable=True),
        sa.ForeignKeyConstraint(["message"], ["messages.id"], name=op.f("fk_message_recipients_message")),
        sa.PrimaryKeyConstraint("message", "position", name=op.f("pk_message_recipients")),
    )
    op.create_table(
        "numbers",
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.String(length=130), nullable=True),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_numbers_customer")),
        sa.ForeignKeyConstraint(["profile"], ["profiles.id"], name=op.f("fk_numbers_profile")),
        sa.PrimaryKeyConstraint("e164", name=op.f("pk_numbers")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=130), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.String(length=130), nullable=True),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("login", sa.String(length=320), nullable=True),
        sa.Column("password", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_users_customer")),
        sa.ForeignKeyConstraint(["profile"], ["profiles.id"], name=op.f("fk_users_profile")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("login", name=op.f("uq_users_login")),
    )
    op.create_table(
        "faxes",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("until", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(length=400), server_default=sa.text("''"), nullable=False),
        sa.Column("cause", sa.String(length=32), server_default=sa.text("''"), nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.Column("number_index", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("e164", sa.String(length=20), nullable=False),
        sa.Column("pages", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("dials", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("wish", sa.String(length=8), server_default=sa.text("''"), nullable=False),
        sa.Column("wish_by", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("in_doubt_used", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("mark_from", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("mark_to", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("earliest", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("latest", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_faxes_customer")),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_faxes_job")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_faxes")),
    )
    op.create_index(op.f("ix_faxes_e164_state"), "faxes", ["e164", "state"], unique=False)
    op.create_index(op.f("ix_faxes_job_position"), "faxes", ["job", "position"], unique=False)
    op.create_index(op.f("ix_faxes_state_priority_until"), "faxes", ["state", "priority", "until"], unique=False)
    op.create_table(
        "job_documents",
        sa.Column("job", sa.String(length=48), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("charset", sa.String(length=64), nullable=True),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_job_documents_job")),
        sa.PrimaryKeyConstraint("job", "position", name=op.f("pk_job_documents")),
    )
    op.create_index(op.f("ix_job_documents_key"), "job_documents", ["key"], unique=False)
    op.create_table(
        "senders",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("value", sa.String(length=320), nullable=False),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=130), nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_senders_customer")),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_senders_user")),
        sa.PrimaryKeyConstraint("kind", "value", name=op.f("pk_senders")),
    )
    op.create_table(
        "attempt_faxes",
        sa.Column("attempt", sa.String(length=48), nullable=False),
        sa.Column("fax", sa.String(length=48), nullable=False),
        sa.Column("number_index", sa.Integer(), nullable=False),
        sa.Column("first_page", sa.Integer(), nullable=False),
        sa.Column("last_page", sa.Integer(), nullable=False),
        sa.Column("exposed", sa.Boolean(), nullable=False),
        sa.Column("confirmed", sa.Integer(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("tiff_key", sa.String(length=200), nullable=False),
        sa.Column("tiff_sha256", sa.String(length=64), nullable=False),
        sa.Column("tiff_size", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["attempt"], ["attempts.id"], name=op.f("fk_attempt_faxes_attempt")),
        sa.ForeignKeyConstraint(["fax"], ["faxes.id"], name=op.f("fk_attempt_faxes_fax")),
        sa.PrimaryKeyConstraint("attempt", "fax", name=op.f("pk_attempt_faxes")),
    )
    op.create_index(op.f("ix_attempt_faxes_fax"), "attempt_faxes", ["fax"], unique=False)
    op.create_index(op.f("ix_attempt_faxes_tiff_key"), "attempt_faxes", ["tiff_key"], unique=False)
    op.create_index(
        "uq_attempt_faxes_open_fax",
        "attempt_faxes",
        ["fax"],
        unique=True,
        sqlite_where=sa.text("open"),
        postgresql_where=sa.text("open"),
    )
    op.create_table(
        "page_ledger",
        sa.Column("fax", sa.String(length=48), nullable=False),
        sa.Column("number_index", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempt", sa.String(length=48), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["fax"], ["faxes.id"], name=op.f("fk_page_ledger_fax")),
        sa.PrimaryKeyConstraint("fax", "number_index", "page", name=op.f("pk_page_ledger")),
    )
