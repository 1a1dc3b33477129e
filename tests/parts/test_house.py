"""faxgw.parts: every part is named once, its tables are known, and a door that does not close stops no other."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from faxgw.daemon import Daemon
from faxgw.parts import PARTS
from faxgw.parts.house import House
from faxgw.settings import load
from faxgw.tables import SECTIONS
from faxgw.webserver import Health
from tests.patience import PATIENCE_S


def test_every_part_has_a_name_and_tables_of_its_own() -> None:
    names = [part.name for part in PARTS]
    tables = [table for part in PARTS for table in part.sections]
    assert len(set(names)) == len(names)
    assert len(set(tables)) == len(tables)
    assert set(tables) <= set(SECTIONS)


def house() -> House:
    nothing: Any = SimpleNamespace()
    return House(
        settings=nothing,
        seat=nothing,
        gate=nothing,
        jobs=nothing,
        pages=nothing,
        line=nothing,
        watermark=nothing,
        passwords=nothing,
        ground=nothing,
        metrics=nothing,
        health=nothing,
        system={},
        mount=lambda routes: None,
        ways={},
        hostname="gw.example",
        closing=contextlib.AsyncExitStack(),
    )


async def test_a_station_is_stopped_and_its_task_named() -> None:
    gone = asyncio.Event()

    async def run() -> None:
        gone.set()

    built = house()
    built.station(cast(Any, SimpleNamespace(name="sorting", run=run)))
    await asyncio.wait_for(gone.wait(), PATIENCE_S)
    assert [task.get_name() for task in built.tasks] == ["station sorting"]
    assert len(built.stations) == 1


async def test_a_door_that_does_not_close_keeps_no_other_open(caplog: pytest.LogCaptureFixture) -> None:
    closed = []

    async def stuck() -> None:
        raise OSError("stuck")

    async def close() -> None:
        closed.append("second")

    async def opening() -> None:
        return None

    built = house()
    built.door("first", opening, stuck)
    built.door("second", opening, close)
    daemon = Daemon(load(None, SECTIONS, environ={}))
    daemon._house = built
    await daemon._close_doors()
    assert closed == ["second"]
    assert "a door did not close" in caplog.text


async def test_a_task_that_dies_is_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks() -> None:
        raise KeyError("colour")

    built = house()
    built.health = Health()
    built.task(breaks(), "purge")
    await asyncio.wait(built.tasks)
    await asyncio.sleep(0)
    state = built.health.check()["task purge"]
    assert (state.ok, state.serves) == (False, True)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    built.task(asyncio.sleep(60), "watch")
    built.tasks[-1].cancel()
    await asyncio.wait(built.tasks)
    assert set(built.health.check()) == {"task purge"}
