"""The law of a restored backup (docs/spine.md section 9)."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from faxgw.fax.job import FaxState, Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.store import late, node, outbox, queue, rendering, restore
from faxgw.store import schema as t
from tests.house import NODE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def restored(house: House) -> int:
    """Do to the store what `faxgw restore` does, and begin the next life on it."""
    house.clock.now += 3600
    epoch = await house.do(restore.begin, now=house.now, backup={"made_at": 1.0})
    while await house.do(restore.close_call, now=house.now):
        pass
    while await house.do(restore.hold_next, now=house.now, limit=2):
        pass
    await house.do(restore.settle, now=house.now)
    await house.next_life()
    return epoch


async def release_all(house: House, *, reports_too: bool = True) -> int:
    while await house.do(restore.release_next, who="operator", now=house.now, limit=2):
        pass
    return await house.do(restore.finish, who="operator", now=house.now, reports_too=reports_too)


async def leased(house: House) -> int:
    return len(await house.do(outbox.lease, fence=house.fence, now=house.now, limit=100))


async def test_the_epoch_lies_above_all_fences_and_serials_the_lost_gateway_can_have_drawn(house: House) -> None:
    await house.ready_fax()
    await house.next_life()
    before = await house.ask(lambda c: c.execute(select(func.max(t.events.c.serial))).scalar_one())
    epoch = await restored(house)
    assert house.fence > epoch >= int(house.now)
    lease = await house.do(node.register, NODE, house.now)
    assert lease.incarnation > epoch
    serial = await house.ask(lambda c: c.execute(select(func.max(t.events.c.serial))).scalar_one())
    assert serial >= house.now * 1000 > before
    house.clock.now -= 10_000_000  # a clock that went back begins a higher epoch all the same
    assert await restored(house) > lease.fence


@pytest.mark.parametrize("state", ["accepted", "rendering", "ready", "waiting", "held"])
async def test_what_was_open_is_held_and_neither_dialled_nor_expired_nor_reported(house: House, state: str) -> None:
    _job, (fax,) = await house.job(ready=state not in ("accepted", "rendering"), latest=house.now + 60)
    if state == "rendering":
        await house.do(rendering.lease, fence=house.fence, now=house.now, limit=10)
    if state == "waiting":
        await house.call(fax, Cause.BUSY)
    if state == "held":
        await house.wish(fax, Wish.HOLD)
    assert await house.state(fax) == state
    await restored(house)
    house.clock.now += 86_400 * 30
    assert await house.do(queue.expire, now=house.now) == 0
    assert await house.ask(late.late_jobs, now=house.now) == []
    row = await house.fax(fax)
    assert (row.state, row.reason) == ("held", queue.HELD_BY_RESTORE)
    assert await house.outbox() == []
    assert await house.do(rendering.lease, fence=house.fence, now=house.now, limit=10) == []


async def test_a_call_that_had_exposed_a_page_is_unknown_and_one_that_had_not_is_held(house: House) -> None:
    exposed, ringing = await house.ready_fax("+33199000001", pages=3), await house.ready_fax("+33199000002")
    attempt = await house.plan(exposed)
    assert await house.answer(attempt) and await house.expose(attempt, exposed) and await house.confirm(
        attempt, exposed, 1
    )  # fmt: skip
    other = await house.plan(ringing)
    await restored(house)
    assert await house.state(exposed) == "unknown"
    assert await house.ledger(exposed) == {1: "confirmed", 2: "doubtful"}
    assert await house.state(ringing) == "held"
    calls = {row.id: row for row in await house.rows(select(t.attempts))}
    assert (calls[attempt].cause, calls[other].cause) == ("in_doubt", "line_fault")
    assert all(row.done_at is not None for row in calls.values())
    assert not await house.rows(select(t.attempt_faxes).where(t.attempt_faxes.c.open))
    assert not await house.confirm(attempt, exposed, 2), "the old fence may mark nothing more"


async def test_the_policy_of_a_fax_in_doubt_is_not_asked(house: House) -> None:
    fax = await house.ready_fax(in_doubt="marked")
    attempt = await house.plan(fax)
    assert await house.answer(attempt) and await house.expose(attempt, fax)
    await restored(house)
    assert await house.state(fax) == "unknown"


async def test_the_outbox_sleeps_until_the_release_and_new_reports_do_not(house: House) -> None:
    old = await house.ready_fax("+33199000001")
    await house.call(old, Outcome(Cause.OK), confirmed=2)
    leased_before = await house.ready_fax("+33199000002")
    await house.call(leased_before, Outcome(Cause.OK), confirmed=2)
    assert await leased(house) == 2
    await restored(house)
    house.clock.now += outbox.LEASE * 2
    assert await leased(house) == 0
    assert await house.ask(outbox.next_due) is None
    new = await house.ready_fax("+33199000003")
    await house.call(new, Outcome(Cause.OK), confirmed=2)
    assert await leased(house) == 1
    waiting = await house.ask(restore.pending)
    assert waiting is not None and (waiting.held, waiting.asleep) == (0, 2)
    assert await release_all(house) == 2
    assert await leased(house) == 2
    assert await house.ask(restore.pending) is None
    assert await release_all(house) == 0, "a second release finds nothing"


async def test_sleeping_reports_can_be_given_up(house: House) -> None:
    fax = await house.ready_fax()
    await house.call(fax, Outcome(Cause.OK), confirmed=2)
    await restored(house)
    assert await release_all(house, reports_too=False) == 1
    assert await leased(house) == 0
    assert [row.state for row in await house.outbox()] == ["dead"]


async def test_released_faxes_go_on_and_every_page_is_marked(house: House) -> None:
    ready = await house.ready_fax("+33199000001", pages=3)
    await house.call(ready, Cause.REMOTE_HUNG_UP, confirmed=1)
    _job, (unrendered,) = await house.job("+33199000002", ready=False)
    await restored(house)
    await release_all(house)
    assert await house.state(ready) == "ready"
    house.clock.now += 3600
    prepared = await house.prepared(ready)
    assert (prepared.first, prepared.marked) == (2, (2, 3))
    assert await house.state(unrendered) == "accepted"
    await house.render(_job, pages=2)
    assert (await house.prepared(unrendered)).marked == (1, 2)


async def test_a_released_fax_in_doubt_is_not_repeated_by_policy(house: House) -> None:
    """Its marked sending was the repetition; `remaining` would send further pages without a mark."""
    fax = await house.ready_fax(in_doubt="remaining", pages=3)
    await restored(house)
    await release_all(house)
    attempt = await house.plan(fax)
    assert await house.answer(attempt) and await house.expose(attempt, fax)
    await house.done(attempt, Outcome(Cause.LINE_FAULT, worker_died=True))
    assert await house.state(fax) == "unknown"


async def test_what_an_operator_held_stays_held_after_the_release_and_is_marked(house: House) -> None:
    fax = await house.ready_fax()
    await house.wish(fax, Wish.HOLD)
    await restored(house)
    await release_all(house)
    row = await house.fax(fax)
    assert (row.state, row.reason, row.mark_from) == ("held", queue.HELD_BY_OPERATOR, 1)
    await house.do(queue.release, fax, who="operator", now=house.now)
    assert (await house.prepared(fax)).marked == (1, 2)


@pytest.mark.parametrize("wish, after", [(Wish.CANCEL, "cancelled"), (Wish.HOLD, "held")])
async def test_a_wish_of_its_owner_outlives_the_restore(house: House, wish: Wish, after: str) -> None:
    fax = await house.ready_fax()
    await house.plan(fax)
    await house.wish(fax, wish)
    await restored(house)
    assert await house.state(fax) == "held"
    await release_all(house)
    assert await house.state(fax) == after


async def test_held_faxes_may_be_cancelled_instead(house: House) -> None:
    fax, job = await house.ready_fax(), None
    await restored(house)
    while await house.do(restore.cancel_next, who="operator", now=house.now):
        pass
    assert await house.state(fax) == FaxState.CANCELLED
    assert len(await house.outbox(job)) == 1
    assert await leased(house) == 1, "its owner is told at once: that is new"


@pytest.mark.parametrize("released", [False, True])
async def test_a_mail_that_was_not_walked_yet_comes_to_held_or_marked_faxes(house: House, released: bool) -> None:
    message = (await house.mail("+33199000001")).message
    mail = await house.mail("+33199000001", message=message)
    await house.accept(mail)
    await restored(house)
    if released:
        await release_all(house)
    (fax,) = await house.walk(message)
    row = await house.fax(fax)
    assert row.state == ("accepted" if released else "held")
    assert row.mark_from == (1 if released else 0)
    if not released:
        assert row.reason == queue.HELD_BY_RESTORE


async def test_a_restore_of_a_backup_of_a_restored_gateway_holds_the_same(house: House) -> None:
    fax = await house.ready_fax()
    await house.wish(fax, Wish.HOLD)
    first = await restored(house)
    assert await restored(house) > first
    await release_all(house)
    assert (await house.fax(fax)).reason == queue.HELD_BY_OPERATOR
