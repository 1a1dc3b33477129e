"""Files made of received faxes: a row names each, so that a delivery's document is there as long as its fax is.

A file is made once for a reception, format and options; many deliveries share it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.store import schema as t


def files(conn: Connection, reception: str, variant: str) -> tuple[EnclosedFile, ...]:
    """The files of a variant, in their order; empty when it has not been made."""
    table = t.reception_documents
    query = select(table).where(table.c.reception == reception, table.c.variant == variant).order_by(table.c.position)
    return tuple(
        EnclosedFile(row.name, row.content_type, StoredFile(row.key, row.sha256, row.size))
        for row in conn.execute(query)
    )


def keep(
    conn: Connection, reception: str, variant: str, made: Sequence[EnclosedFile], *, now: float
) -> tuple[EnclosedFile, ...]:
    """Name files by rows; when somebody else was first, his are returned, and these are named by nothing."""
    there = files(conn, reception, variant)
    if there:
        return there
    for position, one in enumerate(made):
        conn.execute(
            insert(t.reception_documents).values(
                reception=reception,
                variant=variant,
                position=position,
                name=one.name,
                content_type=one.content_type,
                key=one.file.key,
                sha256=one.file.sha256,
                size=one.file.size,
                made_at=now,
            )
        )
    return tuple(made)


def forget(conn: Connection, reception: str) -> tuple[str, ...]:
    """Take the rows of a reception away, to make its files anew or purge them; returns the keys."""
    table = t.reception_documents
    keys = tuple(conn.execute(select(table.c.key).where(table.c.reception == reception)).scalars())
    conn.execute(delete(table).where(table.c.reception == reception))
    return keys
