"""faxgw.api.maintenance: the switch holds over a restart, and says what it is told."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faxgw.api.http import Maintenance
from faxgw.api.maintenance import FILE, MaintenanceRoutes


def asked(body: bytes) -> Any:
    async def read() -> bytes:
        return body

    return SimpleNamespace(read=read)


async def test_it_holds_over_a_restart_until_it_is_over(tmp_path: Path) -> None:
    first = Maintenance()
    answer = await MaintenanceRoutes(first, tmp_path).set(asked(b'{"reason": "Moving house."}'))
    assert (answer.status, first.reason) == (200, "Moving house.")
    second = Maintenance()
    switch = MaintenanceRoutes(second, tmp_path)
    await switch.recall()
    assert second.reason == "Moving house."
    assert json.loads((await switch.look(asked(b""))).text or "") == {"reason": "Moving house."}
    await switch.set(asked(b'{"reason": ""}'))
    assert second.reason == ""
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"reason": 1}', b'{"reason": "a\\nb"}', json.dumps({"reason": "x" * 301}).encode()]
)
async def test_what_is_no_reason_changes_nothing(tmp_path: Path, body: bytes) -> None:
    maintenance = Maintenance()
    assert (await MaintenanceRoutes(maintenance, tmp_path).set(asked(body))).status == 400
    assert maintenance.reason == ""
