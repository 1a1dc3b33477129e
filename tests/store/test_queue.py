"""Jobs and faxes on a real store: the table's transitions, rendering, wishes (docs/spine.md sections 1 and 2)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select, update

from faxgw.fax.errors import IllegalTransition, Stale
from faxgw.fax.job import TRANSITIONS, FaxState, Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.store import queue, rendering
from faxgw.store import schema as t
from tests.house import ALICE, House
from tests.statements import counted

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"
LOST = rendering.LEASE + 1


async def lease(house: House) -> Any:
    return await house.do(rendering.lease, fence=house.fence, now=house.now, limit=10)


async def test_a_fax_moves_exactly_along_the_table(house: House) -> None:
    """Spine section 2: nothing else may change a state."""
    fax = await house.ready_fax()
    for old, new in itertools.product(FaxState, FaxState):
        await house.change(update(t.faxes).values(state=old.value))
        await house.change(update(t.jobs).values(open=1))
        if (old, new) in TRANSITIONS:
            await house.do(queue.move, fax, new, now=house.now)
            assert await house.state(fax) == new
        else:
            before = await house.fax(fax)
            with pytest.raises(IllegalTransition):
                await house.do(queue.move, fax, new, now=house.now)
            assert await house.fax(fax) == before


async def test_every_move_is_an_event_of_its_fax_and_job(house: House) -> None:
    job, (fax,) = await house.job(FAR)
    assert await house.events(fax) == ["fax.accepted", "fax.rendering", "fax.ready"]
    await house.do(queue.move, fax, FaxState.FAILED, now=house.now, cause=Cause.DENY_LIST, who="bert")
    (row,) = await house.rows(select(t.events).where(t.events.c.entity == fax, t.events.c.what == "fax.failed"))
    assert (row.job, row.who) == (job, "bert")
    assert row.data == {"from": "ready", "to": "failed", "cause": "deny_list"}


async def test_a_fax_that_does_not_exist_cannot_be_moved(house: House) -> None:
    with pytest.raises(Stale):
        await house.do(queue.move, "FN0", FaxState.HELD, now=house.now)


async def test_the_last_final_fax_of_a_job_writes_its_report_once_per_address(house: House) -> None:
    """Spine section 1: the transaction that reaches open = 0 writes the reports; exactly one does."""
    job, faxes = await house.job(FAR, OTHER, "+33199000003", report_to=(ALICE, "bert@example.org", ALICE))
    for count, fax in enumerate(faxes, 1):
        assert await house.outbox(job) == []
        await house.do(queue.move, fax, FaxState.CANCELLED, now=house.now, cause=Cause.CANCELLED)
        (row,) = await house.rows(select(t.jobs.c.open, t.jobs.c.finished_at))
        assert row.open == 3 - count
        assert (row.finished_at is not None) == (count == 3)
    assert sorted(item.target for item in await house.outbox(job)) == [ALICE, "bert@example.org"]
    assert (await house.events(job)).count("job.finished") == 1


async def test_a_job_is_created_once_however_often_its_unit_runs(house: House) -> None:
    mail = await house.mail(FAR, OTHER)
    await house.accept(mail)
    faxes = await house.walk(mail.message)
    (row,) = await house.rows(select(t.jobs))
    job = queue.NewJob(row.id, mail.message, "acme", "", ALICE, "", "", 0, {}, (), (), (), None, 0)
    assert await house.do(queue.create, job, fence=house.fence, now=house.now)
    assert len(await house.rows(select(t.faxes))) == len(faxes) == 2
    people = await house.rows(select(t.message_recipients.c.fax).order_by(t.message_recipients.c.position))
    assert [p.fax for p in people] == faxes


async def test_a_walk_whose_lease_is_lost_makes_no_job(house: House) -> None:
    mail = await house.mail(FAR)
    await house.accept(mail)
    job = queue.NewJob("F1", mail.message, "acme", "", ALICE, "", "", 0, {}, (), (), (), None, 0)
    assert not await house.do(queue.create, job, fence=house.fence, now=house.now)
    assert await house.rows(select(t.jobs)) == []


# ------------------------------------------------------------------------------------------------------ rendering


async def test_a_lost_lease_takes_the_fax_back_and_counts_the_try(house: House) -> None:
    job, (fax,) = await house.job(FAR, ready=False)
    assert [(j.id, j.tries, j.faxes) for j in await lease(house)] == [(job, 1, (fax,))]
    assert await lease(house) == []
    house.clock.now += LOST
    assert [j.tries for j in await lease(house)] == [2]
    await house.next_life()
    assert [j.tries for j in await lease(house)] == [3]
    assert (await house.events(fax)).count("fax.accepted") == 3
    house.clock.now += LOST
    assert await lease(house) == []
    row = await house.fax(fax)
    assert (row.state, row.cause, row.reason) == (FaxState.FAILED, "rendering_failed", rendering.TRIES_USED_UP)
    assert len(await house.outbox(job)) == 1


async def test_a_result_under_a_lost_lease_is_not_taken(house: House) -> None:
    job, (fax,) = await house.job(FAR, ready=False)
    await lease(house)
    old = house.fence
    await house.next_life()
    await lease(house)
    body = await house.keep(b"body")
    give: dict[str, Any] = {"body": body, "pages": 2, "facts": (), "thumbnail": b"", "now": house.now}
    assert not await house.do(rendering.rendered, job, fence=old, **give)
    assert await house.do(rendering.rendered, job, fence=house.fence, **give)
    assert await house.do(rendering.rendered, job, fence=house.fence, **give), "run again: finds its own body"
    assert await house.state(fax) == FaxState.READY


async def test_rendering_fails_after_three_tries_of_ours_and_at_once_by_the_document(house: House) -> None:
    _job, (fax,) = await house.job(FAR, ready=False)
    _other, (bad,) = await house.job(OTHER, ready=False)
    for tries in (1, 2, 3):
        for job in await lease(house):
            temporary = job.faxes == (fax,)
            await house.do(
                rendering.failed, job.id, fence=house.fence, now=house.now, cause=Cause.RENDERING_FAILED,
                reason="It is encrypted.", temporary=temporary,
            )  # fmt: skip
        assert await house.state(bad) == FaxState.FAILED
        assert await house.state(fax) == (FaxState.FAILED if tries == 3 else FaxState.ACCEPTED)
        assert await lease(house) == []
        house.clock.now += rendering.PAUSE
    assert (await house.fax(bad)).reason == "It is encrypted."


async def test_a_full_disk_counts_no_try(house: House) -> None:
    job, (fax,) = await house.job(FAR, ready=False)
    for _ in range(5):
        (leased,) = await lease(house)
        assert leased.tries == 1
        await house.do(rendering.put_back, job, fence=house.fence, now=house.now, why="no space")
        assert await house.ask(rendering.waits)
        house.clock.now += rendering.PAUSE
    assert await house.state(fax) == FaxState.ACCEPTED


async def test_express_jobs_are_rendered_first(house: House) -> None:
    await house.job(FAR, ready=False)
    house.clock.now += 1
    express, _ = await house.job(OTHER, ready=False, priority=1)
    (first,) = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=1)
    assert first.id == express
    assert first.documents[0]["name"] == "a.pdf"


async def test_a_fax_held_while_its_pages_are_made_is_ready_after_release(house: House) -> None:
    job, (fax, other) = await house.job(FAR, OTHER, ready=False)
    await lease(house)
    assert await house.wish(fax, Wish.HOLD) == "held"
    assert await house.wish(other, Wish.CANCEL) == "cancelled"
    body = await house.keep(b"body")
    assert await house.do(
        rendering.rendered, job, fence=house.fence, body=body, pages=3, facts=(), thumbnail=b"", now=house.now
    )
    assert (await house.state(fax), await house.state(other)) == ("held", "cancelled")
    assert await house.do(queue.release, fax, who="x", now=house.now) == FaxState.READY


# ------------------------------------------------------------------------------------------------------- operator


@pytest.mark.parametrize("state", list(FaxState))
@pytest.mark.parametrize("what", [Wish.CANCEL, Wish.HOLD])
async def test_a_wish_in_each_state(house: House, state: FaxState, what: Wish) -> None:
    fax = await house.ready_fax()
    await house.change(update(t.faxes).values(state=state.value))
    to = FaxState.CANCELLED if what is Wish.CANCEL else FaxState.HELD
    if state is FaxState.CALLING:
        assert await house.wish(fax, what) == "calling"
        assert (await house.fax(fax)).wish == what
    elif (state, to) in TRANSITIONS:
        assert await house.wish(fax, what) == to
        assert (await house.fax(fax)).wish == ""
    else:
        with pytest.raises(IllegalTransition):
            await house.wish(fax, what)


@pytest.mark.parametrize("order", [(Wish.CANCEL, Wish.HOLD), (Wish.HOLD, Wish.CANCEL)])
async def test_cancel_outweighs_hold_during_a_call(house: House, order: tuple[Wish, Wish]) -> None:
    """Spine section 2: then cancel, then hold."""
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    for what in order:
        await house.wish(fax, what)
    await house.done(attempt, Cause.BUSY)
    assert await house.state(fax) == FaxState.CANCELLED


async def test_a_hold_that_waits_for_the_end_of_a_call_can_be_taken_back(house: House) -> None:
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    await house.wish(fax, Wish.HOLD)
    assert await house.do(queue.release, fax, who="operator", now=house.now) == FaxState.CALLING
    await house.done(attempt, Cause.BUSY)
    assert await house.state(fax) == FaxState.WAITING


async def test_a_hold_does_not_shorten_a_pause(house: House) -> None:
    fax = await house.ready_fax()
    await house.call(fax, Outcome(Cause.PERSON, connected=True), confirmed=-1)
    until = (await house.fax(fax)).until
    await house.wish(fax, Wish.HOLD)
    assert (await house.fax(fax)).reason == queue.HELD_BY_OPERATOR
    await house.do(queue.release, fax, who="operator", now=house.now)
    assert (await house.fax(fax)).until == until > house.now


async def test_release_without_pages_goes_back_to_the_page_step(house: House) -> None:
    _job, (fax,) = await house.job(FAR, ready=False)
    await house.wish(fax, Wish.HOLD)
    assert await lease(house) == []
    assert await house.do(queue.release, fax, who="operator", now=house.now) == FaxState.ACCEPTED
    assert len(await lease(house)) == 1


async def test_only_a_held_fax_can_be_released(house: House) -> None:
    fax = await house.ready_fax()
    with pytest.raises(IllegalTransition):
        await house.do(queue.release, fax, who="operator", now=house.now)


# --------------------------------------------------------------------------------------------------------- expiry


async def test_faxes_expire_after_their_latest_time_but_not_in_a_call_nor_after_a_restore(house: House) -> None:
    """Spine section 2: deadlines; section 9: a fax held by a restore neither expires nor is reported."""
    late = house.now + 10
    faxes = [await house.ready_fax(f"+3319900000{n}", latest=late) for n in range(6)]
    ready, waiting, held, restored, calling, busy = faxes
    await house.do(queue.move, waiting, FaxState.WAITING, now=house.now)
    await house.wish(held, Wish.HOLD)
    await house.do(queue.move, restored, FaxState.HELD, now=house.now, reason=queue.HELD_BY_RESTORE)
    await house.plan(calling)
    await house.change(update(t.faxes).where(t.faxes.c.id == busy).values(state="waiting", cause="busy"))
    assert await house.do(queue.expire, now=late) == 0
    assert await house.do(queue.expire, now=late + 1, limit=3) == 3
    assert await house.do(queue.expire, now=late + 1) == 1
    states = {fax: await house.state(fax) for fax in faxes}
    assert states == {ready: "expired", waiting: "expired", held: "expired", restored: "held", calling: "calling",
                      busy: "expired"}  # fmt: skip
    assert (await house.fax(ready)).cause == "expired"
    assert (await house.fax(busy)).cause == "busy"


async def test_a_unit_of_expiry_takes_some_faxes_only(house: House) -> None:
    """Spine section 7: 100 ms, or it delays every gate; so many statements of a quarter of a millisecond each."""
    await house.job(*(f"+331990{n:05}" for n in range(200)), latest=house.now + 1)
    units = []
    while True:
        with counted() as statements:
            expired = await house.do(queue.expire, now=house.now + 2)
        if not expired:
            break
        units.append((expired, len(statements)))
    assert sum(expired for expired, _statements in units) == 200
    assert max(expired for expired, _statements in units) == queue.EXPIRED_AT_ONCE
    assert max(statements for _expired, statements in units) < 400
    assert len(await house.outbox()) == 1


# ------------------------------------------------------------------------------------------------------- overview


async def test_the_overview_shows_open_faxes_first_and_counts_them(house: House) -> None:
    old = await house.ready_fax(FAR)
    house.clock.now += 5
    sent = await house.ready_fax(OTHER)
    await house.call(sent, Cause.OK, confirmed=2)
    assert [f["id"] for f in await house.ask(queue.overview, limit=10, final=False)] == [old]
    assert [f["id"] for f in await house.ask(queue.overview, limit=10, final=True)] == [old, sent]
    assert await house.ask(queue.count_by_state) == {"ready": 1}
    assert await house.ask(queue.oldest_open) == house.now - 5
    await house.wish(old, Wish.CANCEL)
    assert await house.ask(queue.oldest_open) is None
    assert not await house.ask(rendering.waits)
