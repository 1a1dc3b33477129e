"""schemathesis against the administration by its own description, as the operator."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.api.offices import furnish, offices
from tests.api.schemathesis_run import without_a_finding
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = int(os.environ.get("FAXGW_ADMIN_SCHEMA_EXAMPLES", "2"))
"""Random requests per operation and phase, beside those that cover each rule of the schema."""
LEFT_OUT = "positive_data_acceptance"
"""A setting's value, a rule's pattern or a target's parameters are right or wrong by more than a schema can say; all
that a schema does say is checked the other way round: what it forbids must be refused."""


async def test_no_check_finds_anything(house: House, tmp_path: Path) -> None:
    async with offices(house) as api:
        await furnish(api)
        api.desk.ground.buckets.rate = api.desk.ground.buckets.burst = 1e9
        run = await without_a_finding(
            f"{api.desk.client._base_url}/api/v1/admin/openapi.json",
            api.auth["Authorization"],
            EXAMPLES,
            tmp_path,
            *("--exclude-checks", LEFT_OUT),
        )
    assert run.selected == run.total == sum(len(office.rows()) for office in api.offices), run.text
