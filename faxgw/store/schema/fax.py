"""Faxes, one per recipient, and which of their pages arrived (docs/spine.md section 2)."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, text

from faxgw.store.schema.columns import ID, metadata

CALLABLE = text("coalesce(state, '') IN ('ready', 'waiting')")
"""Faxes that may be called when their time has come. Written out, for a parameter would hide the partial indexes; and
not as the bare column, for which SQLite without statistics takes the index that begins with it."""

UNFINISHED = text("finished_at IS NULL")
"""Faxes that are not final."""

faxes = Table(
    "faxes",
    metadata,
    Column("id", ID, primary_key=True),
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
        "job",
        "until",
        "position",
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

callable_jobs = Table(
    "callable_jobs",
    metadata,
    Column("job", ID, primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("accepted_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("trunk", Text, nullable=False),
    Index(None, "customer", "priority", "due_at"),
)
"""Jobs with faxes that may be called, and from when the first of them (store/callable_jobs.py)."""

job_cancels = Table(
    "job_cancels",
    metadata,
    Column("job", ID, primary_key=True),
    Column("who", String(64), nullable=False),
    Column("asked_at", Float, nullable=False),
)
"""Jobs that are cancelled and have faxes that are not yet (store/job_cancels.py)."""

staged_faxes = Table(
    "staged_faxes",
    metadata,
    Column("job", ID, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("id", ID, nullable=False),
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
    Column("attempt", ID, nullable=False),
    Column("at", Float, nullable=False),
)
