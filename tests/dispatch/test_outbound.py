"""One call, on a real store and a scripted line (docs/spine.md sections 3 and 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from sqlalchemy import select, update

from faxgw.dispatch import outbound as module
from faxgw.dispatch import seat as seat_module
from faxgw.dispatch.outbound import Outbound
from faxgw.document.client import PageClient, PagesDamaged, PagesUnavailable
from faxgw.fax.account import AccountState
from faxgw.fax.job import FaxState, Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallMarks, CallPlan
from faxgw.store import ledger, queue
from faxgw.store import schema as t
from faxgw.store.errors import StoreDown
from faxgw.store.unit import unit_name
from tests.dispatch.doubles import Pages, ScriptedLine, is_busy, receives_well, until
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"


def build(house: House, line: ScriptedLine, client: Pages | None = None, **more: Any) -> Outbound:
    return Outbound(house.seat(), cast(PageClient, client or Pages()), line, **more)


async def test_a_fax_is_composed_planned_called_and_sent(house: House) -> None:
    job, (fax,) = await house.job(FAR, clip="+33188000000", csid="+33 1 88", ecm=False, max_bit_rate=9600)
    line, client, ended = ScriptedLine(), Pages(), []
    outbound = build(house, line, client, finished=lambda trunk, outcome: ended.append((trunk, outcome.cause)),
                     describe=lambda frame: "CSI")  # fmt: skip
    assert await outbound.call(fax) == 0.0
    assert await house.state(fax) == FaxState.SENT
    (plan,) = line.calls
    assert (plan.number, plan.caller, plan.station_id, plan.ecm, plan.max_bit_rate) == (
        FAR, "+33188000000", "+33 1 88", False, 9600,
    )  # fmt: skip
    assert (plan.documents[0].first, plan.documents[0].last, plan.documents[0].pages_in_file) == (1, 2, 2)
    assert not plan.isolated
    assert client.composed[0].marked == ()
    assert ended == [("t1", Cause.OK)] and outbound.live == {}
    (row,) = await house.rows(select(t.attempts))
    assert row.trace == [[0.5, "<", "ff1380", "CSI"]]
    assert len(await house.outbox(job)) == 1


async def test_the_invite_may_leave_only_after_planned_is_durable_and_within_two_seconds(house: House) -> None:
    """Spine section 5, INVITE."""
    fax = await house.ready_fax()
    seen: list[Any] = []

    async def look(plan: CallPlan, marks: CallMarks) -> Outcome:
        rows = await house.rows(select(t.attempts.c.id, t.attempts.c.mark, t.attempts.c.call_id))
        seen.append((rows[0], plan.not_after - asyncio.get_running_loop().time()))
        return Outcome(Cause.BUSY)

    await build(house, line := ScriptedLine([look])).call(fax)
    (row, left), (plan,) = seen[0], line.calls
    assert row == (plan.attempt, "planned", plan.identity.call_id)
    assert 0 < left <= module.INVITE_WITHIN


async def test_a_fax_that_moved_on_is_not_called(house: House) -> None:
    fax = await house.ready_fax()
    await house.wish(fax, Wish.CANCEL)
    assert await build(house, line := ScriptedLine()).call(fax) == 0.0
    assert line.calls == []


async def test_a_damaged_body_fails_the_fax_without_a_call(house: House) -> None:
    """Spine section 2: stored object damaged: TIFF_PAGE_ERR."""
    job, (fax,) = await house.job(FAR)
    (row,) = await house.rows(select(t.jobs.c.body_key))
    path = house.folder / row.body_key
    path.chmod(0o600)
    path.write_bytes(b"II*\0rot!")
    await build(house, line := ScriptedLine()).call(fax)
    found = await house.fax(fax)
    assert (found.state, Cause(found.cause).facts.status, line.calls) == (FaxState.FAILED, "TIFF_PAGE_ERR", [])
    assert len(await house.outbox(job)) == 1


async def test_damage_between_composing_and_calling_is_found_before_the_plan(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    fax = await house.ready_fax()
    adopt = house.files.adopt_fd

    async def adopt_and_rot(*args: Any) -> Any:
        stored = await adopt(*args)
        return replace(stored, sha256="0" * 64)

    monkeypatch.setattr(house.files, "adopt_fd", adopt_and_rot)
    await build(house, line := ScriptedLine()).call(fax)
    assert (await house.fax(fax)).cause == "document_damaged"
    assert line.calls == [] and await house.rows(select(t.attempts)) == []


@pytest.mark.parametrize("error, state", [(PagesDamaged(), FaxState.FAILED), (PagesUnavailable(), FaxState.READY)])
async def test_pages_that_cannot_be_composed(house: House, error: Exception, state: FaxState) -> None:
    fax = await house.ready_fax()
    rest = await build(house, line := ScriptedLine(), Pages(composing=error)).call(fax)
    assert (await house.state(fax), line.calls) == (state, [])
    assert rest == (module.REST if state is FaxState.READY else 0.0)


async def test_nothing_is_composed_for_a_call_that_cannot_be_planned(house: House) -> None:
    first, second = await house.ready_fax(FAR), await house.ready_fax(FAR)
    await house.plan(first)
    await build(house, ScriptedLine(), client := Pages()).call(second)
    row = await house.fax(second)
    assert (row.state, row.reason, client.composed) == (FaxState.WAITING, "number has a call", [])
    assert row.until == house.now + module.OBSTACLE_PAUSE


async def test_a_fax_cancelled_while_its_pages_were_composed_is_not_called_and_its_file_goes(house: House) -> None:
    fax = await house.ready_fax()

    async def cancel() -> None:
        await house.wish(fax, Wish.CANCEL)

    kept = set(house.folder.glob("objects/*/*"))
    await build(house, line := ScriptedLine(), Pages(before_compose=cancel)).call(fax)
    assert (await house.state(fax), line.calls) == (FaxState.CANCELLED, [])
    assert set(house.folder.glob("objects/*/*")) == kept


async def test_a_suspended_account_holds_its_faxes_with_the_reason(house: House) -> None:
    fax = await house.ready_fax()
    await house.change(update(t.customers).values(state=AccountState.SUSPENDED))
    await build(house, ScriptedLine()).call(fax)
    row = await house.fax(fax)
    assert (row.state, row.reason) == (FaxState.HELD, "account suspended")


async def test_a_fax_whose_trunk_does_not_exist_waits_for_it(house: House) -> None:
    fax = await house.ready_fax(trunk="gone")
    await build(house, line := ScriptedLine()).call(fax)
    row = await house.fax(fax)
    assert (row.state, row.reason, line.calls) == (FaxState.WAITING, "no trunk gone", [])


async def test_a_call_that_resumes_starts_at_its_first_unconfirmed_page_with_the_doubtful_one_marked(
    house: House,
) -> None:
    fax = await house.ready_fax(pages=3)

    async def silent_after_two(plan: CallPlan, marks: CallMarks) -> Outcome:
        await marks.answered({})
        await marks.exposed(fax, 1)
        await marks.confirmed(fax, 1)
        return Outcome(Cause.PAGE_NOT_CONFIRMED, connected=True, exposed=True, doubtful=True)

    outbound = build(house, line := ScriptedLine([silent_after_two, receives_well]), client := Pages())
    await outbound.call(fax)
    await house.wait(fax)
    await outbound.call(fax)
    assert await house.state(fax) == FaxState.SENT
    assert [(p.documents[0].first, c.marked) for p, c in zip(line.calls, client.composed, strict=True)] == [
        (1, ()),
        (2, (2,)),
    ]


# ---------------------------------------------------------------------------------------------------------- marks


class Away:
    """Makes the store refuse units of a name for some calls."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: set[str] = set()
        self.refused: list[str] = []
        self._run = house.store.run
        monkeypatch.setattr(house.store, "run", self.run)
        monkeypatch.setattr(seat_module, "PERSIST_PAUSE", 0.01)

    async def run(self, unit: Callable[..., Any]) -> Any:
        name = unit_name(unit)
        for refused in self.names:
            if refused in name:
                self.refused.append(refused)
                raise StoreDown("away")
        return await self._run(unit)


async def test_a_gate_without_the_store_answers_false(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spine section 5: database gone: no gate."""
    fax = await house.ready_fax()
    away = Away(house, monkeypatch)
    answers: list[bool] = []

    async def refuse_exposure(plan: CallPlan, marks: CallMarks) -> Outcome:
        answers.append(await marks.answered({}))
        away.names = {"Marks.exposed"}
        answers.append(await marks.exposed(fax, 1))
        away.names = set()
        return Outcome(Cause.LINE_FAULT, connected=True)

    await build(house, ScriptedLine([refuse_exposure])).call(fax)
    assert answers == [True, False]
    assert await house.ledger(fax) == {}
    assert await house.state(fax) == FaxState.WAITING


async def test_what_was_confirmed_while_the_store_was_away_is_written_before_the_result(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spine section 5: what already happened is committed when it returns, if the attempt is still open.

    The line gave up its gate, so `done` is at hand before the confirmation could be written: the fax is sent, not
    dialled again.
    """
    fax = await house.ready_fax(pages=1)
    away = Away(house, monkeypatch)

    async def confirm_in_the_dark(plan: CallPlan, marks: CallMarks) -> Outcome:
        await marks.answered({})
        await marks.exposed(fax, 1)
        away.names = {"Marks._confirm"}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await marks.confirmed(fax, 1)
        return Outcome(Cause.MEDIA_LOST, connected=True, exposed=True)

    calling = asyncio.create_task(build(house, ScriptedLine([confirm_in_the_dark])).call(fax))
    await until(lambda: len(away.refused) > 5)
    assert await house.state(fax) == FaxState.CALLING
    away.names = set()
    await calling
    assert await house.state(fax) == FaxState.SENT
    (row,) = await house.rows(select(t.attempts))
    assert row.cause == "ok"
    assert not any(name.startswith("late.") for name in await house.events(row.id))


async def test_a_result_is_written_when_the_store_returns(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    fax = await house.ready_fax()
    away = Away(house, monkeypatch)
    away.names = {"Outbound._place"}
    calling = asyncio.create_task(build(house, ScriptedLine([is_busy])).call(fax))
    await until(lambda: len(away.refused) > 2)
    away.names = set()
    await calling
    assert await house.state(fax) == FaxState.WAITING


async def test_a_line_that_raises_leaves_no_fax_in_a_call(house: House, caplog: pytest.LogCaptureFixture) -> None:
    fax = await house.ready_fax()

    async def explode(plan: CallPlan, marks: CallMarks) -> Outcome:
        await marks.answered({})
        await marks.exposed(fax, 1)
        raise RuntimeError("defect of the line")

    await build(house, ScriptedLine([explode])).call(fax)
    assert await house.state(fax) == FaxState.UNKNOWN
    assert "defect of the line" in caplog.text


async def test_the_third_call_to_a_number_that_kills_workers_is_isolated_then_the_fax_is_held(house: House) -> None:
    """Spine section 5, processes dying."""
    fax = await house.ready_fax()

    async def die(plan: CallPlan, marks: CallMarks) -> Outcome:
        return Outcome(Cause.LINE_FAULT, worker_died=True)

    outbound = build(house, line := ScriptedLine([die]))
    for _ in range(4):
        await outbound.call(fax)
        await house.wait(fax)
    assert [plan.isolated for plan in line.calls] == [False, False, True]
    row = await house.fax(fax)
    assert (row.state, row.reason) == (FaxState.HELD, queue.HELD_BY_KILLS)


# --------------------------------------------------------------------------------------------------------- wishes


async def test_a_cancel_hangs_the_call_up_and_is_obeyed_at_its_close(house: House) -> None:
    fax = await house.ready_fax()
    over = asyncio.Event()

    async def ring(plan: CallPlan, marks: CallMarks) -> Outcome:
        await over.wait()
        return Outcome(Cause.NO_ANSWER)

    outbound = build(house, line := ScriptedLine([ring]))
    watching = asyncio.create_task(outbound.watch_wishes())
    calling = asyncio.create_task(outbound.call(fax))
    try:
        await until(lambda: bool(line.calls))
        assert [call.fax for call in outbound.live.values()] == [fax]
        await house.wish(fax, Wish.CANCEL)
        await until(lambda: line.hung_up == [line.calls[0].attempt])
        over.set()
        await calling
        assert await house.state(fax) == FaxState.CANCELLED
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_cancel_before_the_line_has_the_call_is_obeyed_a_moment_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WISH_PAUSE", 0.01)
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    await house.wish(fax, Wish.CANCEL)
    outbound = build(house, line := ScriptedLine())
    watching = asyncio.create_task(outbound.watch_wishes())
    try:
        await asyncio.sleep(0.05)
        assert line.hung_up == []
        outbound.live[attempt] = cast(Any, object())
        await until(lambda: line.hung_up == [attempt])
        assert await house.ask(ledger.cancelled_calls) == [attempt]
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert line.hung_up == [attempt]
