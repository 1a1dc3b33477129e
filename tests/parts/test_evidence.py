"""The gate is given who believes signatures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faxgw.dispatch.evidence import Evidence
from faxgw.parts import evidence
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_gate_asks_it(house: House, tmp_path: Path) -> None:
    believed: list[Any] = []
    gate = SimpleNamespace(believe=believed.append)
    async with started(house, tmp_path, evidence.PART, gate=gate):
        assert [type(one) for one in believed] == [Evidence]
