"""The daily mail about what was set aside is somebody's task."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.parts import junk_mail
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_it_runs_as_long_as_the_gateway(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, junk_mail.PART) as one:
        assert one.tasks == {"junk mail"} and not any(task.done() for task in one.gateway.tasks)
