"""Work that is cheaper done together: what comes while some is being done is done next, as one batch.

Nobody waits for a batch to fill: alone, a piece of work is begun at once. Under load the batches grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from faxgw.store.errors import fresh

W = TypeVar("W")
R = TypeVar("R")


class Gathering(Generic[W, R]):
    """Does work in batches.

    Args:
        do: Does a batch; returns for each piece its result or its error, in order. What it raises is everybody's.
        most: Pieces of one batch at most.
        lanes: Batches that are done at the same time.
    """

    def __init__(
        self, do: Callable[[Sequence[W]], Awaitable[Sequence[R | Exception]]], *, most: int, lanes: int
    ) -> None:
        self._do = do
        self._most = most
        self._lanes = lanes
        self._waiting: deque[tuple[W, asyncio.Future[R]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0
        """Lanes that will look at what waits once more: a task that is over may still be in `_tasks`."""
        self._starting = False

    async def add(self, work: W) -> R:
        """Do a piece of work; a caller who is cancelled changes nothing for it. Raises its error."""
        mine: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, mine))
        self._start()
        return await mine

    async def finish(self) -> None:
        """Return when nothing waits or runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self) -> None:
        if not self._starting and self._waiting and self._running < self._lanes:
            self._starting = True
            self._running += 1
            task = asyncio.create_task(self._lane(), name="gathering")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _lane(self) -> None:
        batch: list[tuple[W, asyncio.Future[R]]] = []
        self._starting = False
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                self._start()  # for what did not fit
                await self._settle(batch)
        finally:
            self._running -= 1
            for _work, asker in batch:
                asker.cancel()  # only where the lane itself was ended: all others have their answer

    async def _settle(self, batch: Sequence[tuple[W, asyncio.Future[R]]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await self._do([work for work, _asker in batch])
        except Exception as error:  # noqa: BLE001 - who asked gets it, each an error of his own
            results = [fresh(error) for _ in batch]
        for (_work, asker), result in zip(batch, results, strict=True):
            if asker.done():
                continue
            if isinstance(result, Exception):
                asker.set_exception(result)
            else:
                asker.set_result(result)
