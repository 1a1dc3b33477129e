"""The rows by which the dispatcher finds jobs: there as long as a fax may be called, never later than the truth."""

from __future__ import annotations

import random
import runpy
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, select, text

from faxgw.fax.job import FaxState, Wish
from faxgw.fax.outcome import Cause
from faxgw.store import callable_jobs, queue
from faxgw.store import schema as t
from faxgw.store.migrate import MIGRATIONS
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR = "+33199000001"


async def lanes(house: House) -> list[tuple[Any, ...]]:
    c = t.callable_jobs.c
    return [tuple(row) for row in await house.rows(select(c.customer, c.priority, c.due_at).order_by(c.due_at, c.job))]


def truth(conn: Connection) -> dict[str, float]:
    """From when the first callable fax of each job may be called, read from all faxes."""
    f = t.faxes.c
    rows = conn.execute(
        select(f.job, t.jobs.c.accepted_at, func.min(f.until), func.min(f.earliest))
        .join(t.jobs, t.jobs.c.id == f.job)
        .where(f.state.in_([FaxState.READY, FaxState.WAITING]))
        .group_by(f.job, t.jobs.c.accepted_at)
    )
    return {row.job: max(row[1:]) for row in rows}


def told(conn: Connection) -> dict[str, float]:
    return {row.job: row.due_at for row in conn.execute(select(t.callable_jobs))}


async def test_a_job_stands_from_ready_to_its_call_and_again_with_its_pause(house: House) -> None:
    fax = await house.ready_fax(FAR, priority=1)
    accepted = house.now
    assert await lanes(house) == [("acme", callable_jobs.EXPRESS, accepted)]
    attempt = await house.plan(fax)
    assert await lanes(house) == []
    await house.done(attempt, Cause.BUSY)
    row = await house.fax(fax)
    assert row.state == FaxState.WAITING and row.until > accepted
    assert await lanes(house) == [("acme", callable_jobs.EXPRESS, row.until)]


async def test_a_job_of_many_faxes_stands_with_the_first_that_may_be_called(house: House) -> None:
    _job, faxes = await house.job(FAR, "+33199000002")
    for place, fax in enumerate(faxes):
        until = house.now + 60 - place
        await house.do(queue.move, fax, FaxState.WAITING, now=house.now, until=until)
    assert await lanes(house) == [("acme", callable_jobs.NORMAL, house.now + 59)]
    await house.do(queue.wish, faxes[1], Wish.CANCEL, who="op", now=house.now)
    assert await lanes(house) == [("acme", callable_jobs.NORMAL, house.now + 60)]
    await house.do(queue.wish, faxes[0], Wish.HOLD, who="op", now=house.now)
    assert await lanes(house) == []
    await house.do(queue.release, faxes[0], who="op", now=house.now)
    assert await lanes(house) == [("acme", callable_jobs.NORMAL, house.now + 60)]


async def test_a_job_accepted_by_a_clock_that_went_back_may_be_called_at_once(house: House) -> None:
    """Its acceptance lies in the future; nobody may wait for that."""
    job, _faxes = await house.job(FAR)
    await house.change(delete(t.callable_jobs))
    await house.do(callable_jobs.settle, job, now=house.now - 3600)
    assert await lanes(house) == [("acme", callable_jobs.NORMAL, house.now - 3600)]


@pytest.mark.parametrize("by", [-7200.0, 7200.0])
async def test_after_a_jump_of_the_clock_nothing_is_later_than_the_truth(house: House, by: float) -> None:
    """docs/spine.md section 9: what waits for a time goes on waiting as long as before."""
    await house.ready_fax(FAR)
    waits = await house.ready_fax("+33199000002")
    await house.do(queue.move, waits, FaxState.WAITING, now=house.now, until=house.now + 60)
    house.clock.now += by
    await house.do(queue.move_times, jump="jump1", by=by, now=house.now)
    untils = (await house.fax(waits)).until
    assert untils == house.now + 60
    found = await lanes(house)
    assert found[0][2] <= house.now
    assert found[1][2] <= untils


async def test_whatever_happens_to_faxes_the_rows_say_what_is_true(house: House) -> None:
    """Hundreds of steps by chance; the seed is fixed."""
    chance = random.Random(20261122)
    everything = []
    for n in range(8):
        _job, faxes = await house.job(*(f"+3319{n}{k:06}" for k in range(chance.randint(1, 4))), priority=n % 2)
        everything += faxes
        house.clock.now += 1
    for _step in range(150):
        fax, kind = chance.choice(everything), chance.randrange(5)
        row = await house.fax(fax)
        state = FaxState(row.state)
        if state.final or state is FaxState.CALLING:
            continue
        if state is FaxState.HELD:
            await house.do(queue.release, fax, who="op", now=house.now)
        elif kind < 3:
            until = house.now + chance.randint(-50, 50)
            await house.do(queue.move, fax, FaxState.WAITING, now=house.now, until=until)
        elif kind == 3:
            await house.do(queue.wish, fax, Wish.HOLD, who="op", now=house.now)
        else:
            await house.do(queue.move, fax, FaxState.CALLING, now=house.now)
            await house.do(queue.move, fax, FaxState.WAITING, now=house.now, until=house.now + 5)
        house.clock.now += 1
        assert await house.ask(told) == await house.ask(truth)
    for fax in everything:
        await house.do(queue.wish, fax, Wish.CANCEL, who="op", now=house.now)
    assert await house.ask(told) == {}


async def test_the_migration_writes_the_rows_that_are_true(house: House) -> None:
    """Faxes that waited before there were such rows are called after it; its trunk is that of the job's settings."""
    await house.ready_fax(FAR, priority=1, trunk="t2")
    _job, faxes = await house.job("+33199000002", "+33199000003")
    for place, fax in enumerate(faxes):
        await house.do(queue.move, fax, FaxState.WAITING, now=house.now, until=house.now + 60 + place)
    await house.wish(await house.ready_fax("+33199000004"), Wish.HOLD)
    rows = select(t.callable_jobs).order_by(t.callable_jobs.c.job)
    before = [tuple(row) for row in await house.rows(rows)]
    assert len(before) == 2 and "t2" in {row[-1] for row in before}
    await house.change(delete(t.callable_jobs))
    await house.do(_fill)
    assert [tuple(row) for row in await house.rows(rows)] == before


def _fill(conn: Connection) -> None:
    """What the revision does with the rows that are there."""
    path = MIGRATIONS / "versions" / "r0021_callable_jobs.py"
    revision = runpy.run_path(str(path))
    sqlite = conn.dialect.name == "sqlite"
    trunk = "json_extract(j.settings, '$.trunk.value')" if sqlite else "j.settings #>> '{trunk,value}'"
    conn.execute(text(revision["FILL"].format(trunk=trunk)))
