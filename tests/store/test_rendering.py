"""Pages of large jobs: in slices, in turn, and nothing of it is lost or made twice (docs/spine.md section 2)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select, update

from faxgw.fax.errors import IllegalTransition, Stale
from faxgw.fax.job import FaxState, Wish
from faxgw.fax.outcome import Cause
from faxgw.store import planning, queue, rendering, renditions
from faxgw.store import schema as t
from faxgw.store.rendering import AT_ONCE, LeasedJob
from faxgw.store.renditions import Kind, Rendition
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def numbers(count: int) -> list[str]:
    return [f"+3319900{n:04}" for n in range(count)]


async def states(house: House, job: str) -> Counter[str]:
    rows = await house.rows(select(t.faxes.c.state).where(t.faxes.c.job == job))
    return Counter(row.state for row in rows)


async def give_body(house: House, leased: LeasedJob, covers: bool = True, pages: int = 2) -> bool:
    body = await house.keep(b"II*\0 body")
    return await house.do(
        rendering.rendered, leased.id, fence=house.fence, body=body, pages=pages, facts=(), thumbnail=b"",
        now=house.now, covers=await covers_of(house, leased) if covers else (),
    )  # fmt: skip


async def covers_of(house: House, leased: LeasedJob, pages: int = 1) -> list[Rendition]:
    file = await house.keep(b"covers")
    return [Rendition(Kind.COVER, "fine", file, at, pages, fax) for at, fax in enumerate(leased.faxes, 1)]


async def next_slice(house: House) -> LeasedJob | None:
    return await house.do(rendering.lease_slice, fence=house.fence, now=house.now)


async def make_slice(house: House, leased: LeasedJob, **more: Any) -> bool:
    return await house.do(
        rendering.sliced, leased.id, fence=house.fence, now=house.now, covers=await covers_of(house, leased), **more
    )


async def test_a_small_job_is_ready_at_once_with_its_covers_counted(house: House) -> None:
    job, faxes = await house.job(*numbers(3), ready=False, cover="plain")
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    assert leased.faxes == tuple(faxes)
    assert await give_body(house, leased)
    rows = await house.rows(select(t.faxes.c.state, t.faxes.c.pages))
    assert [(row.state, row.pages) for row in rows] == [("ready", 3)] * 3
    assert await next_slice(house) is None
    prepared = await house.ask(planning.prepare, faxes[1])
    assert prepared is not None and prepared.cover is not None
    assert (prepared.pages, prepared.cover.first, prepared.cover.fax) == (3, 2, faxes[1])
    assert await house.events(faxes[0]) == ["fax.accepted", "fax.rendering", "fax.ready"]
    assert job == leased.id


async def test_a_large_job_follows_in_slices_and_its_first_faxes_do_not_wait(house: House) -> None:
    job, faxes = await house.job(*numbers(2 * AT_ONCE + 5), ready=False, cover="plain")
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    assert len(leased.faxes) == AT_ONCE
    await give_body(house, leased)
    assert await states(house, job) == {"ready": AT_ONCE, "accepted": AT_ONCE + 5}
    seen = list(leased.faxes)
    while (some := await next_slice(house)) is not None:
        assert some.pages == 2 and not some.documents
        assert await next_slice(house) is None, "one slice of a job at a time"
        seen += some.faxes
        assert await make_slice(house, some)
    assert seen == faxes, "in order, each once"
    assert await states(house, job) == {"ready": len(faxes)}
    assert {row.pages for row in await house.rows(select(t.faxes.c.pages))} == {3}
    assert await house.ask(rendering.next_slice) is None
    assert len(await house.ask(renditions.of_faxes, job, faxes, Kind.COVER)) == len(faxes)


async def test_jobs_take_turns(house: House) -> None:
    """No broadcast holds up another job's covers."""
    jobs = []
    for _ in range(2):
        job, _faxes = await house.job(*numbers(3 * AT_ONCE), ready=False, cover="plain")
        jobs.append(job)
        house.clock.now += 1
    for leased in await house.do(rendering.lease, fence=house.fence, now=house.now, limit=5):
        await give_body(house, leased)
    turns = []
    while (some := await next_slice(house)) is not None:
        turns.append(jobs.index(some.id))
        house.clock.now += 1
        await make_slice(house, some)
    assert turns == [0, 1, 0, 1]


async def test_a_slice_whose_lease_was_lost_is_made_again_and_what_was_made_stays(house: House) -> None:
    job, faxes = await house.job(*numbers(AT_ONCE + 2), ready=False, cover="plain")
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    await give_body(house, leased)
    lost = await next_slice(house)
    assert lost is not None
    old = house.fence
    await house.next_life()
    again = await next_slice(house)
    assert again is not None and again.faxes == lost.faxes == tuple(faxes[AT_ONCE:])
    late = await covers_of(house, lost)
    assert not await house.do(rendering.sliced, job, fence=old, now=house.now, covers=late)
    assert await make_slice(house, again)
    assert await states(house, job) == {"ready": AT_ONCE + 2}
    assert not await make_slice(house, again), "run again: the lease is gone"


async def test_a_slice_is_given_up_after_three_tries_and_the_others_go_on(house: House) -> None:
    job, faxes = await house.job(*numbers(2 * AT_ONCE + 1), ready=False, cover="plain")
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    await give_body(house, leased)
    for _ in range(rendering.MAX_TRIES):
        some = await next_slice(house)
        assert some is not None and some.faxes[0] == faxes[AT_ONCE]
        await house.do(rendering.slice_put_back, job, fence=house.fence, now=house.now, why="gone", counted=True)
        assert await next_slice(house) is None, "not before its pause is over"
        house.clock.now += rendering.PAUSE
    last = await next_slice(house)
    assert last is not None and last.faxes == tuple(faxes[2 * AT_ONCE :])
    await make_slice(house, last)
    assert await states(house, job) == {"ready": AT_ONCE + 1, "failed": AT_ONCE}
    rows = await house.rows(select(t.faxes.c.reason).where(t.faxes.c.state == "failed"))
    assert {row.reason for row in rows} == {rendering.TRIES_USED_UP}


async def test_a_full_disk_counts_no_try(house: House) -> None:
    job, _faxes = await house.job(*numbers(AT_ONCE + 1), ready=False, cover="plain")
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    await give_body(house, leased)
    for _ in range(2 * rendering.MAX_TRIES):
        assert await next_slice(house) is not None
        await house.do(rendering.slice_put_back, job, fence=house.fence, now=house.now, why="full", counted=False)
        house.clock.now += rendering.PAUSE
    some = await next_slice(house)
    assert some is not None and await make_slice(house, some)
    assert await states(house, job) == {"ready": AT_ONCE + 1}


async def test_a_cover_that_was_refused_fails_its_fax_and_finishes_the_job_with_the_others(house: House) -> None:
    job, faxes = await house.job(*numbers(2), ready=False, cover="plain")
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    covers = await covers_of(house, leased)
    body = await house.keep(b"body")
    await house.do(
        rendering.rendered, job, fence=house.fence, body=body, pages=1, facts=(), thumbnail=b"", now=house.now,
        covers=covers[:1], refused={faxes[1]: "No value."},
    )  # fmt: skip
    first, second = await house.rows(select(t.faxes).order_by(t.faxes.c.position))
    assert (first.state, first.pages) == ("ready", 2)
    assert (second.state, second.cause, second.reason) == ("failed", Cause.RENDERING_FAILED.value, "No value.")
    assert (await house.rows(select(t.jobs.c.open)))[0].open == 1


async def test_a_held_fax_gets_its_cover_when_it_is_released(house: House) -> None:
    job, faxes = await house.job(*numbers(2), ready=False, cover="plain")
    await house.do(queue.wish, faxes[1], Wish.HOLD, who="op", now=house.now)
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    assert leased.faxes == (faxes[0],)
    await give_body(house, leased)
    assert await next_slice(house) is None
    assert await house.do(queue.release, faxes[1], who="op", now=house.now) is FaxState.ACCEPTED
    some = await next_slice(house)
    assert some is not None and some.faxes == (faxes[1],)
    await make_slice(house, some)
    assert await states(house, job) == {"ready": 2}
    assert await house.ask(rendering.cover_of, job, faxes[1]) is not None


async def test_a_held_fax_without_cover_is_ready_when_it_is_released(house: House) -> None:
    _job, faxes = await house.job(*numbers(2), ready=False)
    await house.do(queue.wish, faxes[1], Wish.HOLD, who="op", now=house.now)
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    await give_body(house, leased, covers=False)
    assert await house.do(queue.release, faxes[1], who="op", now=house.now) is FaxState.READY


async def test_what_was_cancelled_meanwhile_is_not_made_ready(house: House) -> None:
    job, faxes = await house.job(*numbers(AT_ONCE + 2), ready=False, cover="plain")
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    await give_body(house, leased)
    some = await next_slice(house)
    assert some is not None
    await house.do(queue.wish, faxes[-1], Wish.CANCEL, who="op", now=house.now)
    await make_slice(house, some)
    assert await states(house, job) == {"ready": AT_ONCE + 1, "cancelled": 1}
    assert await house.ask(rendering.cover_of, job, faxes[-1]) is None


async def test_a_document_at_fault_fails_all_faxes_of_a_large_job(house: House) -> None:
    job, faxes = await house.job(*numbers(3 * AT_ONCE), ready=False)
    (leased,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    await house.do(
        rendering.failed, leased.id, fence=house.fence, now=house.now, cause=Cause.RENDERING_FAILED, reason="bad",
        temporary=False,
    )  # fmt: skip
    assert await states(house, job) == {"failed": len(faxes)}
    row = (await house.rows(select(t.jobs)))[0]
    assert (row.open, row.finished_at) == (0, house.now)
    assert len(await house.rows(select(t.outbox))) == 1, "the job's report is written once"


async def test_many_faxes_are_moved_as_one_is(house: House) -> None:
    _job, faxes = await house.job(*numbers(2), ready=False)
    job = (await house.rows(select(t.jobs.c.id)))[0].id
    with pytest.raises(IllegalTransition):
        await house.do(queue.move_all, job, faxes, FaxState.READY, now=house.now)
    await house.change(update(t.faxes).where(t.faxes.c.id == faxes[0]).values(state="rendering"))
    with pytest.raises(IllegalTransition):  # one of them may not
        await house.do(queue.move_all, job, faxes, FaxState.READY, now=house.now)
    assert await states(house, job) == {"accepted": 1, "rendering": 1}
    with pytest.raises(Stale):
        await house.do(queue.move_all, job, ["FNSOMEBODYELSES"], FaxState.FAILED, now=house.now)
    await house.do(
        queue.move_all, job, faxes, FaxState.FAILED, now=house.now, cause=Cause.RENDERING_FAILED, reason="why"
    )
    rows = await house.rows(select(t.faxes))
    assert {(r.state, r.cause, r.reason, r.version, r.finished_at) for r in rows} == {
        ("failed", "rendering_failed", "why", 1, house.now)
    }
    events = await house.rows(select(t.events).where(t.events.c.what == "fax.failed"))
    assert sorted(event.data["from"] for event in events) == ["accepted", "rendering"]


async def test_customers_take_turns_at_the_page_processes(house: House) -> None:
    """A thousand documents of one customer, accepted before: another's letter is the second to be made."""
    for n in range(6):
        await house.job(f"+3319900{n:04}", ready=False)
        house.clock.now += 1
    letter, _faxes = await house.job("+33188000001", customer="beta", ready=False)
    house.clock.now += 1
    express, _faxes = await house.job("+33188000002", ready=False, priority=1)
    leased = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=3)
    assert leased[0].id == express
    assert letter in {job.id for job in leased[1:]}


async def test_who_has_jobs_in_work_waits_for_who_has_none(house: House) -> None:
    """Places come free one by one: what is in work counts, or each look would begin with the same customer."""
    mine = []
    for n in range(4):
        mine.append((await house.job(f"+3319900{n:04}", ready=False))[0])
        house.clock.now += 1
    taken = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=2)
    assert [job.id for job in taken] == mine[:2]
    letter, _faxes = await house.job("+33188000001", customer="beta", ready=False)
    (one,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    assert one.id == letter
    (next_one,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    assert next_one.id == mine[2]
