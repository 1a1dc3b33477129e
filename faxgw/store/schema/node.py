"""The gateway's processes and what the engine itself must remember."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, String, Table

from faxgw.store.schema.columns import metadata

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
