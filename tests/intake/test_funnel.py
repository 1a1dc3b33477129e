"""The way of files into the funnel: what a job of theirs carries, and that a hand-in that has begun is finished."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from faxgw.intake.funnel import Funnel


class Slow:
    """Submissions that take until they are let go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.taken: list[object] = []

    async def submit(self, job: object) -> object:
        self.begun.set()
        await self.may_end.wait()
        self.taken.append(job)
        return job


def funnel(submissions: object) -> Funnel:
    nothing = cast(Any, None)  # not asked here
    return Funnel(nothing, nothing, cast(Any, submissions), lambda: 1000.0, nothing, names_days=2)


async def test_a_hand_in_that_has_begun_is_finished_before_its_cancellation_is_told() -> None:
    """Spine section 5: a row may name the documents by then, so nobody may take them away as if nothing had been."""
    slow = Slow()
    job = cast(Any, object())
    handing_in = asyncio.create_task(funnel(slow)._submit(job))
    await slow.begun.wait()
    handing_in.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not handing_in.done() and slow.taken == []
    slow.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await handing_in
    assert slow.taken == [job]


async def test_what_the_funnel_says_is_handed_on() -> None:
    slow = Slow()
    slow.may_end.set()
    job = cast(Any, object())
    assert await funnel(slow)._submit(job) is job
