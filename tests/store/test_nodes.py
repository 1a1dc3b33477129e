"""docs/spine.md sections 6 and 9: two nodes at one PostgreSQL database want the same things; each happens once."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from faxgw.fax import ids
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import CallIdentity, StoredFile
from faxgw.store import directory, ledger, messages, node, outbox, planning, queue, rendering
from faxgw.store import schema as t
from faxgw.store.engine import Store, open_store
from faxgw.store.errors import FenceLost, StoreError
from faxgw.store.files import Files
from faxgw.store.migrate import upgrade
from tests.house import NOON, SEED, House
from tests.postgres import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

Pair = tuple[House, House]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stores(postgres: Server) -> AsyncIterator[list[Store]]:
    """Two nodes' stores on one database."""
    failures: list[StoreError] = []
    url = postgres.url(postgres.create())
    await asyncio.to_thread(upgrade, url)
    made = [open_store(url, failures.append) for _ in range(2)]
    for store in made:
        await store.start()
    await made[0].run(lambda conn: directory.seed(conn, SEED))
    yield made
    for store in made:
        await store.close()
    assert failures == []


@pytest_asyncio.fixture(loop_scope="module")
async def pair(stores: list[Store], tmp_path: Path) -> AsyncIterator[Pair]:
    """Two nodes that have just begun: the second has the higher fence."""
    serial = itertools.count(1)
    houses = []
    for name, store in zip(("a", "b"), stores, strict=True):
        lease = await store.run(lambda conn, name=name: node.register(conn, name, NOON))  # type: ignore[misc]
        files = Files(tmp_path, name, lease.incarnation)
        await files.start()
        houses.append(House(tmp_path, store, files, lease.fence, serial=serial))
    first, second = houses
    assert first.fence < second.fence
    yield first, second
    for house in houses:
        await house.files.close()


async def plan(house: House, name: str, prepared: planning.Prepared) -> planning.Planned | planning.NotPlanned:
    attempt = ids.prefixed("att", house.now, secrets.token_bytes(16))
    return await house.do(
        planning.plan,
        attempt=attempt,
        prepared=prepared,
        tiff=StoredFile("objects/00/" + "0" * 32 + ".n1.1", "0" * 64, 8),
        trunk="t1",
        channels=1000,
        identity=CallIdentity(attempt, "tag", "z9hG4bK1", 1),
        node=name,
        fence=house.fence,
        now=house.now,
    )


async def expire(pair: Pair, name: str) -> None:
    """Let a node's lease run out, and the other one find it."""
    long_ago = update(t.nodes).where(t.nodes.c.name == name).values(lease_until=1.0)
    await pair[1].change(long_ago)
    assert await pair[1].do(node.expire) == [name]


def number() -> str:
    return f"+331{secrets.randbelow(10**8):08}"


async def test_a_fax_both_nodes_plan_is_called_once(pair: Pair) -> None:
    first, second = pair
    faxes = [await first.ready_fax(number()) for _ in range(10)]
    prepared = [await first.prepared(fax) for fax in faxes]
    tries = [plan(house, name, p) for p in prepared for house, name in ((first, "a"), (second, "b"))]
    results = await asyncio.gather(*tries)
    assert sum(isinstance(result, planning.Planned) for result in results) == len(faxes)
    why = {result.why for result in results if isinstance(result, planning.NotPlanned)}
    assert why == {"fax is calling"}
    rows = await first.rows(select(t.attempt_faxes.c.fax).where(t.attempt_faxes.c.fax.in_(faxes)))
    assert sorted(row.fax for row in rows) == sorted(faxes)


async def test_one_number_is_called_by_one_node(pair: Pair) -> None:
    first, second = pair
    called = number()
    faxes = [await first.ready_fax(called) for _ in range(2)]
    prepared = [await first.prepared(fax) for fax in faxes]
    results = await asyncio.gather(plan(first, "a", prepared[0]), plan(second, "b", prepared[1]))
    assert sorted(type(result).__name__ for result in results) == ["NotPlanned", "Planned"]


async def test_a_job_that_both_nodes_finish_is_finished_once(pair: Pair) -> None:
    job, faxes = await pair[0].job(*(number() for _ in range(20)))
    ends = [
        pair[n % 2].do(queue.move, fax, FaxState.FAILED, now=NOON, cause=Cause.BUSY, reason="no")
        for n, fax in enumerate(faxes)
    ]
    await asyncio.gather(*ends)
    (row,) = await pair[0].rows(select(t.jobs.c.open, t.jobs.c.finished_at).where(t.jobs.c.id == job))
    assert row.open == 0 and row.finished_at == NOON
    assert (await pair[0].events(job)).count("job.finished") == 1
    assert len(await pair[0].outbox(job)) == 1


async def test_what_waits_is_leased_to_one_node_each(pair: Pair) -> None:
    """And a node with a higher fence takes nothing from one that lives."""
    first, second = pair
    mails = [await first.mail(number(), message_id=f"<{n}-{secrets.token_hex(4)}@x>") for n in range(12)]
    await asyncio.gather(*(first.accept(mail) for mail in mails))
    jobs = [(await first.job(number(), ready=False))[0] for _ in range(12)]
    items = [f"out_{secrets.token_hex(8)}" for _ in range(12)]
    for item in items:
        await first.do(outbox.put, item, "status_mail", "x@example.org", customer="acme", payload={}, now=NOON)

    async def take(house: House) -> tuple[list[str], list[str], list[str]]:
        found: tuple[list[str], list[str], list[str]] = ([], [], [])
        for _ in range(10):
            found[0].extend(m.id for m in await house.do(messages.lease, fence=house.fence, now=NOON, limit=3))
            found[1].extend(j.id for j in await house.do(rendering.lease, fence=house.fence, now=NOON, limit=3))
            parcels = await house.do(outbox.lease, fence=house.fence, now=NOON, limit=3)
            found[2].extend(parcel.item for parcel, _ in parcels)
        return found

    taken = await asyncio.gather(take(first), take(second))
    for n, wanted in enumerate(([mail.message for mail in mails], jobs, items)):
        both = taken[0][n] + taken[1][n]
        assert len(both) == len(set(both)), "leased twice"
        assert set(wanted) <= set(both)

    assert await second.do(messages.lease, fence=second.fence, now=NOON, limit=100) == []
    await expire(pair, "a")
    back = [m.id for m in await second.do(messages.lease, fence=second.fence, now=NOON, limit=100)]
    assert set(taken[0][0]) <= set(back)


async def test_the_calls_of_a_living_node_are_its_own(pair: Pair) -> None:
    """Spine section 9: only after the lease may others close its attempts; then its marks come too late."""
    first, second = pair
    fax = await first.ready_fax(number())
    planned = await plan(first, "a", await first.prepared(fax))
    assert isinstance(planned, planning.Planned)
    attempt = planned.attempt

    async def strangers(house: House) -> Sequence[str]:
        return [row.id for row in await house.ask(ledger.open_strangers, fence=house.fence)]

    assert attempt not in await strangers(second)
    assert await first.answer(attempt)
    await expire(pair, "a")
    assert attempt in await strangers(second)
    assert attempt not in await strangers(first)
    await second.do(ledger.recover, attempt, now=NOON)

    assert not await first.expose(attempt, fax), "a node that comes back may ring, never send"
    with pytest.raises(FenceLost):
        await first.do(node.require, node.Lease("a", 1, first.fence, 0.0))
    await first.wait(fax)
    again = await plan(first, "a", await first.prepared(fax))
    assert isinstance(again, planning.NotPlanned) and again.why == "another incarnation runs"


async def test_a_node_whose_lease_was_voided_before_anybody_closed_its_call_exposes_nothing(pair: Pair) -> None:
    first, _second = pair
    fax = await first.ready_fax(number())
    planned = await plan(first, "a", await first.prepared(fax))
    assert isinstance(planned, planning.Planned)
    assert await first.answer(planned.attempt)
    await expire(pair, "a")
    assert not await first.expose(planned.attempt, fax)
