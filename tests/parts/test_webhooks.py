"""Requests to programs of customers: both kinds of parcels have their way."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.parts import webhooks
from faxgw.store import pushes, webhook_feed
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_pushes_and_webhooks_have_their_ways(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, webhooks.PART) as one:
        assert set(one.gateway.ways) == {pushes.KIND, webhook_feed.KIND} and one.tasks == {"webhooks"}
