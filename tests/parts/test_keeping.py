"""The purge runs, what it does can be seen, and archive and audit are served in both places."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from faxgw.parts import keeping
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_archive_and_audit_are_served_in_both_places(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, keeping.PART) as one:
        for path in ("/archive", "/audit/verify", "/junk/{reception}/{verdict}"):
            assert f"/api/v1/admin{path}" in one.paths and f"/admin{path}" in one.control
        assert "purge" in one.tasks


async def test_what_is_due_and_held_is_measured_at_each_scrape(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, keeping.PART) as one:
        for refresh in one.gateway.metrics._refreshers:
            await refresh()
        text = generate_latest(one.gateway.metrics.registry).decode()
        for name in ("faxgw_purge_due 0.0", "faxgw_legal_holds 0.0", "faxgw_junk_set_aside 0.0"):
            assert name in text
