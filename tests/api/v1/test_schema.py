"""schemathesis, with all its checks, against the native API by its own description: not one finding."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from faxgw.fax.access import Scope
from faxgw.fax.limits import Failures
from tests.api.schemathesis_run import WITHIN, without_a_finding
from tests.api.v1.world import fax, native, received
from tests.house import House

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(WITHIN + 60)]

EXAMPLES = int(os.environ.get("FAXGW_SCHEMA_EXAMPLES", "6"))
"""Random requests per operation and phase, beside those that cover each rule of the schema."""


async def test_no_check_finds_anything(house: House, tmp_path: Path) -> None:
    """Streams end after 0.2 s, and wrong logins and requests are not counted: a thousand of both are the test."""
    async with native(house, stream_s=0.2) as api:
        access, buckets = api.desk.ground.access, api.desk.ground.buckets
        access._clients = access._logins = access._pairs = Failures(10**9, 600)
        buckets.rate = buckets.burst = 1e9
        auth = await api.desk.token(scopes=[scope.value for scope in Scope if scope is not Scope.OPERATOR])
        await api.send(fax("+33199000001", "+33199000002"))
        await received(house)
        url = f"{api.desk.client._base_url}/api/v1/openapi.json"
        run = await without_a_finding(url, auth["Authorization"], EXAMPLES, tmp_path)
    assert run.selected == run.total == len(api.api.table.operations), run.text
    generated = re.search(r"(\d+) generated, (\d+) passed", run.text)
    assert generated is not None and int(generated[1]) > 1_000, run.text[-2000:]
