"""Received pages are read by a station, and other parts get the documents that are made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.parts import reading
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_pages_that_wait_are_counted_at_each_scrape(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, reading.PART) as one:
        one.gateway.metrics.pages_unread.set(99)
        for refresh in one.gateway.metrics._refreshers:
            await refresh()
        assert one.gateway.metrics.registry.get_sample_value("faxgw_pages_unread") == 0.0
        assert one.gateway.documents is not None and len(one.gateway.stations) == 1
