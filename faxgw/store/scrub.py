"""What deleting leaves behind in SQLite's files: nothing, after this.

Rows that are deleted are overwritten with zeros where they stood (`secure_delete`), but the write-ahead log still has
the pages as they were. This writes the log back into the database and cuts it to nothing. PostgreSQL keeps dead rows
until VACUUM, and pages as they were in its log and base backups: docs/archive.md says what to do there.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

BUSY_MS = 2_000
"""How long to wait for readers; whoever reads keeps the log from being cut."""


def scrub(database: Path) -> bool:
    """Cut the log of a database that others use; blocking. False: somebody reads from it just now.

    Raises:
        sqlite3.Error: If the database cannot be used.
    """
    uri = f"{database.absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as conn:
        conn.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        busy, _log, _done = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
