"""The collector's loop: folders are looked at when told, again while something waits, and one fault stays alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from faxgw.intake import collector as module
from faxgw.intake.collector import BATCH, Choice, Collector, Drop, Sender
from faxgw.intake.shelf import Entry, Shelf
from faxgw.intake.taking import Take, Taken
from faxgw.intake.threads import Threads
from faxgw.store.errors import StoreDown
from tests.patience import PATIENCE_S


class Notes:
    """A handler that notes what it finished; `wait…` waits, `bad…` breaks, `away…` fails once."""

    def __init__(self, threads: Threads) -> None:
        self.finished: list[str] = []
        self.asked = asyncio.Event()
        self._threads = threads
        self._away = True

    def choose(self, drop: Drop, inbox: Shelf, entries: Sequence[Entry], now: float) -> tuple[list[Choice], bool]:
        names = [entry.name for entry in entries]
        ready = [name for name in names if not name.startswith("wait")]
        return [Choice(name) for name in ready][:BATCH], len(ready) < len(names)

    async def ask(self, drop: Drop, now: float) -> bool:
        return False

    async def finish(self, drop: Drop, taken: Taken) -> None:
        self.asked.set()
        if taken.cause.startswith("bad"):
            raise ValueError(taken.cause)
        if taken.cause.startswith("away") and self._away:
            self._away = False
            raise StoreDown("away")
        self.finished.append(taken.cause)
        await self._threads.run(taken.forget)


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.threads = Threads()
        self.notes = Notes(self.threads)
        self.now = 0.0
        self.collector = Collector({Take.JOB: self.notes}, lambda: self.now, self.threads)

    def drop(self, name: str) -> Drop:
        (self.folder / name).mkdir()
        shelf = partial(Shelf, self.folder / name / "in")

        async def sender() -> Sender:
            raise AssertionError("a sender is not looked up before something was taken")

        return Drop(name, shelf, shelf, self.folder / name / "work", (Take.JOB,), sender, "acme")

    async def until(self, *finished: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while sorted(self.notes.finished) != sorted(finished):  # noqa: ASYNC110 - the handler only notes
                await asyncio.sleep(0.005)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "SCAN_S", 0.01)
    made = World(tmp_path)
    task = asyncio.create_task(made.collector.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await made.threads.close()


async def test_more_than_a_batch_is_finished(world: World) -> None:
    drop = world.drop("a")
    names = [f"f{number}" for number in range(BATCH * 2 + 1)]
    with drop.inbox() as inbox:
        for name in names:
            inbox.put(name, b"x")
    world.collector.look(drop)
    await world.until(*names)


async def test_what_waits_is_looked_at_again(world: World) -> None:
    drop = world.drop("a")
    with drop.inbox() as inbox:
        inbox.put("wait", b"x")
        world.collector.look(drop)
        inbox.put("first", b"x")
        world.collector.look(drop)
        await world.until("first")
        inbox.move("wait", inbox, "ready")
        world.now += 1
        await world.until("first", "ready")


async def test_a_store_that_was_away_is_asked_again(world: World) -> None:
    drop = world.drop("a")
    with drop.inbox() as inbox:
        inbox.put("away", b"x")
    world.collector.look(drop)
    await world.notes.asked.wait()
    world.now += 1
    async with asyncio.timeout(PATIENCE_S):
        while world.notes.finished != ["away"]:
            world.now += 1
            await asyncio.sleep(0.01)


async def test_a_fault_in_one_folder_leaves_the_others_alone(world: World) -> None:
    bad, good = world.drop("bad"), world.drop("good")
    for drop, name in ((bad, "bad"), (good, "good")):
        with drop.inbox() as inbox:
            inbox.put(name, b"x")
        world.collector.look(drop)
    await world.until("good")
    with good.inbox() as inbox:
        inbox.put("more", b"x")
    world.collector.look(good)
    await world.until("good", "more")


async def test_one_that_cannot_be_finished_holds_up_no_other_of_its_folder(world: World) -> None:
    """Neither those that come with it nor those that come later; it is tried again at every look."""
    drop = world.drop("a")
    with drop.inbox() as inbox:
        for name in ("bad", "good"):
            inbox.put(name, b"x")
        world.collector.look(drop)
        await world.until("good")
        inbox.put("later", b"x")
        world.collector.look(drop)
        await world.until("good", "later")
    assert len(list(drop.work.iterdir())) == 1
