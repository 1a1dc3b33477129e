"""Which faxes may be called now, among many (docs/spine.md section 6)."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, TextClause, bindparam, text, update

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.store import candidates, queue
from faxgw.store import schema as t
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"


async def who(house: House, limit: int = 100, per_customer: int = 50) -> list[str]:
    found = await house.ask(candidates.candidates, now=house.now, limit=limit, per_customer=per_customer)
    return [c.fax for c in found]


async def test_candidates_are_faxes_whose_time_has_come_and_whose_number_is_free(house: House) -> None:
    free, busy, later, done = [await house.ready_fax(n) for n in (FAR, OTHER, "+33199000003", "+33199000004")]
    same = await house.ready_fax(OTHER)
    await house.plan(busy)
    await house.do(queue.move, later, FaxState.WAITING, now=house.now, until=house.now + 10)
    await house.call(done, Cause.OK, confirmed=2)
    assert await who(house) == [free]
    assert await house.ask(candidates.next_candidate, now=house.now) == house.now + 10
    house.clock.now += 10
    assert set(await who(house)) == {free, later}
    assert same not in await who(house)


async def test_a_fax_in_the_past_does_not_hide_the_next_one_that_falls_due(house: House) -> None:
    await house.ready_fax(FAR)
    fax = await house.ready_fax(OTHER)
    await house.do(queue.move, fax, FaxState.WAITING, now=house.now, until=house.now + 5)
    await house.change(update(t.faxes).where(t.faxes.c.id == fax).values(earliest=house.now + 7))
    assert await house.ask(candidates.next_candidate, now=house.now) == house.now + 7


async def test_neither_a_broadcast_nor_many_customers_hide_a_late_single_fax(house: House) -> None:
    """Spine section 6: express before normal; round-robin over customers, then jobs."""
    _job, broadcast = await house.job(*(f"+331990{n:05}" for n in range(100)))
    house.clock.now += 1
    single = await house.ready_fax("+33188000001")
    other = await house.ready_fax("+33188000002", customer="beta")
    express = await house.ready_fax("+33188000003", priority=1)
    found = await who(house, limit=5, per_customer=50)
    assert found[0] == express
    assert {single, other} <= set(found)
    assert len(set(found) & set(broadcast)) == 2


async def test_a_job_whose_faxes_all_wait_does_not_hide_one_that_is_due(house: House) -> None:
    """Neither a customer's retries nor its faxes of tonight stand before the one that may be called now."""
    for n in range(6):
        waits = await house.ready_fax(f"+331990000{n:02}")
        await house.do(queue.move, waits, FaxState.WAITING, now=house.now, until=house.now + 600)
    house.clock.now += 1
    due = await house.ready_fax("+33188000001")
    assert await who(house, limit=1, per_customer=1) == [due]


async def test_a_number_that_is_busy_does_not_hide_the_customers_other_jobs(house: House) -> None:
    await house.plan(await house.ready_fax(FAR))
    for _n in range(6):
        await house.ready_fax(FAR)
    house.clock.now += 1
    free = await house.ready_fax(OTHER)
    assert await who(house, limit=2, per_customer=2) == [free]


async def test_jobs_come_up_in_the_order_in_which_they_could_first_have_been_called(house: House) -> None:
    """A pause that is over counts like an acceptance at that time: fresh faxes do not stand before it for ever."""
    tried = await house.ready_fax("+33199000001")
    await house.do(queue.move, tried, FaxState.WAITING, now=house.now, until=house.now + 60)
    house.clock.now += 30
    early = await house.ready_fax("+33199000002")
    house.clock.now += 60
    late = await house.ready_fax("+33199000003")
    assert await who(house) == [early, tried, late]


async def test_every_fax_of_a_job_comes_up_by_its_time_then_its_position(house: House) -> None:
    _job, faxes = await house.job(*(f"+331990{n:05}" for n in range(4)))
    await house.do(queue.move, faxes[0], FaxState.WAITING, now=house.now, until=house.now + 5)
    await house.do(queue.move, faxes[1], FaxState.WAITING, now=house.now, until=house.now + 60)
    house.clock.now += 10
    assert await who(house) == [faxes[2], faxes[3], faxes[0]]


async def test_of_more_customers_than_are_wanted_those_that_wait_longest_come_up(house: House) -> None:
    faxes = []
    for n, customer in enumerate(("acme", "beta", "acme", "beta")):
        faxes.append(await house.ready_fax(f"+3319900000{n}", customer=customer))
        house.clock.now += 1
    assert await who(house, limit=1, per_customer=1) == faxes[:1]
    assert await who(house, limit=2, per_customer=1) == faxes[:2]
    assert await who(house, limit=3, per_customer=2) == faxes[:3]


async def test_a_fax_whose_latest_time_has_passed_is_not_called(house: House) -> None:
    fax = await house.ready_fax()
    await house.change(update(t.faxes).where(t.faxes.c.id == fax).values(latest=house.now - 1))
    assert await who(house) == []


def explained(conn: Connection, statement: TextClause, **given: object) -> list[str]:
    """How SQLite will carry out a statement, a line for each step."""
    asked = text("EXPLAIN QUERY PLAN " + statement.text)
    asked = asked.bindparams(bindparam("jobs", expanding=True)) if "jobs" in given else asked
    return [row.detail for row in conn.execute(asked, given)]


def steps(conn: Connection) -> list[str]:
    jobs, faxes = candidates._STATEMENTS["sqlite"]
    lines = explained(conn, candidates._WAITING, now=1.0)
    lines += explained(conn, jobs, now=1.0, most=3)
    return lines + explained(conn, faxes, now=1.0, deep=2, jobs=["a", "b"])


@pytest.mark.parametrize("house_engine", ["sqlite"], indirect=True, scope="session")
async def test_no_table_is_read_from_its_beginning_to_its_end(house: House) -> None:
    """What is due later, and a broadcast's thousandth recipient, is not looked at: each step begins within an index."""
    await house.ready_fax()
    lines = await house.ask(steps)
    scanned = {line.split()[1] for line in lines if line.startswith("SCAN")}
    assert scanned <= {"who", "grade", "CONSTANT"}, lines
    searched = " ".join(line for line in lines if line.startswith("SEARCH"))
    for index in ("ix_callable_jobs_customer_priority_due_at", "ix_faxes_callable", "uq_attempts_open_number"):
        assert index in searched
