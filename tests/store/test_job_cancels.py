"""A job that is cancelled as a whole: from the wish on nothing of it is called, and the rows follow in slices."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from faxgw.dispatch import upkeep
from faxgw.fax.job import Wish
from faxgw.fax.outcome import Cause
from faxgw.store import job_cancels, restore
from faxgw.store import schema as t
from faxgw.store.job_cancels import Obeyed
from faxgw.store.planning import NotPlanned, Then
from tests.dispatch.doubles import until
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def numbers(count: int) -> list[str]:
    return [f"+33199{place:06}" for place in range(count)]


async def wish(house: House, job: str) -> None:
    await house.do(job_cancels.ask, job, who="bert", now=house.now)


async def obey(house: House, job: str) -> Obeyed:
    return await house.do(job_cancels.obey, job, now=house.now)


async def standing(house: House) -> list[str]:
    return list(await house.ask(job_cancels.standing))


async def states(house: House, job: str) -> dict[str, int]:
    found = [row.state for row in await house.rows(select(t.faxes.c.state).where(t.faxes.c.job == job))]
    return {state: found.count(state) for state in set(found)}


async def test_from_the_wish_on_no_fax_of_the_job_is_called(house: House) -> None:
    """Spine section 2: a wish of a job is read by planning; no row of the faxes has changed yet."""
    job, (fax, _other) = await house.job(*numbers(2))
    await wish(house, job)
    assert await house.state(fax) == "ready"
    assert await house.try_plan(fax) == NotPlanned("its job is cancelled", Then.LATER)


async def test_the_rows_follow_in_slices_and_the_last_one_finishes_the_job(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_cancels, "AT_ONCE", 3)
    job, faxes = await house.job(*numbers(7))
    await wish(house, job)
    assert [await obey(house, job) for _ in range(3)] == [Obeyed(3, 0, False), Obeyed(3, 0, False), Obeyed(1, 0, True)]
    assert await states(house, job) == {"cancelled": 7}
    (row,) = await house.rows(select(t.jobs).where(t.jobs.c.id == job))
    assert (row.open, row.finished_at) == (0, house.now)
    assert len(await house.outbox(job)) == 1, "one cumulative report"
    assert await standing(house) == []
    (told,) = await house.rows(
        select(t.events).where(t.events.c.entity == faxes[0], t.events.c.what == "fax.cancelled")
    )
    assert (told.who, told.data["cause"]) == ("bert", Cause.CANCELLED.value)


async def test_a_call_in_progress_is_told_first_and_its_page_that_arrived_stays_sent(house: House) -> None:
    """Spine section 2: at the close of the call sent stands, then cancel."""
    job, (sent, begun, waits) = await house.job(*numbers(3), pages=1)
    first, second = await house.plan(sent), await house.plan(begun)
    for attempt, fax in ((first, sent), (second, begun)):
        assert await house.answer(attempt)
        assert await house.expose(attempt, fax)
    await wish(house, job)
    assert await obey(house, job) == Obeyed(1, 2, True)
    assert {(await house.fax(fax)).wish for fax in (sent, begun)} == {Wish.CANCEL.value}
    assert await house.confirm(first, sent, 1)
    assert await house.done(first, Cause.OK)
    assert await house.done(second, Cause.REMOTE_HUNG_UP)
    assert [await house.state(fax) for fax in (sent, begun, waits)] == ["sent", "cancelled", "cancelled"]


async def test_whatever_a_fax_waits_for_it_is_cancelled_and_what_is_final_stays(house: House) -> None:
    job, (failed, held, busy, fresh) = await house.job(*numbers(4))
    await house.call(failed, Cause.WRONG_NUMBER)
    await house.wish(held, Wish.HOLD)
    await house.call(busy, Cause.BUSY)
    assert [await house.state(fax) for fax in (failed, held, busy)] == ["failed", "held", "waiting"]
    await wish(house, job)
    assert await obey(house, job) == Obeyed(3, 0, True)
    assert [await house.state(fax) for fax in (failed, held, busy, fresh)] == ["failed"] + ["cancelled"] * 3


async def test_a_job_whose_pages_are_not_made_yet_is_cancelled_too(house: House) -> None:
    job, _faxes = await house.job(*numbers(2), ready=False)
    await wish(house, job)
    assert await obey(house, job) == Obeyed(2, 0, True)


async def test_a_second_wish_or_one_for_a_finished_job_changes_nothing(house: House) -> None:
    job, _faxes = await house.job(*numbers(2))
    await wish(house, job)
    await wish(house, job)
    assert (await house.events(job)).count("job.wish.cancel") == 1
    await obey(house, job)
    await wish(house, job)
    assert await standing(house) == []
    assert await obey(house, job) == Obeyed(0, 0, True)


async def test_upkeep_goes_on_with_a_cancel_that_was_interrupted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway died between two slices: nobody has to ask again."""
    monkeypatch.setattr(job_cancels, "AT_ONCE", 2)
    job, _faxes = await house.job(*numbers(5))
    await wish(house, job)
    await obey(house, job)
    await house.next_life()
    keeping = asyncio.create_task(upkeep.keep_order(house.seat()))

    async def done() -> bool:
        return await standing(house) == []

    try:
        await until(done)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert await states(house, job) == {"cancelled": 5}


async def test_a_restored_backup_that_waits_is_not_touched_and_its_cancel_outlives_the_release(house: House) -> None:
    """Spine section 9: until the release nothing is decided; what was cancelled is not called after it."""
    job, (fax, _other) = await house.job(*numbers(2))
    await wish(house, job)
    await house.do(restore.begin, now=house.now, backup={"made_at": 1.0})
    while await house.do(restore.hold_next, now=house.now):
        pass
    await house.next_life()
    assert await standing(house) == []
    while await house.do(restore.release_next, who="operator", now=house.now):
        pass
    await house.do(restore.finish, who="operator", now=house.now, reports_too=True)
    assert await house.state(fax) == "ready"
    assert await house.try_plan(fax) == NotPlanned("its job is cancelled", Then.LATER)
    assert await standing(house) == [job]
