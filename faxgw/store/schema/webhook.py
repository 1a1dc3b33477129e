"""Who is told of events over HTTP, and how far that has come."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, text

from faxgw.store.schema.columns import ID, metadata

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", ID, primary_key=True),
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
    Column("item", ID, nullable=False),
    Column("event", String(40), nullable=False),
    Column("entity", ID, nullable=False),
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
