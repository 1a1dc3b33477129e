"""What is to leave the gateway: items of the outbox, and what waits to be fetched."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, String, Table, Text, text

from faxgw.store.schema.columns import ID, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", ID, primary_key=True),
    Column("kind", String(24), nullable=False),
    Column("target", String(1000), nullable=False),
    Column("customer", String(64), nullable=False),
    Column("job", ID),
    Column("message", ID),
    Column("reception", ID),
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
    Column("id", ID, primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("topic", String(64), nullable=False),
    Column("reception", ID, nullable=False),
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
