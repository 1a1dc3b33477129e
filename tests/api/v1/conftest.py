"""Fixtures: a store and files of the test's own, and the native API on them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.api.v1.world import Native, native
from tests.house import House, house, house_store

__all__ = ["house", "house_store"]


@pytest_asyncio.fixture(loop_scope="session")
async def api(house: House) -> AsyncIterator[Native]:
    async with native(house) as made:
        yield made
