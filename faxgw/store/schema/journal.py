"""The journal, the audit trail and legal holds."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table, Text, text

from faxgw.store.schema.columns import ID, metadata

events = Table(
    "events",
    metadata,
    Column("serial", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("entity", ID, nullable=False),
    Column("job", ID),
    Column("what", String(40), nullable=False),
    Column("who", String(130), nullable=False),
    Column("data", JSON, nullable=False),
    Index(None, "entity", "serial"),
    Index(None, "job", "serial"),
)

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

holds = Table(
    "holds",
    metadata,
    Column("id", ID, primary_key=True),
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
