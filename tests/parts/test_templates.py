"""Templates are kept in both places, for a customer and for everybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.parts import templates
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_they_are_served_in_both_places(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, templates.PART) as one:
        for kind in ("cover", "overlay", "mail"):
            for base in ("", "/customers/{customer}"):
                path = f"{base}/templates/{kind}/{{name}}"
                assert f"/api/v1/admin{path}" in one.paths and f"/admin{path}" in one.control
