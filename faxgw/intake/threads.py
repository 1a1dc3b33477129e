"""A few threads for work on folders, which blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

THREADS = 8
"""Folders of all accounts together; the file system's journal commits what they sync together."""


class Threads:
    """Threads of their own, so that a slow disk does not stop what else runs in threads."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="folders")

    async def run(self, work: Callable[[], T]) -> T:
        """Do something that blocks; begun, it is done even if nobody waits for it any more."""
        return await asyncio.wrap_future(self._pool.submit(work))

    async def close(self) -> None:
        """Finish what runs."""
        await asyncio.to_thread(self._pool.shutdown)
