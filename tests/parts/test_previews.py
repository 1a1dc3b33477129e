"""Previews are for the operator's socket alone; others have the API's."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.parts import previews
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_they_are_on_the_operators_socket_and_nowhere_else(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, previews.PART) as one:
        assert one.paths == set() and any(path.startswith("/preview/") for path in one.control)
