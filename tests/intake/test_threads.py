"""Threads for folders: begun, work is finished, whoever waits for it; and there are so many at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from faxgw.intake.threads import THREADS, Threads


async def test_a_result_and_a_fault_come_back() -> None:
    threads = Threads()
    assert await threads.run(lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        await threads.run(lambda: open("/nowhere/at/all"))  # noqa: SIM115 - it is not there
    await threads.close()


async def test_who_is_cancelled_leaves_no_work_half_done() -> None:
    threads, began, go, done = Threads(), threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        go.wait(30)
        done.set()

    task = asyncio.create_task(threads.run(work))
    assert await asyncio.to_thread(began.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await threads.close()
    assert done.is_set()


async def test_no_more_than_so_many_work_at_once() -> None:
    threads, go, lock = Threads(), threading.Event(), threading.Lock()
    running, most = 0, 0
    all_there = threading.Event()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == THREADS:
                all_there.set()
        go.wait(30)
        with lock:
            running -= 1

    tasks = [asyncio.create_task(threads.run(work)) for _ in range(3 * THREADS)]
    assert await asyncio.to_thread(all_there.wait, 30)
    go.set()
    await asyncio.gather(*tasks)
    await threads.close()
    assert most == THREADS
