"""Somebody else's look at the database takes nothing away: a reader from outside comes and goes while the store runs.

The last connection that closes a SQLite database writes its log back and removes it. A process whose locks are lost
(POSIX drops them all when any descriptor of the file is closed) is not seen by that reader.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from faxgw.store.engine import open_store

LOOK = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM notes').fetchall(); c.close()"


async def test_a_reader_from_outside_leaves_the_log_alone(tmp_path: Path) -> None:
    path = tmp_path / "faxgw.db"
    failures: list[Exception] = []
    store = open_store(f"sqlite:///{path}", failures.append)
    await store.start()
    await store.run(lambda conn: conn.execute(text("CREATE TABLE notes (n INTEGER)")) and None)
    log = f"{path}-wal"
    before = os.stat(log).st_ino
    subprocess.run([sys.executable, "-c", LOOK, str(path)], check=True)
    with open(log, "rb") as there:  # fails where the reader has removed the log under the store
        assert os.fstat(there.fileno()).st_ino == before
    await store.run(lambda conn: conn.execute(text("INSERT INTO notes VALUES (1)")) and None)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT n FROM notes").fetchall() == [(1,)]
    await store.close()
    assert not failures
