"""Reads that many ask for at once: who asks while one runs shares the next, so nobody is told what was true before.

A client that opens fifty connections asks for the same login fifty times in the same moment. Each answer must have
been read after its question came (who was suspended is out at once), but one read can answer all that wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from faxgw.store.errors import fresh

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SharedRead(Generic[K, T]):
    """Answers questions by key; never more than one read of a key runs.

    Args:
        read: Reads what is asked for; begun after the question.
    """

    def __init__(self, read: Callable[[K], Awaitable[T]]) -> None:
        self._read = read
        self._next: dict[K, list[asyncio.Future[T]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, key: K) -> T:
        """What a read that began after this call found. Raises what the read raised."""
        mine: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if (waiting := self._next.get(key)) is not None:
            waiting.append(mine)
            return await mine
        self._next[key] = [mine]
        task = asyncio.create_task(self._answer(key), name="shared read")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await mine

    async def _answer(self, key: K) -> None:
        """Read until nobody waits; ended early, whoever waits is let go."""
        waiting: list[asyncio.Future[T]] = []
        try:
            while waiting := self._next[key]:
                self._next[key] = []
                try:
                    found = await self._read(key)
                except Exception as error:  # noqa: BLE001 - who asked gets it, each an error of his own
                    for asker in waiting:
                        if not asker.done():
                            asker.set_exception(fresh(error))
                else:
                    for asker in waiting:
                        if not asker.done():
                            asker.set_result(found)
        finally:
            for asker in waiting + self._next.pop(key):
                asker.cancel()
