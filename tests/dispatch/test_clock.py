"""A clock that jumps expires, purges and delays nothing (spine section 9)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import insert, select

from faxgw.dispatch.clock import JUMP, ClockWatch, synchronised
from faxgw.store import schema as t
from faxgw.store.journal import note
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Times:
    """Wall and monotonic time, driven by hand."""

    def __init__(self, wall: float) -> None:
        self.wall, self.steady = wall, 100.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def watch(house: House, times: Times, disciplined: bool = False) -> ClockWatch:
    seat = replace(house.seat(), clock=lambda: times.wall)
    return ClockWatch(seat, lambda: times.steady, lambda: disciplined)


async def waiting_item(house: House, due: float) -> None:
    row = {"id": "out_1", "kind": "x", "target": "a@b", "customer": "acme", "payload": {}, "state": "due"}
    await house.store.run(lambda conn: conn.execute(insert(t.outbox).values(**row, created_at=0.0, due_at=due)))


async def due(house: House) -> float:
    return await house.store.read(lambda conn: conn.execute(select(t.outbox.c.due_at)).scalar_one())


async def test_time_that_passes_is_no_jump(house: House) -> None:
    times = Times(1e9)
    clock = watch(house, times)
    times.pass_(100_000)
    times.wall += JUMP / 2
    await clock.look()
    assert clock.trusted


@pytest.mark.parametrize("jump", [10 * 365 * 86400.0, -3600.0])
async def test_a_jump_moves_what_waits_and_stops_expiry_until_the_operator_has_looked(
    house: House, jump: float
) -> None:
    times = Times(1e9)
    clock = watch(house, times)
    await waiting_item(house, times.wall + 60)
    times.wall += jump
    await clock.look()
    assert not clock.trusted
    assert await due(house) == times.wall + 60
    await clock.look()
    assert not clock.trusted
    assert await due(house) == times.wall + 60, "moved once"
    clock.confirm("operator")
    assert clock.trusted


async def test_a_jump_that_the_time_service_made_is_trusted_at_once(house: House) -> None:
    times = Times(1e9)
    clock = watch(house, times, disciplined=True)
    times.wall += 3600
    await clock.look()
    assert clock.trusted


async def test_a_clock_behind_the_newest_event_is_not_trusted_at_start(house: House) -> None:
    times = Times(1e9)
    await house.store.run(lambda conn: note(conn, "x", "y", now=times.wall + 2 * JUMP))
    clock = watch(house, times)
    await clock.look_at_journal()
    assert not clock.trusted


async def test_the_kernel_can_be_asked() -> None:
    assert synchronised() in (True, False)
