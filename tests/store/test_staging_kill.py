"""A large job survives kill -9 at any of its units whole or not at all, and its sender may send it again."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from faxgw.store import migrate, staging
from tests.store.broadcast_life import FAXES, JOB

SLICES = FAXES // staging.SLICE


async def life(folder: Path, last: int, when: str) -> tuple[int, bool]:
    """(status, whether the sender had his answer)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.broadcast_life", str(folder), str(last), when, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, b"accepted" in printed


def rows(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "faxgw.db")) as conn:
        return {
            name: conn.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("jobs", "faxes", "job_keys", "job_reports", "staged_faxes")
        } | {"told": conn.execute("SELECT count(*) FROM events WHERE what = 'fax.accepted'").fetchone()[0]}


@pytest.mark.parametrize(
    ("last", "when", "whole"),
    [
        (SLICES, "before", False),
        (SLICES + 1, "before", False),
        (SLICES + 1, "after", True),
    ],
)
async def test_killed_at_a_unit_the_job_is_whole_or_not_there(
    tmp_path: Path, last: int, when: str, whole: bool
) -> None:
    await asyncio.to_thread(migrate.upgrade, f"sqlite:///{tmp_path}/faxgw.db")
    status, answered = await life(tmp_path, last, when)
    assert status == -signal.SIGKILL
    assert whole or not answered
    there = {"jobs": 1, "faxes": FAXES, "job_keys": 1, "job_reports": 1, "told": FAXES}
    found = rows(tmp_path)
    found.pop("staged_faxes")
    assert found == (there if whole else dict.fromkeys(there, 0))
    assert await life(tmp_path, 0, "again") == (0, True)
    assert rows(tmp_path) == {**there, "staged_faxes": 0}
    with closing(sqlite3.connect(tmp_path / "faxgw.db")) as conn:
        assert conn.execute("SELECT id, open FROM jobs").fetchall() == [(JOB, FAXES)]
