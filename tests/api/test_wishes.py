"""What an operator wishes of a job of many faxes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from faxgw.api import wishes
from faxgw.fax.job import Wish
from faxgw.fax.outcome import Cause
from faxgw.store import job_cancels
from faxgw.store import schema as t
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

LATE = "not done: The fax is in a state that does not allow this."


def numbers(count: int) -> list[str]:
    return [f"+33199{place:06}" for place in range(count)]


async def carry_out(house: House, faxes: list[str], verb: str) -> dict[str, str]:
    return dict(await wishes.carry_out(house.store, faxes, verb, who="bert", now=house.now))


async def test_a_job_is_cancelled_by_one_wish(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spine section 7: no fax of it is called while the others' rows follow."""
    monkeypatch.setattr(job_cancels, "AT_ONCE", 2)
    job, faxes = await house.job(*numbers(6))
    await house.call(faxes[0], Cause.WRONG_NUMBER)
    await house.wish(faxes[1], Wish.HOLD)
    await house.plan(faxes[2])
    found = await carry_out(house, faxes, "cancel")
    assert found == dict(
        zip(faxes, [LATE, "cancelled", "calling; ends with the call", *["cancelled"] * 3], strict=True)
    )
    (asked,) = await house.rows(select(t.events).where(t.events.c.entity == job, t.events.c.what == "job.wish.cancel"))
    assert asked.who == "bert"
    assert await house.rows(select(t.job_cancels)) == []


async def test_thousands_are_held_and_released_in_few_units(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is final already is told so and holds up no other of its unit."""
    run, units = house.store.run, []

    async def counted(unit: Any) -> Any:
        units.append(unit)
        return await run(unit)

    _job, faxes = await house.job(*numbers(wishes.AT_ONCE + 5))
    await house.call(faxes[3], Cause.WRONG_NUMBER)
    monkeypatch.setattr(house.store, "run", counted)
    held = await carry_out(house, faxes, "hold")
    assert len(units) == 2
    assert held.pop(faxes[3]) == LATE
    assert set(held.values()) == {"held"} and len(held) == len(faxes) - 1
    released = await carry_out(house, faxes, "release")
    assert released.pop(faxes[3]) == LATE
    assert set(released.values()) == {"ready"}


async def test_one_fax_of_a_job_is_cancelled_alone(house: House) -> None:
    _job, faxes = await house.job(*numbers(3))
    assert await carry_out(house, faxes[:1], "cancel") == {faxes[0]: "cancelled"}
    assert [await house.state(fax) for fax in faxes] == ["cancelled", "ready", "ready"]
