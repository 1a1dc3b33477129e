"""Places at the page processes: whose turn it is, how many may wait, what a cancellation leaves behind."""

from __future__ import annotations

import asyncio

import pytest

from faxgw.document import places
from faxgw.document.faults import PagesUnavailable
from faxgw.document.places import Places, charged_to


class Desk:
    """Requests that end when they are told to, in the order in which they began."""

    def __init__(self, count: int) -> None:
        self.places = Places(count)
        self.begun: list[str] = []
        self._ends: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, name: str, customer: str) -> asyncio.Task[None]:
        """Make a request, up to where it works or waits."""
        task = asyncio.create_task(self._one(name, customer))
        self.tasks.append(task)
        await settled()
        return task

    async def end(self, name: str) -> None:
        self._ends[self.begun.index(name)].set()
        await settled()

    async def end_all(self) -> None:
        while any(not task.done() for task in self.tasks):
            for event in self._ends:
                event.set()
            await settled()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _one(self, name: str, customer: str) -> None:
        with charged_to(customer):
            async with self.places.one():
                self.begun.append(name)
                end = asyncio.Event()
                self._ends.append(end)
                await end.wait()


async def settled() -> None:
    """All that can happen has happened; no clock is asked."""
    for _turn in range(8):
        await asyncio.sleep(0)


async def test_a_letter_waits_for_the_documents_in_work_however_many_wait_before_it() -> None:
    """A thousand documents of one customer, and one of another: it is the next to begin."""
    desk = Desk(2)
    for n in range(300):
        await desk.ask(f"pdf{n}", "large")
    await desk.ask("letter", "small")
    assert desk.begun == ["pdf0", "pdf1"]
    await desk.end("pdf0")
    assert desk.begun == ["pdf0", "pdf1", "letter"]
    await desk.end("letter")
    assert desk.begun[3:] == ["pdf2"]
    await desk.end_all()
    assert len(desk.begun) == 301
    assert [name for name in desk.begun if name != "letter"] == [f"pdf{n}" for n in range(300)]


async def test_customers_take_turns_and_their_requests_keep_their_order() -> None:
    desk = Desk(1)
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        await desk.ask(name, name[0])
    for name in ("a1", "a2", "b1", "c1", "a3", "b2"):
        assert desk.begun[-1] == name
        await desk.end(name)
    assert desk.begun == ["a1", "a2", "b1", "c1", "a3", "b2"]


async def test_who_has_fewer_in_work_comes_first() -> None:
    """Three places, two of them one customer's: the place that comes free is not its third."""
    desk = Desk(3)
    for name, customer in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("a4", "a"), ("b2", "b")):
        await desk.ask(name, customer)
    await desk.end("b1")
    assert desk.begun[3:] == ["b2"]
    await desk.end("a1")
    assert desk.begun[4:] == ["a3"]
    await desk.end_all()


async def test_one_customer_cannot_fill_the_waiting_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MAX_WAITING_OF_ONE", 3)
    monkeypatch.setattr(places, "MAX_WAITING", 5)
    desk = Desk(1)
    for n in range(4):
        await desk.ask(f"a{n}", "a")
    for customer, waits in (("a", False), ("b", True), ("c", True), ("d", False)):
        task = await desk.ask(customer, customer)
        assert task.done() is not waits
        if not waits:
            with pytest.raises(PagesUnavailable) as refused:
                task.result()
            assert refused.value.temporary
    assert desk.places.waiting == 5
    await desk.end_all()
    assert desk.places.waiting == 0


async def test_a_request_that_is_given_up_leaves_nothing_behind() -> None:
    desk = Desk(1)
    await desk.ask("a1", "a")
    gone, _other = await desk.ask("a2", "a"), await desk.ask("b1", "b")
    gone.cancel()
    await settled()
    assert desk.places.waiting == 1
    await desk.end("a1")
    assert desk.begun == ["a1", "b1"]
    await desk.end("b1")
    await desk.ask("c1", "c")
    assert desk.begun[-1] == "c1"
    await desk.end_all()


async def test_a_place_that_comes_in_the_moment_of_a_cancellation_is_handed_on() -> None:
    desk = Desk(1)
    await desk.ask("a1", "a")
    gone, _other = await desk.ask("b1", "b"), await desk.ask("c1", "c")
    desk._ends[0].set()
    await asyncio.sleep(0)  # the place is given back and handed to b1, which has not run yet
    gone.cancel()
    await settled()
    assert desk.begun == ["a1", "c1"]
    await desk.end_all()
    await desk.ask("d1", "d")
    assert desk.begun[-1] == "d1"
    await desk.end_all()


async def test_a_task_started_herein_is_charged_like_its_parent() -> None:
    """Covers of a slice are made side by side, each in a task of its own."""
    desk = Desk(1)
    await desk.ask("a1", "a")

    async def child() -> None:
        async with desk.places.one():
            desk.begun.append("child")

    with charged_to("a"):
        started = asyncio.create_task(child())
    await settled()
    await desk.ask("b1", "b")
    await desk.end("a1")
    assert desk.begun[:2] == ["a1", "child"]
    await desk.end_all()
    await started
