"""docs/spine.md section 9: one daemon per data folder; a new incarnation voids what the earlier ones held.

On SQLite time ends no lease; on PostgreSQL the database's clock does, and only for those who then void it.
"""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, literal, select, update

from faxgw.store.engine import Store
from faxgw.store.errors import FenceLost, FolderLocked, StoreDown
from faxgw.store.ledger import fence_of
from faxgw.store.node import LEASE_S, FolderLock, Lease, expire, register, renew, require, voided
from faxgw.store.schema import nodes
from tests.patience import PATIENCE_S

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


SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


async def run_out(store: Store, node: str) -> None:
    """Let a lease have run out long ago."""
    await store.run(
        lambda conn: conn.execute(update(nodes).where(nodes.c.name == node).values(lease_until=1.0)).close()
    )


def until(conn: Connection, node: str) -> float:
    found: float = conn.execute(select(nodes.c.lease_until).where(nodes.c.name == node)).scalar_one()
    return found


def free(conn: Connection, fences: set[int]) -> set[int]:
    """Those fences whose rows anybody may take."""
    return {fence for fence in fences if conn.scalar(select(1).where(voided(literal(fence))))}


async def begun(store: Store, node: str, now: float) -> Lease:
    return await store.run(lambda conn: register(conn, node, now))


async def test_each_life_of_a_node_has_the_next_incarnation_and_a_higher_fence(store: Store) -> None:
    first = await begun(store, "n1", now=1000.0)
    assert (first.node, first.incarnation, first.fence) == ("n1", 1, 1)
    second = await begun(store, "n1", now=900.0)
    assert (second.incarnation, second.fence) == (2, 2)
    for unit in (lambda conn: require(conn, first), lambda conn: renew(conn, first, 1002.0)):
        with pytest.raises(FenceLost):
            await store.run(unit)
    await store.read(lambda conn: require(conn, second))


async def test_a_lease_is_renewed_from_now_on(store: Store) -> None:
    lease = await begun(store, "n1", now=1000.0)
    await run_out(store, "n1")
    renewed = await store.run(lambda conn: renew(conn, lease, 1010.0))
    assert (renewed.node, renewed.incarnation, renewed.fence) == ("n1", 1, 1)
    assert await store.read(lambda conn: until(conn, "n1")) == renewed.until > lease.until


@SQLITE
async def test_a_lease_lasts_from_the_callers_clock(store: Store) -> None:
    lease = await begun(store, "n1", now=1000.0)
    assert lease == Lease("n1", incarnation=1, fence=1, until=1000.0 + LEASE_S)
    assert await store.run(lambda conn: renew(conn, lease, 1010.0)) == Lease("n1", 1, 1, 1010.0 + LEASE_S)


@SQLITE
async def test_a_new_incarnation_of_any_node_voids_all_earlier_leases(store: Store) -> None:
    first = await begun(store, "n1", now=1000.0)
    renamed = await begun(store, "n2", now=1001.0)
    assert (renamed.incarnation, renamed.fence) == (1, 2)
    with pytest.raises(FenceLost):
        await store.run(lambda conn: require(conn, first))
    again = await begun(store, "n1", now=1003.0)
    assert (again.incarnation, again.fence) == (2, 3)
    assert await store.read(lambda conn: free(conn, {1, 2, 3})) == {1, 2}


@SQLITE
async def test_a_lease_of_the_future_means_nothing_on_sqlite(store: Store) -> None:
    """Section 9: the clock may have jumped; only an incarnation ends a lease."""
    lease = await begun(store, "n1", now=1e12)
    await begun(store, "n1", now=1000.0)
    with pytest.raises(FenceLost):
        await store.read(lambda conn: require(conn, lease))


@SQLITE
async def test_a_lease_that_ran_out_stands_on_sqlite(store: Store) -> None:
    lease = await begun(store, "n1", now=1000.0)
    assert await store.run(expire) == []
    await store.read(lambda conn: require(conn, lease))


@POSTGRESQL
async def test_a_lease_lasts_from_the_databases_clock(store: Store) -> None:
    lease = await begun(store, "n1", now=1000.0)
    assert abs(lease.until - LEASE_S - time.time()) < 10  # the server's clock is this machine's


@POSTGRESQL
async def test_another_nodes_lease_is_respected_until_it_has_run_out(
    store: Store, start_store: Callable[..., Awaitable[Store]]
) -> None:
    other = await start_store()
    first = await begun(store, "n1", now=0.0)
    second = await begun(other, "n2", now=1e12)
    assert (first.fence, second.fence) == (1, 2)
    assert await other.run(expire) == []
    await store.read(lambda conn: require(conn, first))
    assert await other.read(lambda conn: free(conn, {1, 2, 3})) == {3}

    await run_out(store, "n1")
    await store.read(lambda conn: require(conn, first))  # nobody has closed anything of it yet
    assert await other.run(expire) == ["n1"]
    assert await other.run(expire) == []
    assert await other.read(lambda conn: free(conn, {1, 2, 3})) == {1, 3}
    for unit in (lambda conn: require(conn, first), lambda conn: renew(conn, first, 0.0)):
        with pytest.raises(FenceLost):
            await store.run(unit)
    assert await store.read(lambda conn: fence_of(conn, "n1")) != first.fence

    third = await begun(store, "n3", now=0.0)
    assert third.fence == 3, "a voided fence is not drawn again"
    back = await begun(store, "n1", now=0.0)
    assert (back.incarnation, back.fence) == (2, 4)


@POSTGRESQL
async def test_nodes_that_begin_at_once_draw_different_fences(
    store: Store, start_store: Callable[..., Awaitable[Store]]
) -> None:
    other = await start_store()
    leases = await asyncio.gather(*(begun(s, f"n{n}", 0.0) for n in range(10) for s in (store, other)))
    assert sorted(lease.fence for lease in leases) == list(range(1, 21))
    assert [max(lease.incarnation for lease in leases if lease.node == f"n{n}") for n in range(10)] == [2] * 10


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
        holder.wait(PATIENCE_S)
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
        parent.wait(PATIENCE_S)
        FolderLock(tmp_path).release()
        parent.stdin.close()
        assert parent.stdout.readline() == b"child ends\n"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreDown) as caught:
        FolderLock(tmp_path / "file" / "data")
    assert not caught.value.temporary
