"""Jobs with their documents, keys and reports."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, text

from faxgw.store.schema.columns import ID, metadata, retention, retention_indexes

jobs = Table(
    "jobs",
    metadata,
    Column("id", ID, primary_key=True),
    Column("message", ForeignKey("messages.id")),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("user", String(130), nullable=False),
    Column("owner", String(320), nullable=False),
    Column("subject", String(998), nullable=False),
    Column("in_reply_to", String(998), nullable=False),
    Column("accepted_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("open", Integer, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("report_to", JSON, nullable=False),
    Column("resend_of", ID),
    Column("reference", String(256), nullable=False, server_default=text("''")),
    Column("body_key", String(200), index=True),
    Column("body_sha256", String(64)),
    Column("body_size", Integer),
    Column("pages", Integer, nullable=False, server_default=text("0")),
    Column("page_facts", JSON, nullable=False),
    Column("thumbnail", LargeBinary),
    Column("cover_text", Text),
    Column("left_out", JSON(none_as_null=True)),
    Column("readying", Boolean, nullable=False, server_default=text("false")),
    Column("render_tries", Integer, nullable=False, server_default=text("0")),
    Column("lease_fence", Integer),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False, server_default=text("0")),
    *retention(),
    Index(None, "customer", "accepted_at"),
    *retention_indexes("jobs"),
    Index(
        "ix_jobs_reference",
        "customer",
        "reference",
        sqlite_where=text("reference != ''"),
        postgresql_where=text("reference != ''"),
    ),
    Index(
        "ix_jobs_unrendered",
        "not_before",
        sqlite_where=text("body_key IS NULL"),
        postgresql_where=text("body_key IS NULL"),
    ),
    Index("ix_jobs_readying", "not_before", sqlite_where=text("readying"), postgresql_where=text("readying")),
)

job_documents = Table(
    "job_documents",
    metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("kind", String(16)),
    Column("charset", String(64)),
    Column("origin", String(16), nullable=False),
    Column("key", String(200), nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
)

job_references = Table(
    "job_references",
    metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("kind", String(16)),
    Column("charset", String(64)),
    Column("url", String(2000), nullable=False),
    Column("pending", Boolean, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("not_before", Float, nullable=False),
    Column("give_up_at", Float, nullable=False),
    Column("lease_fence", Integer),
    Column("lease_until", Float),
    Index("ix_job_references_pending", "not_before", sqlite_where=text("pending"), postgresql_where=text("pending")),
)
"""Documents that are fetched from where the job says; each becomes a row of `job_documents` (store/references.py)."""

job_keys = Table(
    "job_keys",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("job", ID, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("valid_until", Float, nullable=False, server_default=text("0")),
    Index(None, "created_at"),
    Index(None, "valid_until"),
)
"""Idempotency keys of jobs that came by an interface with a job's structure (store/submission.py)."""

job_reports = Table(
    "job_reports",
    metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("owner", String(320), nullable=False),
    Column("interface", String(12), nullable=False),
    Column("accepted_at", Float, nullable=False),
    Column("reference", JSON, nullable=False),
    Column("deleted_at", Float),
    Index(
        "ix_job_reports_owner",
        "customer",
        "owner",
        "accepted_at",
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "ix_job_reports_kept",
        "accepted_at",
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
)
"""Reports that clients ask for and delete, of jobs by an interface that has such (store/report_book.py)."""
