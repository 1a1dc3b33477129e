"""schemathesis against the administration by its own description, as the operator."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from tests.api.offices import furnish, offices
from tests.api.v1.test_schema import PROGRAM, ROOT, WITHIN
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = int(os.environ.get("FAXGW_ADMIN_SCHEMA_EXAMPLES", "2"))
"""Random requests per operation and phase, beside those that cover each rule of the schema."""
LEFT_OUT = "positive_data_acceptance"
"""A setting's value, a rule's pattern or a target's parameters are right or wrong by more than a schema can say; all
that a schema does say is checked the other way round: what it forbids must be refused."""


async def test_no_check_finds_anything(house: House, tmp_path: Path) -> None:
    if not PROGRAM.exists():
        pytest.fail("schemathesis is not installed: run script/setup --tests")
    async with offices(house) as api:
        await furnish(api)
        api.desk.ground.buckets.rate = api.desk.ground.buckets.burst = 1e9
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM),
            "--no-color",
            "run",
            f"{api.desk.client._base_url}/api/v1/admin/openapi.json",
            *("-H", f"Authorization: {api.auth['Authorization']}", "--checks", "all", "--exclude-checks", LEFT_OUT),
            *("-n", str(EXAMPLES), "--seed", "1"),
            env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(ROOT / "tests/schema")},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), WITHIN)
    text = out.decode()
    assert process.returncode == 0, text.partition(" FAILURES ")[2][:30000] or text[-8000:]
    selected = re.search(r"Operations: +(\d+) selected / (\d+) total", text)
    every = sum(len(office.rows()) for office in api.offices)
    assert selected is not None and int(selected[1]) == int(selected[2]) == every, text
