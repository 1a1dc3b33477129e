"""Reliability findings 2 to 4: acknowledged means on the disk, shown by cutting the power of a real file system.

ext4 on a loop device is shut down with FS_IOC_SHUTDOWN, without flushing its log: what was not synced is gone,
and every later write fails with EIO. Needs root and a loop device.
"""

import asyncio
import errno
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select

import faxgw.store.files as files_module
import faxgw.store.sqlite as sqlite_engine
from faxgw.fax.ports import StoredFile
from faxgw.store import rounds
from faxgw.store.engine import Store, open_store
from faxgw.store.errors import ObjectDamaged, StoreError
from faxgw.store.files import BUFFER_BYTES, Files, Kind

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
DISK_BYTES = 64 * 2**20
TOOLS = ("mkfs.ext4", "mount", "umount")

metadata = MetaData()
mails = Table(
    "mails",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String),
    Column("sha256", String),
    Column("size", Integer),
)


class Disk:
    """An ext4 file system of its own whose power can be cut."""

    def __init__(self, folder: Path) -> None:
        self._image = folder / "disk.img"
        self.root = folder / "disk"
        self.root.mkdir()
        with self._image.open("wb") as image:
            image.truncate(DISK_BYTES)
        run("mkfs.ext4", "-q", "-F", "-O", "^metadata_csum_seed", str(self._image))
        self.mount()

    def mount(self) -> None:
        # commit: the journal is written when we ask for it, not by its own clock of five seconds
        run("mount", "-o", "loop,commit=600", str(self._image), str(self.root))

    def unmount(self) -> None:
        run("umount", str(self.root))

    def cut_power(self) -> None:
        fd = os.open(self.root, os.O_RDONLY)
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(fd)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in TOOLS):
        pytest.skip("a power cut needs root, mkfs.ext4 and mount")
    try:
        made = Disk(tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop-mounted ext4 here: {error.stderr.decode().strip()}")
    yield made
    made.unmount()


def keep(conn: Connection, number: int, stored: StoredFile) -> None:
    conn.execute(insert(mails).values(id=number, key=stored.key, sha256=stored.sha256, size=stored.size))


async def live(disk: Disk, mails_before_cut: int) -> tuple[dict[int, StoredFile], list[StoreError]]:
    """Take mails from four clients until the power is cut; return what was acknowledged, and fatal errors.

    An fsync in flight at the cut was seen to return success with nothing written, which no dead machine could
    report: only what was acknowledged before the cut counts.
    """
    fatal: list[StoreError] = []
    promised: dict[int, StoredFile] = {}
    store = open_store(f"sqlite:///{disk.root}/faxgw.db", fatal.append)
    files = Files(disk.root, "n1", 1)
    await store.start()
    await files.start()
    await store.run(metadata.create_all)

    async def client(first: int) -> None:
        number = first
        while True:
            async with await files.open_temp(Kind.MAIL) as file:
                await file.write(bytes([number % 251]) * 5000)
                stored = await file.commit()
            await accept(store, number, stored)
            if len(promised) == mails_before_cut:
                return
            promised[number] = stored
            number += 4
            if len(promised) == mails_before_cut:
                disk.cut_power()

    ends = await asyncio.gather(*(client(first) for first in range(4)), return_exceptions=True)
    assert all(end is None or (isinstance(end, StoreError) and end.temporary) for end in ends), ends
    await files.close()
    await store.close()
    return promised, fatal


async def accept(store: Store, number: int, stored: StoredFile) -> None:
    await store.run(lambda conn: keep(conn, number, stored))


async def lost(disk: Disk, promised: dict[int, StoredFile]) -> list[str]:
    """What the next life misses of what was acknowledged."""
    disk.unmount()
    disk.mount()
    store = open_store(f"sqlite:///{disk.root}/faxgw.db", lambda error: None)
    files = Files(disk.root, "n1", 2)
    await store.start()
    await files.start()
    await store.run(metadata.create_all)
    rows = await store.read(lambda conn: {row.id: row.key for row in conn.execute(select(mails))})

    async def known(keys: Sequence[str]) -> Collection[str]:
        return set(rows.values()).intersection(keys)

    await files.sweep(known)
    found = [f"row of {number}" for number, stored in promised.items() if rows.get(number) != stored.key]
    for number, stored in promised.items():
        try:
            os.close(await files.open_read(stored))
        except ObjectDamaged:
            found.append(f"file of {number}")
    await files.close()
    await store.close()
    return found


@pytest.mark.parametrize("native", [True, False], ids=["rounds in C", "rounds in Python"])
@pytest.mark.parametrize("count", [1, 7, 60])
async def test_a_power_cut_loses_nothing_that_was_acknowledged(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, count: int, native: bool
) -> None:
    if native:
        assert rounds.library() is not None
    else:
        monkeypatch.setattr(rounds, "library", lambda: None)
    promised, fatal = await live(disk, count)
    assert len(promised) == count
    assert len(fatal) <= 1
    assert await lost(disk, promised) == []


@pytest.mark.parametrize("synced", [True, False], ids=["folder synced", "folder not synced"])
async def test_an_object_survives_by_the_sync_of_its_folder(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, synced: bool
) -> None:
    """Finding 3, and the broken variant; without a database, whose own syncs would carry the name along."""
    files = Files(disk.root, "n1", 1)
    await files.start()
    if not synced:
        monkeypatch.setattr(files_module, "sync_folder", lambda folder: None)
    async with await files.open_temp(Kind.MAIL) as file:
        await file.write(bytes(BUFFER_BYTES + 1))  # so large that it is renamed
        stored = await file.commit()
    disk.cut_power()
    await files.close()
    disk.unmount()
    disk.mount()
    assert (disk.root / stored.key).exists() == synced


async def test_without_full_synchronisation_the_harness_sees_the_loss(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sqlite_engine._PRAGMAS, "synchronous", ("OFF", 0))
    monkeypatch.setattr(sqlite_engine, "sync_folder", lambda folder: None)
    promised, _ = await live(disk, 20)
    monkeypatch.undo()
    assert any(loss.startswith("row") for loss in await lost(disk, promised))


@pytest.mark.parametrize("native", [True, False], ids=["in C", "in Python"])
async def test_a_round_whose_disk_fails_keeps_nothing(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    """EIO of a real file system: none of the files is said to be there, and none is."""
    if not native:
        monkeypatch.setattr(rounds, "library", lambda: None)
    folder = disk.root / "spool"
    folder.mkdir()
    names = [str(folder / name) for name in "abc"]
    assert rounds.write(str(folder), [(name, b"mail") for name in names[:1]]) == [None]
    disk.cut_power()
    faults = rounds.write(str(folder), [(name, b"mail") for name in names[1:]])
    assert [fault.errno for fault in faults if fault is not None] == [errno.EIO] * 2
    disk.unmount()
    disk.mount()
    assert [path.name for path in folder.iterdir()] == ["a"]
