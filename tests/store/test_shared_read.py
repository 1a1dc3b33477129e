"""Reads that many ask for at once: never older than the question, never more than one at a time of a key."""

from __future__ import annotations

import asyncio

import pytest

from faxgw.store.errors import StoreDown
from faxgw.store.shared_read import SharedRead


class Source:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gates: list[asyncio.Future[int]] = []

    async def read(self, key: str) -> int:
        self.begun.append(key)
        self.gates.append(asyncio.get_running_loop().create_future())
        return await self.gates[-1]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_while_a_read_runs_shares_the_next_one() -> None:
    source = Source()
    shared = SharedRead(source.read)
    first = asyncio.create_task(shared.ask("a"))
    await turn()
    later = [asyncio.create_task(shared.ask("a")) for _ in range(3)]
    await turn()
    assert source.begun == ["a"]
    source.gates[0].set_result(1)
    await turn()
    assert (await first, source.begun) == (1, ["a", "a"])
    assert not any(task.done() for task in later)
    source.gates[1].set_result(2)
    assert await asyncio.gather(*later) == [2, 2, 2]
    await turn()
    assert source.begun == ["a", "a"]


async def test_keys_do_not_wait_for_one_another() -> None:
    source = Source()
    shared = SharedRead(source.read)
    tasks = [asyncio.create_task(shared.ask(key)) for key in "ab"]
    await turn()
    assert source.begun == ["a", "b"]
    for gate, value in zip(source.gates, (1, 2), strict=True):
        gate.set_result(value)
    assert await asyncio.gather(*tasks) == [1, 2]


async def test_an_error_is_everybodys_who_waited_and_nobodys_later() -> None:
    source = Source()
    shared = SharedRead(source.read)
    first = asyncio.create_task(shared.ask("a"))
    await turn()
    source.gates[0].set_exception(StoreDown("gone"))
    with pytest.raises(StoreDown):
        await first
    again = asyncio.create_task(shared.ask("a"))
    await turn()
    source.gates[1].set_result(3)
    assert await again == 3


async def test_one_who_goes_away_takes_the_answer_from_nobody() -> None:
    source = Source()
    shared = SharedRead(source.read)
    first, second = (asyncio.create_task(shared.ask("a")) for _ in range(2))
    await turn()
    first.cancel()
    await turn()
    source.gates[0].set_result(4)
    assert await second == 4
    assert source.begun == ["a"]
