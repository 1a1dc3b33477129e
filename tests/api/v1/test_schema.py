"""schemathesis, with all its checks, against the native API by its own description: not one finding."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from faxgw.fax.access import Scope
from faxgw.fax.limits import Failures
from tests.api.v1.world import fax, native, received
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / ".venv-schema/bin/schemathesis"
EXAMPLES = int(os.environ.get("FAXGW_SCHEMA_EXAMPLES", "6"))
"""Random requests per operation and phase, beside those that cover each rule of the schema."""
WITHIN = 300.0


async def test_no_check_finds_anything(house: House, tmp_path: Path) -> None:
    """Streams end after 0.2 s, and wrong logins and requests are not counted: a thousand of both are the test."""
    if not PROGRAM.exists():
        pytest.fail("schemathesis is not installed: run script/setup --tests")
    async with native(house, stream_s=0.2) as api:
        access, buckets = api.desk.ground.access, api.desk.ground.buckets
        access._clients = access._logins = access._pairs = Failures(10**9, 600)
        buckets.rate = buckets.burst = 1e9
        auth = await api.desk.token(scopes=[scope.value for scope in Scope if scope is not Scope.OPERATOR])
        await api.send(fax("+33199000001", "+33199000002"))
        await received(house)
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM),
            "--no-color",
            "run",
            f"{api.desk.client._base_url}/api/v1/openapi.json",
            *("-H", f"Authorization: {auth['Authorization']}", "--checks", "all", "-n", str(EXAMPLES), "--seed", "1"),
            env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(ROOT / "tests/schema")},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), WITHIN)
    text = out.decode()
    assert process.returncode == 0, text.partition(" FAILURES ")[2][:8000] or text[-8000:]
    selected = re.search(r"Operations: +(\d+) selected / (\d+) total", text)
    assert selected is not None and int(selected[1]) == int(selected[2]) == len(api.api.table.operations), text
    generated = re.search(r"(\d+) generated, (\d+) passed", text)
    assert generated is not None and int(generated[1]) > 1_000, text[-2000:]
