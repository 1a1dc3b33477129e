"""Papers of numbers, and the switch for maintenance, which a restart does not open."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.api.maintenance import FILE
from faxgw.parts import papers
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_was_closed_before_the_restart_is_closed_after_it(house: House, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("Moving house.\n")
    async with started(house, tmp_path, papers.PART) as one:
        assert one.gateway.ground.maintenance.reason == "Moving house."
        assert "/maintenance" in one.control and "/maintenance" not in one.paths


async def test_papers_are_served_in_both_places(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, papers.PART) as one:
        of = "/customers/{customer}/numbers/{e164}/papers"
        assert f"/api/v1/admin{of}" in one.paths and f"/admin{of}" in one.control
        assert [type(office).__name__ for office in one.gateway.offices] == ["PaperRoutes"]
