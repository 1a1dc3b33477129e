"""One life of a daemon's store, cut off with SIGKILL at a counted step. Run by test_kill.py, not a test itself.

A single-threaded process that has imported everything forks one life per line of its input
(`variant step folder url`) and answers with the life's wait status. In a life four clients hand in a mail each; a
client that was answered writes it into a ledger of its own, which is synced.
"""

import asyncio
import hashlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert

import faxgw.store.postgres
from faxgw.fax.ports import StoredFile
from faxgw.store import rounds
from faxgw.store.engine import Store, open_store
from faxgw.store.files import BUFFER_BYTES, Files, Kind
from faxgw.store.postgres import PostgresEngine
from faxgw.store.sqlite import SqliteEngine

MAILS = 4

metadata = MetaData()
mails = Table(
    "mails",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("size", Integer, nullable=False),
)

_write, _fsync = os.write, os.fsync


class Steps:
    """Kills this process at the given step; steps are counted over all threads."""

    def __init__(self, fatal: int) -> None:
        self._fatal = fatal
        self._count = itertools.count(1)
        self._lock = threading.Lock()

    def step(self) -> None:
        with self._lock:
            if next(self._count) == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str) -> None:  # Any: module or class
        """Make each call of a function two steps: just before and just after it."""
        original: Callable[..., object] = getattr(owner, name)

        def counted(*args: object, **kwargs: object) -> object:
            self.step()
            result = original(*args, **kwargs)
            self.step()
            return result

        setattr(owner, name, counted)


async def submit(store: Store, files: Files, ledger: int, number: int, variant: str) -> None:
    """Hand in one mail and note its acknowledgement."""
    small = number % 2 == 0 and variant != "row before file"  # of which several are made durable in one round
    data = bytes([number]) * (number if small else BUFFER_BYTES + number)
    async with await files.open_temp(Kind.MAIL) as file:
        if variant == "row before file":
            key = file._writer.key
            stored = StoredFile(key, hashlib.sha256(data).hexdigest(), len(data))
            await store.run(lambda conn: keep(conn, number, stored))
        await file.write(data)
        stored = await file.commit()
    if variant == "early 250":
        acknowledge(ledger, number, stored)
    if variant != "row before file":
        await store.run(lambda conn: keep(conn, number, stored))
    if variant != "early 250":
        acknowledge(ledger, number, stored)


def keep(conn: Connection, number: int, stored: StoredFile) -> None:
    conn.execute(insert(mails).values(id=number, key=stored.key, sha256=stored.sha256, size=stored.size))


def refuse(conn: Connection) -> None:
    conn.execute(insert(mails).values(id=-1, key="", sha256="", size=0))
    raise ValueError("this unit fails")


def acknowledge(ledger: int, number: int, stored: StoredFile) -> None:
    _write(ledger, f"{number} {stored.key} {stored.sha256} {stored.size}\n".encode())
    _fsync(ledger)


async def live(folder: Path, variant: str, url: str) -> None:
    ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    store = open_store(url, print)
    files = Files(folder, "n1", 1)
    await store.start()
    await files.start()
    clients = [submit(store, files, ledger, number, variant) for number in range(1, MAILS + 1)]
    await asyncio.gather(*clients, store.run(refuse), return_exceptions=True)
    await files.close()
    await store.close()


def main() -> None:
    for line in sys.stdin:
        variant, step, folder, url = line.strip().split("|")
        pid = os.fork()
        if pid == 0:
            steps = Steps(int(step))
            setattr(rounds, "library", lambda: None)  # noqa: B010 - in Python its steps can be counted
            for owner, name in ((os, "write"), (os, "fsync"), (Path, "rename"), (Path, "unlink")):
                steps.around(owner, name)
            faxgw.store.postgres.READERS = 1  # a life reads nothing, and each of its sessions takes time
            for engine in (SqliteEngine, PostgresEngine):
                for name in ("_begin", "_run", "_commit", "_settle"):
                    steps.around(engine, name)
            asyncio.run(live(Path(folder), variant, url))
            os._exit(0)
        sys.stdout.write(f"{os.waitpid(pid, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
