"""Reliability section 2.3: ENOSPC is predictable and temporary, EIO ends the process; neither loses a promise."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table, func, insert, select

from faxgw.store.engine import open_store
from faxgw.store.errors import OutOfSpace, StoreError
from faxgw.store.files import BUFFER_BYTES, Files, Kind
from faxgw.store.space import Ballast, Watermark

MIB = 2**20

metadata = MetaData()
things = Table("things", metadata, Column("id", Integer, primary_key=True), Column("data", LargeBinary))

LIMITED = """
import asyncio, resource, sys
from sqlalchemy import text
from faxgw.store.engine import open_store
from faxgw.store.errors import StoreError

async def main():
    fatal = []
    store = open_store("sqlite:///" + sys.argv[1], fatal.append)
    await store.start()
    await store.run(lambda conn: conn.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY, data BLOB)")) and None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    for number in range(100):
        def unit(conn):
            conn.execute(text("INSERT INTO things VALUES (:id, zeroblob(20000))"), {"id": number})
        try:
            await store.run(unit)
        except StoreError as error:
            print(number, type(error).__name__, len(fatal), flush=True)
            break
    try:
        await store.run(unit)
    except StoreError as error:
        print(type(error).__name__, len(fatal), flush=True)
    await store.close()

asyncio.run(main())
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system needs root and mount")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True, timeout=30).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def adding(number: int, octets: int) -> Callable[[Connection], None]:
    def add(conn: Connection) -> None:
        conn.execute(insert(things).values(id=number, data=os.urandom(octets)))

    return add


def count(conn: Connection) -> int:
    return conn.scalar(select(func.count()).select_from(things)) or 0


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    return filler


async def until_full(run: Callable[[int], Awaitable[object]]) -> int:
    """Repeat until OutOfSpace; return how often it went well."""
    for number in range(10_000):
        try:
            await run(number)
        except OutOfSpace as error:
            assert error.temporary
            return number
    raise AssertionError("it was never full")


async def test_a_full_disk_refuses_units_until_there_is_room_again(small: Path) -> None:
    fatal: list[StoreError] = []
    store = open_store(f"sqlite:///{small}/faxgw.db", fatal.append)
    await store.start()
    await store.run(metadata.create_all)
    filler = fill(small)
    done = await until_full(lambda number: store.run(adding(number, 50_000)))
    assert await store.read(count) == done
    filler.unlink()
    await store.run(adding(10_000, 50_000))
    assert await store.read(count) == done + 1
    assert fatal == [] and store.counters.out_of_space == 1
    await store.close()


async def test_the_ballast_keeps_state_changes_possible(small: Path) -> None:
    ballast = Ballast(small / "ballast", 4 * MIB)
    fatal: list[StoreError] = []
    store = open_store(f"sqlite:///{small}/faxgw.db", fatal.append, ballast.release)
    await store.start()
    await store.run(metadata.create_all)
    assert ballast.restore(spare=0)
    filler = fill(small)
    await asyncio.gather(*(store.run(adding(number, 4000)) for number in range(100)))
    assert await store.read(count) == 100
    assert not ballast.in_place() and fatal == [] and store.counters.torn >= 1
    assert not ballast.restore(spare=4 * MIB)
    filler.unlink()
    assert ballast.restore(spare=MIB)
    await store.close()


async def test_a_full_disk_leaves_no_half_file(small: Path) -> None:
    files = Files(small, "n1", 1)
    await files.start()
    filler = fill(small)

    async def mail(_: int) -> None:
        async with await files.open_temp(Kind.MAIL) as file:
            await file.write(bytes(BUFFER_BYTES))
            await file.commit()

    await until_full(mail)
    assert list((small / "tmp").iterdir()) == []
    with pytest.raises(OutOfSpace):
        await files.require_room(Watermark(message_limit=MIB, render_budget=0))
    filler.unlink()
    await files.require_room(Watermark(message_limit=MIB, render_budget=0))
    await mail(0)
    await files.close()


def test_an_error_of_the_disk_ends_the_engine_and_loses_nothing(tmp_path: Path) -> None:
    """A write that fails with EFBIG is no want of space to SQLite, but SQLITE_IOERR_WRITE."""
    path = tmp_path / "faxgw.db"
    answer = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], check=True, capture_output=True, text=True, timeout=60
    )
    first, second = answer.stdout.splitlines()
    done, error, fatal = first.split()
    assert int(done) > 0 and (error, fatal) == ("CommitUncertain", "1")
    assert second == "StoreDown 1"
    with contextlib.closing(sqlite3.connect(path)) as conn:
        assert conn.execute("SELECT count(*) FROM things").fetchone()[0] >= int(done)
