"""Calls, each an immutable plan with its marks, and what they taught (docs/spine.md section 3)."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, text

from faxgw.store.schema.columns import ID, metadata

attempts = Table(
    "attempts",
    metadata,
    Column("id", ID, primary_key=True),
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
