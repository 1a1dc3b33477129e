"""A station of the walk: takes what waits, a bounded number at a time, and waits to be woken.

One `Station` serves each step (walk, render, call, deliver). It owns its tasks; stopping means: nothing new, wait for
what runs until the grace ends, then cancel it (docs/architecture.md, handbook rule 15).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)

POLL = 30.0
"""Seconds after which a station looks again though nobody has woken it."""
FAULT_PAUSE = 2.0
"""Seconds before a station looks again after its look failed (database away)."""


class Station(Generic[T]):
    """Takes items and works on them.

    Args:
        name: For logs and task names.
        places: Items in work at the same time, at most.
        wake: Set when there may be something to take.
        take: Takes up to n items, durably where that matters.
        work: Works on one item; moves it to a named state whatever happens.
        next_due: Unix seconds at which something falls due by itself, or None.
        clock: Unix seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        places: int,
        wake: asyncio.Event,
        take: Callable[[int], Awaitable[Sequence[T]]],
        work: Callable[[T], Awaitable[None]],
        next_due: Callable[[], Awaitable[float | None]],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.places = places
        self._wake = wake
        self._take = take
        self._work = work
        self._next_due = next_due
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.looked_at = time.monotonic()
        """When it last began to look for something to take, monotonic seconds; at least every POLL."""

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    @property
    def busy(self) -> int:
        """Items in work."""
        return len(self._tasks)

    async def run(self) -> None:
        """Serve until `stop`."""
        while not self._stopping:
            self._wake.clear()
            self.looked_at = time.monotonic()
            try:
                taken = await self._fill()
                pause = 0.0 if taken else await self._pause()
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("station failed to look", extra={"event": "station.fault", "station": self.name})
                pause = FAULT_PAUSE
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)

    async def _fill(self) -> bool:
        free = self.places - len(self._tasks)
        if free <= 0 or self._stopping:
            return False
        items = await self._take(free)
        if self._stopping:
            return False  # what was leased meanwhile comes back with the next incarnation
        for item in items:
            task = asyncio.create_task(self._one(item), name=f"{self.name} {getattr(item, 'id', '')}")
            self._tasks.add(task)
            task.add_done_callback(self._finished)
        return bool(items)

    async def _pause(self) -> float:
        if len(self._tasks) >= self.places:
            return POLL
        due = await self._next_due()
        return POLL if due is None else min(POLL, max(0.05, due - self._clock()))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _one(self, item: T) -> None:
        try:
            await self._work(item)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("work failed", extra={"event": "station.work_failed", "station": self.name})
            await asyncio.sleep(FAULT_PAUSE)

    async def stop(self, grace: float) -> None:
        """Take nothing new; wait `grace` seconds for what runs; then cancel it and wait for its end."""
        self._stopping = True
        self._wake.set()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace)
        for task in set(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
