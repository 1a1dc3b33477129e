"""docs/spine.md section 9: one daemon per data folder; a new incarnation voids what the earlier ones held."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from faxgw.store.engine import Store
from faxgw.store.errors import FenceLost, FolderLocked, StoreDown
from faxgw.store.node import LEASE_S, FolderLock, Lease, register, renew, require
from faxgw.store.schema import nodes

HOLDER = """
import sys, pathlib
from faxgw.store.node import FolderLock
lock = FolderLock(pathlib.Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""

PARENT = """
import pathlib, subprocess, sys
from faxgw.store.node import FolderLock
lock = FolderLock(pathlib.Path(sys.argv[1]))
child = "print('child', flush=True); import sys; sys.stdin.read(); print('child ends', flush=True)"
subprocess.run([sys.executable, "-c", child], close_fds=False)
"""


async def begun(store: Store, node: str, now: float) -> Lease:
    return await store.run(lambda conn: register(conn, node, now))


async def test_each_life_of_a_node_has_the_next_incarnation_and_a_higher_fence(store: Store) -> None:
    first = await begun(store, "n1", now=1000.0)
    assert first == Lease("n1", incarnation=1, fence=1, until=1000.0 + LEASE_S)
    second = await begun(store, "n1", now=900.0)
    assert (second.incarnation, second.fence) == (2, 2)


async def test_a_new_incarnation_voids_all_earlier_leases(store: Store) -> None:
    first = await begun(store, "n1", now=1000.0)
    await store.read(lambda conn: require(conn, first))
    renamed = await begun(store, "n2", now=1001.0)
    assert (renamed.incarnation, renamed.fence) == (1, 2)
    for unit in (lambda conn: require(conn, first), lambda conn: renew(conn, first, 1002.0)):
        with pytest.raises(FenceLost):
            await store.run(unit)
    await store.read(lambda conn: require(conn, renamed))
    again = await begun(store, "n1", now=1003.0)
    assert (again.incarnation, again.fence) == (2, 3)
    with pytest.raises(FenceLost):
        await store.read(lambda conn: require(conn, renamed))


async def test_a_lease_is_renewed_from_now_on(store: Store) -> None:
    lease = await begun(store, "n1", now=1000.0)
    renewed = await store.run(lambda conn: renew(conn, lease, 1010.0))
    assert renewed == Lease("n1", 1, 1, 1010.0 + LEASE_S)

    def stored(conn: Connection) -> tuple[float, float]:
        row = conn.execute(select(nodes.c.lease_until, nodes.c.started_at)).one()
        return row.lease_until, row.started_at

    assert await store.read(stored) == (1010.0 + LEASE_S, 1000.0)


async def test_a_lease_of_the_future_means_nothing_on_sqlite(store: Store) -> None:
    """Section 9: the clock may have jumped; only an incarnation ends a lease."""
    lease = await begun(store, "n1", now=1e12)
    await begun(store, "n1", now=1000.0)
    with pytest.raises(FenceLost):
        await store.read(lambda conn: require(conn, lease))


def test_a_second_daemon_is_told_who_has_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(FolderLocked, match=f"process {holder.pid} uses") as caught:
            FolderLock(folder)
        assert caught.value.pid == holder.pid and str(folder) not in caught.value.public
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    with FolderLock(folder):
        assert (folder / "lock").read_text() == f"{os.getpid()}\n"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_lock_is_given_up_and_taken_again(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(FolderLocked):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    FolderLock(tmp_path).release()


def test_a_lock_of_an_unknown_owner_is_still_a_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("garbage")
    with (tmp_path / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FolderLocked, match="another process") as caught:
            FolderLock(tmp_path)
    assert caught.value.pid is None


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A call worker may outlive the daemon; the next daemon must start all the same."""
    program = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdin is not None
        assert parent.stdout.readline() == b"child\n"
        with pytest.raises(FolderLocked):
            FolderLock(tmp_path)
        parent.kill()
        parent.wait(10)
        FolderLock(tmp_path).release()
        parent.stdin.close()
        assert parent.stdout.readline() == b"child ends\n"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreDown) as caught:
        FolderLock(tmp_path / "file" / "data")
    assert not caught.value.temporary
