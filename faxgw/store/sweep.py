"""Which spool objects are named by a row: the question the sweep of orphans asks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from faxgw.store import schema as t


def known_keys(conn: Connection, keys: Sequence[str]) -> set[str]:
    """Those of `keys` that a message, a job's documents or pages, an attempt, or a received fax names."""
    wanted = set(keys)
    found: set[str] = set()
    for column in (
        t.messages.c.file_key,
        t.jobs.c.body_key,
        t.renditions.c.key,
        t.letterheads.c.key,
        t.attempt_faxes.c.tiff_key,
        t.job_documents.c.key,
        t.reception_pages.c.key,
        t.receptions.c.document_key,
        t.reception_documents.c.key,
        t.pull_documents.c.key,
    ):
        found |= set(conn.execute(select(column).where(column.in_(wanted))).scalars())
    return found
