"""Recovery at start, leases, expiry, the sweep (docs/spine.md sections 5 and 9)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update

from faxgw.dispatch import upkeep
from faxgw.fax.errors import FaxError
from faxgw.fax.outcome import Cause
from faxgw.store import destinations, node
from faxgw.store import schema as t
from faxgw.store.errors import StoreDown
from faxgw.store.files import Files, Kind
from tests.dispatch.doubles import ScriptedLine, until
from tests.house import NODE, House
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def interrupted(house: House) -> list[str]:
    """Three faxes whose calls a killed daemon left: planned, answered, exposed."""
    faxes = [await house.ready_fax(f"+3319900000{n}") for n in range(3)]
    for n, fax in enumerate(faxes):
        attempt = await house.plan(fax)
        if n >= 1:
            await house.answer(attempt)
        if n == 2:
            await house.expose(attempt, fax)
    await house.next_life()
    return faxes


@pytest.mark.parametrize("error", [None, FaxError("no such trunk"), OSError("no route"), TimeoutError()])
async def test_recovery_ends_every_interrupted_call_and_closes_it_whatever_the_line_can_do(
    house: House, error: Exception | None
) -> None:
    faxes = await interrupted(house)
    line = ScriptedLine(end_error=error)
    assert await upkeep.recover(house.seat(), line) == 3
    assert sorted(dialog for _trunk, _call, dialog in line.ended) == [False, True, True]
    assert [await house.state(fax) for fax in faxes] == ["waiting", "waiting", "unknown"]
    assert await upkeep.recover(house.seat(), line) == 0
    assert len(await house.outbox()) == 1


async def test_recovery_does_not_wait_for_a_line_that_hangs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "END_SECONDS", 0.02)
    faxes = await interrupted(house)

    class Hangs(ScriptedLine):
        async def end_stranger(self, *args: Any) -> None:
            await asyncio.Event().wait()

    assert await upkeep.recover(house.seat(), Hangs()) == 3
    assert await house.state(faxes[2]) == "unknown"


async def test_calls_of_this_life_are_nobodys_to_recover(house: House) -> None:
    fax = await house.ready_fax()
    await house.plan(fax)
    assert await upkeep.recover(house.seat(), ScriptedLine()) == 0
    assert await house.state(fax) == "calling"


async def test_the_sweep_removes_what_no_row_names_and_nothing_else(house: House) -> None:
    await house.job("+33199000001")
    await house.accept(mail := await house.mail("+33199000002"))
    attempt = await house.plan(await house.ready_fax("+33199000003"))
    tiff = await house.keep(b"tiff")
    await house.change(update(t.attempt_faxes).values(tiff_key=tiff.key))
    named = {str(p.relative_to(house.folder)) for p in house.folder.glob("*/*/*")}
    orphan = await house.keep(b"orphan", Kind.MAIL)
    next_files = Files(house.folder, NODE, 2)
    await next_files.start()
    house.files, old = next_files, house.files
    try:
        mine = await house.keep(b"of this life")
        await upkeep.sweep_files(house.seat())
    finally:
        house.files = old
        await next_files.close()
    left = {str(p.relative_to(house.folder)) for p in house.folder.glob("*/*/*")}
    assert left == named | {mine.key}
    assert {tiff.key, mail.file.key} <= left and orphan.key not in left and attempt


async def test_the_lease_is_renewed_until_another_life_takes_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "RENEW_S", 0.005)
    (row,) = await house.rows(select(t.nodes))
    lease = node.Lease(row.name, row.incarnation, row.fence, row.lease_until)
    lost = asyncio.Event()
    house.clock.now += 5
    keeping = asyncio.create_task(upkeep.keep_lease(house.seat(), lease, lost.set))

    async def renewed() -> bool:
        (found,) = await house.rows(select(t.nodes.c.lease_until))
        return bool(found.lease_until == house.now + node.LEASE_S)

    await until(renewed)
    assert not lost.is_set()
    run, away = house.store.run, True

    async def refuse(unit: Any) -> Any:
        if away:
            raise StoreDown("away")
        return await run(unit)

    monkeypatch.setattr(house.store, "run", refuse)
    await asyncio.sleep(0.03)
    assert not lost.is_set() and not keeping.done()
    away = False
    await house.next_life()
    await asyncio.wait_for(lost.wait(), PATIENCE_S)
    await keeping


async def test_order_is_kept_even_after_the_store_was_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "EXPIRY_EVERY", 0.01)
    _job, faxes = await house.job(*(f"+331990{n:05}" for n in range(60)), latest=house.now + 10)
    await house.accept(await house.mail("+33188000001"))
    run, failures = house.store.run, [StoreDown("away")]

    async def refuse_once(unit: Any) -> Any:
        if failures:
            raise failures.pop()
        return await run(unit)

    monkeypatch.setattr(house.store, "run", refuse_once)
    house.clock.now += 90_000
    keeping = asyncio.create_task(upkeep.keep_order(house.seat()))

    async def all_expired() -> bool:
        return {await house.state(fax) for fax in faxes[::20]} == {"expired"} and not await house.rows(select(t.dedupe))

    await until(all_expired)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert len(await house.outbox()) == 1


async def test_destinations_that_were_not_called_for_half_a_year_are_forgotten(house: House) -> None:
    """Features D5: a number is personal data."""
    for number in ("+33199000001", "+33199000002"):
        await house.call(await house.ready_fax(number), Cause.BUSY)
    long_ago = house.now - destinations.KEPT_FOR - 1
    old = t.destinations.c.e164 == "+33199000001"
    await house.change(update(t.destinations).where(old).values(called_at=long_ago))
    keeping = asyncio.create_task(upkeep.keep_order(house.seat()))

    async def forgotten() -> bool:
        return [row.e164 for row in await house.rows(select(t.destinations.c.e164))] == ["+33199000002"]

    try:
        await until(forgotten)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
