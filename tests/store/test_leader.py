"""docs/spine.md section 6: one leader, another within 10 s of its death; it knows when it leads no more."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import faxgw.store.leader as leader_module
from faxgw.store.engine import Leadership, Store
from faxgw.store.errors import StoreDown
from faxgw.store.leader import lock_key
from tests.patience import PATIENCE_S
from tests.postgres import Server

StartStore = Callable[..., Awaitable[Store]]

ELECTION_S = 10.0
"""Seconds in which there must be a leader again."""
POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

OTHER_NODE = """
import asyncio, sys
import faxgw.store.leader as leader
from faxgw.store.engine import open_store
leader.SESSION_S, leader.TRUST_S, leader.BEAT_S = 3, 2.5, 0.2

async def main():
    store = open_store(sys.argv[1], print)
    await store.start()
    async with store.lead("dispatcher") as leadership:
        await leadership.gained()
        print("leads", flush=True)
        await leadership.lost()
        print("lost", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def other_node(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another node, in a process of its own, that leads."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OTHER_NODE, url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert await said(process) == b"leads\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return await process.stdout.readline()


async def soon(what: Awaitable[None]) -> None:
    """Await what must come."""
    async with asyncio.timeout(PATIENCE_S):
        await what


async def test_a_node_alone_leads_until_it_resigns(store: Store) -> None:
    async with store.lead("dispatcher") as leadership:
        await soon(leadership.gained())
        assert leadership.held and leadership.name == "dispatcher"
    assert not leadership.held
    await soon(leadership.lost())
    async with store.lead("dispatcher") as again:
        await soon(again.gained())


async def test_a_store_that_is_closed_leads_nothing(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreDown):
        async with store.lead("dispatcher"):
            pass


@POSTGRESQL
async def test_of_two_nodes_one_leads_and_the_other_follows_when_it_resigns(
    store: Store, start_store: StartStore
) -> None:
    other = await start_store()
    async with contextlib.AsyncExitStack() as first:
        mine = await first.enter_async_context(store.lead("dispatcher"))
        await soon(mine.gained())
        async with other.lead("dispatcher") as theirs, other.lead("purge") as another:
            await soon(another.gained())  # a leadership of its own
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(theirs.gained(), 2 * leader_module.BEAT_S)
            assert mine.held and not theirs.held
            await first.aclose()
            await soon(theirs.gained())
            assert theirs.held and not mine.held


@POSTGRESQL
async def test_a_leader_that_is_killed_is_followed(store: Store, database: str) -> None:
    async with other_node(database) as leader, store.lead("dispatcher") as mine:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(mine.gained(), 1.0)
        leader.send_signal(signal.SIGKILL)
        await soon(mine.gained())


@POSTGRESQL
async def test_a_leader_that_stands_still_is_followed_and_knows_it_when_it_goes_on(store: Store, database: str) -> None:
    """Its connection stands, its machine does not: the server ends the session of who gives no sign of life."""
    async with other_node(database) as leader, store.lead("dispatcher") as mine:
        os.kill(leader.pid, signal.SIGSTOP)
        await soon(mine.gained())
        os.kill(leader.pid, signal.SIGCONT)
        assert await said(leader) == b"lost\n"
        assert mine.held


@POSTGRESQL
async def test_a_leader_whose_session_ends_is_told_and_stands_again(
    store: Store, database: str, postgres: Server
) -> None:
    async with store.lead("dispatcher") as leadership:
        await soon(leadership.gained())
        with postgres.connect("postgres") as admin:
            holder = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"
            pids = admin.execute(holder, [lock_key("dispatcher")]).fetchall()
            assert len(pids) == 1
            lost = asyncio.ensure_future(soon(leadership.lost()))
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", pids[0])
        await lost
        await soon(leadership.gained())


async def test_who_gets_no_answer_in_time_does_not_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may have given the lock away already; so trust ends before the server's patience does."""
    assert leader_module.TRUST_S + leader_module.BEAT_S <= leader_module.SESSION_S
    assert leader_module.SESSION_S + 2 * leader_module.BEAT_S < ELECTION_S  # silence, a try just before, the next
    leadership = Leadership("dispatcher")
    leadership.set_until(time.monotonic() + 0.05)
    await soon(leadership.lost())
    assert not leadership.held
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: 99.9)
        leadership.set_until(100.0)
        assert leadership.held
    monkeypatch.setattr(time, "monotonic", lambda: 100.1)
    assert not leadership.held


def test_locks_of_different_names_differ() -> None:
    assert lock_key("dispatcher") != lock_key("purge") and 0 <= lock_key("dispatcher") < 2**31
