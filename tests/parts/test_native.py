"""The native API is there unless the settings say otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.parts import native
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(("text", "served"), [("", True), ("[api]\nnative = false\n", False)])
async def test_it_is_mounted_as_the_settings_say(house: House, tmp_path: Path, text: str, served: bool) -> None:
    async with started(house, tmp_path, native.PART, text=text) as one:
        assert ("/api/v1/openapi.json" in one.paths) is served
        assert ("/api/v1/faxes" in one.paths) is served
        assert ("events" in one.tasks) is served
