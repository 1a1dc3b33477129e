"""What is drawn beside a job's documents: templates, covers, letterheads."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Integer, LargeBinary, String, Table, text

from faxgw.store.schema.columns import metadata

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
