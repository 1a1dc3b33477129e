"""What happened on the wire is written down, whoever gives up meanwhile (docs/spine.md section 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from faxgw.dispatch import seat as seat_module
from faxgw.store.errors import StoreBusy, StoreDown
from faxgw.store.journal import note
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def noting(house: House) -> Callable[[Connection], str]:
    def unit(conn: Connection) -> str:
        note(conn, "att_1", "happened", now=house.now)
        return "written"

    return unit


async def test_an_id_begins_as_asked_and_is_never_the_same(house: House) -> None:
    seat = house.seat()
    found = {seat.id("att") for _ in range(100)}
    assert len(found) == 100
    assert all(one.startswith("att_") for one in found)


async def test_what_happened_is_written_when_the_database_is_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat_module, "PERSIST_PAUSE", 0.0)
    run, away = house.store.run, 3

    async def sometimes(unit: object) -> object:
        nonlocal away
        if away:
            away -= 1
            raise StoreBusy("away")
        return await run(unit)  # type: ignore[arg-type]

    monkeypatch.setattr(house.store, "run", sometimes)
    assert await house.seat().persist(noting(house)) == "written"
    monkeypatch.undo()
    assert away == 0
    assert await house.events("att_1") == ["happened"]


async def test_it_is_written_though_who_asked_for_it_is_cancelled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wire cannot be taken back."""
    run, begun, go_on = house.store.run, asyncio.Event(), asyncio.Event()

    async def slowly(unit: object) -> object:
        begun.set()
        await go_on.wait()
        return await run(unit)  # type: ignore[arg-type]

    monkeypatch.setattr(house.store, "run", slowly)
    seat = house.seat()
    asking = asyncio.create_task(seat.persist(noting(house)))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    writing = set(seat._writing)
    go_on.set()
    await asyncio.gather(*writing)
    monkeypatch.undo()
    assert await house.events("att_1") == ["happened"]
    assert not seat._writing


async def test_a_fault_that_stays_is_told_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    async def never(_unit: object) -> None:
        nonlocal tries
        tries += 1
        raise StoreDown("broken", temporary=False)

    monkeypatch.setattr(house.store, "run", never)
    with pytest.raises(StoreDown):
        await house.seat().persist(noting(house))
    assert tries == 1
