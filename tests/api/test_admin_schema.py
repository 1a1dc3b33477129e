"""schemathesis against the administration by its own description, as the operator."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faxgw.api.administration import PREFIX
from tests.api.offices import furnish, offices
from tests.api.schemathesis_run import WITHIN, without_a_finding
from tests.house import House

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(WITHIN + 60)]

LONG = os.environ.get("FAXGW_ADMIN_SCHEMA_EXAMPLES", "")
"""Set to a number, the long run: so many random requests, and `SAME_SETTINGS` are covered as well."""
EXAMPLES = int(LONG or 2)
"""Random requests per operation and phase, beside those that cover each rule of the schema."""
SAME_SETTINGS = (
    "POST /customers/{customer}/numbers", "PATCH /customers/{customer}/numbers/{e164}",
    "POST /customers/{customer}/profiles", "PATCH /customers/{customer}/profiles/{profile}",
    "POST /customers/{customer}/users", "PATCH /customers/{customer}/users/{user}",
)  # fmt: skip
"""Operations that take the settings of a customer too: to cover each rule of these takes a thousand requests, which the
customers' own get, and these in the long run only."""
PARTLY = {
    "more than one member together": (
        "POST /customers/{customer}/rules", "PUT /customers/{customer}/rules/{rule}", "POST /gateway/rules",
        "PUT /gateway/rules/{rule}", "POST /customers/{customer}/targets", "POST /gateway/targets",
        "PATCH /customers/{customer}/targets/{target}", "PATCH /gateway/targets/{target}", "POST /tokens",
        "POST /customers/{customer}/tokens",
        "POST /customers/{customer}/senders", "POST /holds", "POST /routing/try",
    ),
    "what a network, a key or a document is": (
        "POST /customers/{customer}/logins", "PATCH /customers/{customer}/logins/{login}",
        "POST /customers/{customer}/keys", "POST /directories/{directory}/import",
        "POST /customers/{customer}/numbers/{e164}/papers",
    ),
    "several notations of a time": ("GET /archive", "GET /archive/export", "GET /audit"),
    "how a directory is fetched": ("POST /directories/{directory}/pull",),
    "what has to be said": ("POST /holds/{hold}/lift",),
}  # fmt: skip
"""Operations that need more to be right than a schema can say, by what. What their schemas do say is checked the other
way round, as everywhere: what it forbids must be refused."""


async def test_no_check_finds_anything(house: House, tmp_path: Path) -> None:
    left_out = [label.replace(" ", f" {PREFIX}", 1) for labels in PARTLY.values() for label in labels]
    async with offices(house) as api:
        api.desk.ground.buckets.rate = api.desk.ground.buckets.burst = 1e9  # before the first request fills a bucket
        await furnish(api)
        known = {f"{row.method} {PREFIX}{row.path}" for office in api.offices for row in office.rows()}
        again = [label.replace(" ", f" {PREFIX}", 1) for label in SAME_SETTINGS]
        assert {*left_out, *again} <= known, {*left_out, *again} - known
        run = await without_a_finding(
            f"{api.desk.client._base_url}/api/v1/admin/openapi.json",
            api.auth["Authorization"],
            EXAMPLES,
            tmp_path,
            left_out,
            () if LONG else again,
        )
    assert run.selected == run.total == sum(len(office.rows()) for office in api.offices), run.text
