"""The marks of an attempt and the page ledger on a real store (docs/spine.md sections 2, 3 and 5)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select

from faxgw.fax.destination import ISOLATED_AFTER
from faxgw.fax.job import FaxState, InDoubt, Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.retry import NOFAX_PAUSE, REDIAL_AFTER_CRASH
from faxgw.formats.report_payload import report_from_payload
from faxgw.store import ledger, planning, queue, reports
from faxgw.store import schema as t
from faxgw.store.planning import NotPlanned, Then
from tests.house import House
from tests.statements import counted

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"
BROKEN = Outcome(Cause.REMOTE_HUNG_UP, connected=True, exposed=True)
SILENT = Outcome(Cause.LAST_PAGE_NOT_CONFIRMED, connected=True, exposed=True, doubtful=True)
KILLED = Outcome(Cause.LINE_FAULT, connected=True, worker_died=True)


async def told(house: House, job: str) -> list[Any]:
    return [report_from_payload(item.payload) for item in await house.outbox(job)]


# --------------------------------------------------------------------------------------------------------- marks


async def test_the_marks_follow_one_another_and_the_last_page_makes_the_fax_sent(house: House) -> None:
    """Spine sections 2 and 3: page k+1 is exposed by the commit that confirms k; n of n is sent."""
    job, (fax,) = await house.job(FAR, pages=3)
    attempt = await house.plan(fax)
    assert await house.answer(attempt)
    assert await house.expose(attempt, fax)
    assert await house.ledger(fax) == {1: "exposed"}
    assert await house.confirm(attempt, fax, 1)
    assert await house.ledger(fax) == {1: "confirmed", 2: "exposed"}
    assert await house.confirm(attempt, fax, 2)
    assert await house.confirm(attempt, fax, 3)
    assert await house.state(fax) == FaxState.SENT
    assert len(await house.outbox(job)) == 1
    assert await house.done(attempt, Outcome(Cause.MEDIA_LOST, connected=True))
    assert await house.state(fax) == FaxState.SENT
    row = (await house.rows(select(t.attempts)))[0]
    assert (row.cause, row.mark) == ("ok", "done")
    assert len(await house.outbox(job)) == 1


async def test_no_page_is_exposed_before_the_answer_nor_out_of_turn(house: House) -> None:
    fax = await house.ready_fax(pages=3)
    attempt = await house.plan(fax)
    assert not await house.expose(attempt, fax)
    await house.answer(attempt)
    assert not await house.expose(attempt, fax, 2)
    assert not await house.confirm(attempt, fax, 1)
    assert await house.expose(attempt, fax, 1)
    assert not await house.confirm(attempt, fax, 2)
    assert not await house.confirm(attempt, fax, 4)
    assert await house.ledger(fax) == {1: "exposed"}


async def test_a_mark_that_is_repeated_changes_nothing(house: House) -> None:
    fax = await house.ready_fax(pages=3)
    attempt = await house.plan(fax)
    assert await house.answer(attempt) and await house.answer(attempt)
    assert await house.expose(attempt, fax) and await house.expose(attempt, fax)
    assert await house.confirm(attempt, fax, 1) and await house.confirm(attempt, fax, 1)
    assert (await house.events(attempt)).count("attempt.confirmed") == 1
    assert await house.ledger(fax) == {1: "confirmed", 2: "exposed"}


async def test_a_late_mark_is_an_event_only(house: House) -> None:
    fax = await house.ready_fax()
    attempt = await house.call(fax, BROKEN, confirmed=0)
    before = await house.fax(fax)
    assert not await house.answer(attempt)
    assert not await house.expose(attempt, fax, 1)
    assert not await house.confirm(attempt, fax, 1)
    assert not await house.done(attempt, Cause.BUSY)
    assert await house.fax(fax) == before
    assert (await house.events(attempt))[-4:] == ["late.answered", "late.exposed", "late.confirmed", "late.done"]


async def test_every_mark_checks_that_the_nodes_fence_is_still_the_attempts(house: House) -> None:
    """Spine section 9: since its gates check the fence, an old life can at worst ring, not send."""
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    await house.answer(attempt)
    old = house.fence
    await house.next_life()
    house.fence = old
    assert not await house.expose(attempt, fax)
    assert not await house.done(attempt, Cause.BUSY)
    assert await house.ledger(fax) == {}


async def test_a_cancel_ends_the_call_at_its_gate_and_is_obeyed_at_its_close(house: House) -> None:
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    await house.answer(attempt)
    assert await house.wish(fax, Wish.CANCEL) == "calling"
    assert await house.ask(ledger.cancelled_calls) == [attempt]
    assert not await house.expose(attempt, fax)
    await house.done(attempt, Cause.NO_ANSWER)
    assert await house.state(fax) == FaxState.CANCELLED
    assert await house.ask(ledger.cancelled_calls) == []


async def test_sent_stands_before_a_cancel(house: House) -> None:
    fax = await house.ready_fax(pages=1)
    attempt = await house.plan(fax)
    await house.answer(attempt)
    await house.expose(attempt, fax)
    await house.wish(fax, Wish.CANCEL)
    assert await house.confirm(attempt, fax, 1)
    assert await house.state(fax) == FaxState.SENT
    await house.done(attempt, Cause.REMOTE_HUNG_UP)
    assert await house.state(fax) == FaxState.SENT


async def test_a_fax_held_during_its_call_waits_its_pause_out_after_release(house: House) -> None:
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    await house.answer(attempt)
    await house.wish(fax, Wish.HOLD)
    await house.done(attempt, Outcome(Cause.PERSON, connected=True))
    assert await house.state(fax) == FaxState.HELD
    assert await house.do(queue.release, fax, who="operator", now=house.now) == FaxState.READY
    assert await house.try_plan(fax) == NotPlanned("not yet", Then.LATER)
    house.clock.now += NOFAX_PAUSE
    await house.plan(fax)


async def test_a_wrong_number_is_not_dialled_again_by_hold_and_release(house: House) -> None:
    """Spine section 2, retry law: a wrong number never again."""
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    await house.wish(fax, Wish.HOLD)
    await house.done(attempt, Cause.WRONG_NUMBER)
    await house.do(queue.release, fax, who="operator", now=house.now)
    refused = await house.try_plan(fax)
    assert refused == NotPlanned("no further dial is allowed", Then.FAIL)
    assert isinstance(refused, NotPlanned)
    await house.do(planning.set_aside, fax, refused, until=house.now, now=house.now)
    row = await house.fax(fax)
    assert (row.state, row.cause) == (FaxState.FAILED, "wrong_number")


async def test_hold_at_a_wrong_number_goes_on_with_the_alternative(house: House) -> None:
    fax = await house.ready_fax(FAR, OTHER)
    attempt = await house.plan(fax)
    await house.wish(fax, Wish.HOLD)
    await house.done(attempt, Cause.WRONG_NUMBER)
    await house.do(queue.release, fax, who="operator", now=house.now)
    await house.wait(fax)
    assert (await house.prepared(fax)).number["e164"] == OTHER
    await house.plan(fax)


# --------------------------------------------------------------------------------------------------------- close


async def test_a_known_result_asks_the_retry_law(house: House) -> None:
    fax = await house.ready_fax()
    await house.call(fax, Cause.BUSY)
    row = await house.fax(fax)
    assert (row.state, row.cause, row.until, row.dials, row.tries) == ("waiting", "busy", house.now + 60, 1, 0)


async def test_a_call_resumes_at_the_first_unconfirmed_page(house: House) -> None:
    fax = await house.ready_fax(pages=3)
    await house.call(fax, BROKEN, confirmed=1)
    assert await house.ledger(fax) == {1: "confirmed", 2: "unsent"}
    await house.wait(fax)
    prepared = await house.prepared(fax)
    assert (prepared.first, prepared.marked) == (2, ())
    await house.call(fax, Cause.OK, confirmed=2)
    assert await house.state(fax) == FaxState.SENT


async def test_a_doubtful_page_bears_the_mark_whenever_it_is_sent_again(house: House) -> None:
    """Spine section 2, ledger. Also after a call in which it was exposed again and certainly not received."""
    fax = await house.ready_fax(pages=2)
    await house.call(fax, SILENT, confirmed=1)
    assert await house.ledger(fax) == {1: "confirmed", 2: "doubtful"}
    await house.wait(fax)
    assert (await house.prepared(fax)).marked == (2,)
    await house.call(fax, BROKEN, confirmed=0)
    assert await house.ledger(fax) == {1: "confirmed", 2: "doubtful"}
    await house.wait(fax)
    prepared = await house.prepared(fax)
    assert (prepared.first, prepared.marked) == (2, (2,))


async def test_two_pages_left_in_doubt_one_after_the_other_are_both_marked(house: House) -> None:
    fax = await house.ready_fax(pages=3, max_tries=12)
    await house.call(fax, SILENT, confirmed=0)
    await house.wait(fax)
    await house.call(fax, SILENT, confirmed=1)
    await house.wait(fax)
    assert (await house.prepared(fax)).marked == (2,)
    await house.call(fax, SILENT, confirmed=0)
    assert await house.ledger(fax) == {1: "confirmed", 2: "doubtful"}


async def test_an_alternative_number_starts_at_page_1_without_marks(house: House) -> None:
    """Spine section 2: resume at the same number only."""
    fax = await house.ready_fax(FAR, OTHER, pages=2, max_tries=12)
    await house.call(fax, SILENT, confirmed=1)
    await house.wait(fax)
    await house.call(fax, Cause.WRONG_NUMBER)
    await house.wait(fax)
    prepared = await house.prepared(fax)
    assert (prepared.number["e164"], prepared.first, prepared.marked) == (OTHER, 1, ())
    assert (await house.fax(fax)).e164 == OTHER
    await house.call(fax, Cause.OK, confirmed=2)
    assert await house.state(fax) == FaxState.SENT


async def test_failed_takes_the_cause_of_the_last_connected_attempt(house: House) -> None:
    job, (fax,) = await house.job(FAR, max_dials=2)
    await house.call(fax, BROKEN, confirmed=1)
    await house.wait(fax)
    await house.call(fax, Cause.BUSY)
    row = await house.fax(fax)
    assert (row.state, row.cause) == (FaxState.FAILED, "remote_hung_up")
    (report,) = await told(house, job)
    assert (report.faxes[0].pages_confirmed, report.faxes[0].pages_total) == (1, 2)


async def test_failed_without_a_connection_takes_the_last_cause(house: House) -> None:
    fax = await house.ready_fax(max_dials=2)
    await house.call(fax, Cause.NO_ANSWER)
    await house.wait(fax)
    await house.call(fax, Cause.BUSY)
    assert (await house.fax(fax)).cause == "busy"


async def test_a_call_we_ended_to_resume_counts_no_try(house: House) -> None:
    fax = await house.ready_fax(pages=5, max_tries=1)
    for _ in range(3):
        await house.call(fax, Outcome(Cause.REMOTE_HUNG_UP, connected=True, resume=True), confirmed=1)
        assert (await house.fax(fax)).tries == 0
        await house.wait(fax)
    await house.call(fax, Cause.OK, confirmed=2)
    assert await house.state(fax) == FaxState.SENT


async def test_a_fax_whose_latest_time_passes_before_the_next_dial_expires(house: House) -> None:
    fax = await house.ready_fax(latest=house.now + 30)
    await house.call(fax, Cause.BUSY)
    row = await house.fax(fax)
    assert (row.state, row.cause) == (FaxState.EXPIRED, "busy")


async def test_the_ceiling_of_dials_holds(house: House) -> None:
    fax = await house.ready_fax(busy_pauses=[1])
    for _ in range(12):
        await house.call(fax, Cause.BUSY)
        await house.wait(fax)
    assert await house.state(fax) == FaxState.FAILED
    assert len(await house.rows(select(t.attempts))) == 12


# ------------------------------------------------------------------------------------------- interrupted, killed


MARKS = ("planned", "answered", "exposed", "confirmed")


@pytest.mark.parametrize("mark, policy", list(itertools.product(MARKS, InDoubt)))
async def test_recovery_closes_an_attempt_by_its_marks_and_the_policy(house: House, mark: str, policy: InDoubt) -> None:
    """Spine section 5: before exposure redialled after 40 s; after it unknown, or once more with marks; told now."""
    job, (fax,) = await house.job(FAR, pages=3, in_doubt=policy.value)
    attempt = await house.plan(fax)
    if mark != "planned":
        await house.answer(attempt)
    if mark in ("exposed", "confirmed"):
        await house.expose(attempt, fax)
    if mark == "confirmed":
        await house.confirm(attempt, fax, 1)
    await house.next_life()
    (stranger,) = await house.ask(ledger.open_strangers, fence=house.fence)
    assert stranger.id == attempt
    for _ in range(2):  # a second kill during recovery finds it done
        await house.do(ledger.recover, attempt, now=house.now)
    row, mails = await house.fax(fax), await told(house, job)
    if mark in ("planned", "answered"):
        assert row.state == FaxState.WAITING and row.until >= house.now + REDIAL_AFTER_CRASH
        assert (row.dials, row.tries, mails) == (1, int(mark == "answered"), [])
        return
    k = 1 if mark == "confirmed" else 0
    assert len(mails) == 1
    assert (mails[0].faxes[0].pages_confirmed, mails[0].faxes[0].doubtful_page) == (k, k + 1)
    if policy is InDoubt.REPORT:
        assert row.state == FaxState.UNKNOWN
        return
    assert row.state == FaxState.WAITING and row.until >= house.now + REDIAL_AFTER_CRASH
    assert mails[0].faxes[0].in_doubt
    await house.wait(fax)
    prepared = await house.prepared(fax)
    if policy is InDoubt.REMAINING:
        assert (prepared.first, prepared.marked) == (k + 1, (k + 1,))
    else:
        assert (prepared.first, prepared.marked) == (1, (1, 2, 3))
    again = await house.plan(fax)
    await house.answer(again)
    await house.expose(again, fax, prepared.first)
    await house.next_life()
    await house.do(ledger.recover, again, now=house.now)
    assert await house.state(fax) == FaxState.UNKNOWN  # the policy holds once
    (final,) = [m for m in await told(house, job) if not m.faxes[0].in_doubt]
    assert (final.faxes[0].pages_confirmed, len(final.faxes[0].attempts)) == (k, 2)


async def test_recovery_of_a_fully_confirmed_call_leaves_it_sent(house: House) -> None:
    fax = await house.ready_fax(pages=1)
    attempt = await house.plan(fax)
    await house.answer(attempt)
    await house.expose(attempt, fax)
    await house.confirm(attempt, fax, 1)
    await house.next_life()
    await house.do(ledger.recover, attempt, now=house.now)
    assert await house.state(fax) == FaxState.SENT
    assert (await house.rows(select(t.attempts.c.cause)))[0].cause == "ok"


async def test_an_unknown_fax_is_told_at_once_while_its_job_goes_on(house: House) -> None:
    """Spine section 5: told within 60 s; the job's own report comes at its end, once."""
    job, (first, second) = await house.job(FAR, OTHER, pages=1)
    attempt = await house.plan(first)
    await house.answer(attempt)
    await house.expose(attempt, first)
    await house.next_life()
    await house.do(ledger.recover, attempt, now=house.now)
    (early,) = await told(house, job)
    assert [f.state for f in early.faxes] == [FaxState.UNKNOWN, FaxState.READY]
    await house.call(second, Cause.OK, confirmed=1)
    assert [f.state for f in (await told(house, job))[-1].faxes] or True
    assert len(await house.outbox(job)) == 2


async def test_a_worker_that_died_after_exposure_leaves_the_fax_in_doubt(house: House) -> None:
    """Spine section 5, who dies after exposed: what the worker heard died with it."""
    job, (fax,) = await house.job(FAR)
    await house.call(fax, KILLED, confirmed=1)
    assert await house.state(fax) == FaxState.UNKNOWN
    (report,) = await told(house, job)
    assert (report.faxes[0].pages_confirmed, report.faxes[0].doubtful_page) == (1, 2)


async def test_a_worker_that_died_after_the_last_confirmation_sent_the_fax(house: House) -> None:
    fax = await house.ready_fax()
    await house.call(fax, KILLED, confirmed=2)
    assert await house.state(fax) == FaxState.SENT


async def test_a_number_that_kills_workers_is_isolated_then_held(house: House) -> None:
    """Spine section 5: killed twice: a worker of its own; then held, until an operator lets it go once more."""
    first, second = await house.ready_fax(FAR), await house.ready_fax(FAR)
    for kills in range(3):
        assert (await house.prepared(second)).kills == kills
        await house.call(first, Outcome(Cause.LINE_FAULT, worker_died=True))
        await house.wait(first)
    refused = await house.try_plan(second)
    assert refused == NotPlanned(queue.HELD_BY_KILLS, Then.HOLD)
    assert isinstance(refused, NotPlanned)
    await house.do(planning.set_aside, second, refused, until=house.now, now=house.now)
    assert (await house.fax(second)).reason == queue.HELD_BY_KILLS
    await house.do(queue.release, second, who="operator", now=house.now)
    assert (await house.prepared(second)).kills >= ISOLATED_AFTER
    await house.call(second, Outcome(Cause.LINE_FAULT, worker_died=True))
    await house.wait(second)
    assert await house.try_plan(second) == NotPlanned(queue.HELD_BY_KILLS, Then.HOLD)


async def test_the_oldest_fax_that_could_be_called_is_known_by_priority(house: House) -> None:
    await house.ready_fax()
    assert await house.ask(ledger.oldest_callable, now=house.now) == {"normal": house.now, "express": None}


async def test_the_trace_of_a_call_is_bounded(house: House) -> None:
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    ladder = [(float(i), ">", "ff", "DIS") for i in range(ledger.MAX_TRACE_FRAMES + 5)]
    await house.do(ledger.done, attempt, outcome=Outcome(Cause.BUSY), fence=house.fence, now=house.now, ladder=ladder)
    (row,) = await house.rows(select(t.attempts.c.trace))
    assert len(row.trace) == ledger.MAX_TRACE_FRAMES


async def test_a_report_of_a_thousand_faxes_takes_as_many_statements_as_one_of_two(house: House) -> None:
    """Spine section 7: a unit lasts 100 ms at most."""
    few, _faxes = await house.job("+33199000001", "+33199000002")
    many, faxes = await house.job(*(f"+331990{n:05}" for n in range(1000)))
    with counted() as for_few:
        await house.ask(reports.job_report, few)
    with counted() as for_many:
        report = await house.ask(reports.job_report, many)
    assert len(report.faxes) == len(faxes) == 1000
    assert len(for_many) == len(for_few) > 0
