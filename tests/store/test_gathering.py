"""Work done in batches: at once when alone, together when it waits, each piece with its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from faxgw.store.errors import StoreBusy
from faxgw.store.gathering import Gathering
from tests.patience import PATIENCE_S


class Worker:
    """Doubles numbers, batch by batch; waits until it may go on."""

    def __init__(self, most: int = 3, lanes: int = 1) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.gathering: Gathering[int, int] = Gathering(self._do, most=most, lanes=lanes)

    async def _do(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(numbers))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return [n * 2 if n >= 0 else ValueError(str(n)) for n in numbers]


async def asked(worker: Worker, numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(worker.gathering.add(n)) for n in numbers]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_what_is_alone_is_done_at_once_and_what_waits_together() -> None:
    worker = Worker()
    tasks = await asked(worker, [1])
    assert worker.batches == [[1]]
    tasks += await asked(worker, [2, 3, 4, 5])
    assert worker.batches == [[1]]
    worker.go.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert worker.batches == [[1], [2, 3, 4], [5]]
    await worker.gathering.finish()
    assert await worker.gathering.add(6) == 12


async def test_who_comes_when_a_batch_has_just_ended_is_not_forgotten() -> None:
    worker = Worker()
    worker.go.set()
    for number in range(20):
        async with asyncio.timeout(PATIENCE_S):
            assert await worker.gathering.add(number) == number * 2
            for _ in range(number % 4):  # at every turn of the loop after it
                await asyncio.sleep(0)


async def test_lanes_run_side_by_side() -> None:
    worker = Worker(lanes=2)
    tasks = await asked(worker, [1]) + await asked(worker, [2]) + await asked(worker, [3])
    assert worker.batches == [[1], [2]]
    worker.go.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_what_does_not_fit_a_batch_goes_to_the_next_lane_at_once() -> None:
    worker = Worker(lanes=3)
    tasks = await asked(worker, [1, 2, 3, 4, 5])
    assert worker.batches == [[1, 2, 3], [4, 5]]
    worker.go.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]


async def test_each_has_its_own_result() -> None:
    worker = Worker()
    worker.go.set()
    good, bad = await asyncio.gather(worker.gathering.add(1), worker.gathering.add(-1), return_exceptions=True)
    assert good == 2 and isinstance(bad, ValueError)


async def test_a_batch_that_fails_fails_each_of_it_by_an_error_of_its_own_and_no_later_one() -> None:
    worker = Worker()
    worker.go.set()
    worker.error = StoreBusy("busy")
    found = await asyncio.gather(*(worker.gathering.add(n) for n in (1, 2)), return_exceptions=True)
    assert [type(error) for error in found] == [StoreBusy, StoreBusy] and found[0] is not found[1]
    worker.error = None
    assert await worker.gathering.add(3) == 6


async def test_who_goes_changes_nothing_for_the_others() -> None:
    worker = Worker()
    tasks = await asked(worker, [1, 2]) + await asked(worker, [3])
    tasks[0].cancel()
    tasks[2].cancel()
    worker.go.set()
    assert await tasks[1] == 4
    await worker.gathering.finish()
    assert worker.batches == [[1, 2], [3]]
    assert tasks[0].cancelled() and tasks[2].cancelled()


async def test_nobody_waits_for_a_lane_that_was_ended() -> None:
    worker = Worker()
    tasks = await asked(worker, [1])
    (lane,) = worker.gathering._tasks
    lane.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
