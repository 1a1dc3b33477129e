"""Where received faxes go."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Integer, String, Table, Text, UniqueConstraint

from faxgw.store.schema.columns import ID, managed, metadata

targets = Table(
    "targets",
    metadata,
    Column("id", ID, primary_key=True),
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
    managed(),
    UniqueConstraint("customer", "name"),
)
"""Where received faxes can go (store/targets.py); the customer is empty for the gateway's own."""

routing_rules = Table(
    "routing_rules",
    metadata,
    Column("id", ID, primary_key=True),
    Column("customer", String(64), nullable=False),
    Column("level", String(12), nullable=False),
    Column("scope", String(130), nullable=False),
    Column("name", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(130), nullable=False),
    managed(),
    UniqueConstraint("customer", "level", "scope", "name"),
)
"""Rules for received faxes (store/rules.py), as fax/rule_form.py writes them."""
