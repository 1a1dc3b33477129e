"""Who may call now (docs/spine.md section 6)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from sqlalchemy import update

from faxgw.dispatch import station
from faxgw.dispatch.dispatcher import MAX_TURNS, Dispatcher, fair
from faxgw.dispatch.outbound import Outbound
from faxgw.dispatch.routes import Routes
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallMarks, CallPlan
from faxgw.fax.route import Route
from faxgw.store import schema as t
from faxgw.store.candidates import Candidate
from tests.dispatch.doubles import Pages, ScriptedLine, receives_well, until
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def candidate(name: str, *, priority: int = 0, number: str = "") -> Candidate:
    """`a1x` is fax x of job a1 of customer a."""
    return Candidate(name, name[:2], name[0], number or f"+{name}", priority, "")


def order(*names: str, **more: Any) -> list[str]:
    return [c.fax for c in fair([candidate(n) for n in names], **more)]


async def test_customers_come_in_turn_and_within_a_customer_its_jobs() -> None:
    assert order("a1x", "a1y", "a1z", "a2x", "b1x", "b1y") == ["a1x", "b1x", "a2x", "b1y", "a1y", "a1z"]


async def test_who_had_a_turn_comes_after_who_had_none() -> None:
    """Otherwise, with one channel free at a time, the oldest customer would have every turn."""
    assert order("a1x", "a2x", "b1x", served={("a", ""): 5, ("a", "a1"): 5})[:2] == ["b1x", "a2x"]
    assert order("a1x", "b1x", served={("a", ""): 5, ("b", ""): 9})[0] == "a1x"


async def test_express_goes_before_normal_whoever_it_is() -> None:
    waiting = [candidate("a1x"), candidate("b1x", priority=1), candidate("b1y", priority=1)]
    assert [c.fax for c in fair(waiting, served={("b", ""): 3})] == ["b1x", "b1y", "a1x"]


async def test_each_number_comes_up_once_and_not_while_it_has_a_call() -> None:
    waiting = [candidate("a1x", number="+1"), candidate("b1x", number="+1"), candidate("c1x", number="+2")]
    assert [c.fax for c in fair(waiting, ["+2"])] == ["a1x"]


# ------------------------------------------------------------------------------------------------------ at work


@contextlib.asynccontextmanager
async def dispatching(
    house: House, line: ScriptedLine, client: Pages | None = None, routes: Routes | None = None
) -> AsyncIterator[Dispatcher]:
    seat = house.seat()
    outbound = Outbound(seat, cast(PageClient, client or Pages()), line, routes=routes)
    dispatcher = Dispatcher(seat, outbound, line, setups_per_second=10_000, routes=routes)
    running = asyncio.create_task(dispatcher.calling.run())
    try:
        yield dispatcher
    finally:
        await dispatcher.calling.stop(5.0)
        await running


def counted(house: House, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Notes every look into the store."""
    looks: list[float] = []
    read = house.store.read

    async def look(unit: Callable[..., Any]) -> Any:
        looks.append(asyncio.get_running_loop().time())
        return await read(unit)

    monkeypatch.setattr(house.store, "read", look)
    return looks


async def test_waiting_faxes_are_called_as_channels_become_free(house: House) -> None:
    open_calls = highest = 0
    both = asyncio.Event()

    async def one(plan: CallPlan, marks: CallMarks) -> Outcome:
        nonlocal open_calls, highest
        open_calls += 1
        highest = max(highest, open_calls)
        if open_calls == 2:
            both.set()
        await both.wait()  # the first call goes on once a second one is open beside it
        await asyncio.sleep(0.01)
        open_calls -= 1
        return await receives_well(plan, marks)

    _job, faxes = await house.job(*(f"+3319900000{n}" for n in range(9)))
    line = ScriptedLine([one], {"t1": 2, "t2": 1})
    async with dispatching(house, line):
        await until(lambda: len(line.calls) == 9)
    assert [await house.state(fax) for fax in faxes] == ["sent"] * 9
    assert highest == 2  # all go over the first trunk
    assert {plan.trunk for plan in line.calls} == {"t1"}


async def test_faxes_that_find_the_cheapest_trunk_full_go_over_the_next_one_of_their_routes(house: House) -> None:
    over = asyncio.Event()

    async def long(plan: CallPlan, marks: CallMarks) -> Outcome:
        await over.wait()
        return await receives_well(plan, marks)

    _job, faxes = await house.job(*(f"+3319900000{n}" for n in range(5)))
    line = ScriptedLine([long], {"dear": 1, "cheap": 2, "other": 9})
    routes = Routes(line, [Route("dear", "+", 0.09), Route("cheap", "+33", 0.01), Route("other", "+44")])
    async with dispatching(house, line, routes=routes):
        await until(lambda: len(line.calls) == 3)
        assert sorted(plan.trunk for plan in line.calls) == ["cheap", "cheap", "dear"]
        over.set()
        await until(lambda: len(line.calls) == 5)
    assert [await house.state(fax) for fax in faxes] == ["sent"] * 5


async def test_a_full_trunk_does_not_keep_faxes_of_another_waiting(house: House) -> None:
    over = asyncio.Event()

    async def long(plan: CallPlan, marks: CallMarks) -> Outcome:
        if plan.trunk == "t1":
            await over.wait()
        return await receives_well(plan, marks)

    _job, slow = await house.job(*(f"+3319900000{n}" for n in range(5)))
    _job, quick = await house.job(*(f"+3318800000{n}" for n in range(5)), trunk="t2")
    line = ScriptedLine([long], {"t1": 2, "t2": 1})
    async with dispatching(house, line):

        async def quick_ones_sent() -> bool:
            return [await house.state(fax) for fax in quick] == ["sent"] * 5

        await until(quick_ones_sent)
        assert sorted([await house.state(fax) for fax in slow]) == ["calling"] * 2 + ["ready"] * 3
        over.set()


async def test_while_a_trunk_is_down_faxes_wait_and_the_store_is_not_asked_in_a_circle(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No try is used up; the line tells when the trunk is up again."""
    _job, (fax,) = await house.job("+33199000001")
    line = ScriptedLine(channels={"t1": 0})
    looks = counted(house, monkeypatch)
    async with dispatching(house, line) as dispatcher:
        await until(lambda: len(looks) >= 2)
        await asyncio.sleep(0.5)
        assert len(looks) < 10
        assert (line.calls, await house.state(fax)) == ([], "ready")
        line.channels["t1"] = 1
        dispatcher.calling.wake()
        await until(lambda: len(line.calls) == 1)


async def test_a_broadcast_does_not_starve_another_customer(house: House) -> None:
    """Spine section 6: with one channel, the single fax that came last is the second call, not the last."""
    await house.job(*(f"+331990{n:05}" for n in range(300)))
    house.clock.now += 60
    await house.ready_fax("+33188000001", customer="beta")
    await house.ready_fax("+33188000002")
    line = ScriptedLine(channels={"t1": 1})
    async with dispatching(house, line):
        await until(lambda: len(line.calls) >= 8)
    first = [plan.number for plan in line.calls[:5]]
    assert "+33188000001" in first[:2] and "+33188000002" in first


async def test_two_faxes_to_one_number_are_called_one_after_the_other(house: House) -> None:
    open_now: Counter[str] = Counter()

    async def one(plan: CallPlan, marks: CallMarks) -> Outcome:
        open_now[plan.number] += 1
        assert open_now[plan.number] == 1
        await asyncio.sleep(0.01)
        open_now[plan.number] -= 1
        return await receives_well(plan, marks)

    faxes = [await house.ready_fax("+33199000001") for _ in range(3)]
    async with dispatching(house, ScriptedLine([one])):

        async def all_sent() -> bool:
            return [await house.state(fax) for fax in faxes] == ["sent"] * 3

        await until(all_sent)


async def test_a_fax_that_waits_is_called_when_its_time_has_come(house: House) -> None:
    """Even while another one, whose time is past, waits for its number."""
    blocked, other = await house.ready_fax("+33199000001"), await house.ready_fax("+33199000001")
    soon = await house.ready_fax("+33199000002")
    await house.plan(other)
    await house.change(update(t.faxes).where(t.faxes.c.id == soon).values(until=house.now + 0.3))
    start = asyncio.get_running_loop().time()
    began = house.now
    line = ScriptedLine()
    async with dispatching(house, line) as dispatcher:
        house.clock.now = began
        ticking = asyncio.create_task(tick(house, began, start))
        await until(lambda: len(line.calls) == 1, station.POLL / 2)  # woken, not found by the next look
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        assert dispatcher.channels() == {"t1": 4}
    assert line.calls[0].number == "+33199000002"
    assert await house.state(blocked) == "ready"


async def tick(house: House, began: float, start: float) -> None:
    while True:
        house.clock.now = began + asyncio.get_running_loop().time() - start
        await asyncio.sleep(0.01)


async def test_a_fax_that_cannot_be_composed_rests_and_the_store_is_not_asked_in_a_circle(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await house.ready_fax(f"+3319900000{number}")
    looks = counted(house, monkeypatch)
    line = ScriptedLine()
    async with dispatching(house, line, Pages(composing=PagesUnavailable())):
        await until(lambda: len(looks) > 6)
        await asyncio.sleep(0.5)
        assert len(looks) < 30
    assert line.calls == []


async def test_a_defect_of_ours_puts_one_fax_to_rest_and_does_not_spin(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(station, "FAULT_PAUSE", 0.01)
    await house.ready_fax("+33199000001")
    good = await house.ready_fax("+33199000002")

    class Defect(Pages):
        async def compose(self, body_fd: int, options: Any) -> Any:
            if options.context.number == "+33199000001":
                raise KeyError("defect")
            return await super().compose(body_fd, options)

    looks = counted(house, monkeypatch)
    async with dispatching(house, ScriptedLine(), Defect()):

        async def sent() -> bool:
            return await house.state(good) == "sent"

        await until(sent)
        await asyncio.sleep(0.3)
    assert caplog.text.count("KeyError: 'defect'") == 1
    assert len(looks) < 400


async def test_calls_begin_at_the_pace_of_set_ups(house: House) -> None:
    await house.job(*(f"+3319900000{n}" for n in range(4)))
    began, times = asyncio.get_running_loop().time(), list[float]()

    async def note(plan: CallPlan, marks: CallMarks) -> Outcome:
        times.append(asyncio.get_running_loop().time())
        return Outcome(Cause.BUSY)

    seat, line = house.seat(), ScriptedLine([note])
    outbound = Outbound(seat, cast(PageClient, Pages()), line)
    dispatcher = Dispatcher(seat, outbound, line, setups_per_second=20)
    running = asyncio.create_task(dispatcher.calling.run())
    await until(lambda: len(times) == 4)
    await dispatcher.calling.stop(5.0)
    await running
    assert times[-1] - began >= 3 / 20  # none before its time, however late it is noted


async def test_the_memory_of_turns_is_bounded(house: House) -> None:
    dispatcher = Dispatcher(house.seat(), cast(Outbound, None), ScriptedLine())
    for number in range(MAX_TURNS):
        dispatcher._remember(Candidate(f"x{number}", f"j{number}", f"c{number}", "+1", 0, ""))
    assert len(dispatcher._served) == MAX_TURNS
