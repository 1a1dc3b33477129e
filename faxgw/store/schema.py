"""The tables (docs/spine.md section 1). One MetaData for every engine; migrations are made from it.

Times are Unix seconds (UTC) as floats, ids are text, JSON columns hold plain values. Partial unique indexes are the
last line of the promises: one open attempt per fax, one per number.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ID = String(48)


def _managed() -> Column[str]:
    """Who keeps a row of the directory: `file` (the settings file), `directory` (an import), or its users: empty."""
    return Column("managed", String(12), nullable=False, server_default=text("''"))


def _retention() -> tuple[Column[float], Column[int]]:
    """When something falls due to be purged next (None: nobody has reckoned it yet), and how far that has come."""
    return Column("purge_at", Float), Column("purged", Integer, nullable=False, server_default=text("0"))


def _retention_indexes(table: str) -> tuple[Index, Index]:
    """What is to be reckoned, and what is due (store/purge.py)."""
    unreckoned = text("purge_at IS NULL AND finished_at IS NOT NULL")
    return (
        Index(f"ix_{table}_unreckoned", "finished_at", sqlite_where=unreckoned, postgresql_where=unreckoned),
        Index(None, "purge_at"),
    )


nodes = Table(
    "nodes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("incarnation", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("started_at", Float, nullable=False),
)

commits = Table(
    "commits",
    metadata,
    Column("writer", String(32), primary_key=True),
    Column("serial", BigInteger, nullable=False),
    Column("at", Float, nullable=False),
)
"""PostgreSQL: the last transaction of each writer, asked when a COMMIT went without an answer (store/postgres.py)."""

# ---------------------------------------------------------------------------------------------------- directory

customers = Table(
    "customers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("state", String(24), nullable=False),
    Column("settings", JSON, nullable=False),
    _managed(),
)

profiles = Table(
    "profiles",
    metadata,
    Column("id", String(130), primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("settings", JSON, nullable=False),
    _managed(),
    UniqueConstraint("customer", "name"),
)

users = Table(
    "users",
    metadata,
    Column("id", String(130), primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("profile", ForeignKey("profiles.id")),
    Column("name", String(64), nullable=False),
    Column("state", String(24), nullable=False),
    Column("settings", JSON, nullable=False),
    _managed(),
)

logins = Table(
    "logins",
    metadata,
    Column("name", String(320), primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("user", ForeignKey("users.id")),
    Column("password", String(200), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("allow", JSON, nullable=False),
    Column("state", String(24), nullable=False),
    Column("created_at", Float, nullable=False, server_default=text("0")),
    Column("last_used_at", Float),
    _managed(),
    Index(None, "customer"),
    Index(None, "user"),
)
"""Names and argon2id hashes, for every interface that knows passwords (store/credentials.py)."""

login_keys = Table(
    "login_keys",
    metadata,
    Column("login", ForeignKey("logins.name", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("key", Text, nullable=False),
    Column("comment", String(200), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(130), nullable=False),
    Column("last_used_at", Float),
)
"""Public keys by which a login proves itself instead of its password (store/login_keys.py)."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("customer", ForeignKey("customers.id")),
    Column("user", ForeignKey("users.id")),
    Column("name", String(200), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("allow", JSON, nullable=False),
    Column("state", String(24), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(130), nullable=False),
    Column("expires_at", Float),
    Column("last_used_at", Float),
    Index(None, "customer", "created_at"),
    Index(None, "user"),
)
"""Hashes of API tokens (store/credentials.py); without a customer: an operator's."""

senders = Table(
    "senders",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("value", String(320), primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("user", ForeignKey("users.id")),
    _managed(),
)

domains = Table(
    "domains",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("customer", ForeignKey("customers.id")),
    Column("settings", JSON, nullable=False),
    _managed(),
)

numbers = Table(
    "numbers",
    metadata,
    Column("e164", String(20), primary_key=True),
    Column("last", String(20)),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("profile", ForeignKey("profiles.id")),
    Column("state", String(24), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("inbound", Boolean, nullable=False, server_default=text("true")),
    Column("clip", Boolean, nullable=False, server_default=text("true")),
    Column("clip_until", Float),
    Column("origin", String(12), nullable=False, server_default=text("'assigned'")),
    _managed(),
)

number_papers = Table(
    "number_papers",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("number", ForeignKey("numbers.e164"), nullable=False, index=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("name", String(200), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("until", Float),
    Column("added_at", Float, nullable=False),
    Column("added_by", String(130), nullable=False),
)
"""Letters of authority and consents (store/papers.py)."""

# -------------------------------------------------------------------------------------------------------- intake

messages = Table(
    "messages",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("state", String(12), nullable=False),
    Column("received_at", Float, nullable=False),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("user", String(130), nullable=False),
    Column("how", String(12), nullable=False),
    Column("login", String(320), nullable=False),
    Column("sender", String(320), nullable=False),
    Column("message_id", String(998), nullable=False),
    Column("subject", String(998), nullable=False),
    Column("envid", String(200), nullable=False),
    Column("ret", String(8), nullable=False),
    Column("file_key", String(200), nullable=False, index=True),
    Column("file_sha256", String(64), nullable=False),
    Column("file_size", Integer, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("lease_fence", Integer),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False, server_default=text("0")),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("job", _ID),
    Index(None, "state", "received_at"),
)

message_recipients = Table(
    "message_recipients",
    metadata,
    Column("message", ForeignKey("messages.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("address", String(600), nullable=False),
    Column("number_typed", String(160), nullable=False),
    Column("number_e164", String(20), nullable=False),
    Column("sub_address", String(24), nullable=False),
    Column("notify", String(64), nullable=False),
    Column("orcpt", String(600), nullable=False),
    Column("duplicate_of", _ID),
    Column("fax", _ID),
)

dedupe = Table(
    "dedupe",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("message", ForeignKey("messages.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Index(None, "created_at"),
)

# --------------------------------------------------------------------------------------------------------- faxes

jobs = Table(
    "jobs",
    metadata,
    Column("id", _ID, primary_key=True),
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
    Column("resend_of", _ID),
    Column("reference", String(256), nullable=False, server_default=text("''")),
    Column("body_key", String(200), index=True),
    Column("body_sha256", String(64)),
    Column("body_size", Integer),
    Column("pages", Integer, nullable=False, server_default=text("0")),
    Column("page_facts", JSON, nullable=False),
    Column("thumbnail", LargeBinary),
    Column("cover_text", Text),
    Column("readying", Boolean, nullable=False, server_default=text("false")),
    Column("render_tries", Integer, nullable=False, server_default=text("0")),
    Column("lease_fence", Integer),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False, server_default=text("0")),
    *_retention(),
    Index(None, "customer", "accepted_at"),
    *_retention_indexes("jobs"),
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

templates = Table(
    "templates",
    metadata,
    Column("customer", String(64), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("format", String(8), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("changed_by", String(130), nullable=False),
)
"""Cover pages and overlays by name; customer empty: everybody's (store/templates.py)."""

renditions = Table(
    "renditions",
    metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("fax", String(48), primary_key=True, server_default=text("''")),
    Column("kind", String(8), primary_key=True),
    Column("resolution", String(12), primary_key=True),
    Column("key", String(200), nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("first", Integer, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("facts", JSON, nullable=False),
)
"""Pages of a job beside its body: covers, one per fax, and bodies at another resolution (store/renditions.py)."""

letterheads = Table(
    "letterheads",
    metadata,
    Column("template", String(64), primary_key=True),
    Column("paper", String(8), primary_key=True),
    Column("resolution", String(12), primary_key=True),
    Column("key", String(200), nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
)
"""Rendered letterheads by the SHA-256 of their template (store/letterheads.py)."""

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
    Column("job", _ID, nullable=False),
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

CALLABLE = text("coalesce(state, '') IN ('ready', 'waiting')")
"""Faxes that may be called when their time has come. Written out, for a parameter would hide the partial indexes; and
not as the bare column, for which SQLite without statistics takes the index that begins with it."""
UNFINISHED = text("finished_at IS NULL")
"""Faxes that are not final."""

faxes = Table(
    "faxes",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("job", ForeignKey("jobs.id"), nullable=False),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("since", Float, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("until", Float, nullable=False, server_default=text("0")),
    Column("reason", String(400), nullable=False, server_default=text("''")),
    Column("cause", String(32), nullable=False, server_default=text("''")),
    Column("numbers", JSON, nullable=False),
    Column("number_index", Integer, nullable=False, server_default=text("0")),
    Column("e164", String(20), nullable=False),
    Column("pages", Integer, nullable=False, server_default=text("0")),
    Column("priority", Integer, nullable=False, server_default=text("0")),
    Column("dials", Integer, nullable=False, server_default=text("0")),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("wish", String(8), nullable=False, server_default=text("''")),
    Column("wish_by", String(64), nullable=False, server_default=text("''")),
    Column("in_doubt_used", Boolean, nullable=False, server_default=text("false")),
    Column("mark_from", Integer, nullable=False, server_default=text("0")),
    Column("mark_to", Integer, nullable=False, server_default=text("0")),
    Column("earliest", Float, nullable=False, server_default=text("0")),
    Column("latest", Float),
    Column("finished_at", Float),
    Column("properties", JSON),
    Index(None, "job", "position"),
    Index(None, "state", "priority", "until"),
    Index(None, "e164", "state"),
    Index(
        "ix_faxes_callable",
        "customer",
        "job",
        "position",
        "priority",
        "until",
        "earliest",
        "latest",
        "e164",
        "state",
        sqlite_where=CALLABLE,
        postgresql_where=CALLABLE,
    ),
    Index("ix_faxes_callable_until", "until", "earliest", sqlite_where=CALLABLE, postgresql_where=CALLABLE),
    Index("ix_faxes_callable_earliest", "earliest", "until", sqlite_where=CALLABLE, postgresql_where=CALLABLE),
    Index("ix_faxes_open_latest", "latest", sqlite_where=UNFINISHED, postgresql_where=UNFINISHED),
)

staged_faxes = Table(
    "staged_faxes",
    metadata,
    Column("job", _ID, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("id", _ID, nullable=False),
    Column("state", String(12), nullable=False),
    Column("numbers", JSON, nullable=False),
    Column("e164", String(20), nullable=False),
    Column("properties", JSON),
    Column("reason", String(400), nullable=False),
    Column("staged_at", Float, nullable=False),
)
"""Recipients of jobs that are not there yet (store/staging.py)."""

page_ledger = Table(
    "page_ledger",
    metadata,
    Column("fax", ForeignKey("faxes.id"), primary_key=True),
    Column("number_index", Integer, primary_key=True),
    Column("page", Integer, primary_key=True),
    Column("state", String(12), nullable=False),
    Column("attempt", _ID, nullable=False),
    Column("at", Float, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("trunk", String(64), nullable=False),
    Column("number", String(20), nullable=False),
    Column("call_id", String(200), nullable=False),
    Column("from_tag", String(64), nullable=False),
    Column("branch", String(100), nullable=False),
    Column("cseq", Integer, nullable=False),
    Column("dialog", JSON),
    Column("node", String(64), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("mark", String(10), nullable=False),
    Column("planned_at", Float, nullable=False),
    Column("answered_at", Float),
    Column("exposed_at", Float),
    Column("done_at", Float),
    Column("cause", String(32), nullable=False, server_default=text("''")),
    Column("outcome", JSON),
    Column("trace", JSON),
    Column("manner", JSON),
    Index(
        "uq_attempts_open_number",
        "number",
        unique=True,
        sqlite_where=text("done_at IS NULL"),
        postgresql_where=text("done_at IS NULL"),
    ),
)

attempt_faxes = Table(
    "attempt_faxes",
    metadata,
    Column("attempt", ForeignKey("attempts.id"), primary_key=True),
    Column("fax", ForeignKey("faxes.id"), primary_key=True),
    Column("number_index", Integer, nullable=False),
    Column("first_page", Integer, nullable=False),
    Column("last_page", Integer, nullable=False),
    Column("exposed", Boolean, nullable=False),
    Column("confirmed", Integer, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("tiff_key", String(200), nullable=False, index=True),
    Column("tiff_sha256", String(64), nullable=False),
    Column("tiff_size", Integer, nullable=False),
    Index("uq_attempt_faxes_open_fax", "fax", unique=True, sqlite_where=text("open"), postgresql_where=text("open")),
    Index(None, "fax"),
)

destinations = Table(
    "destinations",
    metadata,
    Column("e164", String(20), primary_key=True),
    Column("called_at", Float, nullable=False),
    Column("calls", JSON, nullable=False),
    Index(None, "called_at"),
)
"""What calls taught of each number (store/destinations.py)."""

# ---------------------------------------------------------------------------------------------------- receptions

receptions = Table(
    "receptions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("state", String(12), nullable=False),
    Column("since", Float, nullable=False),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("number", String(20), nullable=False),
    Column("entry", String(20), nullable=False, server_default=text("''")),
    Column("dialled", String(160), nullable=False),
    Column("caller", String(160), nullable=False),
    Column("display", String(200), nullable=False),
    Column("ident", String(40), nullable=False, server_default=text("''")),
    Column("sub_address", String(24), nullable=False, server_default=text("''")),
    Column("trunk", String(64), nullable=False),
    Column("call_id", String(200), nullable=False),
    Column("dialog", JSON, nullable=False),
    Column("node", String(64), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("answered_at", Float),
    Column("ended_at", Float),
    Column("pages", Integer, nullable=False, server_default=text("0")),
    Column("page_end", String(4), nullable=False, server_default=text("''")),
    Column("farewell", Boolean),
    Column("cause", String(32), nullable=False, server_default=text("''")),
    Column("outcome", JSON),
    Column("trace", JSON),
    Column("document_key", String(200), index=True),
    Column("document_sha256", String(64)),
    Column("document_size", Integer),
    Column("thumbnail", LargeBinary),
    Column("problem", String(400), nullable=False, server_default=text("''")),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("lease_fence", Integer),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False, server_default=text("0")),
    Column("finished_at", Float),
    Column("acknowledged_at", Float),
    Column("acknowledged_by", String(130), nullable=False, server_default=text("''")),
    Column("awaits_until", Float),
    Column("read_pages", Integer, nullable=False, server_default=text("0")),
    Column("routing", JSON),
    *_retention(),
    Index(None, "state", "not_before"),
    Index(None, "customer", "started_at"),
    Index(None, "started_at"),
    *_retention_indexes("receptions"),
)

reception_pages = Table(
    "reception_pages",
    metadata,
    Column("reception", ForeignKey("receptions.id"), primary_key=True),
    Column("page", Integer, primary_key=True),
    Column("key", String(200), nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("x_resolution", Integer, nullable=False),
    Column("y_resolution", Integer, nullable=False),
    Column("bad_rows", Integer, nullable=False),
    Column("encoding", String(8), nullable=False),
    Column("page_end", String(4), nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("at", Float, nullable=False),
)

readings = Table(
    "readings",
    metadata,
    Column("reception", ForeignKey("receptions.id"), primary_key=True),
    Column("page", Integer, primary_key=True),
    Column("state", String(8), nullable=False),
    Column("wanted", JSON, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("lease_fence", Integer),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False, server_default=text("0")),
    Column("asked_at", Float, nullable=False),
    Column("done_at", Float),
    Column("reading", JSON),
    Column("why", String(400), nullable=False, server_default=text("''")),
    Index(None, "state", "not_before"),
)
"""What was read on received pages (store/readings.py); a page of which nothing is to be read has no row."""

reception_documents = Table(
    "reception_documents",
    metadata,
    Column("reception", ForeignKey("receptions.id"), primary_key=True),
    Column("variant", String(80), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("key", String(200), nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("made_at", Float, nullable=False),
)
"""Files made of a received fax for its deliveries, by format and options (store/made.py)."""

targets = Table(
    "targets",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("address", String(1000), nullable=False),
    Column("params", JSON, nullable=False),
    Column("formats", JSON, nullable=False),
    Column("searchable", Boolean, nullable=False),
    Column("upright", Boolean, nullable=False),
    Column("file_name", String(200), nullable=False),
    Column("encryption", String(12), nullable=False),
    Column("recipient_key", Text, nullable=False),
    Column("secrets", JSON, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(130), nullable=False),
    _managed(),
    UniqueConstraint("customer", "name"),
)
"""Where received faxes can go (store/targets.py); the customer is empty for the gateway's own."""

routing_rules = Table(
    "routing_rules",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("level", String(12), nullable=False),
    Column("scope", String(130), nullable=False),
    Column("name", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(130), nullable=False),
    _managed(),
    UniqueConstraint("customer", "level", "scope", "name"),
)
"""Rules for received faxes (store/rules.py), as fax/rule_form.py writes them."""

reception_replies = Table(
    "reception_replies",
    metadata,
    Column("reception", ForeignKey("receptions.id"), primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("caller", String(20), nullable=False),
    Column("template", String(200), nullable=False),
    Column("state", String(8), nullable=False),
    Column("job", _ID),
    Column("why", String(400), nullable=False, server_default=text("''")),
    Column("at", Float, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("not_before", Float, nullable=False, server_default=text("0")),
    Index(None, "customer", "caller", "at"),
    Index(None, "state", "not_before"),
    Index(None, "job"),
)
"""Replies faxed to callers (store/replies.py): one of a received fax at most, or why there is none."""

# ------------------------------------------------------------------------------------------------------ webhooks

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("user", ForeignKey("users.id")),
    Column("url", String(2000), nullable=False),
    Column("secret", String(100), nullable=False),
    Column("former_secret", String(100), nullable=False, server_default=text("''")),
    Column("former_until", Float, nullable=False, server_default=text("0")),
    Column("events", JSON, nullable=False),
    Column("description", String(200), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(130), nullable=False),
    Index(None, "customer", "id"),
)
"""Where a customer wants to be told of events (store/webhooks.py); `secret` signs what is sent."""

webhook_tries = Table(
    "webhook_tries",
    metadata,
    Column("serial", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("webhook", ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("item", _ID, nullable=False),
    Column("event", String(40), nullable=False),
    Column("entity", _ID, nullable=False),
    Column("at", Float, nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    Column("ms", Integer, nullable=False),
    Column("detail", String(400), nullable=False),
    Column("delivered", Boolean, nullable=False),
    Index(None, "webhook", "serial"),
    Index(None, "item"),
)
"""What became of each try to tell a webhook."""

feeds = Table(
    "feeds", metadata, Column("name", String(24), primary_key=True), Column("serial", BigInteger, nullable=False)
)
"""How far a reader of the journal has come: `webhooks` (store/webhook_feed.py)."""

pushes = Table(
    "pushes",
    metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("url", String(2000), nullable=False),
    Column("method", String(12), nullable=False),
    Column("principal", String(400), nullable=False),
    Column("credentials", String(1000), nullable=False),
    Column("form", String(4), nullable=False),
    Column("token_url", String(2000), nullable=False),
)
"""Where a job's report is to be sent when it is finished (store/pushes.py); credentials go when that is over."""

# ------------------------------------------------------------------------------------------------ outbox, journal

outbox = Table(
    "outbox",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kind", String(24), nullable=False),
    Column("target", String(1000), nullable=False),
    Column("customer", String(64), nullable=False),
    Column("job", _ID),
    Column("message", _ID),
    Column("reception", _ID),
    Column("payload", JSON, nullable=False),
    Column("state", String(8), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("lease_fence", Integer),
    Column("lease_until", Float),
    Column("done_at", Float),
    Column("detail", Text, nullable=False, server_default=text("''")),
    Index(None, "state", "due_at"),
    Index(None, "job"),
    Index(None, "reception"),
)

pulls = Table(
    "pulls",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("topic", String(64), nullable=False),
    Column("reception", _ID, nullable=False),
    Column("told", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("hidden_until", Float, nullable=False, server_default=text("0")),
    Column("acknowledged_at", Float),
    Index(None, "customer", "topic", "created_at"),
    Index(None, "created_at"),
)

pull_documents = Table(
    "pull_documents",
    metadata,
    Column("pull", ForeignKey("pulls.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("url_name", String(80), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("key", String(200), nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("serial", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("entity", _ID, nullable=False),
    Column("job", _ID),
    Column("what", String(40), nullable=False),
    Column("who", String(130), nullable=False),
    Column("data", JSON, nullable=False),
    Index(None, "entity", "serial"),
    Index(None, "job", "serial"),
)

# -------------------------------------------------------------------------------------------- archive, audit, junk

holds = Table(
    "holds",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("number", String(20), nullable=False),
    Column("entity", String(48), nullable=False),
    Column("since", Float),
    Column("until", Float),
    Column("reason", String(400), nullable=False),
    Column("set_at", Float, nullable=False),
    Column("set_by", String(130), nullable=False),
    Column("lifted_at", Float),
    Column("lifted_by", String(130), nullable=False, server_default=text("''")),
    Column("lifted_why", String(400), nullable=False, server_default=text("''")),
)
"""Legal holds (store/holds.py): what they name is not purged until they are lifted."""

audit = Table(
    "audit",
    metadata,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("who", String(130), nullable=False),
    Column("way", String(16), nullable=False),
    Column("what", String(40), nullable=False),
    Column("entity", String(64), nullable=False),
    Column("customer", String(64), nullable=False),
    Column("data", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "entity", "serial"),
    Index(None, "at"),
)
"""Who changed and who read what, each record hashed over the one before it (store/audit.py)."""

audit_ends = Table(
    "audit_ends",
    metadata,
    Column("name", String(8), primary_key=True),
    Column("serial", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
"""`head`: the newest record of `audit`; `base`: the last one that was dropped when its years were over."""

page_prints = Table(
    "page_prints",
    metadata,
    Column("reception", ForeignKey("receptions.id"), primary_key=True),
    Column("page", Integer, primary_key=True),
    Column("number", String(20), nullable=False),
    Column("at", Float, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("ink", Float, nullable=False),
    Column("print", LargeBinary, nullable=False),
    Index(None, "number", "at"),
    Index(None, "at"),
)
"""How received pages look, for finding the same again (store/likeness.py, fax/likeness.py)."""

junk = Table(
    "junk",
    metadata,
    Column("reception", ForeignKey("receptions.id"), primary_key=True),
    Column("number", String(20), nullable=False),
    Column("state", String(12), nullable=False),
    Column("score", Integer, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("duplicate_of", String(48), nullable=False),
    Column("judged_at", Float, nullable=False),
    Column("release_at", Float),
    Column("settled_at", Float),
    Column("settled_by", String(130), nullable=False, server_default=text("''")),
    Column("told_at", Float),
    Index(None, "state", "release_at"),
    Index(None, "number", "judged_at"),
)
"""How each received fax was judged, and whether its deliveries wait (store/junk.py)."""

junk_verdicts = Table(
    "junk_verdicts",
    metadata,
    Column("number", String(20), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("value", String(160), primary_key=True),
    Column("verdict", String(8), nullable=False),
    Column("at", Float, nullable=False),
    Column("by", String(130), nullable=False),
)
"""What the owner of a number said of senders (`caller`, `ident`) and of faxes (`image`: a reception)."""
