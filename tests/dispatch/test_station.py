"""Stations of the walk: bounded, woken, never spinning, stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from faxgw.dispatch import station as module
from faxgw.dispatch.station import Station
from tests.dispatch.doubles import until


class Work:
    """Items that wait, and what became of them."""

    def __init__(self, *items: str, places: int = 2) -> None:
        self.waiting = list(items)
        self.looks: list[int] = []
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.may_end = asyncio.Event()
        self.fault: Exception | None = None
        self.due: float | None = None
        self.wake = asyncio.Event()
        self.station: Station[str] = Station(
            "test",
            places=places,
            wake=self.wake,
            take=self.take,
            work=self.work,
            next_due=self.next_due,
            clock=asyncio.get_running_loop().time,
        )
        self.running = asyncio.create_task(self.station.run())

    async def take(self, limit: int) -> Sequence[str]:
        self.looks.append(limit)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    async def work(self, item: str) -> None:
        self.begun.append(item)
        if item == "bad":
            raise KeyError(item)
        await self.may_end.wait()
        self.ended.append(item)

    async def next_due(self) -> float | None:
        return self.due

    async def stop(self, grace: float = 1.0) -> None:
        await self.station.stop(grace)
        await self.running


async def test_no_more_items_are_in_work_than_there_are_places() -> None:
    work = Work(*"abcde")
    await until(lambda: len(work.begun) == 2)
    await asyncio.sleep(0.02)
    assert (work.begun, work.station.busy) == (["a", "b"], 2)
    work.may_end.set()
    await until(lambda: len(work.ended) == 5)
    await work.stop()


async def test_an_idle_station_does_not_look_in_a_circle_and_wakes_when_told() -> None:
    work = Work()
    work.may_end.set()
    await asyncio.sleep(0.1)
    assert len(work.looks) == 1
    work.waiting.append("a")
    work.wake.set()
    await until(lambda: work.ended == ["a"])
    assert len(work.looks) <= 4
    await work.stop()


async def test_a_station_looks_again_when_something_falls_due() -> None:
    work = Work()
    work.may_end.set()
    work.due = asyncio.get_running_loop().time() + 0.1
    work.wake.set()
    await asyncio.sleep(0.03)
    work.waiting.append("a")
    work.due = None
    await until(lambda: work.ended == ["a"], 2.0)
    await work.stop()


async def test_a_look_that_fails_is_repeated_after_a_pause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FAULT_PAUSE", 0.05)
    work = Work("a")
    work.may_end.set()
    work.fault = RuntimeError("database away")
    await until(lambda: len(work.looks) == 3)
    assert caplog.text.count("database away") >= 2
    work.fault = None
    await until(lambda: work.ended == ["a"])
    await work.stop()


async def test_work_that_fails_costs_its_own_item_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FAULT_PAUSE", 0.01)
    work = Work("bad", "a", "b")
    work.may_end.set()
    await until(lambda: work.ended == ["a", "b"])
    assert "KeyError: 'bad'" in caplog.text
    await work.stop()


async def test_stop_waits_for_what_runs_and_takes_nothing_new() -> None:
    work = Work(*"abc")
    await until(lambda: len(work.begun) == 2)
    stopping = asyncio.create_task(work.stop(5.0))
    await asyncio.sleep(0.01)
    assert not stopping.done()
    work.may_end.set()
    await stopping
    assert (work.ended, work.waiting) == (["a", "b"], ["c"])


async def test_stop_cancels_what_outlasts_the_grace() -> None:
    work = Work("a")
    await until(lambda: work.begun == ["a"])
    await work.stop(0.01)
    assert (work.ended, work.station.busy) == ([], 0)


async def test_what_is_taken_while_the_station_stops_is_not_begun() -> None:
    work = Work()
    await until(lambda: len(work.looks) == 1)
    taking, go = asyncio.Event(), asyncio.Event()

    async def slow_take(limit: int) -> Sequence[str]:
        taking.set()
        await go.wait()
        return ["late"]

    work.station._take = slow_take
    work.wake.set()
    await taking.wait()
    await work.station.stop(0.0)
    go.set()
    await work.running
    assert (work.begun, work.station.busy) == ([], 0)
