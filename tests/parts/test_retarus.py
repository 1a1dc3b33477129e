"""The vendor's interfaces: each only where it was switched on; reports age whatever is mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.parts import retarus
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("rest", [True, False])
@pytest.mark.parametrize("soap", [True, False])
async def test_each_interface_is_mounted_where_it_is_on(house: House, tmp_path: Path, rest: bool, soap: bool) -> None:
    text = f"[api]\nretarus = {str(rest).lower()}\nsoap = {str(soap).lower()}\n"
    async with started(house, tmp_path, retarus.PART, text=text) as one:
        assert any("reports" in path for path in one.paths) is rest
        assert any("soap" in path for path in one.paths) is soap
        assert "reports" in one.tasks and len(one.gateway.stations) == 1
