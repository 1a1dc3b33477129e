"""Passwords: checked off the loop, remembered for a while, never more at once than there is room for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
from argon2 import PasswordHasher

from faxgw.store import passwords
from faxgw.store.passwords import MAX_PASSWORD, REMEMBERED_S, Passwords, TooManyChecks
from tests.patience import PATIENCE_S

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
DIGEST = CHEAP.hash("secret")


class Counting(PasswordHasher):
    """Counts what it is asked, and can be held up."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str | bytes] = []
        self.free = threading.Event()
        self.free.set()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.verified.append(hash)
        assert self.free.wait(PATIENCE_S)
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> Counting:
    return Counting()


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def checker(hasher: Counting, now: list[float]) -> Iterator[Passwords]:
    made = Passwords(lambda: now[0], hasher)
    yield made
    hasher.free.set()
    made.close()


async def test_a_right_password_is_right_at_once_for_a_while(
    checker: Passwords, hasher: Counting, now: list[float]
) -> None:
    for _ in range(5):
        assert await checker.check("bert", "secret", DIGEST)
    assert hasher.verified == [DIGEST]
    assert not checker.remembers("bart", "secret", DIGEST) and not checker.remembers("bert", "Secret", DIGEST)
    now[0] += REMEMBERED_S
    assert not checker.remembers("bert", "secret", DIGEST)
    assert await checker.check("bert", "secret", DIGEST) and len(hasher.verified) == 2


async def test_a_changed_password_is_wrong_at_once(checker: Passwords) -> None:
    assert await checker.check("bert", "secret", DIGEST)
    assert not await checker.check("bert", "secret", CHEAP.hash("other"))


async def test_a_wrong_password_and_an_unknown_name_cost_the_same_work(checker: Passwords, hasher: Counting) -> None:
    assert not await checker.check("bert", "wrong", DIGEST)
    assert not await checker.check("nobody", "secret", None)
    assert len(hasher.verified) == 2 and hasher.verified[0] == DIGEST != hasher.verified[1]
    assert not await checker.check("bert", "wrong", DIGEST), "a wrong one is not remembered"
    assert len(hasher.verified) == 3


async def test_a_hash_that_is_none_lets_nobody_in(checker: Passwords) -> None:
    assert not await checker.check("bert", "none", "none")


async def test_a_boundless_password_is_wrong_without_work(checker: Passwords, hasher: Counting) -> None:
    assert not await checker.check("bert", "x" * (MAX_PASSWORD + 1), DIGEST)
    assert hasher.verified == []


async def test_more_than_may_wait_are_put_off(
    checker: Passwords, hasher: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    hasher.free.clear()
    waiting = [asyncio.create_task(checker.check(f"bert {n}", "secret", DIGEST)) for n in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyChecks) as refused:
        await checker.check("bert", "secret", DIGEST)
    assert refused.value.temporary
    hasher.free.set()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert await checker.check("bert", "secret", DIGEST)


async def test_those_who_ask_the_same_at_once_share_one_check(checker: Passwords, hasher: Counting) -> None:
    """Fifty connections of one client: one hash."""
    hasher.free.clear()
    waiting = [asyncio.create_task(checker.check("bert", "secret", DIGEST)) for _ in range(50)]
    wrong = asyncio.create_task(checker.check("bert", "wrong", DIGEST))
    await asyncio.sleep(0)
    hasher.free.set()
    assert await asyncio.gather(*waiting) == [True] * 50
    assert not await wrong
    assert len(hasher.verified) == 2


async def test_what_is_remembered_is_bounded(checker: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_REMEMBERED", 2)
    for name in ("a", "b", "c"):
        assert await checker.check(name, "secret", DIGEST)
    assert [checker.remembers(name, "secret", DIGEST) for name in ("a", "b", "c")] == [False, True, True]


async def test_a_hash_is_made_that_fits(checker: Passwords) -> None:
    assert await checker.check("dora", "Straße", await checker.hash("Straße"))
