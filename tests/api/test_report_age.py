"""Reports are hidden when their days are over, again and again, and a store that is away ends nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest

from faxgw.api.report_age import DAY_S, FORGET_EVERY, forget_for_ever
from faxgw.store.errors import StoreError

NOW = 1_795_000_000.0


class Pruned:
    """A store that counts down what is old."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def run(self, unit: Callable[..., Any]) -> int:
        self.asked.append(unit)
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Exception):
            raise answer
        return cast(int, answer)


async def rounds(monkeypatch: pytest.MonkeyPatch, store: Pruned, number: int, days: int = 30) -> list[float]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == number:
            raise asyncio.CancelledError

    monkeypatch.setattr("faxgw.api.report_age.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await forget_for_ever(cast(Any, store), lambda: NOW, days)
    return slept


async def test_each_look_goes_on_until_nothing_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Pruned(100, 100, 7, 0, 5, 0)
    assert await rounds(monkeypatch, store, 1) == [FORGET_EVERY]
    assert len(store.asked) == 6


async def test_days_are_counted_from_the_end_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Pruned()
    await rounds(monkeypatch, store, 1, days=7)
    limit = NOW - 7 * DAY_S
    assert store.asked[0].keywords == {"accepted_before": limit, "finished_before": limit, "now": NOW}


async def test_a_store_that_is_away_is_asked_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Pruned(StoreError("locked"))
    with caplog.at_level(logging.ERROR):
        assert await rounds(monkeypatch, store, 2) == [FORGET_EVERY] * 2
    assert "reports not pruned" in caplog.text and len(store.asked) == 3
