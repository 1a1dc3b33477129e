"""What calls taught of a destination, on each engine (features D5)."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from faxgw.fax.destination import MAX_UNCONNECTED
from faxgw.fax.outcome import Cause, FarEnd, Outcome
from faxgw.store import destinations
from faxgw.store import schema as t
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"
HUNG_UP = Outcome(
    Cause.REMOTE_HUNG_UP, connected=True, exposed=True, transport="t38", ecm=True, remote_ident="FAR",
    far=FarEnd("theirs", 2.0, 3.0, ("204x98",), ("MH",)),
)  # fmt: skip


async def test_the_end_of_a_call_teaches_in_the_same_unit(house: House) -> None:
    fax = await house.ready_fax(FAR)
    attempt = await house.plan(fax)
    assert await house.ask(destinations.calls_to, FAR) == ()
    assert await house.done(attempt, HUNG_UP)
    (call,) = await house.ask(destinations.calls_to, FAR)
    assert (call.cause, call.phase, call.t38, call.ident, call.resolutions) == (
        "remote_hung_up", "page", "theirs", "FAR", ("204x98",),
    )  # fmt: skip
    assert (call.trunk, call.at) == ("t1", house.now)


async def test_the_gap_to_the_answered_call_before_is_kept(house: House) -> None:
    fax = await house.ready_fax(FAR)
    await house.call(fax, HUNG_UP)
    await house.wait(fax)
    before = (await house.ask(destinations.calls_to, FAR))[0].at
    await house.call(fax, Outcome(Cause.BUSY, started_at=house.now))
    calls = await house.ask(destinations.calls_to, FAR)
    assert [call.gap for call in calls] == [None, round(house.now - before, 1)]


async def test_an_interrupted_call_teaches_nothing(house: House) -> None:
    """What nobody saw end proves nothing of the destination."""
    fax = await house.ready_fax(FAR)
    attempt = await house.plan(fax)
    await house.done(attempt, Outcome(Cause.LINE_FAULT, connected=True, worker_died=True))
    assert await house.ask(destinations.calls_to, FAR) == ()


async def test_the_list_of_calls_is_bounded(house: House) -> None:
    fax = await house.ready_fax(FAR)
    for _ in range(MAX_UNCONNECTED + 3):
        await house.change(update(t.faxes).values(dials=0))
        await house.call(fax, Cause.BUSY)
        await house.wait(fax)
    assert len(await house.ask(destinations.calls_to, FAR)) == MAX_UNCONNECTED


async def test_an_operator_has_a_number_forgotten_and_its_number_stays_nowhere_in_the_note(house: House) -> None:
    for number in (FAR, OTHER):
        await house.call(await house.ready_fax(number), Cause.BUSY)
    assert await house.do(destinations.forget, FAR, who="root", now=house.now)
    assert not await house.do(destinations.forget, FAR, who="root", now=house.now)
    found, count = await house.ask(destinations.overview, limit=10)
    assert ([known.e164 for known in found], count) == ([OTHER], 1)
    (row,) = await house.rows(select(t.events).where(t.events.c.what == destinations.FORGOTTEN))
    assert (row.who, row.data) == ("root", {}) and FAR not in row.entity


async def test_a_number_not_called_for_half_a_year_is_forgotten(house: House) -> None:
    for number in (FAR, OTHER):
        await house.call(await house.ready_fax(number), Cause.BUSY)
    old = house.now - destinations.KEPT_FOR - 1
    await house.change(update(t.destinations).where(t.destinations.c.e164 == FAR).values(called_at=old))
    assert await house.do(destinations.forget_old, now=house.now) == 1
    assert await house.do(destinations.forget_old, now=house.now) == 0
    found, _count = await house.ask(destinations.overview, limit=10)
    assert [known.e164 for known in found] == [OTHER]


async def test_the_list_shows_those_called_last(house: House) -> None:
    for number in (FAR, OTHER):
        await house.call(await house.ready_fax(number), Cause.BUSY)
        house.clock.now += 10
    found, count = await house.ask(destinations.overview, limit=1)
    assert ([known.e164 for known in found], count) == ([OTHER], 2)
