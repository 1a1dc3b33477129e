"""What tables share: their MetaData, the id, columns that many have.

Times are Unix seconds (UTC) as floats, ids are text, JSON columns hold plain values.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = String(48)
"""Ids of docs/spine.md section 1."""


def managed() -> Column[str]:
    """Who keeps a row of the directory: `file` (the settings file), `directory` (an import), or its users: empty."""
    return Column("managed", String(12), nullable=False, server_default=text("''"))


def retention() -> tuple[Column[float], Column[int]]:
    """When something falls due to be purged next (None: nobody has reckoned it yet), and how far that has come."""
    return Column("purge_at", Float), Column("purged", Integer, nullable=False, server_default=text("0"))


def retention_indexes(table: str) -> tuple[Index, Index]:
    """What is to be reckoned, and what is due (store/purge.py)."""
    unreckoned = text("purge_at IS NULL AND finished_at IS NOT NULL")
    return (
        Index(f"ix_{table}_unreckoned", "finished_at", sqlite_where=unreckoned, postgresql_where=unreckoned),
        Index(None, "purge_at"),
    )
