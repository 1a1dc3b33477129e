"""The benches of the ways in, in short: they run, and what they count was accepted durably."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bench import rest, sftp


async def test_jobs_by_rest_are_counted_when_they_are_durable() -> None:
    found = await rest.one(50)
    assert found["jobs_per_second"] > 0 and found["cpu_ms_per_job"] > 0
    assert found["p50_ms"] <= found["p99_ms"]


async def test_jobs_by_sftp_are_counted_when_they_are_committed() -> None:
    found = await sftp.one(20)
    assert found["jobs_per_second"] > 0 and found["cpu_ms_per_job"] > 0


def test_only_committed_jobs_count(tmp_path: Path) -> None:
    database = tmp_path / "faxgw.db"
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE jobs (id TEXT)")
    writer.execute("INSERT INTO jobs VALUES ('one')")
    writer.execute("BEGIN")
    writer.execute("INSERT INTO jobs VALUES ('two')")
    assert sftp.committed(database) == 1
    writer.execute("COMMIT")
    assert sftp.committed(database) == 2
    writer.close()
