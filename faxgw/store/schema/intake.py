"""Messages as they were accepted, before they become jobs (docs/spine.md section 5)."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, String, Table, Text, text

from faxgw.store.schema.columns import ID, metadata

messages = Table(
    "messages",
    metadata,
    Column("id", ID, primary_key=True),
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
    Column("job", ID),
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
    Column("duplicate_of", ID),
    Column("fax", ID),
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
