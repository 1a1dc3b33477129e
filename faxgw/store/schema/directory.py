"""Customers, profiles, users, their ways in and their numbers."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from faxgw.store.schema.columns import ID, managed, metadata

customers = Table(
    "customers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("state", String(24), nullable=False),
    Column("settings", JSON, nullable=False),
    managed(),
)

profiles = Table(
    "profiles",
    metadata,
    Column("id", String(130), primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("settings", JSON, nullable=False),
    managed(),
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
    managed(),
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
    managed(),
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
    Column("id", ID, primary_key=True),
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
    managed(),
)

domains = Table(
    "domains",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("customer", ForeignKey("customers.id")),
    Column("settings", JSON, nullable=False),
    managed(),
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
    managed(),
)

number_papers = Table(
    "number_papers",
    metadata,
    Column("id", ID, primary_key=True),
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
